"""Looks up the objective and the learner named in the settings among the installed entry points."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from sys2ft.engine import Learner, LoRA
from sys2ft.engine.trees.objective import CROSS_ENTROPY, Objective
from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    from sys2ft.training.settings import TrainSettings

OBJECTIVES = "sys2ft.objectives"
LEARNERS = "sys2ft.learners"


def cross_entropy(settings: TrainSettings) -> Objective:
    """Negative log-likelihood of the completions."""
    return CROSS_ENTROPY


def lora(settings: TrainSettings) -> Learner:
    """LoRA with the rank, alpha, layers and dropout of the settings."""
    return LoRA(
        rank=settings.rank, alpha=settings.alpha, targets=tuple(settings.target_modules), dropout=settings.dropout
    )


def objective_of(settings: TrainSettings) -> Objective:
    """The objective named in the settings. Raises SettingsError if it is not installed."""
    made: Objective = _found(OBJECTIVES, settings.objective, "--objective")(settings)
    return made


def learner_of(settings: TrainSettings) -> Learner:
    """The learner named in the settings. Raises SettingsError if it is not installed."""
    made: Learner = _found(LEARNERS, settings.learner, "--learner")(settings)
    return made


def _found(group: str, name: str, flag: str) -> Any:
    entries = {entry.name: entry for entry in metadata.entry_points(group=group)}
    if name not in entries:
        raise SettingsError(
            f"nothing called {name!r} is installed",
            expected=f"one of {', '.join(sorted(entries))}",
            fix=f"correct {flag}, or install the package that provides it",
        )
    return entries[name].load()
