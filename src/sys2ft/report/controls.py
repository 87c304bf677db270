"""The controls of a run: what else training changed, and how much of the gain is knowledge rather than format.

`neighbours`, `rephrased` and `statements` are compared with the base model's answers to the same questions. In
`other_adapter` the news items' own questions are answered by the adapter of another news item, which was never trained
on the facts: its gain over the base is what learning the form of an answer gives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sys2ft import statistics
from sys2ft.evaluation.settings import CONTROLS
from sys2ft.report.artifacts import BASE, Artifacts, Record
from sys2ft.statistics import Item, Outcomes, Score

OTHER = "other_adapter"
NAMES = {
    "neighbours": "neighbours",
    "rephrased": "rephrased questions",
    "statements": "statements",
    OTHER: "another news item's adapter",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlRow:
    """One subject's answers to the questions of one control."""

    subject: str
    score: Score
    change: Score | None
    """Minus the base's answers to the same questions, paired; None for the base."""
    knowledge: Score | None = None
    """In `other_adapter`: the gain of the own adapter over the other one, paired."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlBlock:
    """One control: the base model first, where it was asked, then the protocols."""

    name: str
    n_questions: int
    n_news: int
    rows: tuple[ControlRow, ...]

    def row(self, subject: str) -> ControlRow | None:
        """The row of `subject`, if it was asked."""
        return next((row for row in self.rows if row.subject == subject), None)


def control_blocks(
    artifacts: Artifacts, headline: str, failed: Collection[Item], seed: int
) -> tuple[ControlBlock, ...]:
    """The controls in the run folder, in a fixed order. A subject whose answers are incomplete has no row.

    `failed`: questions chosen because the base fails them, on which any change would look like a gain; they are left
    out of the controls that ask them again.
    """

    def closed(name: str, rows: Sequence[Record], scoring: str | None = None) -> dict[Item, bool | None]:
        found = _closed(rows, scoring)
        if name in (OTHER, "rephrased"):
            places = _rephrased(artifacts) if name == "rephrased" else {}
            found = {item: right for item, right in found.items() if places.get(item, item) not in failed}
        return found

    own = {subject: closed(OTHER, rows, headline) for subject, rows in artifacts.predictions.items()}
    blocks = []
    for name in CONTROLS:
        found = {subject: closed(name, rows) for subject, rows in artifacts.controls.get(name, {}).items()}
        if name == OTHER and BASE in own and found:
            items = set().union(*found.values())
            found[BASE] = {item: right for item, right in own[BASE].items() if item in items}
        if found.get(BASE):
            rows = tuple(_rows(artifacts.subjects, found, own if name == OTHER else {}, seed))
            counted = found[BASE]
            news = {news_id for news_id, _ in counted}
            blocks.append(ControlBlock(name=name, n_questions=len(counted), n_news=len(news), rows=rows))
    return tuple(blocks)


def _rephrased(artifacts: Artifacts) -> dict[Item, Item]:
    """Place of a rephrased question -> place of the question as it was."""
    return {
        (news["id"], place): (news["id"], index)
        for news in artifacts.news
        for place, index in enumerate(i for i, question in enumerate(news["questions"]) if question.get("rephrased"))
    }


def _closed(rows: Sequence[Record], scoring: str | None = None) -> dict[Item, bool | None]:
    """Question -> right, closed book, under one scoring (None: all have the same)."""
    return {
        (row["news_id"], row["question"]): row["correct"]
        for row in rows
        if row["condition"] == "closed_book" and scoring in (None, row["scoring"])
    }


def _rows(
    subjects: Sequence[str], found: Mapping[str, Outcomes], own: Mapping[str, Outcomes], seed: int
) -> list[ControlRow]:
    rows = []
    for subject in subjects:
        answers = found.get(subject, {})
        # In `other_adapter` a news item whose protocol has no adapter is not asked.
        base = {item: right for item, right in found[BASE].items() if item in answers}
        if not answers or base.keys() != answers.keys():
            continue
        rows.append(
            ControlRow(
                subject=subject,
                score=statistics.mean_over_news(answers, seed=seed),
                change=None if subject == BASE else statistics.paired_difference(answers, base, seed=seed),
                knowledge=_knowledge(own.get(subject, {}), answers, seed) if subject != BASE else None,
            )
        )
    return rows


def _knowledge(own: Outcomes, other: Outcomes, seed: int) -> Score | None:
    same: dict[Item, bool | float | None] = {item: right for item, right in own.items() if item in other}
    return statistics.paired_difference(same, other, seed=seed) if same.keys() == other.keys() else None
