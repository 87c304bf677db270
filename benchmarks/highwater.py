"""The most memory that this process has had resident. Imports nothing big: other environments use it too."""

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
        line = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
