"""Is a set of news fit to measure with? By its texts alone, and by models that have not been trained on it.

A good set can only be answered with the news: rules that look at the choices and models that have not seen the news
stay at chance, models that have the news in context do not. Blocks are all questions, those of a domain, those of a
kind; the blocks beside the first are judged together, at a level divided by their number (Bonferroni).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sys2ft.evaluation import (
    EvaluateSettings,
    Prediction,
    complete,
    evaluate,
)
from sys2ft.evaluation.records import CHOICE_SCORINGS, Scoring
from sys2ft.evaluation.settings import BY_CHOICE
from sys2ft.job.stages import open_run, require_questions
from sys2ft.models import LoadedModel
from sys2ft.news import Found, News, Question, surface
from sys2ft.runs import Display, write_json, write_jsonl
from sys2ft.statistics import Score, mean_over_news, noise_of_chance, paired_difference

Item = tuple[str, int]

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """How often a rule that looks at the choices alone is right, by block."""

    rule: str
    questions: int
    """How many the rule applies to: one that goes by numbers says nothing of other choices."""
    right: Mapping[str, float]
    noise: Mapping[str, tuple[float, float]]
    """By block, the accuracies between which guessing stays."""

    @property
    def outside(self) -> list[str]:
        """The blocks in which the rule is not within noise of chance."""
        return [
            block for block, value in self.right.items() if not self.noise[block][0] <= value <= self.noise[block][1]
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextAudit:
    """What the texts alone give away."""

    baselines: tuple[Baseline, ...]
    found: tuple[Found, ...]
    """What repeats, and answers that appear in another news item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a model gets right in one block."""

    block: str
    chance: float | None
    """None where answers are written freely."""
    closed_book: Score
    in_context: Score
    gain: Score
    """In context less closed book, paired."""

    @property
    def off_chance(self) -> bool:
        """Whether the closed-book interval leaves out the chance level; False where there is no interval."""
        low, high = self.closed_book.low, self.closed_book.high
        return None not in (self.chance, low, high) and not low <= self.chance <= high  # type: ignore[operator]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelAudit:
    """What a model that has not been trained on the news gets right."""

    model: str
    scorings: Mapping[str, tuple[Measured, ...]]
    """By scoring, the blocks."""
    probes: tuple[Measured, ...]
    """Questions that have a second wording, as they were and rephrased; statements to complete."""
    neighbours: Measured | None
    """Questions beside the news: above chance where the model knows the field, with the news in context as well."""

    def to_dict(self) -> dict[str, Any]:
        """The record in `audit.json`."""
        return asdict(self)


def blocks(news: Sequence[News], items: Collection[Item]) -> dict[str, list[Item]]:
    """The items by block: 'all', then each domain, then each kind; a block that is all of them is left out."""
    by_id = {one.id: one for one in news}
    parts: dict[str, list[Item]] = {"all": list(items)}
    for id, i in items:
        parts.setdefault(by_id[id].domain, []).append((id, i))
    for id, i in items:
        parts.setdefault(by_id[id].questions[i].kind or "unspecified", []).append((id, i))
    return {name: own for name, own in parts.items() if name == "all" or len(own) < len(items)}


def level_of(block: str, count: int) -> float:
    """The level at which one of `count` blocks is judged."""
    return LEVEL if block == "all" else 1 - (1 - LEVEL) / max(1, count - 1)


def audit_text(news: Sequence[News]) -> TextAudit:
    """Baselines that go by the choices alone, and what repeats or betrays an answer. Raises SettingsError where no
    question has choices."""
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
    """Ask the model everything, closed book and in context; predictions and `audit.json` go to a folder in `out`.

    The folder has the model's name. One that holds an unfinished audit with the same settings is resumed.
    """
    require_questions(news, settings)
    run = open_run(Path(out) / _folder_name(model.source.name), model, news, seed=seed, command=command)
    once = replace(settings, scorings=(settings.headline,))
    with run.lock():
        run.stage("audit", asdict(settings))
        asked = {
            "base": evaluate(model, news, settings, seed=seed, memo=run, show=show),
            "rephrased": evaluate(model, rephrased(news), once, subject="rephrased", seed=seed, memo=run, show=show),
            "neighbours": evaluate(model, neighbours(news), once, subject="neighbours", seed=seed, memo=run, show=show),
        }
        asked["statements"] = complete(model, news, memo=run, show=show)
        for name, predictions in asked.items():
            write_jsonl(run.path / "predictions" / f"{name}.jsonl", (p.to_dict() for p in predictions))
        result = _measured(news, asked, settings, run.record["model"]["name"])
        write_json(run.path / "audit.json", result.to_dict())
    return result


def rephrased(news: Sequence[News]) -> list[News]:
    """The news with those questions only that have a second wording, in that wording."""
    return [
        one.model_copy(
            update={
                "questions": tuple(q.model_copy(update={"text": q.rephrased}) for q in one.questions if q.rephrased)
            }
        )
        for one in news
    ]


def neighbours(news: Sequence[News]) -> list[News]:
    """The news with their neighbours in place of their questions."""
    return [one.model_copy(update={"questions": one.neighbours}) for one in news]


def _folder_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.") or "model"


def _measured(
    news: Sequence[News], asked: Mapping[str, Sequence[Prediction]], settings: EvaluateSettings, name: str
) -> ModelAudit:
    scorings: dict[str, tuple[Measured, ...]] = {}
    for scoring in settings.scorings:
        parts = blocks(news, {_item(p): p for p in asked["base"] if p.scoring == scoring})
        measured = [
            _block(block, asked["base"], scoring, items, news, level_of(block, len(parts)))
            for block, items in parts.items()
        ]
        scorings[scoring] = tuple(one for one in measured if one)
    headline, statements = settings.headline, [_as_question(one) for one in news]
    twice = {(one.id, i) for one in news for i, question in enumerate(one.questions) if question.rephrased}
    probes = [
        _block("recall as it was", asked["base"], headline, twice, news, LEVEL),
        _block("recall rephrased", asked["rephrased"], headline, None, rephrased(news), LEVEL),
        _block("statements", asked["statements"], "cloze", None, statements, LEVEL),
    ]
    return ModelAudit(
        model=name,
        scorings=scorings,
        probes=tuple(probe for probe in probes if probe),
        neighbours=_block("neighbours", asked["neighbours"], headline, None, neighbours(news), LEVEL),
    )


def _item(prediction: Prediction) -> Item:
    return prediction.news_id, prediction.question


def _as_question(one: News) -> News:
    """The news with its cloze as its only question, for the chance level."""
    asked = [Question(text=c.text, answer=c.answer, choices=c.choices) for c in [one.cloze] if c]
    return one.model_copy(update={"questions": tuple(asked)})


def _block(
    name: str,
    predictions: Sequence[Prediction],
    scoring: Scoring,
    items: Collection[Item] | None,
    news: Sequence[News],
    level: float,
) -> Measured | None:
    """One block of the predictions by one scoring (`items` None: all of them); None where there are none."""
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
