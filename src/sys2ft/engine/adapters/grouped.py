"""Products of the runs of a batch with a matrix each, as one kernel that knows where the runs end.

Without it runs of different lengths are padded to the longest: their rows are gathered, and the results added back,
which moves as many bytes as the layer itself at ranks this small. torch has the kernel for bfloat16 on Hopper and
Blackwell; elsewhere the same call multiplies one by one and waits for the ends.

Shapes: T rows, S runs, K and N the other sizes of the products.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

_ALIGNED = 8  # numbers of bfloat16: the kernel needs rows that begin at multiples of 16 bytes
_CARDS = (9, 10)  # compute capabilities that have it


def aligned(*sizes: int) -> bool:
    """Whether the kernel can multiply matrices of these sizes."""
    return not any(size % _ALIGNED for size in sizes)


def product(left_TK: Tensor, right_SKN: Tensor, ends_S: Tensor) -> Tensor:
    """(T, N): the rows of each run times its matrix. `ends_S` (int32) is where each run ends."""
    result: Tensor = torch._grouped_mm(left_TK, right_SKN, offs=ends_S)
    return result


def outer(left_TK: Tensor, right_TN: Tensor, ends_S: Tensor) -> Tensor:
    """(S, K, N): the transposed rows of each run of one matrix times those of the other."""
    result: Tensor = torch._grouped_mm(left_TK.t(), right_TN, offs=ends_S)
    return result


def grouped_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernel is there, and multiplies as `torch.mm` does."""
    if dtype != torch.bfloat16 or torch.cuda.get_device_capability(device)[0] not in _CARDS:
        return False
    try:
        return agrees(device, dtype)
    except (RuntimeError, TypeError, AttributeError):  # the build of torch has no such function
        return False


def agrees(device: torch.device, dtype: torch.dtype) -> bool:
    """Compares the three products of an adapter's layer, with parts of wider matrices and runs of odd lengths."""
    generator = torch.Generator().manual_seed(0)
    ends, rank, size = [3, 4, 37], 8, 24
    x, low, weights = (
        torch.randn(shape, generator=generator).to(device=device, dtype=dtype)
        for shape in ((37, size), (37, 2 * rank), (3, 40 + rank * size))
    )
    low, matrices = low[:, rank:], weights[:, 40:].view(3, rank, size)
    ends_S = torch.tensor(ends, dtype=torch.int32, device=device)
    found = [
        product(x, matrices.transpose(1, 2), ends_S),
        product(low, matrices, ends_S),
        outer(low, x, ends_S).flatten(0, 1),
    ]
    runs = [slice(*run) for run in pairwise([0, *ends])]
    right = [
        torch.cat([x[run] @ one.T for run, one in zip(runs, matrices, strict=True)]),
        torch.cat([low[run] @ one for run, one in zip(runs, matrices, strict=True)]),
        torch.cat([low[run].T @ x[run] for run in runs]),
    ]
    off = [(a.float() - b.float()).norm() / b.float().norm() for a, b in zip(found, right, strict=True)]
    return bool((torch.stack(off) < 0.02).all())
