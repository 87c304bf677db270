"""Probes define what a subject is asked; `Questions` asks the news items' questions with five scorings.

Multiple choice is scored by the log-likelihood of each choice's text (`cloze_raw`: sum, `cloze`: mean over tokens) or
of its letter (`letter`). Free text is generated directly (`direct`) or with step-by-step reasoning, from which the
final answer is extracted (`reasoned`), and then graded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sys2ft.engine import BASE
from sys2ft.errors import SettingsError
from sys2ft.evaluation import graders
from sys2ft.evaluation.ask import asked, option_order
from sys2ft.evaluation.records import CONDITIONS, Condition, Prediction, Scoring, can_ask
from sys2ft.evaluation.settings import FREE_TEXT, EvaluateSettings
from sys2ft.files import FILE_NAME_RULE, is_file_name
from sys2ft.news import News, Question
from sys2ft.runs import Unit

_NEWS_PER_UNIT = 16  # fixed, so that a resumed run computes the same batches


@dataclass(frozen=True, slots=True)
class Route:
    """Which slot answers the questions of a news item (default: the base model); `adapter` is its name in records."""

    slot: int = BASE
    adapter: str | None = None


def routes_to(adapters: Mapping[str, str | None], slots: Mapping[str, int]) -> dict[str, Route]:
    """Routes from the adapter's name for each news item (None: the base) and the slot of each adapter."""
    return {item: Route() if name is None else Route(slots[name], name) for item, name in adapters.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The model under test: its name in records and unit keys, and a route per news item (empty: the base for all)."""

    name: str = "base"
    routes: Mapping[str, Route] = field(default_factory=dict)
    version: str = ""
    """What the adapters were trained on, as a digest: answers of adapters with another version are not reused."""

    def __post_init__(self) -> None:
        if not is_file_name(self.name):
            raise SettingsError(
                f"a subject with the name {self.name!r}",
                expected=FILE_NAME_RULE,
                fix="choose another name: it becomes part of file names",
            )

    def route(self, news_id: str) -> Route:
        """The route of a news item. Raises SettingsError if there are routes, but none for this item."""
        if not self.routes:
            return Route()
        if news_id not in self.routes:
            raise SettingsError(
                f"{self.name}: no route for the news item {news_id!r}",
                expected="a route for every news item: a slot of the bank, or the base model",
                fix="add it to `routes`; `Route()` is the base model",
            )
        return self.routes[news_id]


class Probe(Protocol):
    """A way to measure what a subject knows: creates units of work, and turns their results into predictions.

    The units' function is called with an `Answerer` as its context.
    """

    @property
    def name(self) -> str: ...

    def units(self, subject: Subject, news: Sequence[News], seed: int) -> Sequence[Unit]:
        """Units that ask `subject`; their keys begin with `<folder>/<subject>.units/`.

        `subject.version` belongs to what decides their results (`Unit.decided_by`).
        """
        ...

    def read(self, result: Mapping[str, Any]) -> list[Prediction]:
        """The predictions in a unit's result."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question for one adapter, under one condition and scoring: plain data, so that a unit can contain it."""

    news_id: str
    domain: str
    index: int
    question: Question
    condition: Condition
    scoring: Scoring
    text: str
    """The user message."""
    options: tuple[str, ...]
    slot: int
    adapter: str | None

    def to_dict(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return fields | {"question": self.question.model_dump(mode="json"), "options": list(self.options)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Asked:
        question = Question.model_validate(row["question"])
        return cls(**{**row, "question": question, "options": tuple(row["options"])})


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of the news items with the scorings of the settings, by default closed book and in context.

    Questions without choices are skipped by scorings that need choices.
    """

    settings: EvaluateSettings
    name: str = "questions"
    folder: str = "predictions"
    """Where a run folder stores the predictions."""
    conditions: tuple[Condition, ...] = CONDITIONS

    def units(self, subject: Subject, news: Sequence[News], seed: int) -> list[Unit]:
        return [unit for scoring in self._families() for unit in self._units_of(scoring, subject, news, seed)]

    def _families(self) -> Iterator[Scoring]:
        """One requested scoring of each family; the scorings of a family are computed together."""
        families: tuple[tuple[Scoring, ...], ...] = (("cloze", "cloze_raw"), ("letter",), ("direct",), ("reasoned",))
        for family in families:
            wanted = [scoring for scoring in family if scoring in self.settings.scorings]
            if wanted:
                yield wanted[0]

    def _units_of(self, scoring: Scoring, subject: Subject, news: Sequence[News], seed: int) -> Iterator[Unit]:
        work = {"cloze_raw": "cloze", "direct": "free_text", "reasoned": "free_text"}.get(scoring, scoring)
        for start in range(0, len(news), _NEWS_PER_UNIT):
            part = news[start : start + _NEWS_PER_UNIT]
            batch = [one for condition in self.conditions for one in _asked(part, subject, condition, scoring, seed)]
            if not batch:
                continue
            inputs: dict[str, Any] = {"subject": subject.name, "asked": [one.to_dict() for one in batch]}
            decided_by: dict[str, Any] = {"version": subject.version}
            if work == "free_text":
                sampling = {name: getattr(self.settings, name) for name in FREE_TEXT}
                inputs |= {"settings": sampling, "seed": seed}
                decided_by["graders"] = graders.identity({one.question.grader for one in batch})
            yield Unit(
                key=f"{self.folder}/{subject.name}.units/{scoring}-{start:05d}",
                function=f"sys2ft.evaluation.scorings:{work}",
                inputs=inputs,
                decided_by=decided_by,
            )

    def read(self, result: Mapping[str, Any]) -> list[Prediction]:
        rows = [Prediction.from_dict(row) for row in result["rows"]]
        return [row for row in rows if row.scoring in self.settings.scorings]


def _asked(
    news: Sequence[News], subject: Subject, condition: Condition, scoring: Scoring, seed: int
) -> Iterator[Asked]:
    for item in news:
        route = subject.route(item.id)
        for index, question in enumerate(item.questions):
            if not can_ask(scoring, question.choices):
                continue
            options = tuple(option_order(item, index, seed))
            yield Asked(
                news_id=item.id,
                domain=item.domain,
                index=index,
                question=question,
                condition=condition,
                scoring=scoring,
                text=asked(item, question, condition, scoring, options),
                options=options,
                slot=route.slot,
                adapter=route.adapter,
            )
