"""Where AdamW's moments of the slots that train lie between updates: on the device, or off it.

They are two thirds of what a slot in training holds, and are needed once a step. Off the device they lie in the host's
memory, and where the host is the device in a file, whose pages the kernel keeps only as long as nobody needs the room.
An update computes with the same numbers wherever they lie.

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

_PIECE = 2**20  # weights whose moments are read from a file together


class Moments(ABC):
    """Both moments of each slot that was begun or written, and not forgotten."""

    @abstractmethod
    def begin(self, slot: int) -> None:
        """Moments of 0."""

    @abstractmethod
    def read(self, slot: int) -> Tensor:
        """(2, P) on the device, good until the next call; what becomes of it is kept by `write` only."""

    @abstractmethod
    def write(self, slot: int, moments_2P: Tensor) -> None:
        """Keep them. The tensor belongs to this object from now on."""

    def pieces(self, slot: int) -> Iterator[tuple[slice, Tensor]]:
        """One after the other, some weights' places and moments (2, p) on the device.

        What becomes of a piece is kept when the next one is asked for.
        """
        moments_2P = self.read(slot)
        yield slice(None), moments_2P
        self.write(slot, moments_2P)

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
        self._size = size
        self._at_hand_2p = torch.empty(2, min(size, _PIECE))
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def begin(self, slot: int) -> None:
        self._give_place(slot)
        # Not with a tensor made for it: small ones would settle where it lay, and the next one need new memory.
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
        """Where each piece begins, and room for its moments."""
        for start in range(0, self._size, _PIECE):
            yield start, self._at_hand_2p[:, : self._size - start]

    def _get(self, slot: int, start: int, moments_2p: Tensor) -> None:
        for data in self._seek(slot, start, moments_2p):
            if self._file.readinto(data) != len(data):
                raise EOFError(f"the moments of slot {slot} in {self._folder} are cut short")

    def _put(self, slot: int, start: int, moments_2p: Tensor) -> None:
        with storage_errors(self._folder):
            for data in self._seek(slot, start, moments_2p):
                self._file.write(data)
            self._file.flush()

    def _seek(self, slot: int, start: int, moments_2p: Tensor) -> Iterator[memoryview]:
        """Each moment's bytes, the file where those of the slot lie from weight `start` on."""
        for row, moment_p in enumerate(moments_2p):
            self._file.seek(4 * ((2 * self._places[slot] + row) * self._size + start))
            yield moment_p.numpy().data.cast("B")

    def forget(self, slot: int) -> None:
        if slot in self._places:
            self._free.append(self._places.pop(slot))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a write that failed is tried again, and nobody needs it
            self._file.close()


def at_hand(size: int, device: torch.device) -> int:
    """Bytes on the device that an update takes for a slot's moments where they lie off it."""
    return 2 * 4 * (min(size, _PIECE) if device.type == "cpu" else size)


def off_device(weights_KP: Tensor, folder: Path | None) -> Moments:
    """Room for the moments of slots of `weights_KP` outside the memory of its device; `folder` is for a file."""
    size, device = weights_KP.shape[1], weights_KP.device
    return InFile(size, folder) if device.type == "cpu" else InHostMemory(size, device)
