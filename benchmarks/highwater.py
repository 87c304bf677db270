"""The resident memory of this process, and its maximum.

Imports nothing big: other environments use it too.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset() -> None:
    """Reset the maximum to what is resident now (Linux only)."""
    if _RESET.exists():
        _RESET.write_text("5")


def peak_bytes() -> int:
    """The maximum since the last `reset`, or since the start of the process if it cannot be reset."""
    if _STATUS.exists():
        # Not getrusage: its maximum survives exec, so a child would report its parent's memory.
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int | None:
    """What is resident now; None on systems other than Linux."""
    return _status("VmRSS") if _STATUS.exists() else None


def _status(name: str) -> int:
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
