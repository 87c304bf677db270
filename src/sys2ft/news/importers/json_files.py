"""JSON files that are one value, streamed; the only module that uses the package `ijson`."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from sys2ft.errors import NewsError
from sys2ft.news.importers.columns import Columns
from sys2ft.news.importers.pieces import Bad, Piece, Source, excerpt, optional
from sys2ft.news.importers.records import known_shapes, recognise
from sys2ft.news.importers.tables import FieldTwice, field_twice, read_json_lines, read_record, unique
from sys2ft.news.importers.texts import cannot_be_read, encoding_of, read_head, too_long

_FIRST_LINE = 1_000_000
_NAN = re.compile(rb"[:\[,]\s*(?:NaN|-?Infinity)\b")
_LISTS = ("data", "rows", "records", "examples", "items")
"""Fields of the outermost mapping that may contain the list of records, such as SQuAD's `data`."""


class _Bounded:
    """A file that raises an error if a record exceeds the size limit."""

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self.source, self.file = source, file
        self.record, self.since = 0, 0

    def read(self, size: int = -1) -> bytes:
        self.since += size
        if self.since > self.source.settings.max_record + size:
            raise too_long(self.source, f"record {self.record + 1}", "a record")
        self.source.advance(size)
        return self.file.read(size)

    def next_record(self) -> None:
        self.record, self.since = self.record + 1, 0


def read_json(source: Source) -> Iterator[Piece]:
    """The records of a JSON file: a list, a list in a mapping, or JSON Lines with the ending .json."""
    head = read_head(source)
    encoding = encoding_of(source, head)
    if encoding.replace("_", "-").casefold() not in ("utf-8", "utf-8-sig", "utf8", "ascii"):
        raise source.error(
            f"JSON in {encoding}", expected="JSON in UTF-8, as its standard wants", fix="save it as UTF-8"
        )
    first = head.decode("utf-8-sig", "replace").lstrip()[:1]
    if first not in ("[", "{"):
        raise _not_records(source, f"a text that begins with {first!r}" if first else "no text: it is empty")
    if first == "{" and _is_json_lines(source):
        yield from read_json_lines(source)
        return
    under = "item" if first == "[" else _list_of(source)
    if not under:
        yield from _single(source)
        return
    columns: dict[tuple[str, ...], Columns] = {}
    rows = _whole(source, under) if _has_nan(source) else _stream(source, under)
    for number, row in enumerate(rows, start=1):
        place = f"record {number}"
        if isinstance(row, FieldTwice):
            yield Bad(field_twice(source, row, place))
        else:
            yield from read_record(source, row, place, columns)


@contextmanager
def _opened(source: Source) -> Iterator[_Bounded]:
    try:
        with source.path.open("rb") as file:
            if file.read(len(BOM_UTF8)) != BOM_UTF8:
                file.seek(0)
            yield _Bounded(source, file)
    except OSError as error:
        raise cannot_be_read(source, error) from error


def _stream(source: Source, under: str) -> Iterator[Any]:
    """The records; a FieldTwice in the place of one that has a field twice."""
    ijson = optional("ijson", "ijson", "reading JSON files")
    twice: list[str] = []

    class Fields(dict[str, Any]):
        """A mapping that notes repeated fields; an error raised here would not pass through the parser."""

        def __setitem__(self, name: str, value: Any) -> None:
            if name in self:
                twice.append(name)
            super().__setitem__(name, value)

    with _opened(source) as file:
        try:
            for row in ijson.items(file, under, use_float=True, map_type=Fields):
                file.next_record()
                yield FieldTwice(twice[0]) if twice else row
                twice.clear()
        except (ijson.JSONError, UnicodeDecodeError) as error:
            why = excerpt(str(error).split("\n")[0])
            raise source.error(
                f"text that is not JSON ({why})",
                expected="one JSON value: a list of records",
                fix="correct it, or save it again; if it has one record on each line, use the ending .jsonl",
                place=f"after record {file.record}",
            ) from error


def _has_nan(source: Source) -> bool:
    """Whether a value is NaN or Infinity, which is no JSON, but which Python and pandas write."""
    with _opened(source) as file:
        tail = b""
        while block := file.file.read(_FIRST_LINE):
            if _NAN.search(tail + block):
                return True
            tail = block[-64:]
    return False


def _whole(source: Source, under: str) -> Iterator[Any]:
    """The records of a file with NaN, which the streaming parser rejects; the file must be as small as a record."""
    value = _value(source, "a file with NaN or Infinity as values, which are no JSON,")
    for name in under.split(".")[:-1]:
        value = value[name]
    yield from value


def _value(source: Source, what: str) -> Any:
    if source.path.stat().st_size > source.settings.max_record:
        raise too_long(source, "record 1", what)
    try:
        return json.loads(source.path.read_bytes().decode("utf-8-sig"), object_pairs_hook=unique)
    except FieldTwice as twice:
        raise field_twice(source, twice, "") from twice
    except (ValueError, RecursionError) as error:
        raise source.error(
            f"text that is not JSON ({excerpt(str(error))})",
            expected="one JSON value",
            fix="correct it, or save it again; if it has one record on each line, use the ending .jsonl",
        ) from error


def _is_json_lines(source: Source) -> bool:
    """Whether the first line is a complete JSON value and another follows; False if that line is very long."""
    with source.path.open("rb") as file:
        first, rest = file.readline(_FIRST_LINE), file.read(_FIRST_LINE)
    try:
        json.loads(first.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return first.endswith(b"\n") and bool(rest.strip())


def _list_of(source: Source) -> str:
    """The path of the list of records in the outermost mapping; '' if there is none."""
    ijson = optional("ijson", "ijson", "reading JSON files")
    with _opened(source) as file:
        try:
            for prefix, event, _ in ijson.parse(file):
                if event == "start_array" and prefix in _LISTS:
                    return f"{prefix}.item"
        except (ijson.JSONError, UnicodeDecodeError):
            return ""  # reported when it is read
    return ""


def _single(source: Source) -> Iterator[Piece]:
    """A mapping that is itself the only record."""
    row = _value(source, "a record")
    if recognise(row) is None and not source.settings.text_fields:
        fields = excerpt(", ".join(map(str, row)), 200)
        raise _not_records(source, f"a mapping with the fields {fields}")
    yield from read_record(source, row, "record 1", {})


def _not_records(source: Source, found: str) -> NewsError:
    return source.error(
        found,
        expected=f"a list of records, or a mapping with such a list as 'data'; known records: {known_shapes()}",
        fix="convert it to one of these forms, or name the text field with --text-fields",
    )
