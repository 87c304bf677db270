"""Parse JSON Lines and YAML into rows with line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from sys2ft.news.problems import NO_VALUE, Location, Problem, Written, describe


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


def _number(text: str) -> Written:
    return Written(text, "a number")


# A news file holds texts only: numbers are kept as they were written, for the error that asks for quotes.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_number, parse_float=_number, parse_constant=_number)


def json_rows(text: str) -> tuple[list[Row], list[Problem]]:
    """Rows of JSON Lines; lines that hold only spaces are skipped."""
    rows, problems = [], []
    # Not splitlines(): it also splits at characters that JSON allows inside a text, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row(value=_DECODER.decode(line.strip("\r")), line=number))
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
        fix="write one news item on each line, for example by: "
        f"jq -c {'.[]' if isinstance(value, list) else '.'} FILE > news.jsonl",
        line=1 + text[: len(text) - len(text.lstrip())].count("\n"),
    )


class _Loader(yaml.SafeLoader):
    """The safe loader, which rejects repeated fields and keeps plain values that are no texts as they were written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    why = f"the field {key.value!r} twice in one mapping"
                    raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"  # a field may be called `no` or `1`
        return super().construct_mapping(node, deep=deep)

    def construct_written(self, node: yaml.Node) -> Written | None:
        """The source text of a value that YAML does not read as text."""
        if not isinstance(node, yaml.ScalarNode):
            return self.construct_undefined(node)
        source = str(node.start_mark.buffer)  # the whole file, since it is read from a text
        text = source[node.start_mark.pointer : node.end_mark.pointer].strip()
        if not text:
            comment = _COMMENT.match(source, node.start_mark.pointer)
            text = comment[1].strip("\0 ") if comment else ""
        read_as = _READ_AS.get(node.tag.removeprefix("tag:yaml.org,2002:"), f"a value with the tag {node.tag}")
        return Written(text, read_as)


_MERGE = "tag:yaml.org,2002:merge"
_COMMENT = re.compile(r"[ \t]*(#[^\n]*)")
_READ_AS = {
    "bool": "a yes/no value",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "null": NO_VALUE,
    "merge": "a merge key",
    "value": "a default value",
    "binary": "binary data",
}
for _tag in _READ_AS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_written)
_Loader.add_constructor(None, _Loader.construct_written)


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
        fix="correct the line: spaces and no tabs, every field only once, quotes around texts that hold ': ' or ' #' "
        "or begin with one of @ ` % & * ! | > { [, and between braces around texts that hold ? or a comma",
        line=line,
    )
