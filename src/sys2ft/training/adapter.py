"""The state of one adapter during training: steps taken, best weights, loss curve, how it ended and its cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from sys2ft.engine import Distributions, Example, StepCost
from sys2ft.runs import item_seed
from sys2ft.training.jobs import AdapterJob
from sys2ft.training.schedule import batches, rate, refresh_of, split
from sys2ft.training.settings import IN_CONTEXT

# The fields that a checkpoint stores besides tensors; the rest can be derived from elements, settings and seed.
_KEPT = (
    "step", "best_loss", "best_step", "ended", "due", "curve", "kept_epoch", "seconds", "other_flop", "counted",
    "refreshed", "base_loss",
)  # fmt: skip
_COSTS = ("cost", "scored", "read", "sampled")


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
    shown: list[Example] = field(default_factory=list)
    """The examples with the news item before the prompt, if a teacher reads them."""
    held_in_context: list[Example] = field(default_factory=list)
    """The held-out examples with the news item before the prompt, if an adapter may stop by them."""
    taught: dict[int, Distributions] = field(default_factory=dict)
    """The teacher's distributions for the completion of an example, by its index."""
    samples: dict[int, list[int]] = field(default_factory=dict)
    """The adapter's own completions, by the index of the example whose prompt they answer, until the next refresh."""
    refreshed: int = -1
    """Number of the refresh of these samples; -1: there are none."""
    step: int = 0
    """Steps taken."""
    best_loss: float | None = None
    best_step: int = 0
    """Number of steps after which the held-out loss was lowest."""
    best_P: Tensor | None = None
    base_loss: float | None = None
    """The base's loss of the held-out elements with the news in context, if it is needed."""
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
    read: StepCost = field(default_factory=StepCost)
    """Cost of the teacher's reading."""
    sampled: StepCost = field(default_factory=StepCost)
    """Cost of the adapter's own samples; a prediction is a token of one."""
    other_flop: float = 0.0
    """FLOP of reading and sampling."""
    counted: bool = False
    """Whether the teacher's reading has been counted; a resumed training repeats it."""
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        slot: int,
        job: AdapterJob,
        examples: Sequence[Example],
        shown: Sequence[Example] = (),
        in_context: Sequence[Example] = (),
    ) -> Adapter:
        """The adapter of `job` before its first step; `examples` are the job's rendered items.

        `shown` and `in_context` are the same with the news item before the prompt, as the teacher and as the adapter
        read them; empty where they are not needed.
        """
        train, held = split(job.name, len(examples), job.settings.held_out, job.seed)
        order = batches(job.name, len(train), job.settings, job.seed, [job.items[i].source for i in train])
        return cls(
            slot=slot,
            job=job,
            examples=[examples[i] for i in train],
            held=[examples[i] for i in held],
            batches=order,
            seen=list(itertools.accumulate(len(batch) for batch in order)),
            shown=[shown[i] for i in train] if shown else [],
            held_in_context=[in_context[i] for i in held] if in_context else [],
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
        return [self.examples[i] for i in self.places]

    @property
    def places(self) -> list[int]:
        """Indices of the examples of the next step."""
        return self.batches[self.step] if self.step < len(self.batches) else []

    @property
    def refresh(self) -> int:
        """Number of the refresh whose samples the next step uses."""
        return refresh_of(self.step, self.seen, len(self.examples), self.job.settings.refresh)

    def refreshed_places(self) -> list[int]:
        """Indices of the examples in the steps from the next one to the next refresh."""
        settings, places = self.job.settings, list[int]()
        for step in range(self.step, len(self.batches)):
            if refresh_of(step, self.seen, len(self.examples), settings.refresh) != self.refresh:
                break
            places += self.batches[step]
        return sorted(set(places))

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

    def advance(self, loss: float, norm: float, tokens: int) -> None:
        """Record one step: its mean loss (nats per token), its gradient norm and the tokens of its examples."""
        self.curve.append(
            {
                "adapter": self.name,
                "step": self.step,
                "epoch": self.epoch(self.step + 1),
                "loss": loss,
                "lr": self.rate,
                "grad_norm": norm,
                "tokens": tokens,
            }
        )
        self.step += 1
        whole = self._epochs(self.step) > self._epochs(self.step - 1)
        self.due = bool(self.held) and (whole or self.step == len(self.batches))

    def end(self, how: str, why: str) -> None:
        self.ended = {"how": how, "step": self.step, "epoch": self.epoch(), "why": why}
        self.due = False

    def judge(self, loss: float, weights_P: Tensor, in_context: float | None = None) -> None:
        """Record a held-out loss, and that in context if it decides.

        Keep the weights if they are better; stop after `patience` epochs without better ones.
        """
        settings = self.job.settings
        self.due = False
        assert self.best_P is not None
        deciding = loss if in_context is None else in_context
        if not math.isfinite(loss + deciding):
            self.end("diverged", f"the held-out loss is {loss if not math.isfinite(loss) else deciding}")
            return
        self.curve[-1]["held_out_loss"] = loss
        if in_context is not None:
            self.curve[-1]["in_context_loss"] = in_context
        if self._better(deciding):
            self.best_loss, self.best_step = deciding, self.step
            self.best_P.copy_(weights_P)
        elif (
            self.step < len(self.batches)
            and self._epochs(self.step) - self._epochs(self.best_step) >= settings.patience
        ):
            back = f"back to epoch {self.epoch(self.best_step):g} with {self.best_loss:.4f}"
            if in_context is None:
                self.end("stopped", f"the held-out loss is {loss:.4f}; {back}")
            else:
                self.end(
                    "stopped",
                    f"the held-out loss in context is {in_context:.4f}, the base's {self.base_loss:.4f}; {back}",
                )

    def _better(self, loss: float) -> bool:
        settings = self.job.settings
        if settings.stop_on == IN_CONTEXT:
            assert self.base_loss is not None
            return loss <= self.base_loss + settings.tolerance
        return self.best_loss is None or loss < self.best_loss

    def begin_in_context(self, base_loss: float, weights_P: Tensor) -> None:
        """Record the base's loss in context. The weights before the first step, which change nothing, are the best."""
        assert self.best_P is not None
        self.base_loss = self.best_loss = base_loss
        self.best_P.copy_(weights_P)

    def reset(self) -> None:
        """Return to the state before the first step. Costs and seconds spent so far stay counted."""
        self.curve = []
        self.step, self.best_loss, self.best_step = 0, None, 0
        self.best_P, self.ended, self.due, self.base_loss = None, None, False, None
        self.taught, self.samples, self.refreshed, self.counted = {}, {}, -1, False

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint stores besides the tensors, as JSON data."""
        costs = {name: asdict(getattr(self, name)) for name in _COSTS}
        samples = [[place, ids] for place, ids in self.samples.items()]  # JSON has no numbers as keys
        return {name: getattr(self, name) for name in _KEPT} | costs | {"samples": samples}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state_dict`."""
        for name in _KEPT:
            setattr(self, name, state[name])
        for name in _COSTS:
            setattr(self, name, StepCost(**state[name]))
        self.samples = dict(state["samples"])
