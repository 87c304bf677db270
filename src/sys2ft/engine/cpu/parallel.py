"""Passes at the same time on a CPU, each with a share of the cores.

Between its large matrix products a pass is some ten thousand small operations, too small for two cores, and the Python
that calls them. Where the large products are fast, in half precision, that is most of the time: two passes of half the
size keep both cores busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from sys2ft.engine.forward import half_on_cpu

T = TypeVar("T")


def passes_at_once(model: torch.nn.Module) -> int:
    """How many passes over `model` to run at the same time."""
    return 2 if half_on_cpu(model) and torch.get_num_threads() > 1 else 1


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What the calls return, each made in a thread of its own. All have ended when this returns, or raises."""
    if len(calls) == 1:
        return [calls[0]()]
    threads = torch.get_num_threads()

    def limited(call: Callable[[], T]) -> T:
        torch.set_num_threads(max(1, threads // len(calls)))  # of the thread that says it
        return call()

    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(limited, call) for call in calls]
        return [future.result() for future in futures]
    finally:
        torch.set_num_threads(threads)
