"""Audits whether a set of news items is fit for measurement, by its texts alone and by models not trained on it.

The questions of a good set can be answered only with the news: rules that look only at the choices, and models that
have not seen the news, stay at chance; models with the news in context do not. Blocks are all questions, the questions
of each domain and those of each kind. Intervals of all blocks except the first are Bonferroni-corrected.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sys2ft.evaluation import EvaluateSettings, Prediction, Statements, evaluate
from sys2ft.evaluation.controls import neighbours, rephrased
from sys2ft.evaluation.records import CHOICE_SCORINGS, Scoring
from sys2ft.evaluation.settings import BY_CHOICE
from sys2ft.evaluation.statements import as_questions
from sys2ft.job.fits import require_fit
from sys2ft.job.refusals import require_questions
from sys2ft.job.stages import open_run
from sys2ft.models import LoadedModel, Reader
from sys2ft.news import Found, News, selection_of, surface
from sys2ft.runs import Display, write_json, write_jsonl
from sys2ft.statistics import Score, mean_over_news, noise_of_chance, paired_difference

Item = tuple[str, int]

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Accuracy of a rule that looks only at the choices, by block."""

    rule: str
    questions: int
    """Number of questions that the rule applies to: a rule about numbers does not apply to other choices."""
    right: Mapping[str, float]
    noise: Mapping[str, tuple[float, float]]
    """By block, the lower and upper bound of the accuracy of guessing."""

    @property
    def outside(self) -> list[str]:
        """The blocks in which the rule's accuracy is outside these bounds."""
        return [
            block for block, value in self.right.items() if not self.noise[block][0] <= value <= self.noise[block][1]
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextAudit:
    """Findings from the texts alone."""

    baselines: tuple[Baseline, ...]
    found: tuple[Found, ...]
    """Repetitions, and answers that occur in another news item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A model's accuracy in one block."""

    block: str
    chance: float | None
    """None for free text."""
    closed_book: Score
    in_context: Score
    gain: Score
    """In context minus closed book, paired."""

    @property
    def off_chance(self) -> bool:
        """Whether the closed-book interval excludes the chance level; False if there is no interval."""
        low, high = self.closed_book.low, self.closed_book.high
        return None not in (self.chance, low, high) and not low <= self.chance <= high  # type: ignore[operator]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelAudit:
    """Accuracies of a model that has not been trained on the news items."""

    model: str
    scorings: Mapping[str, tuple[Measured, ...]]
    """The blocks of each scoring."""
    probes: tuple[Measured, ...]
    """Questions that have a second wording, in the original and in the second wording; statements to complete."""
    neighbours: Measured | None
    """Questions about the field, not about the news item: above chance if the model knows the field."""
    selected: int
    """Questions that this model's own answers selected (`Selection`): on them its accuracy says little."""

    def to_dict(self) -> dict[str, Any]:
        """The audit as stored in `audit.json`."""
        return asdict(self)


def blocks(news: Sequence[News], items: Collection[Item]) -> dict[str, list[Item]]:
    """The items of each block: 'all', each domain, each kind. A domain or kind that covers all items is omitted."""
    by_id = {one.id: one for one in news}
    parts: dict[str, list[Item]] = {"all": list(items)}
    for id, i in items:
        parts.setdefault(by_id[id].domain, []).append((id, i))
    for id, i in items:
        parts.setdefault(by_id[id].questions[i].kind or "unspecified", []).append((id, i))
    return {name: own for name, own in parts.items() if name == "all" or len(own) < len(items)}


def level_of(block: str, count: int) -> float:
    """The confidence level of a block's interval, given the number of blocks."""
    return LEVEL if block == "all" else 1 - (1 - LEVEL) / max(1, count - 1)


def audit_text(news: Sequence[News]) -> TextAudit:
    """Baselines that look only at the choices, and texts that repeat or reveal an answer.

    Raises SettingsError if no question has choices.
    """
    require_questions(news, BY_CHOICE)
    seen = surface(news)
    return TextAudit(
        baselines=tuple(_baseline(news, rule, right, seen.chances) for rule, right in seen.right.items() if right),
        found=seen.found,
    )


def _baseline(news: Sequence[News], rule: str, right: Mapping[Item, float], chances: Mapping[Item, float]) -> Baseline:
    parts = blocks(news, right.keys())
    return Baseline(
        rule=rule,
        questions=len(right),
        right={name: sum(right[item] for item in own) / len(own) for name, own in parts.items()},
        noise={
            name: noise_of_chance([chances[item] for item in own], level=level_of(name, len(parts)))
            for name, own in parts.items()
        },
    )


def audit_model(
    news: Sequence[News],
    model: LoadedModel,
    *,
    out: str | Path,
    settings: EvaluateSettings = BY_CHOICE,
    seed: int = 0,
    command: str = "",
    show: Display | None = None,
) -> ModelAudit:
    """Ask the model every question, closed book and in context; write predictions and `audit.json` below `out`.

    The folder is named after the model. An unfinished audit with the same settings in that folder resumes. Raises
    SettingsError if nothing can be measured or the folder has other settings.
    """
    require_questions(news, settings)
    require_fit(Reader.of(model), news, evaluate=settings)
    run = open_run(Path(out) / _folder_name(model), model, news, seed=seed, command=command)
    once = replace(settings, scorings=(settings.headline,))
    with run.lock():
        run.stage("audit", asdict(settings))
        asked = {
            "base": evaluate(model, news, settings, seed=seed, memo=run, show=show),
            "rephrased": evaluate(model, rephrased(news), once, subject="rephrased", seed=seed, memo=run, show=show),
            "neighbours": evaluate(model, neighbours(news), once, subject="neighbours", seed=seed, memo=run, show=show),
            "statements": evaluate(
                model, news, once, subject="statements", probe=Statements(), seed=seed, memo=run, show=show
            ),
        }
        for name, predictions in asked.items():
            write_jsonl(run.path / "predictions" / f"{name}.jsonl", (p.to_dict() for p in predictions))
        selected = _count_selected(news, run.record["model"])
        result = _measured(news, asked, settings, run.record["model"]["name"], selected)
        write_json(run.path / "audit.json", result.to_dict())
    return result


def _folder_name(model: LoadedModel) -> str:
    """`org--name` for a model of the hub; for a local one its file's name and the start of its digest."""
    source = model.source
    local = source.kind in ("folder", "gguf")
    name = f"{source.path.name}-{model.fingerprint[:8]}" if local else source.name.replace("/", "--")
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


def _measured(
    news: Sequence[News],
    asked: Mapping[str, Sequence[Prediction]],
    settings: EvaluateSettings,
    name: str,
    selected: int,
) -> ModelAudit:
    scorings: dict[str, tuple[Measured, ...]] = {}
    for scoring in settings.scorings:
        parts = blocks(news, {_item(p): p for p in asked["base"] if p.scoring == scoring})
        measured = [
            _block(block, asked["base"], scoring, items, news, level_of(block, len(parts)))
            for block, items in parts.items()
        ]
        scorings[scoring] = tuple(one for one in measured if one)
    headline = settings.headline
    twice = {(one.id, i) for one in news for i, question in enumerate(one.questions) if question.rephrased}
    probes = [
        _block("recall as it was", asked["base"], headline, twice, news, LEVEL),
        _block("recall rephrased", asked["rephrased"], headline, None, rephrased(news), LEVEL),
        _block("statements", asked["statements"], "cloze", None, as_questions(news), LEVEL),
    ]
    return ModelAudit(
        model=name,
        scorings=scorings,
        probes=tuple(probe for probe in probes if probe),
        neighbours=_block("neighbours", asked["neighbours"], headline, None, neighbours(news), LEVEL),
        selected=selected,
    )


def _count_selected(news: Sequence[News], model: Mapping[str, Any]) -> int:
    found = [selection_of(question.made_by, question.selected) for one in news for question in one.questions]
    return sum(one is not None and one.decided and one.concerns(model["name"], model["sha256"]) for one in found)


def _item(prediction: Prediction) -> Item:
    return prediction.news_id, prediction.question


def _block(
    name: str,
    predictions: Sequence[Prediction],
    scoring: Scoring,
    items: Collection[Item] | None,
    news: Sequence[News],
    level: float,
) -> Measured | None:
    """One block of the predictions under one scoring (`items` None: all of them); None if it is empty."""
    own = [p for p in predictions if p.scoring == scoring and (items is None or _item(p) in items)]
    if not own:
        return None
    closed = {_item(p): p.correct for p in own if p.condition == "closed_book"}
    context = {_item(p): p.correct for p in own if p.condition == "in_context"}
    by_id = {one.id: one for one in news}
    choices = [len(by_id[id].questions[i].choices) for id, i in closed]
    return Measured(
        block=name,
        chance=sum(1 / n for n in choices) / len(choices) if scoring in CHOICE_SCORINGS else None,
        closed_book=mean_over_news(closed, level=level),
        in_context=mean_over_news(context, level=level),
        gain=paired_difference(context, closed, level=level),
    )
