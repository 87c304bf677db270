"""Parse JSON Lines and YAML into rows with line numbers."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from sys2ft.news.problems import Location, Problem, describe


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One entry of a file, not yet checked."""

    value: object
    line: int
    node: yaml.Node | None = None
    """The YAML node, which has the line of every field; None for JSON, where a row is one line."""

    def line_of(self, location: Location) -> int:
        """The line of a field, or of the nearest enclosing element."""
        node, line = self.node, self.line
        for part in location:
            if isinstance(node, yaml.MappingNode):
                pairs = [pair for pair in node.value if getattr(pair[0], "value", None) == str(part)]
                if not pairs:
                    break
                key, node = pairs[-1]
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


class _FieldTwice(ValueError):
    """A repeated field in a JSON mapping, of which json would silently keep the last."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in pairs:
        if name in row:
            raise _FieldTwice(name)
        row[name] = value
    return row


def json_rows(text: str) -> tuple[list[Row], list[Problem]]:
    """Rows of JSON Lines; lines that hold only spaces are skipped."""
    rows, problems = [], []
    # Not splitlines(): it also splits at characters that JSON allows inside a text, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row(value=json.loads(line, object_pairs_hook=_unique), line=number))
        except _FieldTwice as twice:
            problems.append(
                Problem(
                    found=f"the field {str(twice)!r} twice in one mapping",
                    expected="every field at most once",
                    fix="remove one of the two",
                    line=number,
                )
            )
        except (ValueError, RecursionError) as error:
            problems.append(_malformed(error, line, number))
    if (problems or any(isinstance(row.value, list) for row in rows)) and (whole := _as_one_value(text)):
        return [], [whole]
    return rows, problems


def _malformed(error: Exception, line: str, number: int) -> Problem:
    why = str(error) or type(error).__name__
    if isinstance(error, json.JSONDecodeError):
        why = f"{error.msg} at column {error.colno}, before {describe(line[error.pos : error.pos + 20])}"
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply"
    return Problem(
        found=f"a line that is not JSON ({why})",
        expected='one mapping on one line: {"id": "...", "news": "...", "questions": [...]}',
        fix="correct the line: double quotes around texts, commas between fields, no comma after the last",
        line=number,
    )


def _as_one_value(text: str) -> Problem | None:
    """The problem of a file that is ordinary JSON (a list, or one mapping over several lines), else None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and "\n" not in text.strip():
        return None  # a JSON Lines file of one line, and that line has its own problem
    return Problem(
        found=f"one JSON value in the whole file ({describe(value)})",
        expected="JSON Lines: one news item on each line, each a mapping, without an enclosing list",
        fix="write one news item on each line (`jq -c '.[]' FILE > news.jsonl` does it for a list), or save as .yaml",
        line=1 + text[: len(text) - len(text.lstrip())].count("\n"),
    )


class _Loader(yaml.SafeLoader):
    """The safe loader, which also rejects repeated fields."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    why = f"the field {key.value!r} twice in one mapping"
                    raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def yaml_rows(text: str) -> tuple[list[Row], list[Problem]]:
    """Rows of a YAML file that is one list."""
    rows, problems = [], []
    try:
        loader = _Loader(text)
        top = loader.get_single_node()
    except (yaml.YAMLError, RecursionError) as error:
        return [], [_malformed_yaml(error, text, 1)]
    if top is None:
        return [], []
    if not isinstance(top, yaml.SequenceNode):
        problem = Problem(
            found="a mapping" if isinstance(top, yaml.MappingNode) else "a single value",
            expected="a list of news items, each beginning with '- id: ...'",
            fix="put '- ' before the first field of every news item and indent the other fields by two spaces",
            line=top.start_mark.line + 1,
        )
        return [], [problem]
    for node in top.value:
        line = node.start_mark.line + 1
        try:
            rows.append(Row(value=loader.construct_document(node), line=line, node=node))
        except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
            # PyYAML's constructors of dates and tagged values raise these errors on invalid values.
            problems.append(_malformed_yaml(error, text, line))
    return rows, problems


def _malformed_yaml(error: Exception, text: str, line: int) -> Problem:
    why = str(error) or type(error).__name__
    if isinstance(error, yaml.MarkedYAMLError):
        why = ", ".join(part for part in (error.context, error.problem) if part)
        if error.problem_mark is not None:
            line = error.problem_mark.line + 1
            why += f" at column {error.problem_mark.column + 1}"
    elif isinstance(error, yaml.reader.ReaderError):
        line = text[: int(error.position)].count("\n") + 1
        why = f"the character U+{error.character:04X} is not allowed"
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply"
    return Problem(
        found=f"text that is not valid YAML ({why})",
        expected="a list of news items, each a mapping of id, domain, news and questions",
        fix="correct the line: spaces and no tabs, quotes around texts that hold ': ' or '#', every field only once",
        line=line,
    )
