"""Near repeats: elements of one news item that say the same in almost the same words.

Two elements are near repeats if their words agree apart from fillers ('a', 'the', 'now': section 'fillers' of the
language files), their numbers, names and signs come in the same order, and their texts are alike: the Jaccard
similarity of their runs of four characters is at least ALIKE. The first two conditions make sure that different facts
are never taken for one: 'the trelk of 2 and 3' and 'the trelk of 2 and 5' share almost all their characters. The
earlier element stays.

Candidates come from an index of MinHash signatures (Broder 1997; locality-sensitive hashing as in Leskovec, Rajaraman
and Ullman, Mining of Massive Datasets, chapter 3), by the library rensa, and are then compared exactly. So the index
decides nothing but whether a pair is missed: with BANDS of ROWS values, 1 in 100 000 at a similarity of ALIKE.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import regex
from rensa import RMinHash, RMinHashLSH

from sys2ft.languages import ENGLISH
from sys2ft.replay.filters import divided
from sys2ft.text import fold, names_within, pieces, words

ALIKE = 0.75
"""Minimum similarity of near repeats. docs/replay-filters.md has the figures that it is chosen by."""
RUN = 4
"""Number of characters in a run."""
BANDS, ROWS = 32, 4
_SEED = 20_250_512
_SIGNS = regex.compile(r"[\p{S}*/\\%&@#]+|(?<=\s)-(?=\s)")
_MARKDOWN = regex.compile(r"`|\*\*")


@dataclass(frozen=True)
class Phrased:
    """A text as it is compared: everything is computed once."""

    text: str
    code: str = ENGLISH

    @cached_property
    def runs(self) -> frozenset[str]:
        """Runs of characters of the folded text; in scripts without spaces, of its overlapping pieces."""
        text = f" {' '.join(pieces(self.text))} "
        return frozenset(text[start : start + RUN] for start in range(max(1, len(text) - RUN + 1)))

    @cached_property
    def telling(self) -> Counter[str]:
        """The words of the text without fillers, with their number; characters in scripts without spaces."""
        plain, within = divided("fillers", self.code)
        folded = fold(self.text)
        return Counter(word for word in words(within.sub(" ", folded) if within else folded) if word not in plain)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Words with a digit, in the order of the text."""
        return tuple(word for word in words(self.text) if any(map(str.isdigit, word)))

    @cached_property
    def signs(self) -> tuple[str, ...]:
        """Signs that are no punctuation, in the order of the text: '2 + 3' and '2 - 3' have the same words."""
        return tuple(_SIGNS.findall(_MARKDOWN.sub("", fold(self.text))))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names, as far as they are known by their form, in the order of the text."""
        return tuple(fold(name) for name in names_within(self.text))

    @cached_property
    def signature(self) -> RMinHash:
        """The MinHash signature of the runs."""
        made = RMinHash(num_perm=BANDS * ROWS, seed=_SEED)
        made.update(sorted(self.runs))
        return made

    def alike(self, other: Phrased) -> float:
        """Jaccard similarity of the runs: 0 to 1."""
        return len(self.runs & other.runs) / len(self.runs | other.runs)

    def repeats(self, other: Phrased) -> bool:
        """Whether the two texts are near repeats of each other."""
        return (
            self.telling == other.telling
            and (self.numbers, self.signs, self.names) == (other.numbers, other.signs, other.names)
            and self.alike(other) >= ALIKE
        )


class Kept:
    """The texts kept so far of one news item."""

    def __init__(self) -> None:
        self._texts: list[Phrased] = []
        self._index = RMinHashLSH(threshold=ALIKE, num_perm=BANDS * ROWS, num_bands=BANDS)

    def repeated_by(self, text: Phrased) -> Phrased | None:
        """The earliest kept text of which this one is a near repeat."""
        candidates = sorted(self._index.query(text.signature))
        return next((self._texts[place] for place in candidates if self._texts[place].repeats(text)), None)

    def add(self, text: Phrased) -> None:
        """Keep a text."""
        self._index.insert(len(self._texts), text.signature)
        self._texts.append(text)
