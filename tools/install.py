"""Install packages into a virtual environment, with uv where it can be had and with pip otherwise.

    python tools/install.py VENV "LABEL: install ARGUMENTS OF PIP INSTALL" "LABEL: run PROGRAM ARGUMENTS" ...

Creates the environment if there is none, runs the steps in order, and prints the seconds of each. A program is one of
the environment's own. uv does not read pip's configuration (indexes, find-links, certificates): it is passed on here.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# pip's setting -> uv's environment variable, and what separates several values of it there.
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}
STEP = re.compile(r"(.+?): (install|run) (.+)")


def pip_settings(listing: str) -> dict[str, str]:
    """Settings by name from what `pip config list` prints; the environment overrides [install] overrides [global]."""
    settings: dict[str, str] = {}
    for wanted in ("global", "install", ":env:"):
        for line in listing.splitlines():
            key, found, value = line.partition("=")
            section, _, name = key.rpartition(".")
            if found and section == wanted:
                settings[name] = str(ast.literal_eval(value))
    return settings


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """The environment variables that make uv install from where pip would."""
    # pip takes the best version of all indexes; uv's default is the first index that has the name at all. pip compiles
    # what it installs; uncompiled, every start of the program takes half a second longer.
    environment = {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE": "1",
    }
    for name, (variable, separator) in UV_NAMES.items():
        if name in settings:
            environment[variable] = separator.join(settings[name].split())
    return environment


@contextmanager
def step(label: str) -> Iterator[None]:
    """Print `label`, then the seconds that the block took."""
    print(f"== {label} ...", end="", flush=True)
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.perf_counter() - start:.1f} s", flush=True)


class Installer:
    """Installs into one environment."""

    def __init__(self, venv: Path) -> None:
        self.python = venv / "bin" / "python"
        if not self.python.exists():
            with step(f"environment in {venv}"):
                subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        self.pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        self.uv = self._find_uv()
        listing = subprocess.run([*self.pip, "config", "list"], check=True, capture_output=True, text=True).stdout
        # What the user has set for uv is left as it is.
        self.environment = {**uv_environment(pip_settings(listing)), **os.environ}

    def install(self, arguments: list[str]) -> None:
        """`pip install` with these arguments; by pip itself where uv fails."""
        if self.uv is not None:
            command = [self.uv, "pip", "install", "--quiet", "--python", str(self.python), *arguments]
            if subprocess.run(command, env=self.environment).returncode == 0:
                return
            print(" uv failed (see above), pip tries ...", end="", flush=True)
        subprocess.run([*self.pip, "install", "--quiet", *arguments], check=True)

    def run(self, arguments: list[str]) -> None:
        """Run a program of the environment; its output is not shown."""
        program = self.python.with_name(arguments[0])
        subprocess.run([str(program), *arguments[1:]], check=True, stdout=subprocess.DEVNULL)

    def _find_uv(self) -> str | None:
        own = self.python.with_name("uv")
        if not own.exists() and (found := shutil.which("uv")):
            return found
        if not own.exists():
            with step("uv, which installs the rest"):
                result = subprocess.run([*self.pip, "install", "--quiet", "uv"], capture_output=True)
            if result.returncode:
                print("uv cannot be installed here: pip installs the packages, which takes longer")
                return None
        return str(own)


def main(arguments: list[str]) -> int:
    """Run the steps that `arguments` names; returns the exit code."""
    steps = [STEP.fullmatch(text) for text in arguments[1:]]
    if not steps or None in steps:
        print(__doc__, file=sys.stderr)
        return 2
    start = time.perf_counter()
    try:
        installer = Installer(Path(arguments[0]))
        for label, verb, what in (found.groups() for found in steps if found):
            with step(label):
                {"install": installer.install, "run": installer.run}[verb](shlex.split(what))
    except subprocess.CalledProcessError as error:
        print(f"this command failed: {shlex.join(error.cmd)}", file=sys.stderr)
        return 1
    print(f"== ready in {time.perf_counter() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
