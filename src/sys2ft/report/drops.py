"""Which protocols cost too much elsewhere: the drops that `--max-drop` allows or refuses, each with its interval.

The estimate decides, not an end of its interval. With the lower end (refuse all that might have dropped too far) every
small set would refuse everything; with the upper end (refuse what surely has) no small set would refuse anything, so
the decision would be one about the number of items. The estimate errs in both directions alike, and where its interval
contains the limit, the decision is called uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sys2ft.report.controls import ControlBlock
from sys2ft.statistics import Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """The change of one accuracy, and whether it is a drop beyond the limit."""

    measure: str
    change: Score
    beyond: bool
    certain: bool
    """Whether the interval of the change is on one side of the limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether a protocol is kept, and by what."""

    protocol: str
    max_drop: float
    refused: bool
    drops: tuple[Drop, ...]


def decide(controls: Sequence[ControlBlock], protocols: Sequence[str], max_drop: float | None) -> tuple[Decision, ...]:
    """A decision on each protocol whose neighbours or retention sets were asked; none without a limit."""
    if max_drop is None:
        return ()
    made = []
    for protocol in protocols:
        drops = tuple(_drops(controls, protocol, max_drop))
        if drops:
            refused = any(drop.beyond for drop in drops)
            made.append(Decision(protocol=protocol, max_drop=max_drop, refused=refused, drops=drops))
    return tuple(made)


def _drops(controls: Sequence[ControlBlock], protocol: str, max_drop: float) -> list[Drop]:
    found = []
    for block in controls:
        row = block.row(protocol)
        if not block.judged or row is None or row.change is None:
            continue
        change = row.change
        beyond = -change.estimate > max_drop + 1e-9  # 5 points are not more than 5 points
        certain = change.low is not None and change.high is not None and not change.low <= -max_drop <= change.high
        found.append(Drop(measure=block.title, change=change, beyond=beyond, certain=certain))
    return found
