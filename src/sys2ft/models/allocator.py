"""glibc's allocator keeps freed memory in the process, so that the next pass finds its pages in place.

By default glibc returns a block of more than 32 MiB to the kernel as soon as it is freed, and requests it again a
moment later; the kernel then clears every page anew. A training pass frees and allocates some gigabytes that way. glibc
also gives threads their own arenas: a pass in one cannot reuse what a pass in another freed.

One of the CPU optimisations that `sys2ft.engine.cpu` describes. It is here because it must precede loading a model.
"""

from __future__ import annotations

import ctypes
import os
import platform

PLAIN = "SYS2FT_PLAIN"
"""Environment variable: 1 switches all CPU optimisations off."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_KEEP = 2**31 - 1
_OWN_BLOCK = 2**30  # larger blocks are still returned when they are freed
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def plain_wanted() -> bool:
    """Whether the environment switches all CPU optimisations off."""
    return os.environ.get(PLAIN) == "1"


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of up to 1 GiB, in one arena; returns whether that was done.

    Existing arenas stay in use. Nothing is changed under another C library, or if the environment configures glibc's
    allocator (mallopt(3)) or sets SYS2FT_PLAIN.
    """
    if not _glibc() or plain_wanted() or any(name in os.environ for name in _CHOSEN):
        return False
    libc = ctypes.CDLL(None)
    settings = ((_TRIM_THRESHOLD, _KEEP), (_MMAP_THRESHOLD, _OWN_BLOCK), (_ARENA_MAX, 1))
    return all(libc.mallopt(name, value) for name, value in settings)


def return_freed_memory() -> bool:
    """Return every free page to the kernel, also those between blocks in use; returns whether glibc can do so."""
    return _glibc() and bool(ctypes.CDLL(None).malloc_trim(0))


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
