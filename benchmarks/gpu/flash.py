"""FlashAttention's kernel for sequences of different lengths, by its documentation, in plain torch.

It is what the pretended device computes in place of the kernel, and what a test compares with the engine's padded form.
A causal mask is aligned at the ends of queries and keys; a window counts the keys before a query's own.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor


def forward(
    query_THd: Tensor, key_Nhd: Tensor, value_Nhd: Tensor, paths: Any, scaling: float, window: int | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output (T, H, d), and no state."""
    queries, keys = paths.own_ends.cpu().numpy().tolist(), paths.path_ends.cpu().numpy().tolist()
    outputs = []
    for (first, end), (start, stop) in zip(itertools.pairwise(queries), itertools.pairwise(keys), strict=True):
        assert end - first <= paths.most_own and stop - start <= paths.most_path
        repeat = query_THd.shape[1] // key_Nhd.shape[1]
        query_HCd = query_THd[first:end].transpose(0, 1).float()
        key_HLd, value_HLd = (
            whole[start:stop].transpose(0, 1).float().repeat_interleave(repeat, dim=0) for whole in (key_Nhd, value_Nhd)
        )
        own, whole = end - first, stop - start
        place_C1 = torch.arange(own, device=query_THd.device)[:, None] + whole - own
        key_L = torch.arange(whole, device=query_THd.device)
        seen_CL = key_L <= place_C1
        if window is not None:
            seen_CL &= key_L >= place_C1 - (window - 1)
        scores_HCL = (query_HCd @ key_HLd.transpose(1, 2) * scaling).masked_fill(~seen_CL, -torch.inf)
        outputs.append((scores_HCL.softmax(-1) @ value_HLd).transpose(0, 1))
    return torch.cat(outputs).to(query_THd.dtype), ()


def backward(
    gradient_THd: Tensor,
    query_THd: Tensor,
    key_Nhd: Tensor,
    value_Nhd: Tensor,
    output_THd: Tensor,
    state: tuple[Tensor, ...],
    paths: Any,
    scaling: float,
    window: int | None,
) -> tuple[Tensor, ...]:
    """Gradients of queries, keys and values."""
    with torch.enable_grad():
        query, key, value = (one.detach().requires_grad_() for one in (query_THd, key_Nhd, value_Nhd))
        output, _ = forward(query, key, value, paths, scaling, window)
    return torch.autograd.grad(output, (query, key, value), gradient_THd)
