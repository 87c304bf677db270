"""One adapter in training: its steps so far, its best weights, its loss curve, how it ended and what it cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from sys2ft.engine import Example, StepCost
from sys2ft.runs import item_seed
from sys2ft.training.jobs import AdapterJob
from sys2ft.training.schedule import batches, rate, split

# What a checkpoint keeps of an adapter beside its tensors; the rest follows from elements, settings and seed.
_KEPT = ("step", "best_loss", "best_step", "ended", "due", "curve", "kept_epoch", "seconds")
_COSTS = ("cost", "scored")


@dataclass(slots=True, eq=False)
class Adapter:
    """Slot `slot` of the bank. `batches` are indices into `examples`; `held` are the examples it is not trained on."""

    slot: int
    job: AdapterJob
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
    curve: list[dict[str, Any]] = field(default_factory=list)
    """A row for each step (see `Training.curve`)."""
    kept_epoch: float | None = None
    """Epoch of the best weights, once the adapter is done with them."""
    cost: StepCost = field(default_factory=StepCost)
    scored: StepCost = field(default_factory=StepCost)
    """What held-out losses cost."""
    seconds: float = 0.0

    @classmethod
    def of(cls, slot: int, job: AdapterJob, examples: Sequence[Example]) -> Adapter:
        """The adapter of `job` before its first step; `examples` are the job's items, rendered."""
        train, held = split(job.name, len(examples), job.settings.held_out, job.seed)
        order = batches(job.name, len(train), job.settings, job.seed)
        return cls(
            slot=slot,
            job=job,
            examples=[examples[i] for i in train],
            held=[examples[i] for i in held],
            batches=order,
            seen=list(itertools.accumulate(len(batch) for batch in order)),
        )

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def diverged(self) -> bool:
        return self.ended is not None and self.ended["how"] == "diverged"

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
        return item_seed(self.job.seed, "dropout", self.name, self.step)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return rate(self.step, len(self.batches), self.job.settings)

    def epoch(self, steps: int | None = None) -> float:
        """Passes over the elements in so many steps; None: so far."""
        steps = self.step if steps is None else steps
        return round(self.seen[steps - 1] / len(self.examples), 4) if steps else 0.0

    def _epochs(self, steps: int) -> int:
        return self.seen[steps - 1] // len(self.examples) if steps else 0

    def advance(self, loss: float, norm: float) -> None:
        """Record a step that was taken: its mean loss (nats a token) and its gradient's norm."""
        self.curve.append(
            {
                "adapter": self.name,
                "step": self.step,
                "epoch": self.epoch(self.step + 1),
                "loss": loss,
                "lr": self.rate,
                "grad_norm": norm,
                "tokens": sum(len(example.ids) for example in self.batch),
            }
        )
        self.step += 1
        whole = self._epochs(self.step) > self._epochs(self.step - 1)
        self.due = bool(self.held) and (whole or self.step == len(self.batches))

    def end(self, how: str, why: str) -> None:
        self.ended = {"how": how, "step": self.step, "epoch": self.epoch(), "why": why}
        self.due = False

    def judge(self, loss: float, weights_P: Tensor) -> None:
        """Record a held-out loss: keep the weights if it is the lowest, stop after `patience` epochs without one."""
        patience = self.job.settings.patience
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
        if math.isfinite(loss):
            self.curve[-1]["held_out_loss"] = loss

    def reset(self) -> None:
        """Go back to the start. What was spent stays counted."""
        self.curve = []
        self.step, self.best_loss, self.best_step = 0, None, 0
        self.best_P, self.ended, self.due = None, None, False

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the tensors, as JSON."""
        costs = {name: asdict(getattr(self, name)) for name in _COSTS}
        return {name: getattr(self, name) for name in _KEPT} | costs

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name in _KEPT:
            setattr(self, name, state[name])
        for name in _COSTS:
            setattr(self, name, StepCost(**state[name]))
