"""What this machine is and has left: memory, cores, processor. The one module that reads what only Linux has.

On other systems `psutil` answers, without the limits of control groups, which only Linux has. The memory of a CUDA
device is asked for in `engine.adapters.memory`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = (Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def memory() -> int:
    """Bytes of memory that this machine has, or that its control groups allow, if that is less."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _groups(*_GROUPS))])


def free_memory() -> int:
    """Bytes that this process may still take: by the system, its control groups and its own limit (`ulimit -v`)."""
    return min([int(psutil.virtual_memory().available), *_container(*_GROUPS), *_process()])


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The name of the processor."""
    return _cpu("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor, as Linux names them; empty where they are not known."""
    return frozenset(_cpu("Features" if platform.machine().startswith(("arm", "aarch")) else "flags").split())


def _cpu(field: str) -> str:
    rows = (line.partition(":") for line in _lines(Path("/proc/cpuinfo")))
    return next((value.strip() for name, _, value in rows if name.strip() == field), "")


def _process() -> Iterator[int]:
    """What the process's own limit leaves."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield max(0, limit - int(psutil.Process().memory_info().vms))


def _container(groups: Path, root: Path) -> Iterator[int]:
    """What the control groups around this process leave."""
    return (max(0, limit - used) for limit, used in _groups(groups, root))


def _groups(groups: Path, root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of the control groups (version 1 and 2) around this process, from the innermost to the root."""
    for line in _lines(groups):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root if controllers == "" else root / "memory"
            names = ("memory.max", "memory.current", "inactive_file")
            if controllers:
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            place = top / path.lstrip("/")
            for folder in (place, *place.parents):
                yield from _group(folder, *names)
                if folder == top:
                    break


def _group(folder: Path, limit_file: str, used_file: str, cache: str) -> Iterator[tuple[int, int]]:
    limit, used = ("".join(_lines(folder / name)).strip() for name in (limit_file, used_file))
    if limit.isdigit() and used.isdigit():  # 'max': no limit
        # Cached pages of files count as used, but are released when memory runs short.
        files = next((int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.startswith(cache)), 0)
        yield int(limit), int(used) - files


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:  # this system has no such file
        return []
