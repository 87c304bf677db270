"""Coverage as a heat map: the text of news items, each span with the number of kept elements that cover it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sys2ft.report.artifacts import Artifacts, Record, read_records

MOST = 12
"""News items that a report shows: those with the most uncovered facts."""
LEVELS = 4
"""Shades above 'not covered'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a text: a span with its count, or what is between spans (count None)."""

    text: str
    count: int | None = None
    level: int = 0
    """0: not covered; LEVELS: as often as the most covered spans of the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One news item by one protocol."""

    protocol: str
    pieces: tuple[Piece, ...]
    covered: int
    facts: int
    uncovered: tuple[Record, ...]
    """Facts without an element."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """The news items that are shown, each with one row for each protocol."""

    news: tuple[tuple[str, tuple[Row, ...]], ...]
    left_out: int


def heat(artifacts: Artifacts, *, most: int | None = MOST) -> Heat | None:
    """The heat map of a run, of at most `most` news items (None: all); None if its facts are not recorded."""
    file = artifacts.folder / "facts.jsonl"
    counts = {name: one["covering"] for name, one in artifacts.yields.items() if one.get("covering")}
    if not file.is_file() or not counts:
        return None
    known = {row["news_id"] for row in read_records(file)}
    shown = [news for news in artifacts.news if news["id"] in known]
    worst = sorted(shown, key=lambda news: -_missing(counts, news["id"]))[:most]
    wanted = {news["id"] for news in worst}
    facts = {row["news_id"]: row["facts"] for row in read_records(file) if row["news_id"] in wanted}
    top = max((count for own in counts.values() for counted in own.values() for count in counted), default=1)
    return Heat(
        news=tuple((news["id"], _rows(news, facts[news["id"]], counts, max(1, top))) for news in worst),
        left_out=len(shown) - len(worst),
    )


def _missing(counts: Mapping[str, Mapping[str, Sequence[int]]], news_id: str) -> float:
    """The mean share of a news item's facts that no element of a protocol covers."""
    own = [one[news_id] for one in counts.values() if one.get(news_id)]
    return sum(sum(not count for count in counted) / len(counted) for counted in own) / max(1, len(own))


def _rows(
    news: Record, facts: Sequence[Record], counts: Mapping[str, Mapping[str, Sequence[int]]], top: int
) -> tuple[Row, ...]:
    rows = []
    for protocol, by_news in counts.items():
        counted = by_news.get(news["id"], [0] * len(facts))
        rows.append(
            Row(
                protocol=protocol,
                pieces=tuple(_pieces(news["news"], facts, counted, top)),
                covered=sum(bool(count) for count in counted),
                facts=len(facts),
                uncovered=tuple(fact for fact, count in zip(facts, counted, strict=True) if not count),
            )
        )
    return tuple(rows)


def _pieces(text: str, facts: Sequence[Record], counted: Sequence[int], top: int) -> list[Piece]:
    """The text cut at its spans; clauses and implied facts are not marked in it."""
    places = sorted(
        (start, end, count)
        for fact, count in zip(facts, counted, strict=True)
        if fact["kind"] != "clause"
        for start, end in fact["places"]
    )
    pieces, at = [], 0
    for start, end, count in places:
        if start < at:
            continue
        pieces += [Piece(text=text[at:start])] if start > at else []
        level = math.ceil(LEVELS * math.log1p(count) / math.log1p(top)) if count else 0
        pieces.append(Piece(text=text[start:end], count=count, level=level))
        at = end
    return [*pieces, *([Piece(text=text[at:])] if at < len(text) else [])]
