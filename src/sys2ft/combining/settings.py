"""Settings of `sys2ft compare`. Nothing here imports torch, which keeps `sys2ft --help` fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError

Merge = Literal["cat", "task_arithmetic", "ties", "dare", "dare_ties", "adamerging"]
Way = Literal["retrieval", "routed", Merge]
MERGES: tuple[Merge, ...] = get_args(Merge)
WAYS: tuple[Way, ...] = ("retrieval", "routed", *MERGES)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareSettings:
    """Which ways are compared with a joint adapter, and how adapters are merged."""

    ways: tuple[Way, ...] = ("retrieval", "routed", "task_arithmetic", "ties", "dare", "dare_ties", "adamerging")
    """`retrieval`: the base model reads the text that BM25 finds for the question. `routed`: the adapter of the news
    item that BM25 finds answers. The others merge the adapters of all news items into one; `cat` is the exact sum, with
    the sum of their ranks."""
    weight: float = 0.0
    """Weight of each adapter in a merge; 0: that of the method's paper. `adamerging` learns its weights."""
    density: float = 0.2
    """Share of an update's entries that `ties` (the largest) and `dare` (at random) keep."""
    rank: int = 0
    """Rank of a merged adapter except `cat`; 0: that of the joint adapter, so that both have one size."""
    steps: int = 100
    """Steps in which `adamerging` learns its weights."""

    def __post_init__(self) -> None:
        unknown = [way for way in self.ways if way not in WAYS]
        if unknown or not self.ways or len(set(self.ways)) < len(self.ways):
            raise SettingsError(
                f"ways={list(self.ways)}",
                expected=f"some of {', '.join(WAYS)}, each at most once",
                fix="correct --ways",
            )
        if not (self.weight >= 0 and 0 < self.density < 1 and self.rank >= 0 and self.steps >= 1):
            raise SettingsError(
                f"weight={self.weight}, density={self.density}, rank={self.rank}, steps={self.steps}",
                expected="a weight and a rank of at least 0, a density above 0 and below 1, at least 1 step",
                fix="change the setting that is out of range",
            )
