"""The columns of a table: their roles, and what a row says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from string import ascii_uppercase
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.importers.asked import question_of
from sys2ft.news.importers.pieces import Entry, Piece, Remark, Source, excerpt, table_row
from sys2ft.news.importers.settings import ImportSettings
from sys2ft.news.importers.values import MISSING, answers_of, parsed, words_of_value
from sys2ft.news.schema import Question

TEXT = ("text", "content", "body", "news", "context", "passage", "article", "description")
TITLE = ("title", "heading", "headline")
QUESTION = ("question",)
ANSWER = ("answer", "answers", "answers_spans", "answerkey")
CHOICES = ("choices", "options")
_NO_ANSWERS = "question without an answer column (name it with --answer-field): omitted"
_OF_LETTER = "letter or number of a choice as the answer: replaced by that choice"
_EMPTY = "word for an empty value (NaN, NULL, None, N/A ...): omitted"

_YES_NO = {True: ["yes", "true"], False: ["no", "false"]}  # what a model says to a question with a truth value


class Columns:
    """The role of each column: as the settings name them, else by common names."""

    def __init__(self, source: Source, names: Sequence[str], place: str) -> None:
        settings = source.settings
        self.names = names
        self.text = settings.text_fields or first_of(names, TEXT)
        self.title = (settings.title_field,) if settings.title_field else first_of(names, TITLE)
        self.question = (settings.question_field,) if settings.question_field else first_of(names, QUESTION)
        self.answer = (settings.answer_field,) if settings.answer_field else first_of(names, ANSWER)
        self.choices = first_of(names, CHOICES)
        self._refuse_twice(source, names, place)
        for wanted, flag in (
            (self.text, "--text-fields"),
            (self.title, "--title-field"),
            (self.question, "--question-field"),
            (self.answer, "--answer-field"),
        ):
            for name in wanted:
                if name not in names:
                    raise _no_column(source, name, names, flag, place)
        if not self.text:
            raise source.error(
                f"the columns {excerpt(', '.join(map(repr, names)), 300)}, none of which is a known name for the text",
                expected="a column called " + ", ".join(TEXT),
                fix="name the column with --text-fields; several columns form a text like 'name: value; name: value'",
                place=place,
            )

    def _refuse_twice(self, source: Source, names: Sequence[str], place: str) -> None:
        """Raise NewsError if a column with a role has the name of another: one of the two would be lost."""
        counts = Counter(name.strip().casefold() for name in names)
        for name in (*self.text, *self.title, *self.question, *self.answer, *self.choices):
            if counts[name.strip().casefold()] > 1:
                raise source.error(
                    f"the column {name!r} {'twice' if counts[name.strip().casefold()] == 2 else 'several times'}",
                    expected="columns with different names",
                    fix="rename one of them, or remove it",
                    place=place,
                )

    def read(self, row: Mapping[str, Any], place: str) -> Iterator[Piece]:
        """The row as text, with its question if the table has questions."""
        said = [words_of_value(row.get(name)) for name in self.text]
        empty = [f"{name}: {value}" for name, value in zip(self.text, said, strict=True) if value in MISSING]
        said = ["" if value in MISSING else value for value in said]
        text = said[0] if len(said) == 1 else table_row(self.text, said)
        if not text:
            yield Remark(what="row without text", place=place, shown=", ".join(empty))
            return
        titles = tuple(words for name in self.title if (words := " ".join(words_of_value(row.get(name)).split())))
        empty += [f"{name}: {words}" for name, words in zip(self.title, titles, strict=False) if words in MISSING]
        for one in empty:
            yield Remark(what=_EMPTY, place=place, shown=one)
        asked: tuple[Question, ...] = ()
        if self.question and self.answer and (wanted := words_of_value(row.get(self.question[0]))):
            options = row.get(self.choices[0]) if self.choices else None
            choices = [one for one in answers_of(options) if one]
            given = row.get(self.answer[0])
            answers = _YES_NO[given] if isinstance(given, bool) else answers_of(given)
            if (meant := _chosen(given, choices, options)) is not None:
                yield Remark(what=_OF_LETTER, place=place, shown=f"{given}: {meant}", left_out=False)
                answers = [meant]
            if len(choices) > 1 and answers and answers[0] not in choices:
                what = "choices without the answer: omitted, the question stays"
                yield Remark(what=what, place=place, shown=f"{wanted} {answers[0]}")
                choices = []
            made = question_of(wanted, answers, place, choices=choices if len(choices) > 1 else ())
            if isinstance(made, Remark):
                yield made
            else:
                asked = (made,)
        elif self.question and not self.answer and (unread := words_of_value(row.get(self.question[0]))):
            yield Remark(what=_NO_ANSWERS, place=place, shown=excerpt(unread))
        yield Entry(text=text, titles=tuple(one for one in titles if one not in MISSING), place=place, questions=asked)


def _chosen(given: object, choices: Sequence[str], options: object) -> str | None:
    """The choice that an answer names by its label, its letter or, as a number of JSON, its position from 0."""
    if len(choices) < 2 or isinstance(given, bool) or not isinstance(given, str | int):
        return None
    said = str(given).strip()
    if said in choices:
        return None
    held = parsed(options) if isinstance(options, str) else options
    labels = held.get("label") if isinstance(held, Mapping) else None
    if isinstance(labels, list) and len(labels) == len(choices):
        names = [str(one) for one in labels]
    elif isinstance(given, int):
        names = [str(number) for number in range(len(choices))]
    else:
        names = list(ascii_uppercase[: len(choices)])
    return choices[names.index(said)] if said in names else None


def is_known(name: str, settings: ImportSettings) -> bool:
    """Whether a name is that of a column with a role."""
    given = (*settings.text_fields, settings.title_field, settings.question_field, settings.answer_field)
    return name in given or name.strip().casefold() in (*TEXT, *TITLE, *QUESTION, *ANSWER)


def first_of(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The column with the first of the known names, in any case."""
    by_name = {name.strip().casefold(): name for name in reversed(names)}
    return next(((by_name[one],) for one in known if one in by_name), ())


def _no_column(source: Source, name: str, names: Sequence[str], flag: str, place: str) -> NewsError:
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return source.error(
        f"no column {name!r}",
        expected="one of " + excerpt(", ".join(map(repr, names)), 300),
        fix=f"did you mean {near[0]!r}? correct {flag}" if near else f"correct {flag}",
        place=place,
    )
