"""Refuses settings that do not fit each other, before a model is loaded or anything is imported, written or asked.

Everything here can be judged without the model's weights. What needs them (its layers, the length of a news item in
its tokens) is refused next, before any work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.evaluation.records import can_ask
from sys2ft.evaluation.settings import FREE as EVALUATE_FREE
from sys2ft.files import require_writable
from sys2ft.job.fits import require_letters
from sys2ft.models import pick_device, pick_dtype
from sys2ft.news import News
from sys2ft.probing import ProbeSettings
from sys2ft.replay import GenerateSettings, parts_of, protocols_for
from sys2ft.retention import RetentionSet, read_sets
from sys2ft.runs import Run, require_tracker
from sys2ft.training import FREE, TrainSettings, files_named, learner_of, objective_of, require_use_of_teacher


def require_settings(
    generate: GenerateSettings,
    train: TrainSettings,
    evaluate: EvaluateSettings,
    *,
    seed: int,
    out: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    log_to: str = "",
) -> None:
    """Raise SettingsError or ModelError for settings that cannot be carried out, alone or together.

    `out` is the run folder: settings that differ from those recorded in it are refused too, and a place that cannot be
    written is (StorageError where not for lack of a right).
    """
    require_protocols(generate)
    require_training(train)
    read_sets(evaluate.retention, seed=seed)
    require_drop(evaluate, None, seed=seed)
    pick_dtype(dtype, pick_device(device))
    require_tracker(log_to)
    if out is not None and Run.begun(out):
        check_settings(Run.open(out), generate, train, evaluate)
    elif out is not None and not Path(out).exists():
        require_writable(Path(out))


def require_protocols(settings: GenerateSettings) -> None:
    """Raise SettingsError for a protocol that is not installed, also as a part of the mix, and for aims without use."""
    parts = parts_of(protocols_for(settings))
    if settings.aim and not any(one.aims for one in parts):
        raise SettingsError(
            f"aim, and protocols that cannot aim: {', '.join(one.name for one in parts)}",
            expected="a protocol whose samples can aim at a fact, such as self_qa",
            fix="leave out --aim, or add such a protocol to --protocols",
        )


def require_training(settings: TrainSettings) -> None:
    """Raise SettingsError for an unknown objective or learner, a teacher without use and a bad anchor file.

    Raises ModelError for a teacher that cannot be found.
    """
    objective = objective_of(settings)
    learner_of(settings)
    require_use_of_teacher(settings, lesson=getattr(objective, "lesson", None) is not None)
    files_named(settings)


def require_drop(settings: EvaluateSettings, news: Sequence[News] | None, *, seed: int) -> list[RetentionSet]:
    """The retention sets. Raises SettingsError for a bad one, and for a greatest drop that nothing would measure.

    `news` None: not known yet, so they may have neighbour questions.
    """
    sets = read_sets(settings.retention, seed=seed)
    asked = "neighbours" in settings.controls and (news is None or any(one.neighbours for one in news))
    if settings.max_drop is not None and not asked and all(one.form == "text" for one in sets):
        raise SettingsError(
            f"max_drop={settings.max_drop:g}, and nothing whose accuracy could drop",
            expected="news items with neighbour questions and the control `neighbours`, or a retention set of problems "
            "or instructions (text has a loss and no accuracy)",
            fix="add one, such as --retention gsm8k=FILE:100, or leave out --max-drop",
        )
    return sets


def require_measurable(
    news: Sequence[News], settings: EvaluateSettings, probe: ProbeSettings | None, *, seed: int
) -> ProbeSettings | None:
    """How questions will be written: `probe` if no news item has one. Raises SettingsError if nothing can be measured.

    If some news items have questions, none are written for the others: written ones are selected by the model's answers
    in context, which would cost the others what they say in context.
    """
    require_drop(settings, news, seed=seed)
    if probe is not None and not any(item.questions for item in news):
        return probe
    require_questions(news, settings)
    return None


def require_questions(news: Sequence[News], settings: EvaluateSettings) -> None:
    """Raise SettingsError if nothing can be measured, or nothing under the headline scoring.

    Raises NewsError for questions with more choices than letters, if they are asked by letter.
    """
    if not any(item.questions for item in news):
        raise SettingsError(
            "none of the news items has a question, so nothing can be measured",
            expected="at least one question",
            fix="add questions to the news file, or let the model write some: `sys2ft news probe NEWS --out PROBED`; "
            "`sys2ft generate` and `sys2ft train` work without questions",
        )
    if not any(can_ask(settings.headline, question.choices) for item in news for question in item.questions):
        raise SettingsError(
            f"none of the questions has choices, which the headline scoring {settings.headline!r} needs",
            expected="questions with choices, or a free-text headline scoring",
            fix="add choices, or set --headline direct",
        )
    require_letters(news, settings)


def check_settings(run: Run, generate: GenerateSettings, train: TrainSettings, evaluate: EvaluateSettings) -> None:
    """Raise SettingsError if the folder has a stage with other settings: now rather than when its turn comes."""
    run.check("generate", asdict(generate))
    run.check("train", asdict(train), free=FREE)
    run.check("evaluate", asdict(evaluate), free=EVALUATE_FREE)
