"""The protocol `mixed`: one budget divided over several protocols by stated shares.

The elements of a part are those that its protocol generates by itself: the same samples, with the same seeds, in the
same order. A mix takes as many of them as its share has room for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    from sys2ft.replay.stages import Protocol

MIXED = "mixed"
DEFAULT_MIX = ("cloze=0.8", "naive=0.2")
_TOLERANCE = 1e-3  # shares are written with few digits: 0.333 0.333 0.334


@dataclass(frozen=True, slots=True)
class Part:
    """A protocol of a mix, and its share of the budget."""

    protocol: Protocol
    share: float


@dataclass(frozen=True, slots=True)
class Mix:
    """Protocols with the shares of the budget that they get, which sum to 1."""

    name: str
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        _check([(part.protocol.name, part.share) for part in self.parts], f"the mix {self.name!r}")

    @property
    def total(self) -> float:
        """The sum of the shares: 1, up to rounding."""
        return math.fsum(part.share for part in self.parts)


def parse_mix(texts: Sequence[str]) -> list[tuple[str, float]]:
    """The protocols and shares in texts such as 'self_qa=0.5'. Raises SettingsError for shares that cannot be used."""
    parts = []
    for text in texts:
        name, _, number = text.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not name.strip() or math.isnan(share):
            raise _wrong(f"mix: {text!r}", "a protocol and its share, such as self_qa=0.5")
        parts.append((name.strip(), share))
    _check(parts, "mix")
    return parts


def _check(parts: Sequence[tuple[str, float]], what: str) -> None:
    """Raise SettingsError for an empty mix, a protocol twice, a share that is not above 0, or another sum than 1."""
    shown = " ".join(f"{name}={share:g}" for name, share in parts)
    names = [name.casefold() for name, _ in parts]
    total = math.fsum(share for _, share in parts)
    if not parts:
        raise _wrong(f"{what}: no protocol", "at least one protocol with its share")
    if MIXED in names or len(set(names)) < len(names):
        raise _wrong(f"{what}: {shown}", f"each protocol once, and not {MIXED!r}, which is the mix itself")
    if not all(math.isfinite(share) and share > 0 for _, share in parts):
        raise _wrong(f"{what}: {shown}", "shares above 0; a protocol without a share is left out")
    if abs(total - 1) > _TOLERANCE:
        raise _wrong(f"{what}: {shown}, which sum to {total:g}", "shares that sum to 1")


def _wrong(found: str, expected: str) -> SettingsError:
    return SettingsError(found, expected=expected, fix=f"correct --mix, as in --mix {' '.join(DEFAULT_MIX)}")
