"""The interfaces of a bank of trained weights, and of a learner, which makes banks and stores their slots."""

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
    """K slots of trained weights over one frozen model, each slot one row of one tensor.

    Optimiser, checkpoint and memory estimate treat a slot as a vector of `size` float32 numbers.
    """

    model: nn.Module
    slots: int
    size: int
    weights_KP: Tensor
    dropout: float

    def initialise(self, slot: int, seed: int) -> None:
        """Give a slot the weights that training starts from; they depend on `seed` alone."""
        ...

    def parts(
        self,
        spans: Sequence[tuple[int, int]],
        *,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
    ) -> contextlib.AbstractContextManager[None]:
        """The scope of a pass: within the block the model's batch is split into runs of (slot, nodes), -1 for the base.

        With `gradient`, a backward pass adds the gradient of each slot's weights to its row there.
        """
        ...

    def ready(self) -> contextlib.AbstractContextManager[None]:
        """Within the block several threads may be in `parts` at once."""
        ...

    def close(self) -> None:
        """Release the model."""
        ...


class Learner(Protocol):
    """Makes banks over a model, and reads and writes their slots."""

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    def size(self, model: nn.Module) -> int:
        """Weights of a slot. Raises ModelError where the model has no place for them."""
        ...

    def bank(self, model: nn.Module, slots: int) -> Bank:
        """A bank of `slots` slots, all zero."""
        ...

    def save(self, bank: Bank, slot: int, folder: Path, *, base_name: str) -> None:
        """Write one slot to a folder, completely or not at all."""
        ...

    def load(self, bank: Bank, slot: int, folder: Path) -> None:
        """Read a folder into one slot. Raises ModelError where it does not fit the bank."""
        ...
