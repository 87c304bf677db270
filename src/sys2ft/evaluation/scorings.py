"""The five scorings: functions of units that ask a batch of questions and grade the answers.

Each takes an `Answerer` and plain data, and returns predictions as rows (see `sys2ft.runs.Unit`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sys2ft.engine import Bank, Example, LogLikelihood, prepare, score
from sys2ft.errors import ModelError
from sys2ft.evaluation import graders
from sys2ft.evaluation.ask import messages, option_letters
from sys2ft.evaluation.probes import Asked
from sys2ft.evaluation.records import Prediction, Scoring
from sys2ft.generators import EngineGenerator, Generator, Request, SamplingParams
from sys2ft.generators.work import replies
from sys2ft.models import LoadedModel
from sys2ft.news import Question
from sys2ft.runs import item_seed

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answerer:
    """The context of evaluation units: a model, and the bank whose slots the routes name."""

    model: LoadedModel
    bank: Bank | None = None
    generator: Generator | None = None

    def __post_init__(self) -> None:
        prepare(self.model.model)

    @property
    def writer(self) -> Generator:
        """Generates free text: `generator` if given, else the engine with the model and the bank."""
        if self.generator is not None:
            return self.generator
        return EngineGenerator(self.model, self.bank, skip_special_tokens=True, chat_stops=True)


def cloze(who: Answerer, subject: str, asked: Rows) -> dict[str, Any]:
    """Predictions for `cloze` and `cloze_raw`, by the log-likelihood of each choice's text as the assistant's reply."""
    batch = [Asked.from_dict(row) for row in asked]
    rows = []
    for item, scored in zip(batch, _score(who, batch, [list(item.options) for item in batch]), strict=True):
        scorings: tuple[Literal["cloze", "cloze_raw"], ...] = ("cloze", "cloze_raw")
        rows += [choice(subject, item, scoring, scored) for scoring in scorings]
    return {"rows": rows}


def choice(
    subject: str, item: Asked, scoring: Literal["cloze", "cloze_raw"], scored: Sequence[LogLikelihood]
) -> dict[str, Any]:
    """The prediction by the log-likelihoods of the options' texts, as a row."""
    values = [s.mean if scoring == "cloze" else s.total for s in scored]
    unit = "nats a token" if scoring == "cloze" else "nats"
    detail = {
        "choices": dict(zip(item.options, [round(s.total, 4) for s in scored], strict=True)),
        "tokens": [s.tokens for s in scored],
    }
    return _choice(subject, item, scoring, values, unit, detail)


def letter(who: Answerer, subject: str, asked: Rows) -> dict[str, Any]:
    """Predictions by the log-likelihood of each option's letter; the options are listed in seeded order."""
    batch = [Asked.from_dict(row) for row in asked]
    rows = []
    letters = [option_letters(len(item.options)) for item in batch]
    for item, names, scored in zip(batch, letters, _score(who, batch, letters), strict=True):
        values = [s.total for s in scored]
        detail = {
            "choices": dict(zip(names, [round(v, 4) for v in values], strict=True)),
            "options": dict(zip(names, item.options, strict=True)),
        }
        rows.append(_choice(subject, item, "letter", values, "nats", detail))
    return {"rows": rows}


def _score(who: Answerer, batch: Sequence[Asked], continuations: Sequence[Sequence[str]]) -> list[list[LogLikelihood]]:
    chat = who.model.chat
    examples = []
    for item, texts in zip(batch, continuations, strict=True):
        prompt = chat.prompt_ids(messages(item.text))
        for text in texts:
            ids = chat.continuation_ids(text)
            examples.append(Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), item.slot))
    scored = iter(score(who.model.model, examples, who.bank).likelihoods)
    return [[next(scored) for _ in texts] for texts in continuations]


