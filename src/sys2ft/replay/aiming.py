"""Aiming: which fact each sample of a protocol is about, so that a budget of elements covers a news item."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from sys2ft.replay.coverage import Coverage
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.facts import Fact


def assign(covered: Sequence[int], tried: Sequence[int], count: int, order: Sequence[int]) -> list[int]:
    """The places of the facts that the next `count` samples aim at.

    Each aims at the fact with the fewest elements that cover it and samples that aimed at it so far, these samples
    included; `order` decides between equals. So uncovered facts come first, none takes the whole budget by failing
    again and again, and where all is covered equally the facts take turns. The first samples do not depend on `count`.
    """
    need = [a + b for a, b in zip(covered, tried, strict=True)]
    chosen: list[int] = []
    for _ in range(count if order else 0):
        place = min(order, key=lambda one: need[one])
        need[place] += 1
        chosen.append(place)
    return chosen


class Aims:
    """The aims of one protocol's samples for one news item; it counts coverage only where there is one to aim at."""

    def __init__(self, coverage: Coverage, suits: Iterable[bool], seed: int) -> None:
        """`suits`: whether the protocol can aim at each of the facts."""
        self._coverage = coverage
        self._covered, self._tried = [0] * len(coverage.facts), [0] * len(coverage.facts)
        self._order = [place for place, one in enumerate(suits) if one]
        random.Random(seed).shuffle(self._order)

    def next(self, count: int) -> list[Fact | None]:
        """The facts that the next samples aim at; None where there is none to aim at."""
        chosen = assign(self._covered, self._tried, count, self._order)
        for place in chosen:
            self._tried[place] += 1
        return [self._coverage.facts[place] for place in chosen] if chosen else [None] * count

    def add(self, elements: Iterable[ReplayElement]) -> None:
        """Count what elements cover."""
        if self._order:
            new = self._coverage.counts(elements)
            self._covered = [a + b for a, b in zip(self._covered, new, strict=True)]
