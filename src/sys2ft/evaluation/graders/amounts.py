"""Grades numbers: which number of a text answers, and whether it is the expected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import regex

from sys2ft.evaluation.graders.conventions import decimal_comma
from sys2ft.evaluation.graders.final import final_answer
from sys2ft.evaluation.graders.markup import plain
from sys2ft.evaluation.graders.quantities import Quantity, quantities
from sys2ft.evaluation.graders.stance import FILLER, Mention, aside, denied
from sys2ft.evaluation.graders.tokens import normalise, wrong_choices
from sys2ft.evaluation.graders.units import factor, is_known, is_unit, rest_of, words_of
from sys2ft.evaluation.graders.verdict import Grade
from sys2ft.news import Question

TOLERANCE = Fraction(1, 10**6)
"""Relative; only where one of two values is not whole, and never more than half of the last digit expected."""

_F = regex.IGNORECASE | regex.V1
_ABOUT = r"(?:(?:exactly|about|around|roughly|approximately|approx\.?|circa|ca\.|nearly|almost|just|only|some|the|a total of|~|≈|=)\s*)*"
_OPERATOR = regex.compile(
    r"\s*(?:[\p{L}%°]+\s*)?(?:[-+*/×·÷x^]|plus|minus|times|divided by|multiplied by|added to)\s*\(?\s*", _F
)
_RANGE = regex.compile(r"\s*(?:[\p{L}%°$€£]+\s*)?(?:-|~|to|through|till|until|bis|à|до|至|到|から|～|~)\s*(?:about\s*)?", _F)
_OR = regex.compile(
    r"(?:\s*[\p{L}%°]+){0,3}\s*[,(]?\s*(?:\b(?:or|oder|ou|или|o)\b|或者?|还是|または|또는)\s*(?:maybe|perhaps|possibly|even|about)?\s*", _F
)
_LISTED = regex.compile(r"\s*(?:[,;/&、]|,?\s*\b(?:and|und|et|y|e|и)\b|和|と)\s*(?:and\s*)?", _F)
_LABEL = regex.compile(
    r"(?:\b(?:section|chapter|page|pages|pp?|figure|fig|table|step|part|item|line|paragraph|para|question|version|verse|ref"
    r"|reference|footnote|appendix|note|example|option|volume|vol|act|scene|no|day|level|grade|room|rule|article|point)"
    r"\.?\s*|[#§]\s*|(?<=[\p{L}\d.,)])\s?\[)$",
    _F,
)
_BEFORE_YEAR = regex.compile(
    r"\b(?:in|since|by|of|until|till|year|from|before|after|during|early|late|mid|ad|january|february|march|april|may|june"
    r"|july|august|september|october|november|december|spring|summer|autumn|winter|\d{1,2}(?:st|nd|rd|th)?),?\s*$",
    _F,
)
_BOUND = regex.compile(
    r"\b(?:more than|greater than|larger than|higher than|less than|fewer than|smaller than|lower than|over|under|above|below"
    r"|beyond|up to|at least|at most|no (?:more|less|fewer) than|mehr als|weniger als|plus de|moins de|más de|menos de)\s+"
    r"(?:about\s+)?$|[<>≤≥]\s*$",
    _F,
)
_RESULT = regex.compile(r"=|\b(?:makes?|equals?|totals?|gives?|sum|altogether|so|therefore|thus|hence)\b", _F)


@dataclass(frozen=True, slots=True)
class Amount:
    """An accepted number: `value` in `unit` ('' if any unit will do), which `needs_unit` unless it is the answer's."""

    value: Fraction
    step: Fraction
    unit: str
    text: str
    needs_unit: bool = False

    def equals(self, value: Fraction) -> bool:
        """Whether a value is this one: whole numbers exactly, others within `TOLERANCE`."""
        if value.denominator == 1 and self.value.denominator == 1:
            return value == self.value
        allowed = TOLERANCE * abs(self.value)
        if self.step:  # as written, '1000000.5' is not 1000000.4, and '13' is not 13.4
            allowed = min(allowed, self.step / (1000 if self.value.denominator == 1 else 2))
        return abs(value - self.value) <= allowed


def whole_amount(text: str, comma: bool, needs_unit: bool = False) -> Amount | None:
    """The amount that a text consists of: a number, and a unit if any ('16 kg', 'three candles'); else None."""
    shown = plain(text)
    start = regex.compile(_ABOUT, _F).match(shown).end()
    found = quantities(shown, comma)
    if len(found) != 1 or found[0].start not in (0, start):
        return None
    one, rest = found[0], shown[found[0].end :].strip().rstrip(".!")
    words = words_of(rest, 5)
    if len(words) > 4 or regex.sub(r"[\s\"']|\.$", "", rest) != regex.sub(r"[\s\"']|\.$", "", "".join(words)):
        return None
    if words and (one.kind == "ordinal" or not is_unit(words[0]) or (words == ["s"] and one.value % 10 == 0)):
        return None
    return Amount(one.value, one.step, one.currency or " ".join(words), text, needs_unit)


