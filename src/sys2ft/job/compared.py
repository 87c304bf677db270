"""The tables of a comparison: what was measured of each way, as data, as Markdown, and as cells for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sys2ft.report.words import ABSENT, counted, number
from sys2ft.statistics import FEWEST, Score

COLUMNS = ("accuracy", "minus joint", "wrong item", "tokens", "to ship")


@dataclass(frozen=True, kw_only=True, slots=True)
class WayRow:
    """One way of answering: its accuracy under the headline scoring, and what it needs."""

    way: str
    condition: str
    """'closed_book', or 'in_context' if a text precedes the question."""
    accuracy: Score
    minus_joint: Score | None
    """Minus the joint adapter on the same questions, paired; None for the joint adapter itself."""
    minus_joint_together: Score | None
    """The same with an interval that holds for all ways of the table together."""
    tokens: float
    """Mean number of prompt tokens of a question."""
    bytes: int
    """Files to ship besides the base model: adapters, texts to retrieve from."""
    uses_retriever: bool
    """Whether the retriever chose the text or the adapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The ways of one protocol."""

    protocol: str
    rows: tuple[WayRow, ...]

    def row(self, way: str) -> WayRow:
        """The row of a way."""
        return next(row for row in self.rows if row.way == way)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What `sys2ft compare` measured."""

    runs: Mapping[str, str]
    """'per-news' and 'joint': the folder of each run."""
    model: str
    headline: str
    settings: Mapping[str, Any]
    retrieval_errors: Score
    """Share of the questions for which the retriever finds another news item than their own, or none."""
    nothing_found: int
    """Questions that share no word with any text: no news item is found for them."""
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as stored in compare.json."""
        return {"format": 1, **asdict(self)}

    def cells(self, table: Table) -> list[tuple[str, ...]]:
        """The rows of a table as text: the way, then `COLUMNS`."""
        return [
            (
                row.way,
                number(row.accuracy),
                _difference(row),
                f"{self.retrieval_errors.estimate:.2f}" if row.uses_retriever else ABSENT,
                f"{row.tokens:.0f}",
                size(row.bytes),
            )
            for row in table.rows
        ]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        score = self.retrieval_errors
        how = "bootstrap" if score.n_news >= FEWEST else "t"
        none = f", or none ({counted(self.nothing_found, 'question')})" if self.nothing_found else ""
        return (
            f"{counted(score.n_items, 'question')} of {counted(score.n_news, 'news item')}; scoring {self.headline}; "
            f"closed book except after a text; 95% intervals by {how} over news items, differences paired. *: beyond "
            "zero by intervals that hold for all rows together. wrong item: share of the questions for which BM25 "
            f"finds another news item{none}: {number(score)}. tokens: mean of a question's prompt. to ship: files "
            "besides the base model."
        )

    def markdown(self) -> str:
        """The tables in Markdown."""
        parts = []
        for table in self.tables:
            lines = [("way", *COLUMNS), ("---", *("---:" for _ in COLUMNS)), *self.cells(table)]
            parts.append(f"{table.protocol}:\n\n" + "\n".join(f"| {' | '.join(_plain(line))} |" for line in lines))
        return "\n\n".join([*parts, _plain([self.caption])[0], *_plain(self.remarks)]) + "\n"


def size(count: int) -> str:
    """A number of bytes, such as '1.2 MB'."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} GB"


def _difference(row: WayRow) -> str:
    if row.minus_joint is None:
        return ABSENT
    together = row.minus_joint_together
    return number(row.minus_joint, signed=True) + "*" * bool(together and together.excludes_zero)


def _plain(cells: Sequence[str]) -> list[str]:
    """Cells without characters that Markdown would interpret."""
    return ["".join(f"\\{c}" if c in "\\|<>*`" else c for c in cell).replace("\n", " ") for cell in cells]
