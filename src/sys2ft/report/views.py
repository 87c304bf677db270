"""The detailed part of the page: every question with every answer, and examples of replay elements."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.report.artifacts import BASE, CONDITIONS, Artifacts, Record, read_records
from sys2ft.report.summary import Summary
from sys2ft.statistics import Item

SHOWN = 100
"""News items that a report of more than twice as many shows: so many that gained least, and so many that gained most;
and those of a page of the others."""
LONG = 320
"""Number of characters beyond which an answer is collapsed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One answer, its verdict, and the reason for it."""

    verdict: str
    """'right', 'wrong' or 'not graded'."""
    said: str
    why: str
    grader: str

    @property
    def long(self) -> bool:
        """Whether the page collapses it."""
        return len(self.said) > LONG

    @property
    def opening(self) -> str:
        """What the page shows of a collapsed answer."""
        return " ".join(self.said[: LONG // 2].split()) + " …"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The answers to one question under one scoring: one row per subject, one cell per condition."""

    scoring: str
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    asked: tuple[tuple[str, str], ...]
    """(condition, text shown to the model), without repetitions."""
    details: str
    """Other records of the grader as text, such as the log-probabilities of the choices."""
    flags: tuple[str, ...]
    """For the page's filter: 'wrong', 'unlearnt', 'learnt', 'lost'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionView:
    """A question and its grids."""

    number: int
    record: Record
    grids: tuple[Grid, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsView:
    """A news item, its questions, and how many of them base and best protocol answered closed book."""

    record: Record
    questions: tuple[QuestionView, ...]
    tallies: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Some replay elements of a protocol."""

    protocol: str
    kept: tuple[Record, ...]
    rejected: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A file of its own for some news items of a run that has many."""

    number: int
    first: int
    """Number of its first news item in news.jsonl, from 1."""
    news: Sequence[Record]

    @property
    def last(self) -> int:
        return self.first + len(self.news) - 1

    @property
    def name(self) -> str:
        return f"news-{self.number:04d}.html"

    @property
    def href(self) -> str:
        """Its address, from the report."""
        return f"report/{self.name}"


def pages(artifacts: Artifacts) -> list[Page]:
    """The pages of a run's news items; none if the report shows them all."""
    news = artifacts.news
    if len(news) <= 2 * SHOWN:
        return []
    starts = range(0, len(news), SHOWN)
    return [
        Page(number=number, first=start + 1, news=news[start : start + SHOWN])
        for number, start in enumerate(starts, start=1)
    ]


def shown_news(artifacts: Artifacts, summary: Summary) -> list[Record]:
    """The news items that the report shows: all, or of many those that gained least and most, least first.

    What a news item gained is the share of its questions that the best protocol answers closed book, minus the base's.
    """
    if len(artifacts.news) <= 2 * SHOWN:
        return artifacts.news
    right: dict[str, Counter[str]] = {BASE: Counter()}
    for subject in {BASE, summary.best or BASE}:
        right[subject] = Counter(
            row["news_id"]
            for row in artifacts.predictions.get(subject, ())
            if row["scoring"] == summary.headline and row["condition"] == CONDITIONS[0] and row["correct"]
        )
    after, before = right[summary.best or BASE], right[BASE]

    def gain(news: Record) -> tuple[float, float]:
        count = len(news["questions"]) or 1
        return (after[news["id"]] - before[news["id"]]) / count, after[news["id"]] / count

    ordered = sorted((news for news in artifacts.news if news["questions"]), key=gain)
    return [*ordered[:SHOWN], *ordered[max(SHOWN, len(ordered) - SHOWN) :]]


def news_views(artifacts: Artifacts, summary: Summary, shown: Sequence[Record]) -> list[NewsView]:
    """Some news items with every question and answer."""
    ids = {news["id"] for news in shown}
    answers: dict[tuple[Item, str], dict[tuple[str, str], Record]] = {}
    for subject, rows in artifacts.predictions.items():
        for row in rows.of(ids):
            grid = answers.setdefault(((row["news_id"], row["question"]), row["scoring"]), {})
            grid[subject, row["condition"]] = row
    views = []
    for news in shown:
        questions = []
        for index, question in enumerate(news["questions"]):
            found = ((scoring, answers.get(((news["id"], index), scoring), {})) for scoring in summary.scorings)
            grids = tuple(_grid(scoring, rows, artifacts.subjects, summary.best) for scoring, rows in found if rows)
            questions.append(QuestionView(number=index + 1, record=question, grids=grids))
        views.append(NewsView(record=news, questions=tuple(questions), tallies=_tallies(questions, summary)))
    return views


