"""Tables: CSV, and JSON Lines that are not a data set. A row is a news item, or a question about a repeated text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.importers.columns import TEXT, Columns, first_of
from sys2ft.news.importers.pieces import Bad, Entry, Piece, Remark, Source, excerpt
from sys2ft.news.importers.records import of_another_shape, recognise
from sys2ft.news.importers.texts import lines_of, too_long

_SEPARATOR = re.compile(r'"?sep=([^\w"\s]|\t)"?', re.IGNORECASE)  # Excel's first line that names the delimiter


def read_csv(source: Source) -> Iterator[Piece]:
    """Rows of a CSV or TSV file whose first row names the columns; the delimiter is detected."""
    lines = lines_of(source)
    opening: list[str] = []
    stated = ""
    for line in lines:
        if not stated and not any(map(str.strip, opening)) and (mark := _SEPARATOR.fullmatch(line.strip(" \r"))):
            stated = mark[1]
            opening.append("")
            continue
        opening.append(line)
        if line.strip():
            break
    csv.field_size_limit(source.settings.max_record)
    # Quoted values may span lines, so the reader needs the line ends.
    ended = (line + "\n" for line in chain(opening, lines))
    rows = csv.reader(ended, delimiter=stated or _delimiter(source, "".join(opening)), strict=True)
    names: list[str] = []
    columns: Columns | None = None
    end = 0
    anything = False
    while True:
        begun = end + 1
        try:
            row = next(rows)
        except StopIteration:
            if columns is not None and not anything:
                raise no_rows(source) from None
            return
        except csv.Error as error:
            raise _broken(source, error, f"line {begun}") from error
        end = rows.line_num
        place = f"line {begun}"
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            names = [name.strip() for name in row]
            columns = Columns(source, names, place)
            continue
        anything = True
        if len(row) > len(names):
            yield Bad(
                source.error(
                    f"{len(row)} values under {len(names)} columns",
                    expected="as many values as columns",
                    fix="put values that contain the delimiter between double quotes",
                    place=place,
                )
            )
        else:
            yield from columns.read(dict(zip(names, row, strict=False)), place)


def no_rows(source: Source, place: str = "") -> NewsError:
    """The error for a table that has nothing but the names of its columns."""
    return source.error(
        "a header and no rows",
        expected="rows under the names of the columns",
        fix="check the file, or omit it",
        place=place,
    )


def _broken(source: Source, error: csv.Error, place: str) -> NewsError:
    if "field larger" in str(error):
        return too_long(source, place, "a value (a quotation mark that is never closed?)")
    return source.error(
        f"a row that is not CSV ({error})",
        expected="values between delimiters, quoted with double quotes, quotes inside doubled",
        fix="correct the row, or export the table again",
        place=place,
    )


def _delimiter(source: Source, names: str) -> str:
    """The delimiter: the most frequent of the common ones in the header."""
    if source.path.suffix.lower() == ".tsv":
        return "\t"
    outside = re.sub(r'"[^"]*"', "", names)
    return max(",;\t|", key=outside.count)


def read_json_lines(source: Source) -> Iterator[Piece]:
    """JSON Lines: records of a data set, recognised by their fields, or a table."""
    columns: dict[tuple[str, ...], Columns] = {}
    for number, line in enumerate(lines_of(source), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line, object_pairs_hook=unique)
        except FieldTwice as twice:
            yield Bad(field_twice(source, twice, place))
            continue
        except (ValueError, RecursionError) as error:
            yield Bad(not_json(source, error, place))
            continue
        yield from read_record(source, row, place, columns)


def read_record(source: Source, row: object, place: str, columns: dict[tuple[str, ...], Columns]) -> Iterator[Piece]:
    """One record: of a known shape, or a row of a table; `columns` caches the roles of such rows' columns."""
    shape = None if source.settings.text_fields else recognise(row)
    if shape is not None:
        yield from shape.read(source, row, place)  # type: ignore[arg-type]  # a shape fits mappings only
        return
    if not isinstance(row, Mapping) or not (source.settings.text_fields or first_of([*map(str, row)], TEXT)):
        yield of_another_shape(source, row, place)
        return
    names = tuple(map(str, row))
    try:
        if names not in columns:
            columns[names] = Columns(source, names, place)
    except NewsError as error:
        yield Bad(error)
        return
    yield from columns[names].read(row, place)


class FieldTwice(ValueError):
    """A field twice in one mapping, of which json and ijson keep the last."""


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of these pairs. Raises FieldTwice."""
    row: dict[str, Any] = {}
    for name, value in pairs:
        if name in row:
            raise FieldTwice(name)
        row[name] = value
    return row


def field_twice(source: Source, name: object, place: str) -> NewsError:
    """The error for a record with a field twice."""
    return source.error(
        f"the field {str(name)!r} twice in one mapping",
        expected="every field at most once",
        fix="rename or remove one of the two",
        place=place,
    )


def not_json(source: Source, error: Exception, place: str) -> NewsError:
    """The error for invalid JSON."""
    why = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else excerpt(str(error))
    if isinstance(error, RecursionError):
        why = "it is nested too deeply"
    return source.error(
        f"a line that is not JSON ({why})",
        expected="one JSON value a line",
        fix="correct the line; if the whole file is one JSON value, give it the ending .json",
        place=place,
    )


def same_text_together(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Merge consecutive entries with the same text: tables repeat a text for each question."""
    held: Entry | None = None
    for piece in pieces:
        if isinstance(piece, Entry) and piece.made is None and not piece.answer_at:
            same = held is not None and (held.text, held.titles) == (piece.text, piece.titles)
            if held is not None and same and (held.questions or piece.questions):
                held = replace(
                    held,
                    questions=(*held.questions, *piece.questions),
                    neighbours=(*held.neighbours, *piece.neighbours),
                    cloze=held.cloze or piece.cloze,
                )
                continue
            if held is not None:
                yield held
            held = piece
            continue
        if held is not None and not isinstance(piece, Remark):
            yield held
            held = None
        yield piece
    if held is not None:
        yield held
