"""Between the objects and the mappings that stand in files."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from sys2ft.news.problems import Location, Problem, describe, from_validation, news_error
from sys2ft.news.schema import News

# file name -> object name
_NEWS_FIELDS = {"id": "id", "domain": "domain", "news": "text", "questions": "questions", "source": "source"}
_QUESTION_FIELDS = {
    "question": "text",
    "answer": "answer",
    "choices": "choices",
    "aliases": "aliases",
    "kind": "kind",
    "grader": "grader",
    "made_by": "made_by",
}
# What people write instead, and spelling alone does not bring near.
_NEWS_SYNONYMS = {"text": "news", "content": "news", "body": "news", "name": "id", "topic": "domain", "qa": "questions"}
_QUESTION_SYNONYMS = {"text": "question", "prompt": "question", "q": "question", "a": "answer", "options": "choices"}


def news_to_dict(news: News) -> dict[str, Any]:
    """The news as the mapping that a file holds; empty fields (questions, choices, kind, source ...) are left out."""
    row: dict[str, Any] = {"id": news.id, "domain": news.domain, "news": news.text}
    if news.questions:
        row["questions"] = [
            {
                name: list(value) if isinstance(value, tuple) else value
                for name, field in _QUESTION_FIELDS.items()
                if (value := getattr(question, field)) not in (None, ())
            }
            for question in news.questions
        ]
    if news.source is not None:
        row["source"] = news.source
    return row


def news_from_dict(row: object, *, source: str = "news") -> News:
    """The news that a mapping from a file describes.

    Raises:
        NewsError: naming `source` and everything that is wrong with the mapping.
    """
    news, problems = parse(row)
    if news is None:
        raise news_error(source, problems)
    return news


def parse(row: object) -> tuple[News | None, list[Problem]]:
    """The news and no problems, or None and at least one problem (without lines)."""
    if not isinstance(row, Mapping):
        return None, [
            Problem(
                found=describe(row),
                expected='a mapping: {"id": "...", "news": "...", "questions": [...]}',
                do="write one mapping for each news",
            )
        ]
    problems = _unknown_fields(row, _NEWS_FIELDS, _NEWS_SYNONYMS, ())
    renamed = _rename(row, _NEWS_FIELDS)
    questions = renamed.get("questions")
    if isinstance(questions, list | tuple):
        for i, question in enumerate(questions):
            if isinstance(question, Mapping):
                problems += _unknown_fields(question, _QUESTION_FIELDS, _QUESTION_SYNONYMS, ("questions", i))
        renamed["questions"] = [_rename(q, _QUESTION_FIELDS) if isinstance(q, Mapping) else q for q in questions]
    news = None
    try:
        news = News.model_validate(renamed)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            # The default grader waits for a valid answer, whose own error is already listed.
            if error["type"] != "default_factory_not_called":
                problems.append(from_validation(error, _file_names(error["loc"])))
    return (None, problems) if problems else (news, [])


def _rename(row: Mapping[Any, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    return {fields[name]: value for name, value in row.items() if isinstance(name, str) and name in fields}


def _file_names(location: Location) -> Location:
    inside_question = len(location) > 2
    return tuple(("question" if inside_question else "news") if part == "text" else part for part in location)


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
                found="a field of this name, which is not known",
                expected="only the fields " + ", ".join(fields),
                do=f"did you mean {near[0]!r}? rename it, or take it out" if near else "take it out",
                location=(*location, str(name)),
            )
        )
    return problems
