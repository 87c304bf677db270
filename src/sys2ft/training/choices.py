"""Looks up the objective and the learner named in the settings among the installed entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sys2ft.engine import Learner, LoRA
from sys2ft.engine.trees.objective import CROSS_ENTROPY, Objective
from sys2ft.errors import SettingsError
from sys2ft.plugins import LEARNERS, OBJECTIVES, has_methods, load_plugin, made_plugin
from sys2ft.training.sizes import sized

if TYPE_CHECKING:
    from sys2ft.training.settings import TrainSettings


_METHODS = {"objective": ("prepare", "gradient"), "learner": ("size", "bank", "save", "load")}


def cross_entropy(settings: TrainSettings) -> Objective:
    """Negative log-likelihood of the completions."""
    return CROSS_ENTROPY


def lora(settings: TrainSettings) -> Learner:
    """LoRA with the rank, alpha, layers and dropout of the settings; a rank left open is that of one news item."""
    settings = sized(settings)
    return LoRA(
        rank=settings.rank, alpha=settings.alpha, targets=tuple(settings.target_modules), dropout=settings.dropout
    )


def objective_of(settings: TrainSettings) -> Objective:
    """The objective named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.objective
    make = load_plugin(OBJECTIVES, name, flag="--objective")
    made: Objective = made_plugin(OBJECTIVES, name, make, settings, kind=_METHODS["objective"])
    return made


def learner_of(settings: TrainSettings) -> Learner:
    """The learner named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.learner
    make = load_plugin(LEARNERS, name, flag="--learner")
    made: Learner = made_plugin(LEARNERS, name, make, settings, kind=_METHODS["learner"])
    return made


def require_object(kind: str, given: Any) -> None:
    """Raise SettingsError unless `given` is None or an object that can serve as an 'objective' or 'learner'."""
    if given is None or has_methods(given, _METHODS[kind]):
        return
    is_class = isinstance(given, type)
    raise SettingsError(
        f"{kind}={given.__name__}, a class" if is_class else f"{kind}={given!r}",
        expected=f"an object with the methods {', '.join(_METHODS[kind])}",
        fix=f"create the object: {kind}={given.__name__}()"
        if is_class
        else f"to choose by name, set {kind} in TrainSettings",
    )
