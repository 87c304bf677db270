"""What the linter found in one or several files: counts, the worst examples, shared texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sys2ft.lint.shared import Shared

EXCERPT = 160
"""Characters of an excerpt."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of one file, or of all. A sample is one completion; a chat has as many as it has trained turns."""

    file: str
    forms: Counter[str] = field(default_factory=Counter)
    """Records by their form."""
    samples: int = 0
    shadowed: int = 0
    without_own_words: int = 0
    """Samples that cannot be judged: the completion is a letter or common words, or only repeats the question."""
    about: int = 0
    """Samples that are not shadowed, but have a text about their question in the prompt."""
    words: int = 0
    """Words of all completions."""
    shadowed_words: int = 0
    by_place: Counter[str] = field(default_factory=Counter)
    """Shadowed samples by the role of the turn that has most of the completion."""
    rejected: int = 0
    """Replay elements with the status 'rejected', which are not trained on."""
    not_text: int = 0
    """Parts of messages that are no text: pictures, calls of tools."""

    @property
    def sample_share(self) -> float:
        """Share of the samples that are shadowed."""
        return self.shadowed / self.samples if self.samples else 0.0

    @property
    def word_share(self) -> float:
        """Share of the completions' words that are in shadowed samples."""
        return self.shadowed_words / self.words if self.words else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As a mapping for JSON, with the shares."""
        return {
            **asdict(self),
            "forms": dict(self.forms),
            "by_place": dict(self.by_place),
            "sample_share": round(self.sample_share, 4),
            "word_share": round(self.word_share, 4),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A shadowed sample: its place in a file, its share, and excerpts of its completion and of what precedes it."""

    file: str
    line: int
    turn: int
    """Number of the trained turn in its record, from 1."""
    share: float
    role: str
    prompt: str
    completion: str
    words: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LintReport:
    """The outcome of `lint`."""

    threshold: float
    files: Sequence[Tally]
    total: Tally
    examples: Sequence[Example]
    """The worst: most words first."""
    shared: Sequence[Shared]

    def to_dict(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "threshold": self.threshold,
            "total": self.total.to_dict(),
            "files": [one.to_dict() for one in self.files],
            "examples": [asdict(one) for one in self.examples],
            "shared": [{**asdict(one), "text": excerpt(one.text), "characters": len(one.text)} for one in self.shared],
        }


def excerpt(text: str, size: int = EXCERPT) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(text[: 4 * size].split())
    return flat if len(flat) <= size else flat[: size - 3] + "..."


def total_of(tallies: Sequence[Tally]) -> Tally:
    """The sum of several tallies."""
    total = Tally(file="total")
    for one in tallies:
        for name in ("forms", "by_place"):
            getattr(total, name).update(getattr(one, name))
        for name, value in asdict(one).items():
            if isinstance(value, int):
                setattr(total, name, getattr(total, name) + value)
    return total
