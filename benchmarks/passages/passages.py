"""Passages with their questions, what several writers wrote about each, and the training sequences made of a text.

The file is a JSON list; each passage has `title`, `context`, `questions` (a list of `question` and `answer`) and
`written_by_peers` (writer -> text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sys2ft.errors import NewsError
from sys2ft.files import is_file_name

BASE, IN_CONTEXT, PASSAGE, OWN = "base", "in-context", "passage", "own-"
"""Rows of the table without a writer, and the beginning of the name of those that the learner writes."""
RESERVED = (BASE, IN_CONTEXT, PASSAGE)

_SEGMENT = "---"
_QUESTION, _ANSWER = re.compile(r"Question\s+\d+:"), re.compile(r"Answer(\s+\d+)?\s*:")
_BEFORE_QUESTION = re.compile(r"\n(?=Question\s+\d+:)")


class _Asked(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_min_length=1)
    question: str
    answer: str


class _Row(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_min_length=1)
    title: str
    context: str
    questions: list[_Asked]
    written_by_peers: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage; `name` is unique in its file and decides, with the seed, an adapter's initial weights."""

    name: str
    title: str
    context: str
    questions: tuple[Asked, ...]
    written: Mapping[str, str]


def read_passages(path: Path, first: int = 0) -> list[Passage]:
    """The passages of the file, or the first ones. Raises NewsError for a file that cannot be used."""
    try:
        rows = TypeAdapter(list[_Row]).validate_json(path.read_bytes())
    except OSError as error:
        raise _unusable(path, str(error)) from error
    except ValidationError as error:
        place = error.errors()[0]
        where = ".".join(str(part) for part in place["loc"]) or "the file"
        raise _unusable(path, f"{where}: {place['msg']}") from error
    rows = rows[: first or None]
    if not rows or not all(row.questions for row in rows):
        raise _unusable(path, "no passage" if not rows else "a passage without questions")
    writers = {writer for row in rows for writer in row.written_by_peers}
    if wrong := sorted(name for name in writers if name in RESERVED or name.startswith(OWN) or not is_file_name(name)):
        raise _unusable(path, f"the writer {wrong[0]!r}, whose name is that of another row or no name of a file")
    for number, row in enumerate(rows):
        if missing := writers - row.written_by_peers.keys():
            raise _unusable(path, f"passage {number} ({row.title}) without a text of {', '.join(sorted(missing))}")
    return [
        Passage(
            name=f"passage-{number:03d}",
            title=row.title,
            context=row.context,
            questions=tuple(Asked(one.question, one.answer) for one in row.questions),
            written=row.written_by_peers,
        )
        for number, row in enumerate(rows)
    ]


def _unusable(path: Path, why: str) -> NewsError:
    return NewsError(
        f"{path}: {why}",
        expected="a JSON list of passages, each with `title`, `context`, `questions` (`question`, `answer`), and with "
        "texts of the same writers in `written_by_peers`",
        fix="correct the file, or pass another one",
    )


def sequences(text: str) -> list[str]:
    """The training sequences in a writer's text, as SEAL's `build_train_sequences` splits it at line breaks.

    `---` and line breaks separate sequences; a first line that only introduces a list which begins with '1.' is left
    out. A text of numbered questions is split before each question. SEAL's code expects 'Answer:' there and would
    separate questions from answers where the answers are numbered too ('Answer 2:'), which is allowed here.
    """
    text = text.strip()
    if _QUESTION.search(text) and _ANSWER.search(text):
        first, *rest = _BEFORE_QUESTION.split(text)
        return [first if first.startswith("Question") else f"Question 1: {first}", *rest]
    lines = [line.strip() for part in text.split(_SEGMENT) for line in part.splitlines() if line.strip()]
    return lines[1:] if len(lines) > 1 and lines[1].startswith("1.") else lines


Element = dict[str, Any]
"""A prompt (a list of messages) and the completion to learn."""


def titled(title: str, texts: Sequence[str]) -> list[Element]:
    """An element for each text: the title is the prompt, as SEAL puts it on the line before the text."""
    return [{"prompt": [{"role": "user", "content": title}], "completion": text} for text in texts]
