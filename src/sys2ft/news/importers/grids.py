"""Tables of documents to lines of text: each cell after the names of its column, cells over several columns or rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_NAME = 200
"""Characters beyond which a cell is no name of a column."""
_NUMBER = re.compile(r"[^\w\s]*\s*\d[\d\s.,:/%-]*(?:(?!st$|nd$|rd$|th$)[^\W\d]{1,3}|[^\w]*)[²³]?")
"""A number, also with a currency sign or a short unit."""
_YEAR = re.compile(r"[12]\d{3}")
_MOST = 200  # columns and rows that a cell may span: a wrong number must not fill the memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A cell with the number of columns and rows that it spans."""

    text: str
    head: bool = False
    """Whether it names a column or a row."""
    columns: int = 1
    rows: int = 1


class Grid:
    """Takes the rows of one table in order and gives a line for each row of data."""

    def __init__(self) -> None:
        self._names: list[tuple[str, ...]] = []  # of each column, from its outer to its inner header
        self._naming = True  # only header rows so far
        self._below: dict[int, tuple[int, str]] = {}  # column -> rows that a cell above still covers, and its text
        self._lines = 0

    def row(self, cells: Sequence[Cell], *, head: bool = False) -> str:
        """The line of a row; empty for a row of headers, which name the columns of the rows that follow."""
        placed = self._placed(cells)
        if not placed:
            return ""
        own = [cell for _, cell in placed if cell.text]
        names = (head or _all_heads(cells)) and not (len(cells) == 1 and cells[0].columns > 1)
        if names and cells:
            self._name(placed)
            return ""
        self._naming = False
        self._lines += bool(own)
        if not self._names and len(own) > 1 and own[0].head and not any(cell.head for cell in own[1:]):
            return f"{own[0].text}: " + "; ".join(cell.text for cell in own[1:])
        named = [(self._name_of(column, cell.columns), cell.text) for column, cell in placed if cell.text]
        return "; ".join(f"{name}: {text}" if name else text for name, text in named)

    @property
    def named(self) -> bool:
        """Whether the columns have names."""
        return bool(self._names)

    def rest(self) -> str:
        """At the end of the table: the headers, if there was no row of data."""
        return "" if self._lines else "; ".join(filter(None, (", ".join(name) for name in self._names)))

    def _placed(self, cells: Sequence[Cell]) -> list[tuple[int, Cell]]:
        """The cells with their columns, among them those that reach down from rows above."""
        placed: list[tuple[int, Cell]] = []
        below, self._below = self._below, {}
        column, waiting = 0, list(cells)
        while waiting or any(known >= column for known in below):
            if column in below:
                left, text = below[column]
                if left > 1:
                    self._below[column] = (left - 1, text)
                placed.append((column, Cell(text=text)))
                column += 1
            elif waiting:
                cell = waiting.pop(0)
                width = max(1, min(cell.columns, _MOST))
                if cell.rows > 1:
                    self._below |= {
                        column + n: (min(cell.rows, _MOST) - 1, "" if n else cell.text) for n in range(width)
                    }
                placed.append((column, cell))
                column += width
            else:
                column += 1
        return placed

    def _name(self, placed: Sequence[tuple[int, Cell]]) -> None:
        if not self._naming:
            self._names, self._naming = [], True
        width = max(column + max(1, min(cell.columns, _MOST)) for column, cell in placed)
        self._names += [()] * (width - len(self._names))
        for column, cell in placed:
            for at in range(column, column + max(1, min(cell.columns, _MOST))):
                if cell.text and self._names[at][-1:] != (cell.text,):
                    self._names[at] += (cell.text,)

    def _name_of(self, column: int, columns: int) -> str:
        """The name above a cell; above several columns, what their names share, else all of them."""
        names = [name for name in self._names[column : column + max(1, columns)] if name]
        if not names:
            return ""
        shared = names[0]
        for name in names[1:]:
            same = next(
                (n for n, (a, b) in enumerate(zip(shared, name, strict=False)) if a != b), min(len(shared), len(name))
            )
            shared = shared[:same]
        return ", ".join(shared) if shared else ", ".join(", ".join(name) for name in names)


def _all_heads(cells: Sequence[Cell]) -> bool:
    """Whether all cells of a row are heads; empty ones before them, such as the corner, need not be."""
    begin = next((at for at, cell in enumerate(cells) if cell.head or cell.text.strip()), len(cells))
    return begin < len(cells) and all(cell.head for cell in cells[begin:])


def may_be_names(cells: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether a first row without a mark as a header reads as names of columns, given the rows below it.

    It does if its cells are short, different and not empty, apart from the corner, and none of them is a number, apart
    from years above other values.
    """
    texts = [cell.text.strip() for cell in cells]
    said = texts[1:] if len(texts) > 1 and not texts[0] else texts
    if (
        not said
        or not all(said)
        or len({text.casefold() for text in said}) < len(said)
        or max(map(len, said)) > LONGEST_NAME
    ):
        return False
    below = [[row[at].text.strip() for row in rows if at < len(row)] for at in range(len(texts))]
    return not any(
        _NUMBER.fullmatch(text) and not (_YEAR.fullmatch(text) and not any(map(_YEAR.fullmatch, under)))
        for text, under in zip(texts, below, strict=True)
    )


def within(text: str, lines: Sequence[str]) -> str:
    """The text of a cell with the lines of a table inside it."""
    inner = " | ".join(line for line in lines if line)
    return f"{text.rstrip()} ({inner})" if text.strip() and inner else text + inner
