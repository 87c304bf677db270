"""Amounts: a number in a unit, and whether a number in a text is that amount."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import regex

from sys2ft.evaluation.graders.conventions import decimal_comma
from sys2ft.evaluation.graders.markup import plain
from sys2ft.evaluation.graders.quantities import Quantity, quantities
from sys2ft.evaluation.graders.tokens import wrong_choices
from sys2ft.evaluation.graders.units import factor, is_known, is_unit, rest_of, words_of
from sys2ft.news import Question

TOLERANCE = Fraction(1, 10**6)
"""Relative; only where one of two values is not whole, and never more than half of the last digit of either."""

ABOUT = (
    r"(?:(?:exactly|about|around|roughly|approximately|approx\.?|circa|ca\.|nearly|almost|just|only|some|the"
    r"|a total of|~|≈|=)\s*)*"
)
"""What may precede an amount without changing it."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An accepted number: `value` in `unit` ('' if any unit will do), which `needs_unit` unless it is the answer's."""

    value: Fraction
    step: Fraction
    unit: str
    text: str
    needs_unit: bool = False

    def equals(self, value: Fraction, step: Fraction = Fraction(0)) -> bool:
        """Whether a value, whose last digit is worth `step`, is this one: whole numbers exactly, others nearly."""
        if value.denominator == 1 and self.value.denominator == 1:
            return value == self.value
        allowed = TOLERANCE * abs(self.value)
        if self.step:  # as written, '1000000.5' is not 1000000.4, and '13' is not 13.4
            allowed = min(allowed, self.step / 1000 if self.value.denominator == 1 else max(self.step, step) / 2)
        return abs(value - self.value) <= allowed


def whole_amount(text: str, comma: bool, needs_unit: bool = False) -> Amount | None:
    """The amount that a text consists of: a number, and a unit if any ('16 kg', 'three candles'); else None."""
    shown = plain(text)
    start = regex.compile(ABOUT, regex.IGNORECASE).match(shown).end()
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
        if other and any(_same(one, other) for one in found):
            return []
    return found


def fits(amount: Amount, one: Quantity, text: str, *, any_unit: bool = False) -> bool:
    """Whether a number of a text is the amount; `any_unit`: in any unit."""
    times = Fraction(1) if any_unit else unit_factor(amount, one, text)
    if times is None:
        return False
    if amount.equals(one.value * times, one.step * times):
        return True
    if one.currency == "%" and not amount.unit:  # 50% is 0.5
        return amount.equals(one.value / 100)
    return amount.unit == "%" and not one.currency and abs(one.value) <= 1 and amount.equals(one.value * 100)


def unit_factor(amount: Amount, one: Quantity, text: str) -> Fraction | None:
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
    wanted = [stem(word) for word in amount.unit.split()]
    for word in words[:3]:
        if is_known(word):
            return None
        if stem(word) in (wanted[0], wanted[-1]):
            return Fraction(1)
    return None


def stem(word: str) -> str:
    """A word without the ending of the plural."""
    return word.casefold().removesuffix("s")


def _same(one: Amount, other: Amount) -> bool:
    if bool(one.unit) != bool(other.unit):
        return False
    times = factor(other.unit, one.unit) if one.unit else Fraction(1)
    return times is not None and one.equals(other.value * times)
