"""Statements to complete: which of a cloze's choices a model finds likeliest as its end, outside any conversation.

The same knowledge in another form than the questions have, so that learning the form of a question does not help.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.engine import Example, prepare, score
from sys2ft.evaluation.records import CONDITIONS, Condition, Prediction
from sys2ft.models import LoadedModel
from sys2ft.news import Cloze, News


def complete(model: LoadedModel, news: Sequence[News]) -> list[Prediction]:
    """The base model's ends of each news's cloze (those with choices), closed book and with the news before it.

    A choice counts by the mean log-likelihood of its tokens after the statement, as in the scoring `cloze`.
    """
    prepare(model.model)
    asked = [(one, one.cloze, condition) for condition in CONDITIONS for one in news if one.cloze and one.cloze.choices]
    examples = [
        _example(model, before_end(one, cloze, condition), choice)
        for one, cloze, condition in asked
        for choice in cloze.choices
    ]
    scored = iter(score(model.model, examples).likelihoods)
    predictions = []
    for one, cloze, condition in asked:
        values = {choice: next(scored) for choice in cloze.choices}
        first, second = sorted(values, key=lambda choice: -values[choice].mean)[:2]
        predictions.append(
            Prediction(
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
                    "tokens": [value.tokens for value in values.values()],
                },
            )
        )
    return predictions


def before_end(one: News, cloze: Cloze, condition: Condition) -> str:
    """The text that the end follows: the statement, in context behind the news."""
    return f"{one.text}\n\n{cloze.text}" if condition == "in_context" else cloze.text


def _example(model: LoadedModel, text: str, end: str) -> Example:
    """The text with its end, supervised from the first token that the end changes."""
    prompt, whole = model.chat.plain_ids(text), model.chat.plain_ids(f"{text} {end}")
    same = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    same = max(1, same)  # the first token of a text has no probability
    return Example(whole, [False] * same + [True] * (len(whole) - same))
