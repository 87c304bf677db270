"""A probe whose questions are answered with what a retriever found for each: another route, or another text in context.

A route belongs to a news item, but a retriever decides by question; so the questions of a probe are changed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sys2ft.evaluation import Prediction, Questions, Route, Subject
from sys2ft.evaluation.ask import asked
from sys2ft.evaluation.probes import Asked
from sys2ft.news import News
from sys2ft.runs import Unit
from sys2ft.statistics import Item

Found = Mapping[Item, str | None]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The questions of another probe, each changed by `change`; `name` is shown."""

    questions: Questions
    change: Callable[[Asked], Asked]
    name: str

    def units(self, subject: Subject, news: Sequence[News], seed: int) -> list[Unit]:
        return [
            replace(unit, inputs={**unit.inputs, "asked": [self._changed(row) for row in unit.inputs["asked"]]})
            for unit in self.questions.units(subject, news, seed)
        ]

    def _changed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return self.change(Asked.from_dict(row)).to_dict()

    def read(self, result: Mapping[str, Any]) -> list[Prediction]:
        return self.questions.read(result)


def with_route(found: Found, routes: Mapping[str, Route]) -> Callable[[Asked], Asked]:
    """Each question asked of the adapter of the news item found for it; of the base model if none was found."""

    def change(one: Asked) -> Asked:
        source = found[one.news_id, one.index]
        route = routes[source] if source is not None else Route()
        return replace(one, slot=route.slot, adapter=route.adapter)

    return change


def with_retrieved_text(found: Found, news: Sequence[News]) -> Callable[[Asked], Asked]:
    """Each question after the text of the news item found for it; alone if none was found.

    The instructions are in the language of that text, as if it had been given with the question.
    """
    by_id = {item.id: item for item in news}

    def change(one: Asked) -> Asked:
        source = found[one.news_id, one.index]
        item = by_id[source or one.news_id]
        condition = one.condition if source is not None else "closed_book"
        return replace(one, text=asked(item, one.question, condition, one.scoring, one.options))

    return change
