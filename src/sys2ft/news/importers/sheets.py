"""Spreadsheets (XLSX, XLS, XLSB, ODS) as tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sys2ft.errors import NewsError
from sys2ft.news.importers import sheet_process
from sys2ft.news.importers.columns import Columns, is_known
from sys2ft.news.importers.pieces import Entry, Piece, Remark, Source, excerpt, optional
from sys2ft.news.importers.tables import no_rows
from sys2ft.news.importers.texts import read_head

_UNNAMED = re.compile(r"(?:sheet|tabelle|feuil|hoja|foglio|planilha|blad|лист|工作表|シート|시트)[ _]?\d*$", re.I)
"""Names that programs give to sheets, which say nothing."""
_OLE = b"\xd0\xcf\x11\xe0"


def read_sheets(source: Source) -> Iterator[Piece]:
    """The rows of every visible sheet whose header has a column for the text.

    The first row with two or more values is the header; single values above it are titles, as is the name of the sheet
    if it has one and there are several. Raises NewsError if no sheet has a column for the text.
    """
    sheets = _sheets(source)
    for sheet in sheets:
        if sheet["hidden"]:
            yield Remark(what="hidden sheet", place=f"sheet {sheet['name']!r}")
    visible = [sheet for sheet in sheets if not sheet["hidden"]]
    failed: list[tuple[str, NewsError]] = []
    read: list[str] = []
    for sheet in visible:
        name = sheet["name"]
        rows = [(number, row) for number, row in enumerate(sheet["rows"], start=1) if any(row)]
        if not rows:
            continue
        try:
            sheet_title = () if len(visible) == 1 or _UNNAMED.fullmatch(name.strip()) else (name.strip(),)
            columns, titles, header = _columns(source, rows, f"sheet {name!r}")
        except NewsError as error:
            failed.append((name, error))
            continue
        if header == len(rows):
            failed.append((name, no_rows(source, f"sheet {name!r}")))
            continue
        read.append(name)
        yield from _table(columns, rows[header:], (*sheet_title, *titles), f"sheet {name!r}")
    if failed and not read:
        raise failed[0][1]
    for name, why in failed:
        yield Remark(what="sheet without a usable table", place=f"sheet {name!r}", shown=excerpt(why.found, 120))
    if len(read) > 1:
        shown = ", ".join(map(repr, read))
        yield Remark(what="several sheets: each read as a table", place="workbook", shown=shown, left_out=False)


def _sheets(source: Source) -> list[dict[str, Any]]:
    optional("python_calamine", "python-calamine", "reading spreadsheets")
    head = read_head(source)
    done = subprocess.run([sys.executable, sheet_process.__file__, source.path], capture_output=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        limit = sheet_process.MEMORY >> 30
        raise _damaged(source, f"reading it ended with {done.returncode}; it may take {limit} GB of memory")
    if lines and "error" in lines[-1]:
        # A locked XLSX is an OLE file.
        if lines[-1]["error"] == "PasswordError" or (head.startswith(_OLE) and source.path.suffix.lower() != ".xls"):
            raise _locked(source)
        raise _damaged(source, lines[-1]["why"] or lines[-1]["error"])
    return lines


def _locked(source: Source) -> NewsError:
    return source.error(
        "a spreadsheet with a password, or an old one (.xls) under another ending",
        expected="a spreadsheet that opens without a password",
        fix="save a copy without a password, or rename it to .xls",
    )


def _damaged(source: Source, why: str) -> NewsError:
    return source.error(
        f"a file that is not a readable spreadsheet ({excerpt(why, 100)})",
        expected="XLSX, XLS, XLSB or ODS",
        fix="open it and save it again, or save it as CSV",
    )


_Rows = list[tuple[int, list[str]]]
"""The number of each row that has values, from 1, and its values."""


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
