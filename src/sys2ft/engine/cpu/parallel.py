"""Runs calls concurrently, each with a share of the cores.

Between its large matrix products a pass consists of some ten thousand small operations, too small for two cores, and of
the Python that calls them. In half precision, where the large products are fast, these take most of the time: two
passes of half the size keep both cores busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def run_in_parallel(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of the calls, each made in its own thread. All have ended when this returns or raises."""
    if len(calls) == 1:
        return [calls[0]()]
    threads = torch.get_num_threads()

    def limited(call: Callable[[], T]) -> T:
        torch.set_num_threads(max(1, threads // len(calls)))  # applies to the calling thread
        return call()

    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(limited, call) for call in calls]
        return [future.result() for future in futures]
    finally:
        torch.set_num_threads(threads)
