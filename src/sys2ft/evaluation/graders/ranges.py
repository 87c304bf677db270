"""Ranges: '10-20', '10 to 20' and 'between 10 and 20' are one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from sys2ft.evaluation.graders.amounts import Amount, unit_factor
from sys2ft.evaluation.graders.answering import is_range
from sys2ft.evaluation.graders.conventions import decimal_comma
from sys2ft.evaluation.graders.final import final_answer
from sys2ft.evaluation.graders.markup import plain
from sys2ft.evaluation.graders.quantities import Quantity, quantities
from sys2ft.evaluation.graders.stance import Mention, denied
from sys2ft.evaluation.graders.units import is_unit, words_of
from sys2ft.news import Question


def names_range(said: str, question: Question) -> bool:
    """Whether the answer is a range of numbers, and the last one that a text says is the same, in its unit."""
    comma = decimal_comma(question)
    shown = plain(question.answer).rstrip(". ")
    wanted = [*_ranges(shown, comma)]
    if len(wanted) != 1 or len(quantities(shown, comma)) != 2 or shown[: wanted[0][0].start].strip():
        return False
    low, high = wanted[0]
    unit = shown[high.end :].strip()
    if unit and (words_of(unit) != [unit] or not is_unit(unit)):
        return False
    text = plain(final_answer(said)[0])
    found = [*_ranges(text, comma)]
    if not found or denied(text, Mention(found[-1][0].start, found[-1][1].end, "", right=True)):
        return False
    first, second = found[-1]
    amount = Amount(high.value, high.step, high.currency or unit, question.answer)
    return (first.value, second.value) == (low.value, high.value) and unit_factor(amount, second, text) == 1


def _ranges(text: str, comma: bool) -> Iterator[tuple[Quantity, Quantity]]:
    """The pairs of numbers that a text joins to a range."""
    for first, second in itertools.pairwise(quantities(text, comma)):
        if first.value < second.value and is_range(text, first, second):
            yield first, second
