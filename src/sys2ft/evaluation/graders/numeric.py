"""Grades numbers: whether the number that answers is the expected one."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.evaluation.graders.amounts import Amount, accepted_amounts, fits
from sys2ft.evaluation.graders.answering import answering, shown
from sys2ft.evaluation.graders.conventions import decimal_comma
from sys2ft.evaluation.graders.final import final_answer
from sys2ft.evaluation.graders.markup import plain
from sys2ft.evaluation.graders.quantities import quantities
from sys2ft.evaluation.graders.tokens import normalise
from sys2ft.evaluation.graders.verdict import Grade
from sys2ft.news import Question


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
    one, why = answering(text, found, accepted, question)
    if one is None:
        return Grade(False, why)
    value, expected = shown(text, one), accepted[0].text
    if any(fits(amount, one, text) for amount in accepted):
        return Grade(True, f"the number said is {value}")
    if any(fits(amount, one, text, any_unit=True) for amount in accepted):
        return Grade(False, f"the number said is {value}, expected was {expected}: another unit")
    return Grade(False, f"the number said is {value}, expected was {expected}")
