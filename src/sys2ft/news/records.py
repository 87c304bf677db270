"""Convert between objects and the mappings in files."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from sys2ft.news.problems import NO_VALUE, Location, Problem, Written, describe, from_validation, news_error
from sys2ft.news.schema import Cloze, News, Question, Selection

# file name -> object name
_NEWS_FIELDS = {
    "id": "id",
    "domain": "domain",
    "news": "text",
    "questions": "questions",
    "cloze": "cloze",
    "neighbours": "neighbours",
    "source": "source",
}
_QUESTION_FIELDS = {
    "question": "text",
    "answer": "answer",
    "choices": "choices",
    "aliases": "aliases",
    "kind": "kind",
    "grader": "grader",
    "made_by": "made_by",
    "selected": "selected",
    "rephrased": "rephrased",
}
_SELECTION_FIELDS = {name: name for name in Selection.model_fields}
_CLOZE_FIELDS = {"statement": "text", "answer": "answer", "choices": "choices", "aliases": "aliases"}
_OPTIONAL = ("cloze", "source", "kind", "made_by", "rephrased", "selected")  # null leaves them out
# Common wrong names whose spelling is not close to the right one.
_NEWS_SYNONYMS = {"text": "news", "content": "news", "body": "news", "name": "id", "topic": "domain", "qa": "questions"}
_QUESTION_SYNONYMS = {"text": "question", "prompt": "question", "q": "question", "a": "answer", "options": "choices"}
_CLOZE_SYNONYMS = {"text": "statement", "question": "statement", "prompt": "statement", "options": "choices"}


def news_to_dict(news: News) -> dict[str, Any]:
    """A news item as the mapping in a file; empty fields (questions, choices, kind, source ...) are omitted."""
    row: dict[str, Any] = {"id": news.id, "domain": news.domain, "news": news.text}
    if news.questions:
        row["questions"] = [_fields_of(question, _QUESTION_FIELDS) for question in news.questions]
    if news.cloze:
        row["cloze"] = _fields_of(news.cloze, _CLOZE_FIELDS)
    if news.neighbours:
        row["neighbours"] = [_fields_of(question, _QUESTION_FIELDS) for question in news.neighbours]
    if news.source is not None:
        row["source"] = news.source
    return row


def _fields_of(asked: Question | Cloze, fields: Mapping[str, str]) -> dict[str, Any]:
    return {name: _plain(value) for name, field in fields.items() if (value := getattr(asked, field)) not in (None, ())}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_defaults=True)
    return list(value) if isinstance(value, tuple) else value


def news_from_dict(row: object, *, source: str = "news") -> News:
    """The news item that a mapping from a file describes.

    Raises:
        NewsError: naming `source` and every problem of the mapping.
    """
    news, problems = parse(row)
    if news is None:
        raise news_error(source, problems)
    return news


def parse(row: object) -> tuple[News | None, list[Problem]]:
    """The news item and no problems, or None and at least one problem (without lines)."""
    if not isinstance(row, Mapping):
        return None, [
            Problem(
                found=describe(row),
                expected='a mapping: {"id": "...", "news": "...", "questions": [...]}',
                fix="write one mapping for each news item",
            )
        ]
    problems = _unknown_fields(row, _NEWS_FIELDS, _NEWS_SYNONYMS, ())
    renamed = _rename(row, _NEWS_FIELDS)
    for part in ("questions", "neighbours"):
        if isinstance(listed := renamed.get(part), list | tuple):
            inner = [_inner(one, _QUESTION_FIELDS, _QUESTION_SYNONYMS, (part, i)) for i, one in enumerate(listed)]
            renamed[part] = [one for one, _ in inner]
            problems += [problem for _, wrong in inner for problem in wrong]
    if "cloze" in renamed:
        renamed["cloze"], wrong = _inner(renamed["cloze"], _CLOZE_FIELDS, _CLOZE_SYNONYMS, ("cloze",))
        problems += wrong
    news = None
    try:
        news = News.model_validate(renamed)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            # The default grader requires a valid answer, whose own error is already listed.
            if error["type"] != "default_factory_not_called":
                problems.append(from_validation(error, _file_names(error["loc"])))
    return (None, problems) if problems else (news, [])


def _inner(
    value: object, fields: Mapping[str, str], synonyms: Mapping[str, str], location: Location
) -> tuple[object, list[Problem]]:
    """A nested mapping with its fields renamed for the objects, and its unknown fields; other values unchanged."""
    if not isinstance(value, Mapping):
        return value, []
    renamed, problems = _rename(value, fields), _unknown_fields(value, fields, synonyms, location)
    if "selected" in renamed:
        renamed["selected"], wrong = _inner(renamed["selected"], _SELECTION_FIELDS, {}, (*location, "selected"))
        problems += wrong
    return renamed, problems


def _rename(row: Mapping[Any, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    return {
        fields[name]: None if name in _OPTIONAL and _is_empty(value) else value
        for name, value in row.items()
        if isinstance(name, str) and name in fields
    }


def _is_empty(value: object) -> bool:
    return isinstance(value, Written) and value.read_as == NO_VALUE


def _file_names(location: Location) -> Location:
    own = {"questions": "question", "neighbours": "question", "cloze": "statement"}.get(str(location[0]), "news")
    return tuple(own if part == "text" else part for part in location)


def _unknown_fields(
    row: Mapping[Any, Any], fields: Mapping[str, str], synonyms: Mapping[str, str], location: Location
) -> list[Problem]:
    problems = []
    for name in row:
        if isinstance(name, str) and name in fields:
            continue
        key = str(name).strip().casefold()
        near = [synonyms[key]] if key in synonyms else get_close_matches(key, fields, n=1)
        problems.append(
            Problem(
                found="an unknown field of this name",
                expected="only the fields " + ", ".join(fields),
                fix=f"did you mean {near[0]!r}? rename it, or remove it" if near else "remove it",
                location=(*location, str(name)),
            )
        )
    return problems
