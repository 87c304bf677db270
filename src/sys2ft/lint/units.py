"""What a text says, as a set of units: content words without their endings, numbers, runs of characters."""

from __future__ import annotations

import regex

from sys2ft.replay.filters import content_words
from sys2ft.text import UNSPACED, words

STEM = 5
"""Letters of a word that are compared. Cutting words is the stemmer that needs no knowledge of the language
(McNamee and Mayfield, 'Character n-gram tokenization for European language text retrieval', 2004)."""
STEM_OF_SYLLABLES = 2
"""The same where a letter is a syllable: Korean nouns are short, and particles follow them."""

NUMBER = 4
"""What a number counts, against 1 of a word: a completion with a number that the prompt lacks adds to it."""

_DIGIT = regex.compile(r"\p{N}")
_HANGUL = regex.compile(r"\p{Hangul}+")
_ARTICLE = regex.compile(r"^[وفبكل]?ال(?=\p{Arabic}{3})")
_SINGLE = regex.compile(rf"[{UNSPACED}]\p{{M}}*")


def units(text: str, code: str) -> frozenset[str]:
    """The units of a text in the language `code` (ISO 639-1): what two texts share if they say the same.

    Common words of the language and of English are left out, numbers never are. In scripts without spaces the units
    are runs of characters (`text.pieces`).
    """
    found = frozenset(stem(word) for word in content_words(text, code))
    if not _DIGIT.search(text):  # most sentences: finding the words takes most of the time
        return found
    return found.union(word for word in words(text) if _DIGIT.search(word))


def stem(word: str) -> str:
    """The beginning of a word that stays when its ending changes; numbers and runs of characters are kept whole."""
    if not word.isalpha() or _SINGLE.match(word):
        return word
    if _HANGUL.fullmatch(word):
        return word[:STEM_OF_SYLLABLES]
    return str(_ARTICLE.sub("", word))[:STEM]


def weight(unit: str) -> int:
    """How much a unit says."""
    return NUMBER if _DIGIT.search(unit) else 1
