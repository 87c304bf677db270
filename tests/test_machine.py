"""What only some systems have: every module imports without it, and the memory is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sys2ft
from sys2ft import machine

PACKAGE = Path(sys2ft.__file__).parent

# Every module is imported in a process where the modules that Windows lacks cannot be found.
_PROGRAM = """
import importlib, os, pkgutil, sys
import filelock, psutil, torch, transformers  # what libraries import is theirs
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "sysconf", "getuid", "geteuid", "killpg", "fork"):
    if hasattr(os, name):
        delattr(os, name)
import sys2ft
failed = {}
for found in pkgutil.walk_packages(sys2ft.__path__, "sys2ft."):
    if found.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        if error.name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
            failed[found.name] = str(error)
from sys2ft import machine
assert 2**28 < machine.free_memory() <= machine.memory()
assert machine.cores() >= 1
print(failed)
"""


def test_every_module_imports_on_a_system_without_unix_modules() -> None:
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{}"


LINUX = ("/proc/", "/sys/", "import fcntl", "import resource\n", "sched_getaffinity", "sysconf")


@pytest.mark.parametrize("word", LINUX)
def test_what_only_one_system_has_is_in_one_module(word: str) -> None:
    found = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if word in file.read_text("utf-8")}
    assert found <= {"machine.py", "news/importers/sheet_process.py"}  # the latter limits a process of its own


def test_memory_and_processor_are_those_of_this_machine() -> None:
    assert machine.free_memory() <= machine.memory()
    assert machine.processor()
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
