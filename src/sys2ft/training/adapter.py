"""The state of one adapter during training: steps taken, best weights, loss curve, how it ended and its cost."""

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

# The fields that a checkpoint stores besides tensors; the rest can be derived from elements, settings and seed.
_KEPT = ("step", "best_loss", "best_step", "ended", "due", "curve", "kept_epoch", "seconds")
_COSTS = ("cost", "scored")


@dataclass(slots=True, eq=False)
class Adapter:
    """One adapter, trained in slot `slot` of the bank.

    `batches` are lists of indices into `examples`, one list per step; `seen[i]` is the number of examples seen after
    step i. `held` are the held-out examples.
    """

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
    """Number of steps after which the held-out loss was lowest."""
    best_P: Tensor | None = None
    ended: dict[str, Any] | None = None
    """Why it stopped before its last step: `how` (diverged, stopped), `step`, `epoch`, `why`."""
    due: bool = field(default=False)
    """Whether an epoch has ended and its held-out loss has not been measured yet."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """One row per step (see `Training.curve`)."""
    kept_epoch: float | None = None
    """Epoch of the best weights; set when the adapter finishes with them."""
    cost: StepCost = field(default_factory=StepCost)
    scored: StepCost = field(default_factory=StepCost)
    """Cost of measuring held-out losses."""
    seconds: float = 0.0

    @classmethod
    def of(cls, slot: int, job: AdapterJob, examples: Sequence[Example]) -> Adapter:
        """The adapter of `job` before its first step; `examples` are the job's rendered items."""
        train, held = split(job.name, len(examples), job.settings.held_out, job.seed)
        order = batches(job.name, len(train), job.settings, job.seed, [job.items[i].source for i in train])
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
        """Dropout seed of the next step."""
        return item_seed(self.job.seed, "dropout", self.name, self.step)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return rate(self.step, len(self.batches), self.job.settings)

    def epoch(self, steps: int | None = None) -> float:
        """Passes over the elements after `steps` steps; None: after the steps taken so far."""
        steps = self.step if steps is None else steps
        return round(self.seen[steps - 1] / len(self.examples), 4) if steps else 0.0

    def _epochs(self, steps: int) -> int:
        return self.seen[steps - 1] // len(self.examples) if steps else 0

    def advance(self, loss: float, norm: float) -> None:
        """Record one step: its mean loss (nats per token) and its gradient norm."""
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
        """Record a held-out loss. Keep the weights if it is the lowest; stop after `patience` epochs without one."""
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
        """Return to the state before the first step. Costs and seconds spent so far stay counted."""
        self.curve = []
        self.step, self.best_loss, self.best_step = 0, None, 0
        self.best_P, self.ended, self.due = None, None, False

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint stores besides the tensors, as JSON data."""
        costs = {name: asdict(getattr(self, name)) for name in _COSTS}
        return {name: getattr(self, name) for name in _KEPT} | costs

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state_dict`."""
        for name in _KEPT:
            setattr(self, name, state[name])
        for name in _COSTS:
            setattr(self, name, StepCost(**state[name]))
