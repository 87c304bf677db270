"""Limits how many compiled kernels oneDNN keeps, which computes half precision on a CPU.

It compiles a kernel for each shape of a product, in half a millisecond, and by default keeps 1,024 of them at some 0.3
MB each. Every batch has new shapes, so a process grows by as much as a small model. The shapes that a pass repeats in
every layer are some hundred; those that return after many others are quickly compiled again.
"""

from __future__ import annotations

import os

import torch

KEPT = 128
_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_CHOSEN = (_CAPACITY, "DNNL_PRIMITIVE_CACHE_CAPACITY")


def keep_few_kernels() -> None:
    """Let oneDNN keep at most `KEPT` compiled kernels in this process.

    oneDNN reads the limit at its first product in the process, so a process that has made one keeps the default.
    Nothing is changed if the environment sets a limit, or if torch was built without oneDNN.
    """
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or any(name in os.environ for name in _CHOSEN):
        return
    os.environ[_CAPACITY] = str(KEPT)
    try:
        some = torch.zeros(64, 64, dtype=torch.bfloat16)  # smaller products do not reach oneDNN
        torch.mm(some, some)
    finally:
        del os.environ[_CAPACITY]
