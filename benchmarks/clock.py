"""Time and peak memory of the stretches that count."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Clock:
    """Seconds and the highest memory of all `running()` stretches together.

    On CUDA the memory is what torch had allocated at most. Elsewhere it is the process's resident set: on Linux its
    high-water mark is set back at the start of a stretch, so that the passing needs of loading a model do not count;
    where it cannot be set back it is that of the whole process.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """A stretch that counts."""
        self._reset_peak()
        self._wait()
        begun = time.perf_counter()
        yield
        self._wait()
        self.seconds += time.perf_counter() - begun
        self.peak_bytes = max(self.peak_bytes, self._peak())

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif _RESET.exists():
            _RESET.write_text("5")

    def _peak(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if _STATUS.exists():
            # Not getrusage: its mark survives exec, so a child would report the memory of the parent it came from.
            line = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
