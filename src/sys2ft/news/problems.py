"""Errors about a news file in the terms of the file: line, field, found, expected, what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.schema import KINDS, grader_names

SHOWN = 10
"""Number of problems that one error lists; the rest are counted."""

HALF_CHARACTER = "half of a surrogate pair, which is not a character"

Location = tuple[str | int, ...]
"""A place in a news item, by the file's field names and positions from 0: ('questions', 1, 'answer')."""

_LISTED: dict[str | int, str] = {"questions": "question", "neighbours": "neighbour"}


NO_VALUE = "no value"


@dataclass(frozen=True, slots=True)
class Written:
    """A value in a file that is no text: what its author wrote, and what the file's format takes it for."""

    text: str
    read_as: str
    """In words: "a number"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem."""

    found: str
    expected: str
    fix: str
    location: Location = ()
    """The field; () for the whole news item."""
    line: int | None = None
    """The line in the file, from 1; None when there is no file."""
    at: str = ""
    """The place in words, for a file that has no lines: "page 3"."""

    @property
    def place(self) -> str:
        """Place, line and field in words: "line 3, question 2, field 'answer'"."""
        line = [] if self.line is None else [f"line {self.line}"]
        return ", ".join([*([self.at] if self.at else []), *line, *place_words(self.location)])


def place_words(location: Location) -> list[str]:
    """('questions', 1, 'choices', 0) as ['question 2', "field 'choices'", 'item 1']: numbers count from 1."""
    if len(location) >= 2 and location[0] in _LISTED and isinstance(location[1], int):
        return [f"{_LISTED[location[0]]} {location[1] + 1}", *place_words(location[2:])]
    if len(location) >= 2 and location[0] == "cloze":
        return ["cloze", *place_words(location[1:])]
    return [f"item {part + 1}" if isinstance(part, int) else f"field {part!r}" for part in location]


def news_error(source: str, problems: Sequence[Problem]) -> NewsError:
    """One error for all problems of one source (a file's path); the first `SHOWN` are listed, the rest counted."""
    if len(problems) == 1:
        only = problems[0]
        where = ", ".join(part for part in (source, only.place) if part)
        return NewsError(f"{where}: found {only.found}", expected=only.expected, fix=only.fix)
    listed = [
        f"  {one.place or 'news item'}: found {one.found}; expected {one.expected}; fix: {one.fix}"
        for one in problems[:SHOWN]
    ]
    if len(problems) > SHOWN:
        listed.append(f"  ... and {len(problems) - SHOWN} more")
    return NewsError(
        "\n".join([f"{source}: {len(problems)} problems", *listed]),
        expected="a file in which every news item is valid",
        fix="correct these places and read the file again; nothing was loaded from it",
    )


def bad_input(source: str, found: str, *, expected: str, fix: str, place: str = "") -> NewsError:
    """The error for one problem of a source, or of a place in it."""
    return news_error(source, [Problem(found=found, expected=expected, fix=fix, at=place)])


def unreadable(source: str, error: OSError) -> NewsError:
    """The error for a file that the system does not let us read."""
    return NewsError(
        f"{source}: cannot be read ({error.strerror or error})",
        expected="a file you may read",
        fix="check its permissions and the disk",
    )


def describe(value: object) -> str:
    """A short description of a value that its author would recognise."""
    if isinstance(value, Written):
        return f"{_short(value.text)} ({value.read_as})" if value.text else value.read_as
    if isinstance(value, bool):
        return f"{str(value).lower()} (a yes/no value)"
    if value is None:
        return "null (no value)"
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."
    if isinstance(value, int | float):
        return f"{value} (a number)"
    if isinstance(value, date):
        return f"{value} (a date)"
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a value of type {type(value).__name__}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoted(value: object) -> str:
    """A value that is no text as a text in JSON or YAML, as its author wrote it; empty if nothing was written."""
    if value is None or isinstance(value, bool):
        return json.dumps(json.dumps(value))
    text = value.text if isinstance(value, Written) else str(value)
    return json.dumps(text, ensure_ascii=False) if text else ""


_EXPECTED = {
    "id": "a name for the news item as text, unique in the file",
    "domain": "the name of a domain as text",
    "news": "the text of the news item",
    "questions": "a list of questions, each a mapping",
    "question": "the question as text",
    "answer": "the right answer as text",
    "choices": "a list of at least 2 texts, the answer among them",
    "aliases": "a list of other correct wordings, as texts",
    "kind": "one of " + ", ".join(KINDS),
    "grader": "the name of an installed grader, as text",
    "made_by": "the name of the model that wrote the question, as text",
    "selected": "a mapping: which answers of a model decided that the question was kept",
    "by": "the name of the model whose answers decided, as text",
    "sha256": "the fingerprint of that model, as text",
    "source": "the origin of the text, as text",
    "rephrased": "the question in other words, as text",
    "cloze": "a mapping of statement, answer and choices",
    "statement": "an incomplete statement, as text",
    "neighbours": "a list of questions, each a mapping",
}
_ALLOWED = {"closed_book": ("any", "wrong"), "in_context": ("any", "right")}


def from_validation(error: Mapping[str, Any], location: Location) -> Problem:
    """A pydantic error (one of `ValidationError.errors()`) at a location in the file's names, as a Problem."""
    kind, value = error["type"], error.get("input")
    field = next((part for part in reversed(location) if isinstance(part, str)), "")
    is_item = bool(location) and isinstance(location[-1], int)
    expected = "text" if is_item and field not in _LISTED else _EXPECTED.get(field, "a news item as a mapping")
    if kind == "news_fault":
        context = error["ctx"]
        own = (*location[:-1], context["field"]) if context["field"] else location
        return Problem(found=context["found"], expected=context["expected"], fix=context["fix"], location=own)
    if kind == "missing":
        found, fix = "no such field", f"add the field {field!r}"
    elif kind == "string_too_short":
        needed = field in ("id", "news", "question", "answer", "statement")
        found, fix = "an empty text", "write the text" if needed else "remove it"
    elif kind == "literal_error":
        allowed: Sequence[str] = grader_names() if field == "grader" else _ALLOWED.get(field, KINDS)
        expected = "one of " + ", ".join(allowed)
        near = get_close_matches(str(value).casefold().replace("-", "_"), allowed, n=1)
        found, fix = describe(value), f"write {near[0]!r}" if near else "choose one of these, or leave the field out"
    elif kind == "string_unicode":
        found, fix = HALF_CHARACTER, "write the character itself"
    elif kind == "string_type" and not isinstance(value, list | tuple | Mapping) and _quoted(value):
        found, fix = describe(value), f"put it in quotes: {_quoted(value)}"
        if value is None or (isinstance(value, Written) and value.read_as == NO_VALUE):
            fix = f"write a text in its place; if that is the text, {fix}"
    elif kind == "tuple_type":
        found, fix = describe(value), "write a list: [...]"
    elif is_item and field in _LISTED:
        found, fix = describe(value), 'write {"question": "...", "answer": "..."}'
        expected = "a question as a mapping"
    elif field == "selected":
        found, fix = describe(value), 'write {"by": "...", "in_context": "right"}'
    elif field == "cloze":
        found, fix = describe(value), 'write {"statement": "...", "answer": "...", "choices": [...]}'
    else:
        found, fix = describe(value), "write a text in its place"
    return Problem(found=found, expected=expected, fix=fix, location=location)
