"""Training files as rows with line numbers, one at a time: JSON Lines, a JSON list, CSV; each also as .gz."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft.errors import UserError
from sys2ft.files import open_binary

LONGEST = 1 << 26
"""Bytes of the longest line, or characters of the longest record of a list: more is no training sample."""
_BLOCK = 1 << 16
_FROM_PARQUET = "pandas.read_parquet('FILE').to_json('data.jsonl', orient='records', lines=True)"
_BINARY = {
    b"PAR1": ("a Parquet file", f"convert it: {_FROM_PARQUET}"),
    b"PK\x03\x04": ("a ZIP archive", "unpack it"),
    b"\x1f\x8b": ("a file compressed with gzip under a name without .gz", "rename it so that it ends in .gz"),
    b"BZh": ("a file compressed with bzip2", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("a file compressed with xz", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("a file compressed with zstd", "unpack it with unzstd"),
}
_FILE = "JSON Lines, a JSON list of records, or CSV with a header; UTF-8, also compressed (.gz)"


@dataclass(frozen=True, slots=True)
class Source:
    """A file and the function that is called with the number of bytes read since its last call."""

    path: Path
    advance: Callable[[int], None] = lambda size: None

    def error(self, found: str, *, line: int = 0, expected: str = _FILE, fix: str) -> UserError:
        """The error for the file, or for a line of it."""
        return UserError(f"{self.path}{f', line {line}' if line else ''}: {found}", expected=expected, fix=fix)


def rows(source: Source) -> Iterator[tuple[int, object]]:
    """Rows of a file with the line on which each begins, read as they are needed.

    Raises:
        UserError: the file cannot be read, or a line or record of it is not what its format demands.
    """
    lines = _lines(source)
    name = source.path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        yield from _table(source, lines, "\t" if name.endswith(".tsv") else ",")
        return
    for number, line in lines:
        if not line.strip():
            continue
        if line.lstrip().startswith("["):
            yield from _listed(source, number, line.lstrip()[1:], lines)
        else:
            yield number, _value(source, number, line)
            for later, other in lines:
                if other.strip():
                    yield later, _value(source, later, other)
        return


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends. Only byte 10 ends a line: JSON allows other marks inside a text."""
    number = 0
    try:
        with open_binary(source.path) as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if number == 1:
                    _check_text(source, raw)
                if len(raw) > LONGEST:
                    raise source.error(
                        f"a line of more than {LONGEST >> 20} MB",
                        line=number,
                        fix="check the file; write one record on each line",
                    )
                source.advance(len(raw))
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise source.error(
            f"the byte 0x{error.object[error.start]:02x}, which is not UTF-8",
            line=number,
            fix="save the file as UTF-8, for example with iconv -t UTF-8",
        ) from error
    except OSError as error:
        raise source.error(
            f"cannot be read ({error.strerror or error})", expected="a file that exists", fix="check the path"
        ) from error


def _check_text(source: Source, head: bytes) -> None:
    for magic, (what, fix) in _BINARY.items():
        if head.startswith(magic):
            raise source.error(what, fix=fix.replace("FILE", str(source.path)))
    if b"\0" in head[:_BLOCK]:
        raise source.error("a binary file, or text in UTF-16", fix="save it as text in UTF-8")


def _value(source: Source, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise source.error(
            f"a line that is not JSON ({_why(error)})",
            line=number,
            expected="one record on each line, or a list of records",
            fix="correct the line; a file that is one mapping is written as JSON Lines by: jq -c '.data[]' FILE",
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _listed(source: Source, number: int, text: str, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, object]]:
    """The records of a JSON list, of which `text` on line `number` is the beginning; at most one is in memory."""
    decoder, comma = json.JSONDecoder(), False
    while True:
        number += text[: len(text) - len(text.lstrip())].count("\n")
        text = text.lstrip()
        if not text:
            text = _further(lines, 1)
            if not text:
                raise _unfinished(source, number, "it ends within its list")
            continue
        if text[0] == "]":
            if text[1:].strip() or any(line.strip() for _, line in lines):
                raise _unfinished(source, number, "there is more after its list")
            return
        if comma:
            if text[0] != ",":
                raise _unfinished(source, number, f"{text[:20]!r} in the place of a comma")
            text, comma = text[1:], False
            continue
        try:
            value, end = decoder.raw_decode(text)
        except (ValueError, RecursionError) as error:
            # The record may end further on. Twice as much at each attempt, since the decoder begins anew.
            rest = _further(lines, len(text)) if 2 * len(text) < LONGEST else ""
            if not rest:
                at = number + (text[: error.pos].count("\n") if isinstance(error, json.JSONDecodeError) else 0)
                raise _unfinished(source, at, _why(error)) from error
            text += rest
            continue
        yield number, value
        number += text[:end].count("\n")
        text, comma = text[end:], True


def _further(lines: Iterator[tuple[int, str]], least: int) -> str:
    """Further lines, of `least` characters together or to the end of the file."""
    found: list[str] = []
    while least > 0 and (more := next(lines, None)) is not None:
        found.append(more[1])
        least -= len(more[1])
    return "".join(found)


def _unfinished(source: Source, line: int, why: str) -> UserError:
    return source.error(
        f"a JSON list that cannot be read ({why})",
        line=line,
        expected="a list of records: [{...}, {...}]",
        fix="correct it, or write one record on each line without an enclosing list (.jsonl)",
    )


def _table(source: Source, lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, object]]:
    csv.field_size_limit(LONGEST)
    table = csv.reader((line for _, line in lines), delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        begun = table.line_num + 1
        try:
            row = next(table, None)
        except csv.Error as error:
            raise source.error(
                f"a row that is not CSV ({error})", line=begun, fix="quote values with double quotes, quotes doubled"
            ) from error
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        if not names:
            names = [name.strip() for name in row]
            continue
        if len(row) > len(names):
            raise source.error(
                f"{len(row)} values under {len(names)} columns",
                line=begun,
                fix="put values that contain the delimiter between double quotes",
            )
        cells: dict[str, Any] = {name: cell for name, cell in zip(names, row, strict=False) if cell.strip()}
        yield begun, cells
