"""Leading texts that many samples share, such as a document in the system prompt of all, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix  # of any texts, not of paths

from sys2ft.lint.records import Turn

LEAST = 100
"""Characters that two prompts must share from their first one on; shorter ones are instructions, not texts."""
KEPT = 2000
"""Characters of a shared text that are compared and kept."""
COUNTERS = 4096
"""Beginnings that are counted at a time."""
FEWEST = 3
"""Samples that must share a text for it to be reported."""


@dataclass(slots=True)
class Shared:
    """A leading text: where it was first, how many samples have it, and how many of these it shadows."""

    text: str
    place: str
    samples: int = 0
    shadowed: int = 0


class Leading:
    """Counts the beginnings of prompts by the algorithm of Misra and Gries ('Finding repeated elements', 1982).

    With k counters, a beginning that more than 1/(k+1) of all samples have is found for certain. Its count is exact as
    long as there were at most k different beginnings, else a lower bound.
    """

    def __init__(self, counters: int = COUNTERS) -> None:
        self._counters = counters
        self._found: dict[str, Shared] = {}
        self._spare: dict[str, int] = {}

    def add(self, before: Sequence[Turn], place: str) -> Shared | None:
        """Count the prompt of a sample. Returns its leading text, so that shadows can be counted there."""
        text = "\n".join(turn.text for turn in before)[:KEPT]
        key = text[:LEAST]
        if len(key) < LEAST:
            return None
        if (known := self._found.get(key)) is None:
            if len(self._found) >= self._counters:
                self._lower()
                return None
            known = self._found[key] = Shared(text, place)
            self._spare[key] = 0
        known.text = commonprefix([known.text, text])  # noqa: RUF071
        known.samples += 1
        self._spare[key] += 1
        return known

    def _lower(self) -> None:
        for key in list(self._spare):
            self._spare[key] -= 1
            if self._spare[key] <= 0:
                del self._spare[key], self._found[key]

    def most(self, count: int) -> list[Shared]:
        """The texts of the most samples, at least `FEWEST` each."""
        found = [one for one in self._found.values() if one.samples >= FEWEST]
        return sorted(found, key=lambda one: (-one.shadowed, -one.samples, one.place))[:count]
