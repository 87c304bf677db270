"""The result of a training: its bank, and of each job the loss curve, how it ended, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sys2ft.engine import AdapterBank, StepCost, flops as flop_counts
from sys2ft.training.adapter import Adapter
from sys2ft.training.jobs import AdapterJob


@dataclass(slots=True)
class Training:
    """Trained adapters, in order of the jobs: each is a slot of `bank`.

    A name below is a job's name; where jobs of several groups trained together, read one group's by `select`.
    """

    bank: AdapterBank
    adapters: list[Adapter] = field(repr=False)
    adapters_at_once: int = 0
    halved: int = 0
    """How often memory ran out, and the number of adapters at once was halved."""

    @property
    def jobs(self) -> list[AdapterJob]:
        return [adapter.job for adapter in self.adapters]

    @property
    def names(self) -> list[str]:
        return [adapter.name for adapter in self.adapters]

    @property
    def slots(self) -> dict[str, int]:
        """The slot of each job, by its key: what `sys2ft.evaluate` takes routes to."""
        return {adapter.job.key: adapter.slot for adapter in self.adapters}

    @property
    def curve(self) -> list[dict[str, Any]]:
        """A row for each step of each adapter: `adapter`, `step`, `epoch`, `loss` (nats a token), `lr`, `grad_norm`,
        `tokens`, and after an epoch `held_out_loss` where elements are held out."""
        rows = [(row["step"], place, row) for place, a in enumerate(self.adapters) for row in a.curve]
        return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]

    @property
    def ended(self) -> dict[str, dict[str, Any]]:
        """Adapters that did not take all their steps: `how` (diverged, stopped), `step`, `epoch`, `why`."""
        return {a.name: a.ended for a in self.adapters if a.ended is not None}

    @property
    def kept_epochs(self) -> dict[str, float]:
        """After which epoch the weights of an adapter with held-out elements were best."""
        return {a.name: a.kept_epoch for a in self.adapters if a.kept_epoch is not None}

    @property
    def diverged(self) -> list[str]:
        return [a.name for a in self.adapters if a.diverged]

    @property
    def cost(self) -> StepCost:
        return sum((a.cost for a in self.adapters), StepCost())

    @property
    def scored(self) -> StepCost:
        """What held-out losses cost."""
        return sum((a.scored for a in self.adapters), StepCost())

    @property
    def seconds(self) -> float:
        """Time of the steps; a step that several adapters share is divided among them by the tokens computed."""
        return sum(a.seconds for a in self.adapters)

    def select(self, group: str) -> Training:
        """The part of this training that the jobs of one group are; it has the same bank."""
        own = [adapter for adapter in self.adapters if adapter.job.group == group]
        return Training(self.bank, own, self.adapters_at_once, self.halved)

    @property
    def totals(self) -> dict[str, Any]:
        """What the training cost. FLOP are those of the tokens computed (see `engine.flops`).

        `padding` is the share of padding (`StepCost`) in the tokens computed and it.
        """
        cost, scored = self.cost, self.scored
        flop = flop_counts.training(self.bank.model, cost.tokens_computed, cost.predictions)
        flop += flop_counts.forward(self.bank.model, scored.tokens_computed, scored.predictions)
        places = cost.tokens_computed + cost.padded
        return {
            "adapters": len(self.names),
            "adapters_at_once": self.adapters_at_once,
            "halved": self.halved,
            "tokens_trained": cost.tokens_shown,
            "tokens_computed": cost.tokens_computed,
            "padding": round(cost.padded / places, 4) if places else 0.0,
            "tokens_scored": scored.tokens_computed,
            "flop": flop,
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
            "ended": self.ended,
            "kept_epochs": self.kept_epochs,
        }
