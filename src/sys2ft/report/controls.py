"""The controls of a run: what else training changed, and how much of the gain is knowledge rather than format.

`neighbours`, `rephrased` and `statements` are compared with the base model's answers to the same questions. In
`other_adapter` the news items' own questions are answered by the adapter of another news item, which was never trained
on the facts: its gain over the base is what learning the form of an answer gives. Retention sets are controls too,
whose items are in place of news items.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
    """The control, or the retention set."""
    part: str | None
    """How a retention set was measured: `reasoned`, `prompt`, `instruction` or `loss`; None for the other controls."""
    n_questions: int
    n_news: int
    rows: tuple[ControlRow, ...]

    @property
    def title(self) -> str:
        """The name for people."""
        more = {"prompt": ", prompts", "instruction": ", instructions", "loss": ", nats per token"}
        return f"{NAMES.get(self.name, self.name)}{more.get(self.part or '', '')}"

    @property
    def judged(self) -> bool:
        """Whether a drop counts for `max_drop`: accuracies on what the news leaves as it was."""
        return self.name == "neighbours" or self.part in ("reasoned", "prompt")

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

    def closed(name: str, rows: Iterable[Record], scoring: str | None = None) -> dict[Item, bool | None]:
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
            blocks.append(ControlBlock(name=name, part=None, n_questions=len(counted), n_news=len(news), rows=rows))
    sets = [name for name in artifacts.controls if name not in CONTROLS]
    return (*blocks, *(block for name in sets for block in _retention(artifacts, name, seed)))


def _retention(artifacts: Artifacts, name: str, seed: int) -> Iterator[ControlBlock]:
    """A block for each way in which the items of a retention set were measured."""
    by_part: dict[str, dict[str, dict[Item, bool | float | None]]] = {}
    for subject, rows in artifacts.controls[name].items():
        for row in rows:
            item = row["news_id"], row["question"]
            value = row["detail"]["nats_per_token"] if row["scoring"] == "loss" else row["correct"]
            by_part.setdefault(row["scoring"], {}).setdefault(subject, {})[item] = value
    for part, found in by_part.items():
        if found.get(BASE):
            rows_made = tuple(_rows(artifacts.subjects, found, {}, seed, loss=part == "loss"))
            items = {news_id for news_id, _ in found[BASE]}
            yield ControlBlock(name=name, part=part, n_questions=len(found[BASE]), n_news=len(items), rows=rows_made)


def _rephrased(artifacts: Artifacts) -> dict[Item, Item]:
    """Place of a rephrased question -> place of the question as it was."""
    return {
        (news["id"], place): (news["id"], index)
        for news in artifacts.news
        for place, index in enumerate(i for i, question in enumerate(news["questions"]) if question.get("rephrased"))
    }


def _closed(rows: Iterable[Record], scoring: str | None = None) -> dict[Item, bool | None]:
    """Question -> right, closed book, under one scoring (None: all have the same)."""
    return {
        (row["news_id"], row["question"]): row["correct"]
        for row in rows
        if row["condition"] == "closed_book" and scoring in (None, row["scoring"])
    }


def _rows(
    subjects: Sequence[str],
    found: Mapping[str, Outcomes],
    own: Mapping[str, Outcomes],
    seed: int,
    *,
    loss: bool = False,
) -> list[ControlRow]:
    mean, difference = (_mean_loss, _loss_difference) if loss else (_MEAN, _DIFFERENCE)
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
                score=mean(answers, seed=seed),
                change=None if subject == BASE else difference(answers, base, seed=seed),
                knowledge=_knowledge(own.get(subject, {}), answers, seed) if subject != BASE else None,
            )
        )
    return rows


_MEAN, _DIFFERENCE = statistics.mean_over_news, statistics.paired_difference


def _loss_difference(a: Outcomes, b: Outcomes, *, seed: int) -> Score:
    """The paired difference of two mean losses."""
    found = statistics.paired_difference(a, b, seed=seed)
    # Where nothing varies, its interval is one for shares; losses have none.
    return replace(found, low=None, high=None, method="none") if found.method == "wilson" else found


def _mean_loss(outcomes: Outcomes, *, seed: int) -> Score:
    """The mean loss: unlike an accuracy it may exceed 1, so its interval is that of a difference from 0."""
    return _loss_difference(outcomes, dict.fromkeys(outcomes, 0.0), seed=seed)


def _knowledge(own: Outcomes, other: Outcomes, seed: int) -> Score | None:
    same: dict[Item, bool | float | None] = {item: right for item, right in own.items() if item in other}
    return statistics.paired_difference(same, other, seed=seed) if same.keys() == other.keys() else None
