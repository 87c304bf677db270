"""Settings of an update, and which settings every update of a ledger must share. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from sys2ft.errors import SettingsError
from sys2ft.evaluation.settings import BY_CHOICE, EvaluateSettings
from sys2ft.replay.rehearsal import RehearsalSettings
from sys2ft.replay.settings import GenerateSettings
from sys2ft.training.settings import JOINT, TrainSettings
from sys2ft.training.sizes import ALPHA_PER_RANK, MOST_RANK

By = Literal["training", "merging"]

SHARED = ("adapters", "learner", "rank", "alpha", "target_modules", "strength")
"""Settings of training that decide the form of the adapter: those of the first update hold for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSettings:
    """How an update gets into the adapter."""

    by: By = "training"
    """`training`: training of the adapter so far continues, on the new elements and those rehearsed. `merging`: one
    is trained on the new elements alone, and the two updates of the weights are added (task arithmetic, arXiv
    2212.04089) and cut to the rank of the ledger. The first update has nothing to be merged with."""
    merge_weight: float = 1.0
    """Weight of the new adapter's update in `merging`; that of the adapter so far is 1."""

    def __post_init__(self) -> None:
        if self.by not in get_args(By) or not 0 < self.merge_weight < float("inf"):
            raise SettingsError(
                f"by={self.by!r}, merge_weight={self.merge_weight}",
                expected=f"{' or '.join(get_args(By))}, and a finite weight above 0",
                fix="correct --by or --merge-weight",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerSettings:
    """The settings of an update; those that the command leaves out are the ones of the update before."""

    generate: GenerateSettings = field(default_factory=lambda: GenerateSettings(protocols=("mixed",)))
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=lambda: replace(BY_CHOICE, controls=("neighbours",)))
    """After each update every earlier question is asked again: by default nothing that generates text."""
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)

    def formed(self, *, rank: int = 0, alpha: float = 0.0) -> LedgerSettings:
        """The settings with `rank` and `alpha` where they leave them open; if these are open too, those of a large
        adapter, because a ledger grows.

        Raises SettingsError for settings that give more than one adapter.
        """
        if len(self.generate.protocols) != 1:
            raise SettingsError(
                f"protocols {list(self.generate.protocols)}",
                expected="one protocol: a ledger has one adapter",
                fix="name one with --protocols, such as mixed, which shares the budget among several",
            )
        if self.train.adapters != JOINT:
            raise SettingsError(
                f"adapters={self.train.adapters!r}",
                expected=f"{JOINT}: a ledger has one adapter for all news items",
                fix="leave out --adapters, or use `sys2ft run` for adapters of single news items",
            )
        size = self.train.rank or rank or MOST_RANK
        return replace(
            self, train=replace(self.train, rank=size, alpha=self.train.alpha or alpha or ALPHA_PER_RANK * size)
        )


DEFAULTS = LedgerSettings()
NAMES = tuple(one.name for one in fields(LedgerSettings))
MAY_DIFFER = tuple(one.name for one in fields(TrainSettings) if one.name not in SHARED)
"""Settings of training that updates of one ledger may differ in."""
