"""Replay elements, and the count of how every one of them ended: kept, or rejected and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from sys2ft.replay.diversity import Diversity, joined


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
    `asked` = `parsed` + truncated + unparsed; `parsed` = `kept` + the other rejections. `wanted`, `used` and
    `shortfall` are in the unit of the budget: elements, tokens or FLOP. `shortfall` says how much is missing for each
    news item whose rounds were used up before.
    """

    protocol: str
    asked: int
    parsed: int
    rejected: dict[str, int]
    kept: int
    wanted: float
    shortfall: dict[str, float]
    tokens_generated: int
    flop: float
    seconds: float
    languages: dict[str, int] = field(default_factory=dict)
    """Number of news items by language."""
    prompted_in_english: dict[str, int] = field(default_factory=dict)
    """Of these, the news items in languages that have no prompts of their own."""
    budget: dict[str, Any] = field(default_factory=dict)
    """`name` (samples_per_news, tokens_per_news or flop), `amount` per news item, and the `schedule` that FLOP are
    counted for (`epochs`, `batch_size`; None for other budgets)."""
    used: dict[str, float] = field(default_factory=dict)
    """What each news item used of the budget."""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a mix, by protocol: `share`, `wanted`, `used`, `kept`, and `shortfall`, which other parts made up for if they
    could."""
    diversity: Diversity | None = None
    """How varied the kept elements are; None if that was not counted."""
    covering: dict[str, list[int]] = field(default_factory=dict)
    """For each news item the number of kept elements that cover each of its facts (`coverage`)."""
    generator: str = ""
    """Identity of who wrote the replies: the digest of a model's files, or what identifies another generator."""
    judge: str = ""
    """The same of who computed the likelihoods for the checks of truth; empty: none needed any."""
    checks: list[str] = field(default_factory=list)
    """Checks of truth that were made."""
    seconds_checking: float = 0.0
    """Part of `seconds` that the checks took."""

    implied_facts: dict[str, Any] = field(default_factory=dict)
    """What listing implied facts gave and cost, once for all protocols of the call, in no other number here: `asked`,
    `rejected` (by reason), `tokens_generated`, `flop`, `seconds`. Empty: none were asked for."""

    @property
    def facts(self) -> int:
        """Number of facts of all news items."""
        return sum(map(len, self.covering.values()))

    @property
    def covered(self) -> int:
        """Of these, the facts that at least one kept element covers."""
        return sum(bool(count) for counts in self.covering.values() for count in counts)

    def to_dict(self) -> dict[str, Any]:
        """As the run folder's yield file."""
        return {**asdict(self), "facts": self.facts, "covered": self.covered}


def count_yield(
    protocol: str,
    elements: Sequence[ReplayElement],
    *,
    per_news: float,
    news_ids: Sequence[str],
    shortfall: Mapping[str, float] | None = None,
    tokens_generated: int = 0,
    flop: float = 0.0,
    seconds: float = 0.0,
    **rest: Any,
) -> Yield:
    """Count `elements` of one protocol; `per_news` is the budget of each news item, and `rest` are fields of `Yield`.

    `shortfall` None: counted in elements.
    """
    rejected = Counter(e.reason or "" for e in elements if e.status == "rejected")
    kept = Counter(e.news_id for e in elements if e.status == "kept")
    if shortfall is None:
        shortfall = {news_id: per_news - kept[news_id] for news_id in news_ids if kept[news_id] < per_news}
    return Yield(
        protocol=protocol,
        asked=len(elements),
        parsed=len(elements) - rejected["truncated"] - rejected["unparsed"],
        rejected=dict(sorted(rejected.items())),
        kept=sum(kept.values()),
        wanted=per_news * len(news_ids),
        shortfall=dict(shortfall),
        tokens_generated=tokens_generated,
        flop=flop,
        seconds=round(seconds, 3),
        **rest,
    )


_SUMMED = (
    "asked", "parsed", "kept", "wanted", "tokens_generated", "flop", "seconds", "seconds_checking", "rejected",
    "shortfall", "used", "languages", "prompted_in_english", "covering", "implied_facts",
)  # fmt: skip


def joined_yield(parts: Sequence[Yield]) -> Yield:
    """The count of one protocol over several sets of news items."""
    first = parts[0]
    if len(parts) == 1:
        return first
    sums = {name: _sum([getattr(one, name) for one in parts]) for name in _SUMMED}
    mixed = {
        name: {**_sum([one.parts[name] for one in parts if name in one.parts]), "share": part["share"]}
        for name, part in first.parts.items()
    }
    varied = [(one.diversity, one.parsed) for one in parts if one.diversity is not None]
    return replace(first, **sums, parts=mixed, diversity=joined(varied) if varied else None)


def _sum(values: Sequence[Any]) -> Any:
    """Numbers added, objects joined name by name, lists one after the other."""
    if isinstance(values[0], Mapping):
        names = dict.fromkeys(name for value in values for name in value)
        return {name: _sum([value[name] for value in values if name in value]) for name in names}
    if isinstance(values[0], list):
        return [one for value in values for one in value]
    total = sum(values)
    return round(total, 3) if isinstance(total, float) else total


def shown(name: str, amount: float) -> str:
    """An amount of a budget with its unit, such as '64 samples', '1,000 tokens' or '1.5 TFLOP'."""
    if name == "flop":
        return f"{amount / 1e12:.4g} TFLOP" if amount >= 1e11 else f"{amount:.4g} FLOP"
    return f"{amount:,.10g} {name.partition('_')[0]}"


def number(amount: float) -> float:
    """An amount as it is recorded: whole, unless it is a share of a few samples or tokens."""
    return round(amount) if amount == int(amount) or amount >= 1e6 else round(amount, 3)
