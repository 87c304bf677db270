"""What an import wrote, omitted and changed: counts with the first places of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PLACES = 5
"""Number of places listed for each reason; the rest are counted."""
SHOWN = 20
"""Number of instruction-like texts and bad records listed; the rest are counted."""


@dataclass(slots=True)
class Tally:
    """A count of occurrences, with descriptions of the first ones."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    keep: int = PLACES
    left_out: bool = True

    def add(self, *said: str, count: int = 0) -> None:
        """Count these descriptions, or `count` occurrences."""
        self.count += count or len(said)
        self.first += said[: self.keep - len(self.first)]


@dataclass(slots=True)
class FileCount:
    """Counts for one file."""

    name: str
    form: str
    news: int = 0
    questions: int = 0
    with_choices: int = 0
    neighbours: int = 0


@dataclass(slots=True)
class ImportSummary:
    """Result of an import: what was imported, what was omitted, and why."""

    out: Path
    tokens_by: str
    files: list[FileCount] = field(default_factory=list)
    reported: dict[str, Tally] = field(default_factory=dict)
    """Omissions and changes, by reason."""
    duplicates: Tally = field(default_factory=Tally)
    instructions: Tally = field(default_factory=lambda: Tally(keep=SHOWN))
    """News items with instruction-like text."""
    bad: Tally = field(default_factory=lambda: Tally(keep=SHOWN))
    """Unusable files and records."""

    @property
    def news(self) -> int:
        """Number of news items written."""
        return sum(one.news for one in self.files)

    @property
    def questions(self) -> int:
        """Number of questions written."""
        return sum(one.questions for one in self.files)

    @property
    def with_choices(self) -> int:
        """Number of questions written with choices."""
        return sum(one.with_choices for one in self.files)

    @property
    def neighbours(self) -> int:
        """Number of questions written whose answers must not change."""
        return sum(one.neighbours for one in self.files)

    def report(self, what: str, place: str, *, left_out: bool = True) -> None:
        """Count one omission or change."""
        self.reported.setdefault(what, Tally(left_out=left_out)).add(place)

    def merge(self, other: ImportSummary) -> None:
        """Add the counts of another summary."""
        self.files += other.files
        for what, tally in other.reported.items():
            mine = self.reported.setdefault(what, Tally(left_out=tally.left_out))
            mine.add(*tally.first, count=tally.count)
        for mine, tally in (
            (self.duplicates, other.duplicates),
            (self.instructions, other.instructions),
            (self.bad, other.bad),
        ):
            mine.add(*tally.first, count=tally.count)