def accepted_amounts(question: Question) -> list[Amount]:
    """The answer and aliases that are amounts as a whole; none where a wrong choice is equal to one of them."""
    comma = decimal_comma(question)
    read = [whole_amount(text, comma, text is not question.answer) for text in (question.answer, *question.aliases)]
    found = [one for one in read if one is not None]
    for choice in wrong_choices(question):
        other = whole_amount(choice, comma)
        if other and any(_fits(one, Quantity(other.value, 0, 0, currency=other.unit), "", strict=True) for one in found):
            return []
    return found


def number(said: str, question: Question) -> Grade:
    """Correct if the number that answers equals the answer's, in its unit if it has one, or the text is an alias."""
    comma = decimal_comma(question)
    accepted = accepted_amounts(question)
    if not any(one.text == question.answer for one in accepted):
        inner = quantities(plain(question.answer), comma)
        if not inner:
            return Grade(None, f"the expected answer {question.answer!r} holds no number: cannot be judged")
        accepted.insert(0, Amount(inner[-1].value, inner[-1].step, inner[-1].currency, question.answer))
    text, aliases = normalise(said), {normalise(other): other for other in question.aliases}
    if text and text in aliases:
        return Grade(True, f"equals {aliases[text]!r}")
    return judge_amount(said, accepted, question)


def judge_amount(said: str, accepted: Sequence[Amount], question: Question) -> Grade:
    """Compare the number that answers with the accepted amounts."""
    marked, is_marked = final_answer(said)
    text, comma = plain(marked if is_marked else said), decimal_comma(question)
    found = quantities(text, comma)
    if not found and is_marked:
        text = plain(said)
        found = quantities(text, comma)
    if not found:
        return Grade(False, "no number was said")
    one, why = _answering(text, found, accepted, question)
    if one is None:
        return Grade(False, why)
    shown, expected = _shown(text, one), accepted[0].text
    if any(_fits(amount, one, text) for amount in accepted):
        return Grade(True, f"the number said is {shown}")
    if any(_fits(amount, one, text, any_unit=True) for amount in accepted):
        return Grade(False, f"the number said is {shown}, expected was {expected}: another unit")
    return Grade(False, f"the number said is {shown}, expected was {expected}")


def _answering(
    text: str, found: Sequence[Quantity], accepted: Sequence[Amount], question: Question
) -> tuple[Quantity | None, str]:
    """The number of a text that answers, or None and the reason why there is none."""
    live = [one for one in found if not denied(text, _mention(one))]
    if not live:
        return None, f"denies {_shown(text, found[-1])}"
    operands = _joined(text, live, _OPERATOR)
    if "=" not in text:  # '15-16' is a range
        operands = {one for one in operands if not _only_dashes(text, live, one)}
    if operands and operands == set(live) and len(live) > 1:
        return None, "an expression was said, not its value"
    left = _narrowed(text, live, operands, accepted, question)
    one = _leading(text, live, operands) if left and live[0] in left else None
    one = one or left[-1]
    for pattern, what in ((_RANGE, "a range"), (_OR, "a choice"), (_LISTED, "a list")):
        for first, second in zip(live, live[1:], strict=False):
            if one not in (first, second) or first.value == second.value or {first, second} <= operands:
                continue
            if pattern is _LISTED and not (first in left and second in left):
                continue
            between = text[first.end : second.start]
            ranged = pattern is _RANGE and regex.search(r"(?i)\b(?:between|zwischen|entre)\s+$", text[: first.start])
            if pattern.fullmatch(between) or (ranged and regex.fullmatch(r"(?i).{0,12}\b(?:and|und|et|y)\s*", between)):
                return None, f"{what} was said: {_shown(text, first)} and {_shown(text, second)}"
    bound = _BOUND.search(text[: one.start])
    if bound and not any(_BOUND.search(plain(amount.text)[:20] + " ") or amount.text != amount.text for amount in accepted):
        if not regex.search(rf"(?i){regex.escape(bound.group().strip())}", plain(question.answer)) and "least" not in bound.group() and "most" not in bound.group():
            return None, f"only a bound was said: {bound.group().strip()} {_shown(text, one)}"
    return one, ""


