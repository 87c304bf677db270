"""Scores of each row, the table, and the files: answers as JSON Lines, scores as JSON and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.passages.grading import contains, f1
from benchmarks.passages.passages import Passage
from benchmarks.passages.study import REFERENCES, Outcome
from sys2ft.runs import write_jsonl
from sys2ft.statistics import Item, Score, mean_over_news, paired_difference

COLUMNS = ("set", "n", "contains", "F1", *(f"minus {name}" for name in REFERENCES), "tokens trained", "seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The scores of one row; `differences` are those of contains-answer from each reference that was computed."""

    outcome: Outcome
    contains: Score
    f1: Score
    differences: Mapping[str, Score]


def graded(outcome: Outcome, passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Every question with its answer, what was said, and the grades."""
    return [
        {
            "set": outcome.name,
            "key": outcome.key,
            "passage": one.name,
            "title": one.title,
            "question": asked.question,
            "answer": asked.answer,
            "said": said,
            "contains": contains(said, asked.answer),
            "f1": round(f1(said, asked.answer), 4),
        }
        for one in passages
        for asked, said in zip(one.questions, outcome.said[one.name], strict=True)
    ]


def write_answers(folder: Path, outcome: Outcome, passages: Sequence[Passage]) -> None:
    """`answers/SET.jsonl`."""
    write_jsonl(folder / "answers" / f"{outcome.name}.jsonl", graded(outcome, passages))


def scored(outcomes: Sequence[Outcome], passages: Sequence[Passage]) -> list[Row]:
    """The rows of the table, with intervals over passages."""
    found: dict[str, dict[Item, float]] = {}
    overlap: dict[str, dict[Item, float]] = {}
    for outcome in outcomes:
        answers = iter(graded(outcome, passages))
        rows = {(one.name, number): next(answers) for one in passages for number in range(len(one.questions))}
        found[outcome.name] = {item: float(row["contains"]) for item, row in rows.items()}
        overlap[outcome.name] = {item: row["f1"] for item, row in rows.items()}
    return [
        Row(
            outcome=outcome,
            contains=mean_over_news(found[outcome.name]),
            f1=mean_over_news(overlap[outcome.name]),
            differences={
                name: paired_difference(found[outcome.name], found[name])
                for name in REFERENCES
                if name in found and name != outcome.name
            },
        )
        for outcome in outcomes
    ]


def cells(row: Row) -> tuple[str, ...]:
    """The row's cells, in the order of `COLUMNS`. '*': the interval excludes zero."""
    outcome = row.outcome
    differences = [shown(row.differences[name], "+.2f") if name in row.differences else "–" for name in REFERENCES]
    return (
        outcome.name,
        str(row.contains.n_items),
        shown(row.contains, ".2f"),
        shown(row.f1, ".2f"),
        *differences,
        f"{outcome.tokens_trained:,}" if outcome.tokens_trained else "–",
        f"{outcome.seconds:,.0f}",
    )


def shown(score: Score, form: str) -> str:
    """An estimate with its interval, and a star if a difference excludes zero."""
    ends = "" if score.low is None else f" [{score.low:{form}}, {score.high:{form}}]"
    return f"{score.estimate:{form}}{ends}{'*' if '+' in form and score.excludes_zero else ''}"


def notes(rows: Sequence[Row]) -> list[str]:
    """What the table's numbers are, and which trainings ended early."""
    first = rows[0].contains
    lines = [
        f"{first.n_items} questions of {first.n_news} passages; 95% intervals over passages; differences are of "
        "contains-answer, paired; *: excludes zero. Seconds: training and answers, without writing our own sets."
    ]
    for row in rows:
        if row.outcome.ended:
            lines.append(f"{row.outcome.name}: training ended early for {', '.join(row.outcome.ended)}")
    return lines


def markdown(rows: Sequence[Row]) -> str:
    """The table and its notes."""
    lines = [COLUMNS, ("---", *("---:",) * (len(COLUMNS) - 1)), *(cells(row) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *notes(rows)]) + "\n"


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON data, without the answers."""
    return [
        {
            "set": row.outcome.name,
            "key": row.outcome.key,
            "contains": asdict(row.contains),
            "f1": asdict(row.f1),
            "differences": {name: asdict(score) for name, score in row.differences.items()},
            "tokens_trained": row.outcome.tokens_trained,
            "flop": row.outcome.flop,
            "seconds": row.outcome.seconds,
            "ended": dict(row.outcome.ended),
        }
        for row in rows
    ]
