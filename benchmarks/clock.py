"""Time and peak memory of the measured parts of a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from benchmarks import highwater

Result = TypeVar("Result")


def wait(device: torch.device) -> None:
    """Wait until `device` has finished its work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of `work`, and the seconds it took on `device`."""
    wait(device)
    begun = time.perf_counter()
    result = work()
    wait(device)
    return result, time.perf_counter() - begun


class Clock:
    """Total seconds and highest memory of all `running()` blocks.

    On CUDA the memory is torch's highest allocation. Elsewhere it is the process's highest resident memory, which is
    reset at the start of a block, so that the temporary memory of loading a model does not count.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block that counts."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            highwater.reset()
        wait(self.device)
        begun = time.perf_counter()
        yield
        wait(self.device)
        self.seconds += time.perf_counter() - begun
        peak = torch.cuda.max_memory_allocated(self.device) if on_gpu else highwater.peak_bytes()
        self.peak_bytes = max(self.peak_bytes, peak)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block within a running one that does not count."""
        wait(self.device)
        begun = time.perf_counter()
        yield
        wait(self.device)
        self.seconds -= time.perf_counter() - begun
