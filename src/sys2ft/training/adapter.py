"""One adapter on its way through training: where it stands, what it has seen, how it ended."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sys2ft.engine import Example
from sys2ft.runs import item_seed
from sys2ft.training.schedule import batches, split
from sys2ft.training.settings import TrainSettings

# What a checkpoint keeps of an adapter beside its tensors; the rest follows from elements, settings and seed.
_KEPT = ("step", "best_loss", "best_step", "ended", "due")


@dataclass(slots=True, eq=False)
class Adapter:
    """Slot `slot` of the bank. `batches` are indices into `examples`; `held` are the examples it is not trained on."""

    slot: int
    name: str
    seed: int
    examples: list[Example]
    held: list[Example]
    batches: list[list[int]]
    seen: list[int]
    step: int = 0
    """Steps taken."""
    best_loss: float | None = None
    best_step: int = 0
    """Steps taken when the held-out loss was lowest."""
    best_P: Tensor | None = None
    ended: dict[str, Any] | None = None
    """Why it stopped before its last step: `how` (diverged, stopped), `step`, `epoch`, `why`."""
    due: bool = field(default=False)
    """An epoch has ended whose held-out loss is not measured yet."""

    @classmethod
    def of(cls, slot: int, name: str, examples: Sequence[Example], settings: TrainSettings, seed: int) -> Adapter:
        train, held = split(name, len(examples), settings.held_out, seed)
        order = batches(name, len(train), settings, seed)
        return cls(
            slot=slot,
            name=name,
            seed=seed,
            examples=[examples[i] for i in train],
            held=[examples[i] for i in held],
            batches=order,
            seen=list(itertools.accumulate(len(batch) for batch in order)),
        )

    @property
    def done(self) -> bool:
        return self.ended is not None or (self.step == len(self.batches) and not self.due)

    @property
    def batch(self) -> list[Example]:
        """The examples of the next step."""
        return [self.examples[i] for i in self.batches[self.step]] if self.step < len(self.batches) else []

    @property
    def dropout_seed(self) -> int:
        """Of the next step."""
        return item_seed(self.seed, "dropout", self.name, self.step)

    def epoch(self, steps: int | None = None) -> float:
        """Passes over the elements in so many steps; None: so far."""
        steps = self.step if steps is None else steps
        return round(self.seen[steps - 1] / len(self.examples), 4) if steps else 0.0

    def _epochs(self, steps: int) -> int:
        return self.seen[steps - 1] // len(self.examples) if steps else 0

    def advance(self) -> None:
        """A step was taken."""
        self.step += 1
        whole = self._epochs(self.step) > self._epochs(self.step - 1)
        self.due = bool(self.held) and (whole or self.step == len(self.batches))

    def end(self, how: str, why: str) -> None:
        self.ended = {"how": how, "step": self.step, "epoch": self.epoch(), "why": why}
        self.due = False

    def judge(self, loss: float, weights_P: Tensor, patience: int) -> None:
        """Take note of a held-out loss: keep the weights if it is the lowest, stop after `patience` epochs without."""
        self.due = False
        assert self.best_P is not None
        if not math.isfinite(loss):
            self.end("diverged", f"the held-out loss is {loss}")
        elif self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            self.best_P.copy_(weights_P)
        elif self.step < len(self.batches) and self._epochs(self.step) - self._epochs(self.best_step) >= patience:
            back = f"back to epoch {self.epoch(self.best_step):g} with {self.best_loss:.4f}"
            self.end("stopped", f"the held-out loss is {loss:.4f}; {back}")

    def reset(self) -> None:
        """Back to the start."""
        self.step, self.best_loss, self.best_step = 0, None, 0
        self.best_P, self.ended, self.due = None, None, False

    def record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def take_up(self, record: dict[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, record[name])
