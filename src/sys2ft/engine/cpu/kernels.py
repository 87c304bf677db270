"""How many compiled products oneDNN keeps, which computes half precision on a CPU.

It compiles a product for its shape, in half a millisecond, and by default keeps 1,024 of them, some 0.3 MB each. Every
batch brings shapes of its own, so a process grows by as much as a small model. What a pass repeats in every layer is
some hundred shapes, and those that come back after many others are soon compiled again.
"""

from __future__ import annotations

import os

import torch

KEPT = 128
_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_CHOSEN = (_CAPACITY, "DNNL_PRIMITIVE_CACHE_CAPACITY")


def keep_few_kernels() -> None:
    """Let oneDNN keep at most `KEPT` compiled products in this process.

    It reads this once, at its first product in the process: one that came before stays with the default. Nothing is
    done where the environment has chosen, or where torch was built without oneDNN.
    """
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or any(name in os.environ for name in _CHOSEN):
        return
    os.environ[_CAPACITY] = str(KEPT)
    try:
        some = torch.zeros(64, 64, dtype=torch.bfloat16)  # smaller ones do not reach it
        torch.mm(some, some)
    finally:
        del os.environ[_CAPACITY]
