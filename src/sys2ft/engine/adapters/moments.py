"""Storage of AdamW's moments between updates: on the device, in the host's memory, or in a file.

They are two thirds of the memory of a slot in training, and are needed once per step. Off the device they are kept in
the host's memory, or, if the host is the device, in a file, whose cached pages the kernel drops when memory is needed.
The results are the same with each.

Shapes: P weights of a slot, p some of them; (2, P): first and second moment. All float32.
"""

from __future__ import annotations

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sys2ft.files import make_folder, storage_errors

_PIECE = 2**20  # weights whose moments are read from a file at once


class Moments(ABC):
    """Both moments of each slot that was begun or written, and not forgotten."""

    @abstractmethod
    def begin(self, slot: int) -> None:
        """Moments of 0."""

    @abstractmethod
    def read(self, slot: int) -> Tensor:
        """(2, P) on the device, valid until the next call; changes to it are kept by `write` only."""

    @abstractmethod
    def write(self, slot: int, moments_2P: Tensor) -> None:
        """Store them. This object owns the tensor from now on."""

    def pieces(self, slot: int) -> Iterator[tuple[slice, Tensor]]:
        """Successive slices of the weights, and their moments (2, p) on the device.

        Changes to a piece are stored when the next one is requested.
        """
        moments_2P = self.read(slot)
        yield slice(None), moments_2P
        self.write(slot, moments_2P)

    @abstractmethod
    def forget(self, slot: int) -> None:
        """Free the slot's moments, if it has any."""

    @abstractmethod
    def close(self) -> None:
        """Free everything."""


class OnDevice(Moments):
    """Kept where the weights are."""

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
    """Kept in the host's memory, for a device with its own memory; pinned for CUDA."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._staging_2P = torch.empty(2, size, device=device)
        self._moments: dict[int, Tensor] = {}

    def begin(self, slot: int) -> None:
        self.write(slot, self._staging_2P.zero_())

    def read(self, slot: int) -> Tensor:
        return self._staging_2P.copy_(self._moments[slot], non_blocking=True)

    def write(self, slot: int, moments_2P: Tensor) -> None:
        if slot not in self._moments:
            self._moments[slot] = torch.empty(moments_2P.shape, pin_memory=self._pinned)
        # From and to pinned memory the host need not wait: the device reads it next, in the order of its queue.
        self._moments[slot].copy_(moments_2P, non_blocking=self._pinned)

    def forget(self, slot: int) -> None:
        self._moments.pop(slot, None)

    def close(self) -> None:
        self._moments.clear()


class InFile(Moments):
    """Kept in an unnamed file in `folder` (None: the system's temporary folder), deleted when it is closed."""

    def __init__(self, size: int, folder: Path | None) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else make_folder(folder)
        with storage_errors(self._folder):
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - open as long as this object
        self._size = size
        self._staging_2p = torch.empty(2, min(size, _PIECE))
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def begin(self, slot: int) -> None:
        self._give_place(slot)
        # Through the staging buffer: a temporary tensor would leave a hole in memory that small ones fill.
        for start, moments_2p in self._cut():
            self._put(slot, start, moments_2p.zero_())

    def read(self, slot: int) -> Tensor:
        moments_2P = torch.empty(2, self._size)
        self._get(slot, 0, moments_2P)
        return moments_2P

    def write(self, slot: int, moments_2P: Tensor) -> None:
        self._give_place(slot)
        self._put(slot, 0, moments_2P)

    def pieces(self, slot: int) -> Iterator[tuple[slice, Tensor]]:
        for start, moments_2p in self._cut():
            self._get(slot, start, moments_2p)
            yield slice(start, start + moments_2p.shape[1]), moments_2p
            self._put(slot, start, moments_2p)

    def _give_place(self, slot: int) -> None:
        if slot not in self._places:
            self._places[slot] = self._free.pop() if self._free else len(self._places)

    def _cut(self) -> Iterator[tuple[int, Tensor]]:
        """The start of each piece, and a view of the staging buffer for its moments."""
        for start in range(0, self._size, _PIECE):
            yield start, self._staging_2p[:, : self._size - start]

    def _get(self, slot: int, start: int, moments_2p: Tensor) -> None:
        for data in self._seek(slot, start, moments_2p):
            if self._file.readinto(data) != len(data):
                raise EOFError(f"the moments of slot {slot} in {self._folder} are incomplete")

    def _put(self, slot: int, start: int, moments_2p: Tensor) -> None:
        with storage_errors(self._folder):
            for data in self._seek(slot, start, moments_2p):
                self._file.write(data)
            self._file.flush()

    def _seek(self, slot: int, start: int, moments_2p: Tensor) -> Iterator[memoryview]:
        """Each moment's bytes, with the file at those of the slot from weight `start` on."""
        for row, moment_p in enumerate(moments_2p):
            self._file.seek(4 * ((2 * self._places[slot] + row) * self._size + start))
            yield moment_p.numpy().data.cast("B")

    def forget(self, slot: int) -> None:
        if slot in self._places:
            self._free.append(self._places.pop(slot))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closing repeats a write that failed, whose data is no longer needed
            self._file.close()


def staging_bytes(size: int, device: torch.device) -> int:
    """Bytes on the device of the staging buffer, if moments are kept off it."""
    return 2 * 4 * (min(size, _PIECE) if device.type == "cpu" else size)


def off_device(weights_KP: Tensor, folder: Path | None) -> Moments:
    """Storage for the moments of `weights_KP` outside its device's memory; `folder` is used if that is a file."""
    size, device = weights_KP.shape[1], weights_KP.device
    return InFile(size, folder) if device.type == "cpu" else InHostMemory(size, device)
