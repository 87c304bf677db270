"""Where AdamW's moments of the slots that train lie between updates: on the device, or off it.

They are two thirds of what a slot in training holds, and are needed once a step. Off the device they lie in the host's
memory, and where the host is the device in a file, whose pages the kernel keeps only as long as nobody needs the room.
An update computes with the same numbers wherever they lie.

Shapes: P weights of a slot; (2, P): first and second moment. All float32.
"""

from __future__ import annotations

import contextlib
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from sys2ft.runs.atomic import make_folder, storage_errors


class Moments(ABC):
    """Both moments of each slot that was begun or written, and not forgotten."""

    @abstractmethod
    def begin(self, slot: int) -> None:
        """Moments of 0."""

    @abstractmethod
    def read(self, slot: int) -> Tensor:
        """(2, P) on the device, to compute with until the next call; what becomes of it is kept by `write` only."""

    @abstractmethod
    def write(self, slot: int, moments_2P: Tensor) -> None:
        """Keep them. The tensor belongs to this object from now on."""

    @abstractmethod
    def forget(self, slot: int) -> None:
        """Free what the slot takes; nothing where it takes none."""

    @abstractmethod
    def close(self) -> None:
        """Free everything."""


class OnDevice(Moments):
    """Where the weights are."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._size, self._device = size, device
        self._moments: dict[int, Tensor] = {}

    def begin(self, slot: int) -> None:
        self._moments[slot] = torch.zeros(2, self._size, device=self._device)

    def read(self, slot: int) -> Tensor:
        return self._moments[slot]

    def write(self, slot: int, moments_2P: Tensor) -> None:
        self._moments[slot] = moments_2P

    def forget(self, slot: int) -> None:
        self._moments.pop(slot, None)

    def close(self) -> None:
        self._moments.clear()


class InHostMemory(Moments):
    """In the host's memory, for a device with a memory of its own; pinned where that is CUDA."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._at_hand_2P = torch.empty(2, size, device=device)
        self._moments: dict[int, Tensor] = {}

    def begin(self, slot: int) -> None:
        self.write(slot, self._at_hand_2P.zero_())

    def read(self, slot: int) -> Tensor:
        return self._at_hand_2P.copy_(self._moments[slot], non_blocking=True)

    def write(self, slot: int, moments_2P: Tensor) -> None:
        if slot not in self._moments:
            self._moments[slot] = torch.empty(moments_2P.shape, pin_memory=self._pinned)
        self._moments[slot].copy_(moments_2P)  # blocking: whoever reads next finds it whole

    def forget(self, slot: int) -> None:
        self._moments.pop(slot, None)

    def close(self) -> None:
        self._moments.clear()


class InFile(Moments):
    """In a file without a name in `folder` (None: the system's for temporary files), gone once it is closed."""

    def __init__(self, size: int, folder: Path | None) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else make_folder(folder)
        with storage_errors(self._folder):
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - open as long as this object
        self._at_hand_2P = torch.empty(2, size)
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def begin(self, slot: int) -> None:
        # Not with a tensor made for it: small ones would settle where it lay, and the next one need new memory.
        self.write(slot, self._at_hand_2P.zero_())

    def read(self, slot: int) -> Tensor:
        data = self._seek(slot, self._at_hand_2P)
        if self._file.readinto(data) != len(data):
            raise EOFError(f"the moments of slot {slot} in {self._folder} are cut short")
        return self._at_hand_2P

    def write(self, slot: int, moments_2P: Tensor) -> None:
        if slot not in self._places:
            self._places[slot] = self._free.pop() if self._free else len(self._places)
        with storage_errors(self._folder):
            self._file.write(self._seek(slot, moments_2P))
            self._file.flush()

    def _seek(self, slot: int, moments_2P: Tensor) -> memoryview:
        """The tensor's bytes, and the file where those of the slot lie."""
        data: memoryview = moments_2P.numpy().data.cast("B")
        self._file.seek(self._places[slot] * len(data))
        return data

    def forget(self, slot: int) -> None:
        if slot in self._places:
            self._free.append(self._places.pop(slot))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a write that failed is tried again, and nobody needs it
            self._file.close()


def off_device(weights_KP: Tensor, folder: Path | None) -> Moments:
    """Room for the moments of slots of `weights_KP` outside the memory of its device; `folder` is for a file."""
    size, device = weights_KP.shape[1], weights_KP.device
    return InFile(size, folder) if device.type == "cpu" else InHostMemory(size, device)
