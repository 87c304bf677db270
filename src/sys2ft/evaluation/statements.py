"""Statement completion: which of a cloze's choices a model finds most likely, as plain text without a chat template.

This tests the same knowledge in a different form from the questions, so learning the form of a question does not help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.engine import Example, LogLikelihood, score
from sys2ft.evaluation.probes import Asked, Subject
from sys2ft.evaluation.records import CONDITIONS, Condition, Prediction
from sys2ft.evaluation.scorings import Answerer, choice
from sys2ft.models import LoadedModel
from sys2ft.news import News, Question
from sys2ft.runs import Unit

COMPLETE = "sys2ft.evaluation.statements:complete"
_NEWS_A_UNIT = 16  # fixed, so that a resumed run computes the same batches


@dataclass(frozen=True, slots=True)
class Statements:
    """The news items' clozes that have choices, by default closed book and in context.

    A choice is scored by the mean log-likelihood of its tokens after the statement, as in the scoring `cloze`.
    """

    name: str = "statements"
    folder: str = "predictions"
    conditions: tuple[Condition, ...] = CONDITIONS

    def units(self, subject: Subject, news: Sequence[News], seed: int) -> list[Unit]:
        open_ended = [one for one in as_questions(news) if one.questions]
        parts = (open_ended[start : start + _NEWS_A_UNIT] for start in range(0, len(open_ended), _NEWS_A_UNIT))
        return [
            Unit(
                key=f"{self.folder}/{subject.name}.units/statement-{number * _NEWS_A_UNIT:05d}",
                function=COMPLETE,
                inputs={"subject": subject.name, "asked": [a.to_dict() for a in self._asked(part, subject)]},
                decided_by={"version": subject.version},
            )
            for number, part in enumerate(parts)
        ]

    def _asked(self, news: Sequence[News], subject: Subject) -> list[Asked]:
        return [
            Asked(
                news_id=one.id,
                domain=one.domain,
                index=0,
                question=one.questions[0],
                condition=condition,
                scoring="cloze",
                text=before_end(one, one.questions[0].text, condition),
                options=one.questions[0].choices,
                slot=subject.route(one.id).slot,
                adapter=subject.route(one.id).adapter,
            )
            for condition in self.conditions
            for one in news
        ]

    def read(self, result: Mapping[str, Any]) -> list[Prediction]:
        return [Prediction.from_dict(row) for row in result["rows"]]


def as_questions(news: Sequence[News]) -> list[News]:
    """The news items with their cloze as the only question, if it has choices."""
    return [
        one.model_copy(
            update={
                "questions": tuple(
                    Question(text=cloze.text, answer=cloze.answer, choices=cloze.choices)
                    for cloze in [one.cloze]
                    if cloze and cloze.choices
                )
            }
        )
        for one in news
    ]


def complete(who: Answerer, subject: str, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The predictions of one unit."""
    batch = [Asked.from_dict(row) for row in asked]
    examples = [example(who.model, item.text, choice, item.slot) for item in batch for choice in item.options]
    scored = iter(score(who.model.model, examples, who.bank).likelihoods)
    return {"rows": [_row(subject, item, [next(scored) for _ in item.options]) for item in batch]}


def _row(subject: str, item: Asked, scored: Sequence[LogLikelihood]) -> dict[str, Any]:
    row = choice(subject, item, "cloze", scored)
    return {**row, "id": f"{subject}/{item.condition}/statement/{item.news_id}", "kind": "statement"}


def before_end(one: News, statement: str, condition: Condition) -> str:
    """The text that precedes the choice: the statement, preceded by the news text if in context."""
    return f"{one.text}\n\n{statement}" if condition == "in_context" else statement


def example(model: LoadedModel, text: str, end: str, slot: int) -> Example:
    """The text followed by `end`, supervised from the first token that differs from the text alone."""
    prompt, whole = model.chat.plain_ids(text), model.chat.plain_ids(f"{text} {end}")
    same = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    same = max(1, same)  # the first token of a text has no probability
    return Example(whole, [False] * same + [True] * (len(whole) - same), slot)
