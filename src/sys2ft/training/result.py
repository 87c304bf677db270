"""The result of a training: its bank, and for each job the loss curve, how it ended and its cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sys2ft.engine import Bank, StepCost, flops as flop_counts
from sys2ft.training.adapter import Adapter
from sys2ft.training.jobs import AdapterJob


@dataclass(slots=True)
class Training:
    """Trained adapters in the order of the jobs; each is a slot of `bank`.

    Results are listed by job name. If jobs of several groups shared the bank, call `select` first to get one group.
    """

    bank: Bank
    adapters: list[Adapter] = field(repr=False)
    adapters_at_once: int = 0
    halved: int = 0
    """How often memory ran out and the number of concurrent adapters was halved."""

    @property
    def jobs(self) -> list[AdapterJob]:
        return [adapter.job for adapter in self.adapters]

    @property
    def names(self) -> list[str]:
        return [adapter.name for adapter in self.adapters]

    @property
    def slots(self) -> dict[str, int]:
        """Job key -> slot, for the `routes` of `sys2ft.evaluate`."""
        return {adapter.job.key: adapter.slot for adapter in self.adapters}

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One row per step of each adapter: `adapter`, `step`, `epoch`, `loss` (nats per token), `lr`, `grad_norm` and
        `tokens`; also `held_out_loss` and `in_context_loss` at the end of an epoch if they are measured."""
        rows = [(row["step"], place, row) for place, a in enumerate(self.adapters) for row in a.curve]
        return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]

    @property
    def ended(self) -> dict[str, dict[str, Any]]:
        """Adapters that stopped before their last step: `how` (diverged, stopped), `step`, `epoch`, `why`."""
        return {a.name: a.ended for a in self.adapters if a.ended is not None}

    @property
    def kept_epochs(self) -> dict[str, float]:
        """Adapter -> epoch of its best weights, for adapters with held-out elements."""
        return {a.name: a.kept_epoch for a in self.adapters if a.kept_epoch is not None}

    @property
    def diverged(self) -> list[str]:
        return [a.name for a in self.adapters if a.diverged]

    @property
    def cost(self) -> StepCost:
        return sum((a.cost for a in self.adapters), StepCost())

    @property
    def scored(self) -> StepCost:
        """Cost of measuring held-out losses."""
        return sum((a.scored for a in self.adapters), StepCost())

    @property
    def read(self) -> StepCost:
        """Cost of what a teacher read."""
        return sum((a.read for a in self.adapters), StepCost())

    @property
    def sampled(self) -> StepCost:
        """Cost of the adapters' own samples; a prediction is a token of one."""
        return sum((a.sampled for a in self.adapters), StepCost())

    @property
    def seconds(self) -> float:
        """Training time; that of a shared step is divided among its adapters in proportion to the tokens computed."""
        return sum(a.seconds for a in self.adapters)

    def select(self, group: str) -> Training:
        """The adapters of one group, as a training over the same bank."""
        own = [adapter for adapter in self.adapters if adapter.job.group == group]
        return Training(self.bank, own, self.adapters_at_once, self.halved)

    @property
    def totals(self) -> dict[str, Any]:
        """Counts and costs of the training, as JSON data. FLOP are those of the tokens computed (see `engine.flops`).

        `padding` is the number of padding nodes divided by all nodes computed, padding included.
        """
        cost, scored = self.cost, self.scored
        flop = flop_counts.training(self.bank.model, cost.tokens_computed, cost.predictions)
        flop += flop_counts.forward(self.bank.model, scored.tokens_computed, scored.predictions)
        flop += sum(a.other_flop for a in self.adapters)
        places = cost.tokens_computed + cost.padded
        return {
            "adapters": len(self.names),
            "adapters_at_once": self.adapters_at_once,
            "halved": self.halved,
            "tokens_trained": cost.tokens_shown,
            "tokens_computed": cost.tokens_computed,
            "padding": round(cost.padded / places, 4) if places else 0.0,
            "tokens_scored": scored.tokens_computed,
            "tokens_read": self.read.tokens_computed,
            "tokens_sampled": self.sampled.predictions,
            "flop": flop,
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
            "ended": self.ended,
            "kept_epochs": self.kept_epochs,
        }
