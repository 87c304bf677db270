"""Freed memory stays with the process: measured by the page faults of a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, torch
from sys2ft.engine.allocator import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == "keep" else False
for _ in range(8):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(2**24)
print(int(done), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> tuple[bool, int]:
    done, count = subprocess.run(
        [sys.executable, "-c", _FAULTS, how],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return done == "1", int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_used_again() -> None:
    kept, left = faults("keep"), faults("leave")
    assert kept[0]
    assert 10 * kept[1] < left[1], "64 MiB are 16,384 pages, or 32 large ones, each time"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_the_environment_goes_first() -> None:
    done, _ = faults("keep", MALLOC_MMAP_THRESHOLD_="1048576")
    assert not done
