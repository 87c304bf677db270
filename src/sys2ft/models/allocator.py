"""What becomes of memory that is freed: glibc keeps it, so that the next pass finds its pages in place.

By default glibc gives a block of more than 32 MiB back to the kernel as soon as it is freed, and asks for it again a
moment later; the kernel clears every page anew. A training pass frees and takes some gigabytes that way. glibc also
gives threads arenas of their own: what a pass frees in one is of no use to a pass that runs in another.
"""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_KEEP = 2**31 - 1
_OWN_BLOCK = 2**30  # what is larger still lies by itself
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to blocks of 1 GiB, in one arena; whether that was done.

    Arenas that are there already stay in use. Nothing is done under another C library, or where the environment has
    chosen for glibc (mallopt(3)).
    """
    if not _glibc() or any(name in os.environ for name in _CHOSEN):
        return False
    libc = ctypes.CDLL(None)
    settings = ((_TRIM_THRESHOLD, _KEEP), (_MMAP_THRESHOLD, _OWN_BLOCK), (_ARENA_MAX, 1))
    return all(libc.mallopt(name, value) for name, value in settings)


def give_back_freed_memory() -> bool:
    """Return every free page to the kernel, those between blocks in use too; whether the C library can (glibc)."""
    return _glibc() and bool(ctypes.CDLL(None).malloc_trim(0))


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
