"""Spreadsheets (XLSX, XLS, XLSB, ODS) as tables; the only module that uses the package `python_calamine`."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.importers.columns import Columns, is_known
from sys2ft.news.importers.pieces import Entry, Piece, Remark, Source, excerpt, optional
from sys2ft.news.importers.texts import read_head

_UNPACKED = 1_000_000_000
"""Bytes that the parts of a spreadsheet may unpack to: the library reads a sheet as a whole."""
_UNNAMED = re.compile(r"(?:sheet|tabelle|feuil|hoja|foglio|planilha|blad|лист|工作表|シート|시트)[ _]?\d*$", re.I)
"""Names that programs give to sheets, which say nothing."""
_OLE = b"\xd0\xcf\x11\xe0"


def read_sheets(source: Source) -> Iterator[Piece]:
    """The rows of every visible sheet whose header has a column for the text.

    The first row with two or more values is the header; single values above it are titles, as is the name of the sheet
    if it has one and there are several. Raises NewsError if no sheet has a column for the text.
    """
    calamine = optional("python_calamine", "python-calamine", "reading spreadsheets")
    book = _open(source, calamine)
    visible: list[str] = []
    hidden: list[str] = []
    for sheet in book.sheets_metadata:
        if sheet.typ == calamine.SheetTypeEnum.WorkSheet:
            (visible if sheet.visible == calamine.SheetVisibleEnum.Visible else hidden).append(sheet.name)
    for name in hidden:
        yield Remark(what="hidden sheet", place=f"sheet {name!r}")
    failed: list[tuple[str, NewsError]] = []
    read: list[str] = []
    for name in visible:
        rows = list(_rows(source, calamine, book, name))
        if not rows:
            continue
        try:
            sheet_title = () if len(visible) == 1 or _UNNAMED.fullmatch(name.strip()) else (name.strip(),)
            columns, titles, header = _columns(source, rows, f"sheet {name!r}")
        except NewsError as error:
            failed.append((name, error))
            continue
        read.append(name)
        yield from _table(columns, rows[header:], (*sheet_title, *titles), f"sheet {name!r}")
    if failed and not read:
        raise failed[0][1]
    for name, why in failed:
        yield Remark(what="sheet without a usable header", place=f"sheet {name!r}", shown=excerpt(why.found, 120))
    if len(read) > 1:
        shown = ", ".join(map(repr, read))
        yield Remark(what="several sheets: each read as a table", place="workbook", shown=shown, left_out=False)


def _open(source: Source, calamine: Any) -> Any:
    head = read_head(source)
    if head.startswith(b"PK") and zipfile.is_zipfile(source.path):
        with zipfile.ZipFile(source.path) as archive:
            if sum(part.file_size for part in archive.infolist()) > _UNPACKED:
                raise source.error(
                    f"a spreadsheet that unpacks to more than {_UNPACKED // 1_000_000} MB",
                    expected="a spreadsheet that fits in memory",
                    fix="save its sheets as CSV, which is read row by row",
                )
    try:
        return calamine.CalamineWorkbook.from_path(source.path)
    except calamine.PasswordError as error:
        raise _locked(source) from error
    except calamine.CalamineError as error:
        if head.startswith(_OLE) and source.path.suffix.lower() != ".xls":
            raise _locked(source) from error  # a locked XLSX is an OLE file
        raise _damaged(source, error) from error


def _locked(source: Source) -> NewsError:
    return source.error(
        "a spreadsheet with a password, or an old one (.xls) under another ending",
        expected="a spreadsheet that opens without a password",
        fix="save a copy without a password, or rename it to .xls",
    )


def _damaged(source: Source, error: Exception, place: str = "") -> NewsError:
    return source.error(
        f"a file that is not a readable spreadsheet ({excerpt(str(error))})",
        expected="XLSX, XLS, XLSB or ODS",
        fix="open it and save it again, or save it as CSV",
        place=place,
    )


_Rows = list[tuple[int, list[str]]]
"""The number of each row that has values, from 1, and its values."""


def _rows(source: Source, calamine: Any, book: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a sheet that have values; a value merged over several rows is in each of them."""
    try:
        sheet = book.get_sheet_by_name(name)
        rows = [[_words(value) for value in row] for row in sheet.to_python(skip_empty_area=False)]
    except calamine.CalamineError as error:
        raise _damaged(source, error, f"sheet {name!r}") from error
    for (top, left), (bottom, _) in sheet.merged_cell_ranges or ():
        for row in rows[top + 1 : bottom + 1]:
            row[left] = rows[top][left]
    for number, row in enumerate(rows, start=1):
        if any(row):
            yield number, row


def _words(value: object) -> str:
    """A value as a person reads it: whole numbers without a point, dates without a time at midnight."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else format(value, ".15g")
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds").removesuffix(":00").removesuffix(" 00:00")
    if isinstance(value, time):
        shown = value.isoformat("seconds")
        return shown[:5] if shown.endswith(":00") else shown
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else str(value).strip()


def _columns(source: Source, rows: _Rows, place: str) -> tuple[Columns, tuple[str, ...], int]:
    """The columns, the titles above the header, and how many rows these are."""
    wide = sum(any(row[at] for _, row in rows) for at in range(len(rows[0][1]))) > 1
    titles: list[str] = []
    for at, (number, row) in enumerate(rows):
        values = list(filter(None, row))
        if wide and len(values) == 1 and not is_known(values[0], source.settings) and at + 1 < len(rows):
            titles.append(values[0])
            continue
        # Columns without a name have no role, and are not the same column.
        names = [name or f"column {column}" for column, name in enumerate(row, start=1)]
        return Columns(source, names, f"{place}, row {number}"), tuple(titles), at + 1
    raise source.error("no header", expected="a row with the names of the columns", fix="add one", place=place)


def _table(columns: Columns, rows: _Rows, titles: tuple[str, ...], place: str) -> Iterator[Piece]:
    for number, row in rows:
        named: Mapping[str, str] = dict(zip(columns.names, row, strict=False))
        for piece in columns.read(named, f"{place}, row {number}"):
            yield replace(piece, titles=(*titles, *piece.titles)) if isinstance(piece, Entry) else piece
