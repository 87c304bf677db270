"""Superscripts, subscripts and ruby: marked within a text while it is read, written as plain text at its end.

Readers put a mark before such a part and `END` behind it. `plain` turns superscripts and subscripts into Unicode (10²,
H₂O) where it has the characters, else into `^` and `_` (10^(n+1), x_max); references to notes become [1], and ruby its
base with the reading behind it. The marks are noncharacters, which Unicode reserves for such internal use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

RAISE, LOWER, RUBY, READING, END = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3", "\ufdd4"
DROP = "\ufdd5"
"""The parentheses of `<rp>`, for programs that know no ruby."""
NOTE = "\ufdd6"
"""A link within the document, which is the reference to a note if it is raised."""
_MARK = re.compile("([\ufdd0-\ufdd6])")
_BACK = frozenset("↩↑^⏎↵⤴")
_UP = str.maketrans("0123456789+-−–=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾")
_DOWN = str.maketrans("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎")
_UP_BACK, _DOWN_BACK = ({ord(c): str(n) for n, c in enumerate(row)} for row in ("⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉"))
_SIMPLE = re.compile(r"[0-9+\-−–=()]+")
_FRACTION = re.compile("(\\d?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)[/⁄]([₀₁₂₃₄₅₆₇₈₉]+)")
_REFERENCE = re.compile(r"\[[\w .,–-]{1,20}\]|[*†‡§¶#]+")
_SYMBOLS = {
    "TM": "™",
    "SM": "℠",
    "®": "®",
    "©": "©",
    "™": "™",
    "℠": "℠",
    "°": "°",
    "º": "º",
    "ª": "ª",
    "′": "′",
    "″": "″",
}
_ORDINAL = re.compile(r"(?i)\d\0(?:st|nd|rd|th|er|ers|re|ère|ème|nde|de|os|as)$")
# Letters raised by typographic custom: XXᵉ siècle, Mᵐᵉ, Dʳ, Nᵒ, McDonald.
_CUSTOM = re.compile(
    r"(?:\b[IVXLC]+\0(?:e|er|ers|re|ère|ème|th)|\b[Mm]\0(?:me|mes|lle|lles|gr|r|c)|\b[Dd]\0(?:r|rs)|\b[Nn]\0(?:o|os)|\bS\0t)$"
)


@dataclass(slots=True)
class _Span:
    mark: str = ""
    parts: list[str | _Span] = field(default_factory=list)


def unmarked(text: str) -> str:
    """Text of a source without the characters that serve as marks here."""
    return _MARK.sub("", text)


def plain(text: str) -> str:
    """`text` with its marked parts written as plain text. Marks without a partner are dropped."""
    if not _MARK.search(text):
        return text
    open_spans = [_Span()]
    for part in _MARK.split(text):
        if part == END:
            if len(open_spans) > 1:
                open_spans.pop()
        elif _MARK.fullmatch(part):
            span = _Span(part)
            open_spans[-1].parts.append(span)
            if len(open_spans) < 50:  # deeper ones are closed early, which bounds the recursion
                open_spans.append(span)
        elif part:
            open_spans[-1].parts.append(part)
    return _FRACTION.sub(_fraction, _written(open_spans[0].parts))


def _fraction(found: re.Match[str]) -> str:
    whole, above, below = found.groups()
    return f"{whole}{' ' if whole else ''}{above.translate(_UP_BACK)}/{below.translate(_DOWN_BACK)}"


def _written(parts: list[str | _Span]) -> str:
    said = ""
    base, readings = "", list[str]()
    for number, part in enumerate(parts):
        if isinstance(part, _Span) and part.mark == RUBY:
            base += _squeezed(_written([p for p in part.parts if not _is_reading(p)]))
            readings += [_written(p.parts).strip() for p in part.parts if isinstance(p, _Span) and _is_reading(p)]
            rest = parts[number + 1 :]
            between = isinstance(rest[0], str) and not rest[0].strip() if rest else False
            following = rest[between] if len(rest) > between else None
            if not (isinstance(following, _Span) and following.mark == RUBY):
                said += _annotated(base, readings)
                base, readings = "", []
        elif base and isinstance(part, str):
            continue  # white space between two parts of one word
        elif isinstance(part, str):
            said += part
        elif part.mark != DROP:
            rest = parts[number + 1 :]
            following = rest[0][:1] if rest and isinstance(rest[0], str) else ""
            inner = _written(part.parts)
            said += _reference(part) or _script(said, part.mark, inner, following)
            said += " " * (inner[-1:].isspace() and following.isalnum())
    return said


def _reference(span: _Span) -> str:
    """The reference to a note: a raised link within the document, or such a link with raised text."""
    inner = [part for part in span.parts if not isinstance(part, str) or part.strip(" []()\n")]
    (only,) = inner if len(inner) == 1 else ("",)
    if not isinstance(only, _Span) or {span.mark, only.mark} != {RAISE, NOTE}:
        return ""
    said = _written(only.parts).strip(" []()\n\u2028")
    return f"[{said}]" if 0 < len(said) <= 12 else ""


def _is_reading(part: str | _Span) -> bool:
    return isinstance(part, _Span) and part.mark == READING


def _squeezed(base: str) -> str:
    """The base of ruby without the white space between its parts, unless it is in Latin letters."""
    return " ".join(base.split()) if re.search(r"[A-Za-zÀ-ɏ]", base) else "".join(base.split())


def _annotated(base: str, readings: list[str]) -> str:
    """The base of adjacent ruby with its reading behind it, so that no reading divides a word."""
    readings = list(filter(None, readings))
    joint = " " if any(re.search(r"[A-Za-zÀ-ɏ]", reading) for reading in readings) else ""
    return f"{base}({joint.join(readings)})" if base and readings else base or joint.join(readings)


def _script(base: str, mark: str, text: str, following: str) -> str:
    """A superscript or subscript behind `base`, before the character `following`."""
    said = " ".join(text.split())
    if mark == NOTE:
        return "" if said.strip("\ufe0e\ufe0f ") in _BACK else text
    if not said or mark not in (RAISE, LOWER):
        return text
    if mark == RAISE:
        if said in _SYMBOLS or _REFERENCE.fullmatch(said):
            return _SYMBOLS.get(said, said)
        before = base[-20:] + "\0" + said
        if _ORDINAL.search(before) or _CUSTOM.search(before):
            return said
        if said == "o" and base[-1:].isdigit() and following in ("C", "F", " ", ""):
            return "°"
    if re.fullmatch(r"[½¼¾⅓⅔⁰¹²³⁴-⁹₀-₉]+", said):
        return said
    if _SIMPLE.fullmatch(said):
        return said.translate(_UP if mark == RAISE else _DOWN)
    if len(re.findall(r"[^\W\d_]{2,}", said)) > 2:  # a remark in small print
        return f" ({said})" if not said.startswith("(") else f" {said}"
    sign = "^" if mark == RAISE else "_"
    joined = re.fullmatch(r"[-−+]?[^\W_]+(?:[.,]\d+)*", said) and not (following.isalnum() or following == "_")
    wrapped = re.fullmatch(r"\([^()]*\)", said)
    return f"{sign}{said}" if joined or wrapped else f"{sign}({said})"
