"""Files with the state of a training: float32 tensors and a record, written completely and read back bit for bit.

The format is safetensors, written tensor by tensor: the state of many adapters is larger than the base, part of it may
be outside memory, and a copy of it would limit how many adapters fit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor

from sys2ft.files import atomic_file

Part = tuple[Sequence[int], Callable[[], Tensor]]
"""A tensor's shape and a function that returns it. It may be overwritten when the next tensor is requested."""


def write_state(path: Path, tensors: Mapping[str, Part], record: Any) -> None:
    """Write `tensors` (float32) and `record` (a JSON value) to `path`, completely or not at all."""
    header: dict[str, Any] = {"__metadata__": {"record": json.dumps(record)}}
    end = 0
    for name, (shape, _) in tensors.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, (shape, get) in tensors.items():
            tensor = get()
            assert (tensor.dtype, list(tensor.shape)) == (torch.float32, list(shape)), name
            file.write(tensor.detach().cpu().contiguous().numpy().data.cast("B"))


class State:
    """A file written by `write_state`; tensors are read on request."""

    def __init__(self, path: Path) -> None:
        self._file = cast(Any, safe_open(path, "pt"))
        self.record: Any = json.loads(self._file.metadata()["record"])

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor
