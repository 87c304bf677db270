"""Interfaces of a bank of trained weights, and of a learner, which creates banks and saves and loads their slots."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from sys2ft.engine.adapters.dropout import Dropout
    from sys2ft.engine.adapters.low_rank import Gradient


class Bank(Protocol):
    """K slots of trained weights over one frozen model; `weights_KP` has one row of P = `size` weights per slot.

    The optimiser, the checkpoint and the memory estimate treat a slot as a vector of `size` float32 numbers.
    """

    model: nn.Module
    slots: int
    size: int
    weights_KP: Tensor
    dropout: float

    def initialise(self, slot: int, seed: int) -> None:
        """Set a slot to its initial weights, which depend only on `seed`."""
        ...

    def scale(self, slot: int, share: float) -> None:
        """Multiply what a slot adds to the base's weights by `share`."""
        ...

    def parts(
        self,
        spans: Sequence[tuple[int, int]],
        *,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
    ) -> contextlib.AbstractContextManager[None]:
        """The context of a pass. Within it, the model's batch consists of consecutive spans of (slot, number of nodes).

        Slot -1 is the base model. With `gradient`, a backward pass adds the gradient of each slot's weights to the
        slot's row of it. With `dropout`, that dropout is applied.
        """
        ...

    def ready(self) -> contextlib.AbstractContextManager[None]:
        """A context in which several threads may use `parts` concurrently."""
        ...

    def close(self) -> None:
        """Release the model; the bank cannot be used afterwards."""
        ...


class Learner(Protocol):
    """Creates banks over a model, and saves and loads their slots."""

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    def size(self, model: nn.Module) -> int:
        """Number of weights per slot. Raises ModelError if the model lacks the target layers."""
        ...

    def bank(self, model: nn.Module, slots: int) -> Bank:
        """A bank of `slots` slots with all weights zero."""
        ...

    def save(self, bank: Bank, slot: int, folder: Path, *, base_name: str) -> None:
        """Write one slot to a folder, atomically."""
        ...

    def load(self, bank: Bank, slot: int, folder: Path) -> None:
        """Read one slot from a folder. Raises ModelError if it does not fit the bank."""
        ...