def _narrowed(
    text: str, live: Sequence[Quantity], operands: set[Quantity], accepted: Sequence[Amount], question: Question
) -> list[Quantity]:
    """The numbers without those that are something else, as far as any remain."""
    years = any(_like_year(amount.value) and not amount.unit for amount in accepted)
    nouns = _counted(question)
    tests = (
        lambda one: not aside(text, _mention(one)),
        lambda one: not _LABEL.search(text[: one.start]),
        lambda one: years or not (_like_year(one.value) and _BEFORE_YEAR.search(text[: one.start])),
        lambda one: one not in operands,
        lambda one: one.kind == "cardinal",
        lambda one: any(_unit_factor(amount, one, text) is not None for amount in accepted),
        lambda one: not nouns or any(_stem(word) in nouns for word in words_of(rest_of(text, one.end), 3)),
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
    if first in operands or text[first.end :].lstrip().startswith("?") or not regex.fullmatch(_ABOUT, text[start : first.start], _F):
        return None
    return None if _RESULT.search(text, first.end) and len(live) > 1 and not _reason_follows(text, first) else first


def _reason_follows(text: str, one: Quantity) -> bool:
    return regex.match(r"(?i)[^.\n]{0,30}?(?:\bbecause\b|\bsince\b|\bas\b|\(|,? not\b|\.|\n|=)", text[one.end :]) is not None


def _joined(text: str, found: Sequence[Quantity], pattern: regex.Pattern[str]) -> set[Quantity]:
    joined: set[Quantity] = set()
    for first, second in zip(found, found[1:], strict=False):
        if pattern.fullmatch(text, first.end, second.start):
            joined |= {first, second}
    return joined


def _only_dashes(text: str, found: Sequence[Quantity], one: Quantity) -> bool:
    pairs = [(a, b) for a, b in zip(found, found[1:], strict=False) if one in (a, b) and _OPERATOR.fullmatch(text, a.end, b.start)]
    return all("-" in text[a.end : b.start] for a, b in pairs)


def _fits(amount: Amount, one: Quantity, text: str, *, strict: bool = False, any_unit: bool = False) -> bool:
    """Whether a number is the accepted amount; `strict`: the unit is in `one.currency` and must be the same."""
    if strict:
        times = factor(one.currency, amount.unit) if one.currency and amount.unit else Fraction(one.currency == amount.unit)
        return bool(times) and amount.equals(one.value * (times or 1))
    times = Fraction(1) if any_unit else _unit_factor(amount, one, text)
    if times is None:
        return False
    if amount.equals(one.value * times):
        return True
    if one.currency == "%" and not amount.unit:  # 50% is 0.5
        return amount.equals(one.value / 100)
    return amount.unit == "%" and not one.currency and abs(one.value) <= 1 and amount.equals(one.value * 100)


def _unit_factor(amount: Amount, one: Quantity, text: str) -> Fraction | None:
    """How many units of the amount are one of the number's; None if the units are different ones."""
    if not amount.unit:
        return Fraction(1)
    without = None if amount.needs_unit else Fraction(1)
    if one.currency:
        return factor(one.currency, amount.unit)
    words = words_of(rest_of(text, one.end))
    for size in range(len(words), 0, -1):
        times = factor(" ".join(words[:size]), amount.unit)
        if times is not None:
            return times
    if not words or not is_unit(words[0]):
        return without
    wanted = [_stem(word) for word in amount.unit.split()]
    for here, word in enumerate(words[:3]):
        if is_known(word):
            return None
        if _stem(word) in (wanted[0], wanted[-1]):
            return Fraction(1) if here or len(wanted) > 1 or word else None
    return None


def _counted(question: Question) -> set[str]:
    """The stems of what 'how many ...' counts in the question."""
    asked = regex.search(r"(?i)\bhow many\s+((?:\p{L}+\s*){1,3})", question.text)
    stop = regex.split(r"(?i)\s+(?:did|do|does|is|are|was|were|has|have|had|can|will|of|in|on|at|per)\b", asked[1])[0] if asked else ""
    return {_stem(word) for word in stop.split()[-1:]}


def _stem(word: str) -> str:
    return word.casefold().removesuffix("s")


def _like_year(value: Fraction) -> bool:
    return value.denominator == 1 and 1000 <= value < 3000


def _mention(one: Quantity) -> Mention:
    return Mention(one.start, one.end, one.value, right=False)


def _shown(text: str, one: Quantity) -> str:
    value = str(int(one.value)) if one.value.denominator == 1 else f"{float(one.value):g}"
    return value if len(value) <= 20 else text[one.start : one.end]
