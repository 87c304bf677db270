"""Grades of an answer in free text: whether it contains the expected one, and the overlap of their words.

Both texts are normalised as by SQuAD's evaluation script (Rajpurkar et al. 2016): lower case, without punctuation,
without English articles, single spaces.
"""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """The words of the normalised text; those of the text without this normalisation if none remains."""
    lower = text.lower()
    return _ARTICLES.sub(" ", lower.translate(_PUNCTUATION)).split() or lower.split()


def contains(said: str, answer: str) -> bool:
    """Whether the words of the answer appear in what was said, in their order and next to each other."""
    return f" {' '.join(normalised(answer))} " in f" {' '.join(normalised(said))} "


def f1(said: str, answer: str) -> float:
    """Harmonic mean of precision and recall of the words said, as multisets."""
    ours, theirs = normalised(said), normalised(answer)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0
