"""Statements to complete: which of a cloze's choices a model finds likeliest as its end, outside any conversation.

The same knowledge in another form than the questions have, so that learning the form of a question does not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sys2ft.engine import Example, LogLikelihood, prepare, score
from sys2ft.evaluation.records import CONDITIONS, Condition, Prediction
from sys2ft.models import LoadedModel
from sys2ft.news import Cloze, News
from sys2ft.runs import NO_MEMO, Display, Memo, memoise

_NEWS_A_UNIT = 16  # fixed, so that a resumed run computes the same batches


def complete(
    model: LoadedModel, news: Sequence[News], *, memo: Memo = NO_MEMO, show: Display | None = None
) -> list[Prediction]:
    """The base model's endings of all clozes that have choices, closed book and in context.

    A choice counts by the mean log-likelihood of its tokens after the statement, as in the scoring `cloze`.
    """
    prepare(model.model)
    open_ended = [one for one in news if one.cloze and one.cloze.choices]
    predictions: list[Prediction] = []
    with (show or Display()).task("complete statements", len(open_ended)) as advance:
        for start in range(0, len(open_ended), _NEWS_A_UNIT):
            part = open_ended[start : start + _NEWS_A_UNIT]
            unit = memoise(memo, f"predictions/statements.units/{start:05d}", partial(_completed, model, part))
            predictions += [Prediction.from_dict(row) for row in unit["rows"]]
            advance(len(part))
    return predictions


def _completed(model: LoadedModel, news: Sequence[News]) -> dict[str, Any]:
    """A unit of work: predictions, both conditions."""
    asked = [(one, one.cloze, condition) for condition in CONDITIONS for one in news if one.cloze]
    examples = [
        _example(model, before_end(one, cloze, condition), choice)
        for one, cloze, condition in asked
        for choice in cloze.choices
    ]
    scored = iter(score(model.model, examples).likelihoods)
    rows = [
        _prediction(one, cloze, condition, [next(scored) for _ in cloze.choices]) for one, cloze, condition in asked
    ]
    return {"rows": [row.to_dict() for row in rows]}


def _prediction(one: News, cloze: Cloze, condition: Condition, scored: Sequence[LogLikelihood]) -> Prediction:
    values = dict(zip(cloze.choices, scored, strict=True))
    first, second = sorted(values, key=lambda choice: -values[choice].mean)[:2]
    return Prediction(
        id=f"base/{condition}/statement/{one.id}",
        subject="base",
        adapter=None,
        news_id=one.id,
        domain=one.domain,
        question=0,
        kind="statement",
        condition=condition,
        scoring="cloze",
        asked=before_end(one, cloze, condition),
        said=first,
        expected=cloze.answer,
        correct=first == cloze.answer,
        grader="choice by cloze",
        why=f"{values[first].mean:.2f} nats a token, next is {second!r} with {values[second].mean:.2f}",
        detail={
            "choices": {choice: round(value.total, 4) for choice, value in values.items()},
            "tokens": [value.tokens for value in scored],
        },
    )


def before_end(one: News, cloze: Cloze, condition: Condition) -> str:
    """The text that the end follows: the statement, in context behind the news."""
    return f"{one.text}\n\n{cloze.text}" if condition == "in_context" else cloze.text


def _example(model: LoadedModel, text: str, end: str) -> Example:
    """The text with its end, supervised from the first token that the end changes."""
    prompt, whole = model.chat.plain_ids(text), model.chat.plain_ids(f"{text} {end}")
    same = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    same = max(1, same)  # the first token of a text has no probability
    return Example(whole, [False] * same + [True] * (len(whole) - same))
