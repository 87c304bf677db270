"""The memory that this process has resident, and the most that it has had.

Imports nothing big: other environments use it too.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset() -> None:
    """Set the mark back to what is resident now; only Linux can."""
    if _RESET.exists():
        _RESET.write_text("5")


def peak_bytes() -> int:
    """The mark since the last `reset`, or since the start of the process where it cannot be set back."""
    if _STATUS.exists():
        # Not getrusage: its mark survives exec, so a child would report the memory of the parent it came from.
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int | None:
    """What is resident now; None where the system does not say it as Linux does."""
    return _status("VmRSS") if _STATUS.exists() else None


def _status(name: str) -> int:
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
