"""Looks up the objective and the learner named in the settings among the installed entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sys2ft.engine import Learner, LoRA
from sys2ft.engine.trees.objective import CROSS_ENTROPY, Objective
from sys2ft.plugins import LEARNERS, OBJECTIVES, load_plugin, made_plugin

if TYPE_CHECKING:
    from sys2ft.training.settings import TrainSettings


def cross_entropy(settings: TrainSettings) -> Objective:
    """Negative log-likelihood of the completions."""
    return CROSS_ENTROPY


def lora(settings: TrainSettings) -> Learner:
    """LoRA with the rank, alpha, layers and dropout of the settings."""
    return LoRA(
        rank=settings.rank, alpha=settings.alpha, targets=tuple(settings.target_modules), dropout=settings.dropout
    )


def objective_of(settings: TrainSettings) -> Objective:
    """The objective named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.objective
    make = load_plugin(OBJECTIVES, name, flag="--objective")
    made: Objective = made_plugin(OBJECTIVES, name, make, settings, kind=("prepare", "gradient"))
    return made


def learner_of(settings: TrainSettings) -> Learner:
    """The learner named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.learner
    make = load_plugin(LEARNERS, name, flag="--learner")
    made: Learner = made_plugin(LEARNERS, name, make, settings, kind=("size", "bank", "save", "load"))
    return made
