"""Which number of a text answers: '16, not 15', '2 * 6 + 1 = 13', 'There are 16 on 3 boats', 'between 15 and 16'."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import regex

from sys2ft.evaluation.graders.amounts import ABOUT, Amount, stem, unit_factor
from sys2ft.evaluation.graders.markup import before, plain
from sys2ft.evaluation.graders.quantities import Quantity
from sys2ft.evaluation.graders.stance import FILLER, Mention, aside, denied
from sys2ft.evaluation.graders.units import rest_of, words_of
from sys2ft.news import Question

_F = regex.IGNORECASE | regex.V1
_OPERATOR = regex.compile(
    r"\s*(?:[\p{L}%°]+\s*)?(?:[-+*/×·÷x^]|plus|minus|times|divided by|multiplied by|added to)\s*\(?\s*", _F
)
_RANGE = regex.compile(
    r"\s*(?:[\p{L}%°$€£]+\s*)?(?:-|~|to|through|till|until|bis|à|до|至|到|から|～|〜|~)\s*(?:about\s*)?", _F
)
_OR = regex.compile(
    r"(?:\s*[\p{L}%°]+){0,3}\s*[,(]?\s*(?:\b(?:or|oder|ou|или|o)\b|或者?|还是|または|또는)\s*(?:maybe|perhaps|possibly|even|about)?\s*",
    _F,
)
_LISTED = regex.compile(r"\s*(?:[\s,;/&、]+|,?\s*\b(?:and|und|et|y|e|и)\b|和|と)\s*(?:and\s*)?(?:the\s+)?", _F)
_OF_THEM = regex.compile(r"\s*of\s+(?:them|which|whom|these|those)\b", _F)
_LABEL = regex.compile(
    r"(?:\b(?:section|chapter|page|pages|pp?|figure|fig|table|step|part|item|line|paragraph|para|question|version|verse|ref"
    r"|reference|footnote|appendix|note|example|option|volume|vol|act|scene|no|day|level|grade|room|rule|article|point|every)"
    r"\.?\s*|[#§]\s*|(?<=[\p{L}\d.,)])\s?\[)$",
    _F,
)
_BEFORE_YEAR = regex.compile(
    r"\b(?:in|since|by|of|until|till|year|from|before|after|during|early|late|mid|ad|january|february|march|april|may|june"
    r"|july|august|september|october|november|december|spring|summer|autumn|winter|\d{1,2}(?:st|nd|rd|th)?),?\s*$",
    _F,
)
_BOUND = regex.compile(
    r"\b(?:more than|greater than|larger than|higher than|less than|fewer than|smaller than|lower than|over|under"
    r"|above|below|beyond|up to|no (?:more|less|fewer) than|mehr als|weniger als|plus de|moins de|más de|menos de)\s+"
    r"(?:about\s+)?$|[<>≤≥]\s*$",
    _F,
)
_RESULT = regex.compile(
    r"=|:\s*[\d$]|\b(?:mak(?:es?|ing)|equals?|total(?:s|ing)?|giv(?:es?|ing)|get|leav(?:es?|ing)|sum|altogether"
    r"|which is|so|therefore|thus|hence)\b",
    _F,
)
_NO_NOUN = regex.compile(r"\s+(?:did|do|does|is|are|was|were|has|have|had|can|will|of|in|on|at|per)\b", _F)
_BOUND_AFTER = regex.compile(
    r"\s*(?:\+(?!\s*\d)|±|or (?:more|fewer|less|over|under|older|younger|higher|lower)\b|and (?:more|over|up)\b)", _F
)
_CHANGE = regex.compile(
    r"\b(?:rose|risen|grew|grown|fell|fallen|increased?|decreased?|dropped|changed?|moved|went|climbed|up|down|raised|cut"
    r"|reduced|shrank|jumped|doubled|switched)\b[^.,;]{0,30}\bfrom\s+$",
    _F,
)


def answering(
    text: str, found: Sequence[Quantity], accepted: Sequence[Amount], question: Question
) -> tuple[Quantity | None, str]:
    """The number of a text that answers, or None and the reason why there is none.

    Numbers that are denied do not count. Nor do, as long as others remain, those in brackets and reasons, labels
    ('section 2'), years, parts of an expression, and those of another unit or of other things than were asked for. Of
    the rest it is the first if the text begins with it, else the last. One of a range, list or choice is no answer.
    """
    live = [one for one in found if not denied(text, _mention(one))]
    if not live:
        return None, f"denies {shown(text, found[-1])}"
    operands = _operands(text, live)
    if len(live) > 1 and operands == set(live):
        return None, "an expression was said, not its value"
    left = _narrowed(text, live, operands, accepted, question)
    rank = live[0].kind == "ordinal" and regex.match(r"(?i)\s*of\b", text[live[0].end :])  # '16th of 20'
    one = (_leading(text, live, operands) if live[0] in left or rank else None) or left[-1]
    for first, second in itertools.pairwise(live):
        if one in (first, second) and first.value != second.value and not {first, second} <= operands:
            what = _several(text, first, second, both_left=first in left and second in left)
            if what:
                return None, f"{what} was said: {shown(text, first)} and {shown(text, second)}"
    bound = _BOUND.search(before(text, one.start)) or _BOUND_AFTER.match(text, one.end)
    if bound and bound.group().strip().casefold() not in plain(question.answer).casefold():
        return None, f"only a bound was said: {bound.group().strip()!r} with {shown(text, one)}"
    return one, ""


def shown(text: str, one: Quantity) -> str:
    """A number for people: its value, or how it was written if that is long."""
    value = str(int(one.value)) if one.value.denominator == 1 else f"{float(one.value):g}"
    return value if len(value) <= 20 else text[one.start : one.end]


def _several(text: str, first: Quantity, second: Quantity, both_left: bool) -> str | None:
    """What two neighbouring numbers are together if not two separate numbers: a range, a choice, a list."""
    between = text[first.end : second.start]
    if _CHANGE.search(before(text, first.start)):
        return None
    if is_range(text, first, second):
        return "a range"
    if _OR.fullmatch(between):
        return "a choice"
    if _OF_THEM.match(text, second.end):
        return None
    return "a list" if both_left and _LISTED.fullmatch(between) else None


def is_range(text: str, first: Quantity, second: Quantity) -> bool:
    """Whether two neighbouring numbers are the ends of a range: '15-16', 'between 15 and 16'."""
    between = text[first.end : second.start]
    opens = regex.search(r"(?i)\b(?:between|zwischen|entre|tra|fra|tussen|mellan|между)\s+$", before(text, first.start))
    return bool(
        _RANGE.fullmatch(between)
        or (opens and regex.fullmatch(r"(?i).{0,12}\b(?:and|und|et|y|e|en|och|и)\s*", between))
    )


def _operands(text: str, live: Sequence[Quantity]) -> set[Quantity]:
    """The numbers that an operator joins; without '=', dashes make ranges: '15-16'."""
    joined: set[Quantity] = set()
    for first, second in itertools.pairwise(live):
        between = text[first.end : second.start]
        if _OPERATOR.fullmatch(between) and ("-" not in between or "=" in text):
            joined |= {first, second}
    return joined


def _narrowed(
    text: str, live: Sequence[Quantity], operands: set[Quantity], accepted: Sequence[Amount], question: Question
) -> list[Quantity]:
    """The numbers without those that are something else, as far as any remain."""
    years = any(_like_year(amount.value) and not amount.unit for amount in accepted)
    nouns = _counted(question)
    tests: tuple[Callable[[Quantity], object], ...] = (
        lambda one: not aside(text, _mention(one)),
        lambda one: not _LABEL.search(before(text, one.start)),
        lambda one: years or not (_like_year(one.value) and _BEFORE_YEAR.search(before(text, one.start))),
        lambda one: one not in operands,
        lambda one: one.kind == "cardinal",
        lambda one: any(unit_factor(amount, one, text) is not None for amount in accepted),
        lambda one: not nouns or any(stem(word) in nouns for word in words_of(rest_of(text, one.end), 3)),
    )
    left = list(live)
    for test in tests:
        left = [one for one in left if test(one)] or left
    return left


def _leading(text: str, live: Sequence[Quantity], operands: set[Quantity]) -> Quantity | None:
    """The first number, if the text begins with it as its answer: '16, 3 of them red', 'There are 16 on 3 boats'."""
    first = live[0]
    filler = FILLER.match(text)
    start = filler.end() if filler else 0
    if (
        first in operands
        or text[first.end :].lstrip().startswith("?")
        or not regex.fullmatch(ABOUT, text[start : first.start], _F)
    ):
        return None
    return None if _RESULT.search(text, first.end) and len(live) > 1 and not _reason_follows(text, first) else first


def _reason_follows(text: str, one: Quantity) -> bool:
    return (
        regex.match(r"(?i)[^.\n]{0,30}?(?:\bbecause\b|\bsince\b|\bas\b|\(|,? not\b|\.|\n|=)", text[one.end :])
        is not None
    )


def _counted(question: Question) -> set[str]:
    """The stems of what 'how many ...' counts in the question."""
    asked = regex.search(r"(?i)\bhow many\s+((?:\p{L}+\s*){1,3})", question.text)
    words = _NO_NOUN.split(asked[1])[0].split() if asked else []
    return {stem(word) for word in words[-1:]}


def _like_year(value: Fraction) -> bool:
    return value.denominator == 1 and 1000 <= value < 3000


def _mention(one: Quantity) -> Mention:
    return Mention(one.start, one.end, one.value, right=False)
