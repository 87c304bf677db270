"""Join the lines and sentences of a text: with a space, without one, or as the two halves of a divided word."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

# Scripts that put no spaces between words: Han, kana, bopomofo, Thai, Lao, Myanmar, Khmer, and the punctuation and
# full-width forms used with them. Korean puts spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303f\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f\uffe0-\uffe6\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_ENDS_UNSPACED = re.compile(f"[{_UNSPACED}]\\Z")
_BEGINS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_SPACE_AMONG_UNSPACED = re.compile(f"(?<=[{_UNSPACED}]) +(?=[{_UNSPACED}])")
_PART = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
_SOFT = "\u00ad"
_HYPHENS = "-\u2010"
_DIVIDED = re.compile(rf"([^\W_]+(?:[{_HYPHENS}'’][^\W_]+)*)([{_HYPHENS}{_SOFT}])\Z")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
# "pre- and post-war", "Vor- und Nachteile": the hyphen belongs to the word, and the space too.
_CONJUNCTIONS = re.compile(
    r"and|or|to|nor|und|oder|bis|sowie|bzw|et|ou|y|o|e|en|of|och|eller|og|i|a|или|и",
    re.I,
)
# First parts that nearly always keep their hyphen.
_COMPOUNDING = re.compile(r"self|well|ex|quasi|(?:twen|thir|for|fif|six|seven|eigh|nine)ty", re.I)
_INNER = re.compile(r"in|of|the|to|on|up|by|and|a|an|at|de|la|le|du|sur", re.I)  # mother-in-law, up-to-date
_SUFFIX = re.compile(r"(?:ish|ness|less|hood|ing|ed|ist)(?:ly|s)?\b")


def joint(before: str, after: str) -> str:
    """What belongs between two parts of a text: nothing next to a script without spaces, else a space."""
    unspaced = _ENDS_UNSPACED.search(before) or _BEGINS_UNSPACED.match(after)
    return "" if not before or not after or (unspaced and not _hangul(before[-1] + after[0])) else " "


def without_inner_spaces(text: str) -> str:
    """The text without spaces between two characters of scripts that have none."""
    return _SPACE_AMONG_UNSPACED.sub("", text)


def parts_of(text: str) -> set[str]:
    """The words of a text in lower case; in scripts without spaces its characters."""
    return set(_PART.findall(text.casefold()))


def _hangul(pair: str) -> bool:
    return re.search("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]", pair) is not None


def words_of(text: str) -> set[str]:
    """The words of a text in lower case; a compound with hyphens is one word."""
    return {word.casefold() for word in _WORD.findall(text.replace("\u2010", "-"))}


@dataclass(frozen=True, slots=True)
class Joined:
    """Two lines as one text."""

    text: str
    guessed: str = ""
    """How a word divided by a hyphen was joined, if nothing else in the document shows it; else empty."""


def join_lines(before: str, after: str, known: Container[str] = ()) -> Joined:
    """Join two lines of one paragraph.

    A soft hyphen at the line's end is omitted. At another hyphen the halves are joined as the document has the word
    elsewhere (`known`: its words in lower case): with the hyphen or without. If it has neither, the hyphen is kept next
    to a digit, before a capital letter, in chains such as 'mother-in-law', and after a few first parts such as 'self'
    and 'well'; else it is omitted, as most words divided at a line's end are written without one.
    """
    divided = _DIVIDED.search(before)
    head = _WORD.match(after)
    if divided is None or head is None:
        dash = re.search(r"\w[—–]\Z", before) if after[:1].isalnum() else None
        return Joined(before + ("" if dash else joint(before, after)) + after)
    first, mark = divided[1], divided[2]
    stem, rest = before[: -len(mark)], after[head.end() :]
    if mark == _SOFT:
        return Joined(stem + after)
    if _CONJUNCTIONS.fullmatch(head[0]) and re.match(r"\s", rest):
        return Joined(f"{stem}- {after}")
    compound, whole = (f"{first}-{head[0]}".casefold(), f"{first}{head[0]}".casefold())
    capital = head[0][:1].isupper() and not head[0].isupper()
    if compound in known or (whole in known and not capital):
        return Joined(stem + ("-" if compound in known else "") + after)
    capitals = first.isupper() and head[0].isupper() and len(first) > 2 and len(head[0]) > 3
    if not capitals and not (first[-1].islower() and head[0][0].islower()):
        return Joined(f"{stem}-{after}")
    *chain, last = first.casefold().replace("\u2010", "-").split("-")
    if chain:
        keep = _INNER.fullmatch(last) is not None
    else:
        keep = _COMPOUNDING.fullmatch(last) is not None and _SUFFIX.fullmatch(head[0]) is None
    mended = "-" if keep else ""
    return Joined(stem + mended + after, guessed=f"{first}-|{head[0]}: {first}{mended}{head[0]}")
