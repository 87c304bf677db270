"""Settings of an update, and which settings every update of a ledger must share. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from sys2ft.errors import SettingsError
from sys2ft.evaluation.settings import BY_CHOICE
from sys2ft.replay.settings import GenerateSettings
from sys2ft.training.settings import JOINT, TrainSettings
from sys2ft.training.sizes import ALPHA_PER_RANK, MOST_RANK

By = Literal["training", "merging"]

GENERATE = GenerateSettings(protocols=("mixed",))
"""Generation by default."""
TRAIN = TrainSettings()
"""Training by default."""
EVALUATE = replace(BY_CHOICE, controls=("neighbours",))
"""Evaluation by default: after each update every earlier question is asked again, so nothing that generates text."""
SHARED = ("adapters", "learner", "rank", "alpha", "target_modules", "strength")
"""Settings of training that decide the form of the adapter: those of the first update hold for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSettings:
    """How an update gets into the adapter."""

    by: By = "training"
    """`training`: the adapter so far goes on training, on the new elements and those rehearsed. `merging`: an adapter
    is trained on the new elements alone, and the two updates of the weights are added (task arithmetic, arXiv
    2212.04089) and cut to the rank of the ledger."""
    merge_weight: float = 1.0
    """Weight of the new adapter's update in `merging`; that of the adapter so far is 1."""

    def __post_init__(self) -> None:
        if self.by not in get_args(By) or not 0 < self.merge_weight < float("inf"):
            raise SettingsError(
                f"by={self.by!r}, merge_weight={self.merge_weight}",
                expected=f"{' or '.join(get_args(By))}, and a finite weight above 0",
                fix="correct --by or --merge-weight",
            )


def may_differ(kind: type[TrainSettings]) -> tuple[str, ...]:
    """The settings of training that updates of one ledger may differ in."""
    return tuple(field.name for field in fields(kind) if field.name not in SHARED)


def checked(generate: GenerateSettings, train: TrainSettings) -> TrainSettings:
    """The settings of training with the form of the adapter filled in; an open rank is that of a large adapter.

    Raises SettingsError for settings that give more than one adapter.
    """
    if len(generate.protocols) != 1:
        raise SettingsError(
            f"protocols {list(generate.protocols)}",
            expected="one protocol: a ledger has one adapter",
            fix="name one with --protocols, such as mixed, which shares the budget among several",
        )
    if train.adapters != JOINT:
        raise SettingsError(
            f"adapters={train.adapters!r}",
            expected=f"{JOINT}: a ledger has one adapter for all news items",
            fix="leave out --adapters, or use `sys2ft run` for adapters of single news items",
        )
    rank = train.rank or MOST_RANK
    return replace(train, rank=rank, alpha=train.alpha or ALPHA_PER_RANK * rank)
