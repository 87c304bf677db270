"""The bundled objectives and learner, and finding those that the settings name.

Others are found by entry point. The bundled objectives are known without, so that they do not depend on how the package
was installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sys2ft.engine import Learner, LoRA
from sys2ft.engine.trees.objective import CROSS_ENTROPY, FORWARD_KL, REVERSE_KL, Lesson, Objective, Taught
from sys2ft.errors import SettingsError
from sys2ft.models import resolve
from sys2ft.plugins import LEARNERS, OBJECTIVES, has_methods, load_plugin, made_plugin, plugin_names
from sys2ft.runs import digest
from sys2ft.training.anchors import OWN, anchors_in
from sys2ft.training.settings import AUTO, FORWARD, IN_CONTEXT, REVERSE
from sys2ft.training.sizes import sized

if TYPE_CHECKING:
    from sys2ft.training.settings import TrainSettings


_METHODS = {"objective": ("prepare", "gradient"), "learner": ("size", "bank", "save", "load")}


def cross_entropy(settings: TrainSettings) -> Objective:
    """Negative log-likelihood of the completions."""
    return CROSS_ENTROPY


def distil(settings: TrainSettings) -> Objective:
    """Distillation from context: the teacher reads the news item, the adapter does not (arXiv 2412.14964)."""
    return _taught("distil", settings, FORWARD, sampled=False)


def on_policy(settings: TrainSettings) -> Objective:
    """The same on completions that the adapter itself has sampled (arXiv 2601.19897)."""
    return _taught("on_policy", settings, REVERSE, sampled=True)


def _taught(name: str, settings: TrainSettings, kl: str, *, sampled: bool) -> Objective:
    divergence = REVERSE_KL if (kl if settings.kl == AUTO else settings.kl) == REVERSE else FORWARD_KL
    lesson = Lesson(top=settings.distil_top, weight=settings.distil_weight, sampled=sampled)
    return Taught(divergence, name=name, lesson=lesson)


BUNDLED: dict[str, Callable[[TrainSettings], Objective]] = {
    "cross_entropy": cross_entropy, "distil": distil, "on_policy": on_policy,
}  # fmt: skip


def lora(settings: TrainSettings) -> Learner:
    """LoRA with the rank, alpha, layers and dropout of the settings; a rank left open is that of one news item."""
    settings = sized(settings)
    return LoRA(
        rank=settings.rank, alpha=settings.alpha, targets=tuple(settings.target_modules), dropout=settings.dropout
    )


def objective_of(settings: TrainSettings) -> Objective:
    """The objective named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.objective
    if name in BUNDLED:
        return BUNDLED[name](settings)
    known = [*BUNDLED, *(other for other in plugin_names(OBJECTIVES) if other not in BUNDLED)]
    make = load_plugin(OBJECTIVES, name, flag="--objective", known=known)
    made: Objective = made_plugin(OBJECTIVES, name, make, settings, kind=_METHODS["objective"])
    return made


def learner_of(settings: TrainSettings) -> Learner:
    """The learner named by the settings. Raises SettingsError that lists the installed ones."""
    name = settings.learner
    make = load_plugin(LEARNERS, name, flag="--learner")
    made: Learner = made_plugin(LEARNERS, name, make, settings, kind=_METHODS["learner"])
    return made


def reads_news(settings: TrainSettings) -> bool:
    """Whether anything but the adapter reads the news items in training."""
    return settings.stop_on == IN_CONTEXT or getattr(objective_of(settings), "lesson", None) is not None


def files_named(settings: TrainSettings) -> dict[str, str]:
    """Digests of what the settings name and do not contain: a teacher's files, and an anchor file."""
    named = {"teacher": resolve(settings.teacher).fingerprint()} if settings.teacher else {}
    if settings.anchor not in ("", OWN):
        named["anchor"] = digest([repr(anchor) for anchor in anchors_in(settings.anchor)])
    return named


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