def _choice(
    subject: str, item: Asked, scoring: Scoring, values: Sequence[float], unit: str, detail: dict[str, Any]
) -> dict[str, Any]:
    options = item.options
    _require_finite(subject, item, values)
    order = sorted(range(len(values)), key=lambda i: -values[i])
    said = options[order[0]]
    why = f"{values[order[0]]:.2f} {unit}, next is {options[order[1]]!r} with {values[order[1]]:.2f}"
    return _row(subject, item, scoring, said, said == item.question.answer, f"choice by {scoring}", why, detail)


def _require_finite(subject: str, item: Asked, values: Sequence[float]) -> None:
    """Raise ModelError for log-likelihoods that are no numbers: an adapter diverged in its last training step."""
    if all(math.isfinite(value) for value in values):
        return
    who = f"the adapter {item.adapter} of {subject}" if item.adapter else subject
    raise ModelError(
        f"{who} gives log-likelihoods of {', '.join(map(str, values))} to the choices of {item.question.text!r}",
        expected="finite numbers; its weights are too large to compute with",
        fix="train again in another folder with a lower --learning-rate or --max-grad-norm",
    )


def free_text(who: Answerer, subject: str, asked: Rows, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Predictions from generated answers (for `reasoned`, their final answer), graded with the question's grader."""
    batch = [Asked.from_dict(row) for row in asked]
    if not batch:
        return {"rows": []}
    requests = [
        Request(
            messages=tuple(messages(item.text)),
            seed=item_seed(seed, item.scoring, item.condition, item.news_id, item.index),
            group=str((item.condition, item.news_id)),
            slot=item.slot,
        )
        for item in batch
    ]
    sampling = SamplingParams(
        temperature=settings["free_text_temperature"],
        top_p=settings["free_text_top_p"],
        max_new_tokens=settings["reasoned_tokens" if batch[0].scoring == "reasoned" else "direct_tokens"],
    )
    said = replies(who.writer, requests, sampling).replies
    rows = [
        _graded(subject, item, reply.text.strip(), reply.finished, reply.tokens)
        for item, reply in zip(batch, said, strict=True)
    ]
    return {"rows": rows}


def _graded(subject: str, item: Asked, text: str, finished: bool, tokens: int) -> dict[str, Any]:
    reasoned = item.scoring == "reasoned"
    said, correct, why = judged(text, item.question, finished=finished, tokens=tokens, reasoned=reasoned)
    detail = {"text": text} if reasoned else {}
    return _row(subject, item, item.scoring, said, correct, item.question.grader, why, detail)


def judged(
    text: str, question: Question, *, finished: bool, tokens: int, reasoned: bool
) -> tuple[str, bool | None, str]:
    """The answer in a generated text (of step-by-step reasoning the final one), whether it is right, and why."""
    said, marked = graders.final_answer(text, finished=finished) if reasoned else (text, True)
    if not marked and not finished:
        # The last line of a truncated text is not an answer, even if it happens to be right.
        verdict, notes = graders.Grade(False, ""), ["the reasoning was cut before an answer"]
    else:
        verdict = graders.grade(said, question)
        notes = [verdict.why]
        if not marked:
            notes.append("no final answer was marked: the last line was taken")
    if not finished:
        notes.append(f"cut after {tokens} tokens")
    return said, verdict.correct, "; ".join(notes)


def _row(
    subject: str,
    item: Asked,
    scoring: Scoring,
    said: str,
    correct: bool | None,
    grader: str,
    why: str,
    detail: dict[str, Any],
) -> dict[str, Any]:
    return Prediction(
        id=f"{subject}/{item.condition}/{scoring}/{item.news_id}/{item.index}",
        subject=subject,
        adapter=item.adapter,
        news_id=item.news_id,
        domain=item.domain,
        question=item.index,
        kind=item.question.kind,
        condition=item.condition,
        scoring=scoring,
        asked=item.text,
        said=said,
        expected=item.question.answer,
        correct=correct,
        grader=grader,
        why=why,
        detail=detail,
    ).to_dict()
