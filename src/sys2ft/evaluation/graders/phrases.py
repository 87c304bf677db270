"""Grades words: equal texts, and texts that name the answer and no other choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import regex

from sys2ft.evaluation.graders.amounts import Amount, accepted_amounts, whole_amount
from sys2ft.evaluation.graders.conventions import decimal_comma
from sys2ft.evaluation.graders.dates import Date, dates, with_digits
from sys2ft.evaluation.graders.final import final_answer
from sys2ft.evaluation.graders.markup import before, plain
from sys2ft.evaluation.graders.numeric import judge_amount
from sys2ft.evaluation.graders.polar import judge_polar
from sys2ft.evaluation.graders.ranges import names_range
from sys2ft.evaluation.graders.stance import FILLER, Mention, alternative, aside, current, denied, first_clause
from sys2ft.evaluation.graders.tokens import Level, Token, accepted_texts, find, level_for, wrong_choices
from sys2ft.evaluation.graders.units import differ_in_case
from sys2ft.evaluation.graders.verdict import Grade
from sys2ft.news import Question

_AROUND_A_DATE = regex.compile(r"(?i)(?:(?:on|the|in|am|le|el|em|il|den|в)\s+)?(?:\p{L}+day,?\s+)?")
_BOUND_OF_A_DATE = regex.compile(r"(?i)\b(before|after|earlier than|later than)\s+(?:the\s+)?$")
_ENDS_AN_ARTICLE = regex.compile(r"[\"')]?(?:\s*$|[.,;:!?)\n]|\s+(?:is|was|because|since|and|or|but|as|not)\b)")


def exact(said: str, question: Question) -> Grade:
    """Correct if equal to the answer, markup, punctuation, case and articles aside (see docs/grading.md)."""
    level = replace(level_for(question), cases=True)
    same = bool(_form(level, said)) and _equal(level, said, question.answer, question)
    return Grade(same, "equals the answer" if same else "differs from the answer")


def alias(said: str, question: Question) -> Grade:
    """Correct if the text equals the answer or an alias, or names one, neither denied nor beside another choice.

    An answer that is an amount or a date is compared as such.
    """
    level = _level(said, question)
    form = _form(level, said)
    if not "".join(form).strip(".") and form not in {_form(level, text) for text in accepted_texts(question)}:
        return Grade(False, "nothing was said")
    amounts = accepted_amounts(question)
    for text in accepted_texts(question):
        if _equal(level, said, text, question) and not _another_unit(said, text, amounts, question):
            return Grade(True, f"equals {text!r}")
    for text in wrong_choices(question):
        if _form(level, text) == form:
            return Grade(False, f"equals the choice {text!r}")
    if (verdict := judge_polar(said, question)) is not None:
        return verdict
    if not amounts and names_range(said, question):
        return Grade(True, "names the expected range")
    days = {} if amounts else _accepted_days(question)
    found = [judge_amount(said, amounts, question)] if amounts else []
    found += [_judge_date(said, list(days.values()), question)] if days else []
    if any(verdict.correct for verdict in found):
        return next(verdict for verdict in found if verdict.correct)
    read = {amount.text for amount in amounts} | days.keys()
    words = [text for text in accepted_texts(question) if text not in read]
    if read and question.answer in read and not words:
        return found[0]
    verdict = _judge_words(said, words, question)
    return verdict if verdict.correct or not found else found[0]


def _level(said: str, question: Question) -> Level:
    """How strictly a text is compared: a Russian name alone is in no case, and 'Александр' is not 'Александра'."""
    level = level_for(question)
    alone = regex.search(r"\p{Cyrillic}", said) and len(level.form(said)) <= max(
        len(level.form(text)) for text in accepted_texts(question)
    )
    return replace(level, cases=True) if alone else level


def _another_unit(said: str, text: str, amounts: Sequence[Amount], question: Question) -> bool:
    one = whole_amount(said, decimal_comma(question))
    return one is not None and any(amount.text == text and differ_in_case(one.unit, amount.unit) for amount in amounts)


def _judge_words(said: str, accepted: Sequence[str], question: Question) -> Grade:
    level = _level(said, question)
    marked, is_marked = final_answer(said)
    text = level.text(marked if is_marked else said)
    mentions = _mentions(level, text, accepted, question)
    if is_marked and not mentions:
        text = level.text(said)
        mentions = _mentions(level, text, accepted, question)
    live = [one for one in mentions if not denied(text, one)]
    if mentions and not live:
        return Grade(False, f"denies {mentions[0].key!r}")
    main = [one for one in live if not aside(text, one)] or live
    lead = _leading(level, text, main)
    main = [lead] if lead else current(text, main)
    right = [one for one in main if one.right]
    wrong = [one for one in main if not one.right]
    if right and wrong:
        return Grade(False, f"names {right[0].key!r}, but the choice {wrong[0].key!r} too")
    if right and alternative(text, right[0], [one for one in live if one.right]):
        return Grade(False, f"names {right[0].key!r} as one of several possibilities")
    if right:
        return Grade(True, f"contains {right[0].key!r}")
    return Grade(False, f"names the choice {wrong[0].key!r}" if wrong else "does not contain the answer")


def _mentions(level: Level, text: str, accepted: Sequence[str], question: Question) -> list[Mention]:
    """Where a text names accepted texts and wrong choices: the longest name at each place, in order."""
    tokens = level.tokens(text)
    names = [(text, True) for text in accepted] + [(text, False) for text in wrong_choices(question)]
    forms = [(_form(level, name), name, right) for name, right in names]
    found: list[Mention] = []
    for form, name, right in sorted(forms, key=lambda item: (-len(item[0]), -len(item[1]))):
        if form and level.form(name):
            spans = _spans(form, tokens, text)
        else:
            spans = _signs(plain(name, marks=True), text)
        for start, end in spans:
            if not any(start < other.end and other.start < end for other in found):
                found.append(Mention(start, end, name, right))
    return sorted(found, key=lambda one: one.start)


def _spans(form: tuple[str, ...], tokens: Sequence[Token], text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    at = find(form, tokens)
    while at is not None:
        first, last = tokens[at], tokens[at + len(form) - 1]
        article = len(form) == 1 and form[0].casefold() in ("a", "an", "the", "i")
        if not article or _ENDS_AN_ARTICLE.match(text, last.end):
            spans.append((first.start, last.end))
        at = find(form, tokens, at + 1)
    return spans


def _signs(name: str, text: str) -> list[tuple[int, int]]:
    """Where a name of punctuation only appears, apart from words: in quotes or between spaces."""
    pattern = regex.compile(rf"(?<![^\s\"'`]){regex.escape(name)}(?=[\"'`\s]|[.,;]?(?:\s|$))")
    return [match.span() for match in pattern.finditer(text)]


def _leading(level: Level, text: str, main: Sequence[Mention]) -> Mention | None:
    """The mention that the text begins with as its answer: 'Green. The old one was red.'"""
    clause = first_clause(text)
    filler = FILLER.match(clause)
    start = filler.end() if filler else 0
    form = _form(level, clause[start:])
    for one in main:
        if start <= one.start and one.end <= len(clause) and _form(level, str(one.key)) == form:
            rest = _form(level, text[len(clause) :])
            others = {_form(level, str(other.key)) for other in main if other.key != one.key}
            return None if rest in others else one
    return None


def _equal(level: Level, said: str, text: str, question: Question) -> bool:
    """Whether two texts are equal; hyphens are spaces, or nothing, if no wrong choice becomes equal by it."""
    one, other = _form(level, said), _form(level, text)
    if one == other or level.punctuation or regex.fullmatch(r"\s*([\"'`]).*\1\s*", text):  # a quoted text is literal
        return one == other
    wrong = [_form(level, choice) for choice in wrong_choices(question)]
    return any(
        _without_hyphens(one, by) == _without_hyphens(other, by)
        and _without_hyphens(one, by) not in {_without_hyphens(choice, by) for choice in wrong}
        for by in (" ", "")
    )


def _without_hyphens(form: tuple[str, ...], by: str) -> str:
    words = regex.sub(r"(?<=\p{L})-(?=\p{L})", by, " ".join(form)).split()
    return " ".join(word for word in words[:-1] if word not in ("a", "an", "the")) + " ".join(["", *words[-1:]])


def _form(level: Level, text: str) -> tuple[str, ...]:
    """What is compared of a text; of one that is punctuation only, that."""
    return level.form(text) or Level(marks=True, punctuation=True).form(text)


def _accepted_days(question: Question) -> dict[str, Date]:
    """The accepted texts that are dates as a whole; none where a wrong choice is one of them."""
    day_first = decimal_comma(question)
    found = {text: day for text in accepted_texts(question) if (day := _whole_day(text, day_first)) is not None}
    wrong = [day for text in wrong_choices(question) if (day := _whole_day(text, day_first)) is not None]
    return {} if any(day.is_day_of(other) for day in wrong for other in found.values()) else found


def _whole_day(text: str, day_first: bool) -> Date | None:
    shown = with_digits(plain(text)).rstrip(". ")
    found = dates(shown, day_first)
    if len(found) != 1 or found[0].other or found[0].end != len(shown):
        return None
    return found[0] if _AROUND_A_DATE.fullmatch(shown[: found[0].start]) else None


def _judge_date(said: str, accepted: Sequence[Date], question: Question) -> Grade:
    marked, is_marked = final_answer(said)
    text = with_digits(plain(marked if is_marked else said))
    found = dates(text, decimal_comma(question))
    mentions = [Mention(one.start, one.end, one.day, any(one.is_day_of(day) for day in accepted)) for one in found]
    live = [one for one in mentions if not denied(text, one)]
    main = [one for one in live if not aside(text, one)] or live
    if not found:
        return Grade(False, "no date was said")
    if not main:
        return Grade(False, "denies the date")
    if any(one.other for one in found):
        return Grade(False, "the date said can be read in two ways")
    bound = _BOUND_OF_A_DATE.search(before(text, main[-1].start))
    if bound and bound[1].casefold() not in question.answer.casefold():
        return Grade(False, f"only a bound was said: {bound[1]!r}")
    if not all(one.right for one in main):
        return Grade(False, "another date was said")
    return Grade(True, "the date said is the expected one")
