"""The cost of a protocol: elements, tokens, FLOP and seconds, from the records of its generation and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sys2ft.report.artifacts import Artifacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of a protocol. None means 'not done yet'."""

    protocol: str
    asked: int | None
    """Samples drawn from the model."""
    kept: int | None
    """Replay elements kept."""
    facts: int | None
    """Facts of the news items."""
    covered: int | None
    """Of these, the facts that at least one kept element covers."""
    rejected: dict[str, int]
    tokens_generated: int | None
    tokens_trained: int | None
    flop_generate: float | None
    flop_train: float | None
    seconds: float | None
    """Time of generation plus training."""
    budget: dict[str, Any]
    """`name`, `amount` per news item, and `schedule`; empty if it is not known."""
    wanted: float | None
    """The budget of all news items, in its unit: elements, tokens or FLOP."""
    used: float | None
    """What was used of it, by the budget's own count."""
    parts: dict[str, dict[str, Any]]
    """Of a mix, by protocol (see `replay.Yield`)."""

    @property
    def flop(self) -> float | None:
        """FLOP of generation plus training."""
        if self.flop_generate is None or self.flop_train is None:
            return None
        return self.flop_generate + self.flop_train


def cost_of(artifacts: Artifacts, protocol: str) -> Cost:
    """The cost of a protocol, as far as it is known."""
    generated = artifacts.yields.get(protocol, {})
    trained = artifacts.training.get(protocol, {})
    seconds = [float(part["seconds"]) for part in (generated, trained) if "seconds" in part]
    return Cost(
        protocol=protocol,
        asked=generated.get("asked"),
        kept=generated.get("kept"),
        facts=generated.get("facts") or None,
        covered=generated.get("covered") if generated.get("facts") else None,
        rejected=dict(generated.get("rejected", {})),
        tokens_generated=generated.get("tokens_generated"),
        tokens_trained=trained.get("tokens_trained"),
        flop_generate=generated.get("flop"),
        flop_train=trained.get("flop"),
        seconds=sum(seconds) if len(seconds) == 2 else None,
        budget=dict(generated.get("budget", {})),
        wanted=generated.get("wanted"),
        used=sum(generated["used"].values()) if generated.get("used") else None,
        parts=dict(generated.get("parts", {})),
    )
