"""What records of data sets have in common: their model, and questions made from their prompts and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sys2ft.news.importers.pieces import Entry, Piece, Remark, excerpt
from sys2ft.news.importers.texts import clean
from sys2ft.news.importers.values import MISSING, answers_of, is_missing
from sys2ft.news.schema import Kind, Question

COMPLETE = "Complete this statement: "
"""Prefix of a prompt that was written to be continued, used as a question."""
QUESTION_MARKS = ("?", "？", "؟")

_UNANSWERABLE = "question without an answer (unanswerable by the text)"
_UNUSABLE = "question that cannot be used: no text or no answer"
_NO_VALUE = "question without a value (NaN, NULL, None, N/A ...) as text or answer"


def _listed(value: object) -> object:
    return tuple(one for one in answers_of(value) if one)


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One text or several; lists in lists are flattened."""


class Record(BaseModel):
    """A record of a data set: unknown fields are ignored, numbers become text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


def question_of(
    text: str,
    answers: Sequence[str],
    place: str,
    *,
    wrong: Sequence[str] = (),
    choices: Sequence[str] = (),
    kind: Kind | None = None,
    rephrased: str | None = None,
) -> Question | Remark:
    """A question with the first of `answers`, the others as aliases; or a remark that it is not usable.

    `wrong` are wrong choices; or `choices` are all choices, the answer among them. Words for an empty value
    ('NaN', 'None') are no answers, unless they are one of the choices.
    """
    text, options = clean(text).strip(), [clean(one).strip() for one in choices]
    given = list(dict.fromkeys(one for one in (clean(answer).strip() for answer in answers) if one))
    said = [one for one in given if one in options or not is_missing(one, MISSING)]
    if not said or is_missing(text, MISSING):
        what = _NO_VALUE if (given and not said) or text in MISSING else _UNUSABLE if answers else _UNANSWERABLE
        return Remark(what=what, place=place, shown=excerpt(f"{text}: {', '.join(given)}" if given else text))
    right = {one.casefold() for one in said}
    others = {one.casefold(): one for one in (clean(answer).strip() for answer in wrong) if one and one not in MISSING}
    distinct = [one for form, one in others.items() if form not in right]
    try:
        return Question(
            text=text,
            answer=said[0],
            aliases=tuple(said[1:]),
            choices=tuple(options) if options else (said[0], *distinct) if distinct else (),
            kind=kind,
            rephrased=rephrased,
        )
    except ValidationError:
        if options:
            return question_of(text, said, place, kind=kind, rephrased=rephrased)
        return Remark(what=_UNUSABLE, place=place, shown=excerpt(text))  # half of a surrogate pair


def entry_of(text: str, asked: Sequence[Question | Remark], place: str, title: str = "") -> Iterator[Piece]:
    """A record's text with its usable questions, and remarks on the others."""
    yield from (one for one in asked if isinstance(one, Remark))
    questions = tuple(one for one in asked if isinstance(one, Question))
    yield Entry(text=clean(text).strip(), titles=titles_of(title), place=place, questions=questions)


def completed(prompt: str) -> str:
    """A prompt as a question; a statement to be continued gets a prefix that says so."""
    return prompt.strip() if prompt.rstrip().endswith(QUESTION_MARKS) else COMPLETE + prompt.strip()


def titles_of(title: str) -> tuple[str, ...]:
    """The title of a record as a title path."""
    words = " ".join(clean(title).replace("_", " ").split())
    return (words,) if words else ()
