"""Replay elements, and the count of how every one of them ended: kept, or rejected and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayElement:
    """One training example that was generated from one news item: the prompt, and the completion to learn."""

    id: str
    news_id: str
    protocol: str
    prompt: tuple[dict[str, str], ...]
    completion: str
    status: Literal["kept", "rejected"]
    reason: str | None
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As one line of the run folder's replay file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> ReplayElement:
        """From one line of the run folder's replay file."""
        return cls(**{**row, "prompt": tuple(row["prompt"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Yield:
    """How many elements were asked for, parsed, rejected (by reason) and kept, and what they cost.

    `asked` counts every element: one for each sample, or several if the protocol builds several of a sample.
    `asked` = `parsed` + truncated + unparsed; `parsed` = `kept` + the other rejections. `shortfall` says for each news
    item with fewer than `wanted` elements how many are missing.
    """

    protocol: str
    asked: int
    parsed: int
    rejected: dict[str, int]
    kept: int
    wanted: int
    shortfall: dict[str, int]
    tokens_generated: int
    flop: float
    seconds: float
    languages: dict[str, int] = field(default_factory=dict)
    """Number of news items by language."""
    prompted_in_english: dict[str, int] = field(default_factory=dict)
    """Of these, the news items in languages that have no prompts of their own."""
    checks: list[str] = field(default_factory=list)
    """Checks of truth that were made."""
    seconds_checking: float = 0.0
    """Part of `seconds` that the checks took."""

    def to_dict(self) -> dict[str, Any]:
        """As the run folder's yield file."""
        return asdict(self)


def count_yield(
    protocol: str,
    elements: Sequence[ReplayElement],
    *,
    per_news: int,
    news_ids: Sequence[str],
    tokens_generated: int = 0,
    flop: float = 0.0,
    seconds: float = 0.0,
    languages: Mapping[str, int] | None = None,
    prompted_in_english: Mapping[str, int] | None = None,
    checks: Sequence[str] = (),
    seconds_checking: float = 0.0,
) -> Yield:
    """Count `elements` of one protocol; `per_news` is the number wanted for each news item."""
    rejected = Counter(e.reason or "" for e in elements if e.status == "rejected")
    kept = Counter(e.news_id for e in elements if e.status == "kept")
    return Yield(
        protocol=protocol,
        asked=len(elements),
        parsed=len(elements) - rejected["truncated"] - rejected["unparsed"],
        rejected=dict(sorted(rejected.items())),
        kept=sum(kept.values()),
        wanted=per_news * len(news_ids),
        shortfall={news_id: per_news - kept[news_id] for news_id in news_ids if kept[news_id] < per_news},
        tokens_generated=tokens_generated,
        flop=flop,
        seconds=round(seconds, 3),
        languages=dict(languages or {}),
        prompted_in_english=dict(prompted_in_english or {}),
        checks=list(checks),
        seconds_checking=round(seconds_checking, 3),
    )
