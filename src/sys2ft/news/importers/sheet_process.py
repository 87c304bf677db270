"""Read a spreadsheet in a process of its own; the only module that uses the package `python_calamine`.

The library allocates the memory that a damaged file claims to need, and ends its process if there is not so much.
`sheets.py` runs this file as a script, which prints a line of JSON for each sheet.
"""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

MEMORY = 4 << 30
"""Bytes of memory that a spreadsheet may take."""


def sheets_of(path: str) -> list[dict[str, Any]]:
    """Name, visibility and rows of each worksheet; a value merged over several rows is in each of them."""
    import python_calamine as calamine

    found = []
    book = calamine.CalamineWorkbook.from_path(path)
    for kind in book.sheets_metadata:
        if kind.typ != calamine.SheetTypeEnum.WorkSheet:
            continue
        hidden = kind.visible != calamine.SheetVisibleEnum.Visible
        rows: list[list[str]] = []
        if not hidden:
            sheet = book.get_sheet_by_name(kind.name)
            rows = [[words_of(value) for value in row] for row in sheet.to_python(skip_empty_area=False)]
            for (top, left), (bottom, _) in sheet.merged_cell_ranges or ():
                for row in rows[top + 1 : bottom + 1]:
                    row[left] = rows[top][left]
        found.append({"name": kind.name, "hidden": hidden, "rows": rows})
    return found


def words_of(value: object) -> str:
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


def main(path: str) -> None:
    """Write the sheets, or what is wrong with the file, to standard output: for the parent process."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; a lower limit is set already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        for sheet in sheets_of(path):
            print(json.dumps(sheet))
    except BaseException as error:  # a fault of the library in Rust is no Exception
        print(json.dumps({"error": type(error).__name__, "why": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1])
