"""Tables: CSV, and JSON Lines that are not a data set. A row is a news item, or a question about a repeated text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.importers.pieces import Bad, Entry, Piece, Remark, Source, excerpt, table_row
from sys2ft.news.importers.records import of_another_shape, question_of, recognise
from sys2ft.news.importers.texts import clean, lines_of, too_long
from sys2ft.news.schema import Question

TEXT = ("text", "content", "body", "news", "context", "passage", "article", "description")
TITLE = ("title", "heading", "headline")
QUESTION = ("question",)
ANSWER = ("answer", "answers")


class Columns:
    """The role of each column: as the settings name them, else by common names."""

    def __init__(self, source: Source, names: Sequence[str], place: str) -> None:
        settings = source.settings
        self.text = settings.text_fields or _first(names, TEXT)
        self.title = (settings.title_field,) if settings.title_field else _first(names, TITLE)
        self.question = (settings.question_field,) if settings.question_field else _first(names, QUESTION)
        self.answer = (settings.answer_field,) if settings.answer_field else _first(names, ANSWER)
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

    def read(self, row: Mapping[str, Any], place: str) -> Iterator[Piece]:
        """The row as text, with its question if the table has questions."""
        said = [_words(row.get(name)) for name in self.text]
        text = said[0] if len(said) == 1 else table_row(self.text, said)
        if not text:
            yield Remark(what="row without text", place=place)
            return
        titles = tuple(words for name in self.title if (words := " ".join(_words(row.get(name)).split())))
        asked: tuple[Question, ...] = ()
        if self.question and self.answer and (wanted := _words(row.get(self.question[0]))):
            answer = row.get(self.answer[0])
            one = question_of(wanted, [_words(a) for a in (answer if isinstance(answer, list) else [answer])], place)
            if isinstance(one, Remark):
                yield one
            else:
                asked = (one,)
        yield Entry(text=text, titles=titles, place=place, questions=asked)


def _first(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
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


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(map(_words, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return clean(str(value)).strip()


def read_csv(source: Source) -> Iterator[Piece]:
    """Rows of a CSV or TSV file whose first row names the columns; the delimiter is detected."""
    lines = lines_of(source)
    opening: list[str] = []
    for line in lines:
        opening.append(line)
        if line.strip():
            break
    csv.field_size_limit(source.settings.max_record)
    # Quoted values may span lines, so the reader needs the line ends.
    ended = (line + "\n" for line in chain(opening, lines))
    rows = csv.reader(ended, delimiter=_delimiter(source, "".join(opening)), strict=True)
    names: list[str] = []
    columns: Columns | None = None
    end = 0
    while True:
        begun = end + 1
        try:
            row = next(rows)
        except StopIteration:
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
        elif len(row) > len(names):
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
            row = json.loads(line)
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
    if not isinstance(row, Mapping) or not (source.settings.text_fields or _first([*map(str, row)], TEXT)):
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
            if held is not None and (held.text, held.titles) == (piece.text, piece.titles) and piece.questions:
                held = replace(held, questions=(*held.questions, *piece.questions))
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
