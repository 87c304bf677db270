"""Copies from the host to the model's device that the host does not wait for.

A copy from ordinary memory to a GPU makes the host wait until the GPU has done everything that is queued. From pinned
memory it is queued like a kernel. Torch keeps pinned memory until the copy is done, and reuses it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Integers = Sequence[int] | np.ndarray


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """`tensor`, of the host, on `device`."""
    place = torch.device(device)
    if place.type != "cuda":
        return tensor.to(place)
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor).to(place, non_blocking=True)


def send_integers(arrays: Sequence[Integers], device: torch.device | str) -> list[Tensor]:
    """Each as an int64 tensor on `device`, in one copy."""
    given = [np.asarray(array, dtype=np.int64) for array in arrays]
    if torch.device(device).type != "cuda":
        return [torch.from_numpy(array).to(device) for array in given]
    whole = send(torch.from_numpy(np.concatenate([array.ravel() for array in given])), device)
    parts = torch.split(whole, [array.size for array in given])
    return [part.view(array.shape) for part, array in zip(parts, given, strict=True)]