def examples(artifacts: Artifacts, protocol: str, most: int) -> Examples:
    """Up to `most` kept elements, from different news items if possible, and up to `most` rejected per reason.

    The file is read element by element: a full run has some hundred thousand.
    """
    file = artifacts.folder / "replay" / f"{protocol}.jsonl"
    kept: list[Record] = []
    spare: list[Record] = []
    rejected: dict[str, list[Record]] = {}
    news_seen = set()
    for element in read_records(file) if file.is_file() else ():
        if element["status"] != "kept":
            same = rejected.setdefault(str(element["reason"]), [])
            same.extend([element][: most - len(same)])
        elif element["news_id"] not in news_seen and len(kept) < most:
            news_seen.add(element["news_id"])
            kept.append(element)
        elif len(spare) < most:
            spare.append(element)
    chosen = (kept + spare)[:most]
    return Examples(
        protocol=protocol,
        kept=tuple(chosen),
        rejected=tuple(e for reason in sorted(rejected) for e in rejected[reason]),
    )


def _grid(scoring: str, rows: dict[tuple[str, str], Record], subjects: tuple[str, ...], best: str | None) -> Grid:
    cells = tuple((s, tuple(_cell(rows.get((s, c))) for c in CONDITIONS)) for s in subjects)
    asked = dict.fromkeys((_plain(row["condition"]), row["asked"]) for row in rows.values())
    details = [
        f"{subject}, {_plain(condition)}: {_detail(row['detail'])}"
        for (subject, condition), row in rows.items()
        if row.get("detail")
    ]
    return Grid(
        scoring=scoring,
        rows=cells,
        asked=tuple(sorted(asked)),
        details="\n".join(details),
        flags=_flags({key: row["correct"] for key, row in rows.items()}, best),
    )


def _cell(row: Record | None) -> Cell | None:
    if row is None:
        return None
    verdict = "not graded" if row["correct"] is None else "right" if row["correct"] else "wrong"
    return Cell(
        verdict=verdict, said=str(row["said"]), why=str(row.get("why") or ""), grader=str(row.get("grader", ""))
    )


def _flags(right: dict[tuple[str, str], bool | None], best: str | None) -> tuple[str, ...]:
    closed, context = CONDITIONS
    flags = []
    if not all(right.values()):
        flags.append("wrong")
    if best is not None and (best, closed) in right:
        if not right[best, closed]:
            flags.append("unlearnt")
        elif not right.get((BASE, closed), True):
            flags.append("learnt")
    if right.get((BASE, context)) and best is not None and not right.get((best, context), True):
        flags.append("lost")
    return tuple(flags)


def _tallies(questions: list[QuestionView], summary: Summary) -> tuple[tuple[str, int], ...]:
    """(subject, questions answered closed book) for the base and the best protocol under the headline scoring."""
    rows = [dict(g.rows) for q in questions for g in q.grids if g.scoring == summary.headline]
    subjects = [s for s in (BASE, summary.best) if s is not None and any(row[s][0] for row in rows)]
    return tuple((s, sum(1 for row in rows if (c := row[s][0]) and c.verdict == "right")) for s in subjects)


def _plain(condition: str) -> str:
    return condition.replace("_", " ")


def _detail(detail: dict[str, Any]) -> str:
    choices = detail.get("choices")
    if len(detail) == 1 and isinstance(choices, dict) and all(isinstance(v, (int, float)) for v in choices.values()):
        ranked = sorted(choices.items(), key=lambda pair: -pair[1])
        return "  ".join(f"{text} ({value:.2f})" for text, value in ranked)
    return json.dumps(detail, ensure_ascii=False)
