"""The lines of a PDF page in reading order, from the places of its characters: columns, tables, paragraphs.

Lengths are in points; the y axis points upwards, as in PDF. A page is a list of rows (characters on one baseline), a
row a list of cells (characters with no wide gap between them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean, median

from sys2ft.news.importers.joints import joint

_SAME_LINE = 0.45
"""Baselines closer than this share of the character height are one row: it holds sub- and superscripts too."""
_WORD_GAP = 0.12
_CELL_GAP = 0.9
"""A gap wider than this share of the character height separates cells; spaces of justified lines are narrower."""
_NEW_ARTICLE = 3.0
"""White space of so many character heights across the whole page ends a region of columns."""
_PARAGRAPH_GAP = 1.25
_OTHER_SIZE = 1.12
BULLET = re.compile(r"(?:[-*+•‣–▪◦●○■□✓]|\(?(?:\d{1,3}|[a-z])[.)])(?=\s*$|\s+\S)")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_ENDS = re.compile(r"[.!?:;。！？；：…؟][\"'”’»)\]」』）]*$")
_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_SCRIPT = re.compile(r"[0-9+\-−=()n]+")


@dataclass(slots=True)
class Cell:
    """Characters on one baseline without a wide gap: left and right end, baseline, height of the characters."""

    text: str
    left: float
    right: float
    base: float
    height: float


Row = list[Cell]


@dataclass(slots=True)
class Paragraph:
    """Lines that belong together, and the height of their characters."""

    lines: list[str]
    height: float
    by_line: bool = False
    """Each line is a row of a table or an item of a list."""
    opens: bool = False
    """It is the first of a page or a column."""
    full: bool = False
    """Its last line reaches the right edge, so that the paragraph may go on elsewhere."""


@dataclass(slots=True)
class Layout:
    """Paragraphs of a page in reading order, and how text in columns was read."""

    paragraphs: list[Paragraph] = field(default_factory=list)
    columns: int = 0
    """Regions read one column after the other."""
    tables: int = 0
    """Regions with cells read row by row."""


def rows_of(cells: Iterable[Cell]) -> list[Row]:
    """Rows from top to bottom, their cells in reading order; neighbours without a wide gap are merged."""
    found: list[list[Cell]] = []
    heads: list[Cell] = []  # the largest cell of each row, which has its baseline
    for cell in sorted(cells, key=lambda one: -one.base):
        if heads and heads[-1].base - cell.base < _SAME_LINE * max(cell.height, heads[-1].height):
            found[-1].append(cell)
            if cell.height > heads[-1].height * 1.05:
                heads[-1] = cell
        else:
            found.append([cell])
            heads.append(cell)
    merged = (_merged(row, head) for row, head in zip(found, heads, strict=True))
    return [row for row in merged if row]


def _merged(row: list[Cell], head: Cell) -> Row:
    backwards = _is_backwards(row)
    merged: Row = []
    for cell in sorted(row, key=lambda one: -one.right if backwards else one.left):
        moved = cell.base - head.base
        if (
            cell.height < 0.85 * head.height
            and abs(moved) > 0.08 * head.height
            and _SCRIPT.fullmatch(cell.text.strip())
        ):
            cell.text = cell.text.strip().translate(_RAISED if moved > 0 else _LOWERED)
        last = merged[-1] if merged else None
        gap = 0.0 if last is None else (last.left - cell.right if backwards else cell.left - last.right)
        if last is None or gap > _CELL_GAP * max(last.height, cell.height):
            merged.append(Cell(cell.text, cell.left, cell.right, head.base, cell.height))
            continue
        space = joint(last.text, cell.text) if gap > _WORD_GAP * head.height else ""
        last.text = last.text.rstrip() + (space or " " * (last.text != last.text.rstrip())) + cell.text
        last.height = last.height if last.right - last.left >= cell.right - cell.left else cell.height
        last.left, last.right = min(last.left, cell.left), max(last.right, cell.right)
    return [cell for cell in merged if cell.text.strip()]


def _is_backwards(row: Row) -> bool:
    """Whether most letters of a row are of a script that is written from right to left."""
    letters = [letter for cell in row for letter in cell.text if letter.isalpha()]
    return 2 * len(_RIGHT_TO_LEFT.findall("".join(letters))) > len(letters)


def text_of(row: Row) -> str:
    """The text of a row."""
    return " ".join(" ".join(cell.text.split()) for cell in row)


def layout(rows: Sequence[Row]) -> Layout:
    """The paragraphs of a page: columns of prose one after the other, other text in columns row by row."""
    made = Layout()
    _regions(rows, made)
    return made


def _regions(rows: Sequence[Row], made: Layout) -> None:
    plain: list[Row] = []
    start = 0
    while start < len(rows):
        end, gutters = _region(rows, start)
        if not gutters:
            plain.append(rows[start])
            start += 1
            continue
        columns = _split(rows[start:end], gutters)
        prose = all(len(column) > 1 for column in columns) and _is_prose(columns)
        first, end = _trimmed(rows, start, end, gutters[0], prose)
        _plain([*plain, *rows[start:first]], made)
        plain = []
        if prose:
            made.columns += 1
            for column in _split(rows[first:end], gutters):
                _regions(column, made)
        else:
            _table(rows[first:end], gutters, made)
        start = end
    _plain(plain, made)


def _region(rows: Sequence[Row], start: int) -> tuple[int, list[float]]:
    """End of the longest run of rows from `start` that leaves vertical gaps free, and the middles of these gaps."""
    tried: list[list[tuple[float, float]]] = []  # the free gaps of the rows from `start` to each end
    occupied: list[tuple[float, float]] = []
    for row, above in zip(rows[start:], [rows[start], *rows[start:]], strict=False):
        if above[0].base - row[0].base > _NEW_ARTICLE * max(row[0].height, above[0].height):
            break
        occupied = _united([*occupied, *((cell.left, cell.right) for cell in row)])
        height = median(cell.height for cell in row)
        tried.append([(a, b) for (_, a), (b, _) in pairwise(occupied) if b - a > _CELL_GAP * height])
    for number in range(len(tried), 0, -1):
        taken = rows[start : start + number]
        gutters = [(a + b) / 2 for a, b in tried[number - 1] if _beside(taken, (a + b) / 2, b - a)]
        if gutters:
            return start + number, gutters
    return start, []


def _trimmed(rows: Sequence[Row], start: int, end: int, gutter: float, prose: bool) -> tuple[int, int]:
    """The region without headings above it, and without short lines of text above and below a table."""
    height = median(row[0].height for row in rows[start:end])
    while len(rows[start]) == 1 and (not prose or rows[start][0].height > _OTHER_SIZE * height):
        start += 1
    while not prose and len(rows[end - 1]) == 1 and rows[end - 1][0].left < gutter:
        end -= 1
    return start, end


def _united(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for left, right in sorted(spans):
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def _beside(rows: Sequence[Row], at: float, width: float) -> bool:
    """Whether text is on both sides of `at`, in at least two rows each, at the same height."""
    right = [row for row in rows if any(cell.left > at for cell in row)]
    left = [row for row in rows if any(cell.right < at for cell in row)]
    if min(len(left), len(right)) < 2:
        return False
    top, bottom = min(left[0][0].base, right[0][0].base), max(left[-1][0].base, right[-1][0].base)
    if top < bottom:
        return False
    starts = [min(cell.left for cell in row if cell.left > at) for row in right]
    ends = [max(cell.right for cell in row if cell.right < at) for row in left]
    height = median(row[0].height for row in rows)
    # Wide spaces of justified lines that happen to lie above each other: no edge is straight, the gap is narrow.
    straight = max(_aligned(starts, height), _aligned(ends, height))
    return straight >= 0.5 and (min(len(left), len(right)) > 3 or width > 1.2 * height)


def _aligned(values: Sequence[float], height: float) -> float:
    """Share of the values that are close to one of them."""
    return max(sum(abs(one - other) < 0.25 * height for other in values) for one in values) / len(values)


def _split(rows: Sequence[Row], gutters: Sequence[float]) -> list[list[Row]]:
    """The rows of each column, from the side where the script begins."""
    columns: list[list[Row]] = [[] for _ in range(len(gutters) + 1)]
    for row in rows:
        for number, column in enumerate(columns):
            mine = [cell for cell in row if sum(cell.left > gutter for gutter in gutters) == number]
            if mine:
                column.append(mine)
    backwards = sum(map(_is_backwards, rows)) * 2 > len(rows)
    return columns[::-1] if backwards else columns


def _is_prose(columns: Sequence[Sequence[Row]]) -> bool:
    """Whether columns hold running text: lines of several words that go on in the next line of the column."""
    lines = [[text_of(row) for row in column] for column in columns]
    if min(mean(map(_size, column)) for column in lines) < 2.5:
        return False
    pairs = [pair for column in lines for pair in pairwise(column)]
    goes_on = sum(not _ENDS.search(a) and (b[0].islower() or not (b[0].isupper() or b[0].isdigit())) for a, b in pairs)
    return goes_on >= 0.25 * len(pairs) or mean(_size(line) for column in lines for line in column) >= 6


def _size(line: str) -> float:
    """Words of a line; in scripts without spaces two characters count as one."""
    return sum(max(1, len(word) / 2) if joint(word, word) == "" else 1 for word in line.split())


def _table(rows: Sequence[Row], gutters: Sequence[float], made: Layout) -> None:
    """Rows one by one; a row without its first cell continues the row above."""
    lines: list[list[str]] = []
    listed = True
    for row in rows:
        cells = [""] * (len(gutters) + 1)
        for cell in row:
            number = sum(cell.left > gutter for gutter in gutters)
            cells[number] += joint(cells[number], cell.text) + " ".join(cell.text.split())
        if lines and not cells[0]:
            lines[-1] = [old + joint(old, new) + new for old, new in zip(lines[-1], cells, strict=True)]
        else:
            lines.append(cells)
        listed = listed and (not cells[0] or BULLET.fullmatch(cells[0]) is not None)
    if not listed:
        made.tables += 1
    joined = [_cells(line, " " if listed else "; ") for line in lines]
    made.paragraphs.append(Paragraph(joined, median(row[0].height for row in rows), by_line=True))


def _cells(cells: Sequence[str], between: str) -> str:
    text = ""
    for cell in filter(None, cells):
        text += (" " if text.endswith((":", ";")) else between) * bool(text) + cell
    return text


def _plain(rows: Sequence[Row], made: Layout) -> None:
    """Rows of full width as paragraphs."""
    if not rows:
        return
    pitches = [a[0].base - b[0].base for a, b in pairwise(rows)]
    close = [one for one, row in zip(pitches, rows, strict=False) if 0 < one < 2.5 * row[0].height]
    setting = _Setting(
        pitch=_lower_median(close), left=min(row[0].left for row in rows), right=max(row[-1].right for row in rows)
    )
    made.tables += any(b.left - a.right > 1.5 * a.height for row in rows for a, b in pairwise(row))
    above: Row | None = None
    for row in rows:
        text, height = text_of(row), max(row, key=lambda cell: len(cell.text)).height
        last = made.paragraphs[-1] if above is not None else None
        item = _is_item(text) and (last is None or last.by_line or _ENDS.search(last.lines[-1]) is not None)
        if last is None or above is None or setting.begins(above, row, last, height, item):
            made.paragraphs.append(Paragraph([text], height, by_line=item, opens=above is None))
        elif item:
            last.lines.append(text)
        elif last.by_line:
            last.lines[-1] += joint(last.lines[-1], text) + text
        else:
            last.lines.append(text)
        made.paragraphs[-1].full = len(rows) > 1 and row[-1].right > setting.left + 0.8 * (setting.right - setting.left)
        above = row


def _is_item(text: str) -> bool:
    return re.search(r"\w", BULLET.sub("", text, count=1)) is not None if BULLET.match(text) else False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    """How rows are set: the usual distance of baselines, the left and the right edge."""

    pitch: float
    left: float
    right: float

    def begins(self, above: Row, row: Row, last: Paragraph, height: float, item: bool) -> bool:
        """Whether a row begins a paragraph: white space, another size, a list, or an indented first line."""
        gap = above[0].base - row[0].base
        if gap > _PARAGRAPH_GAP * max(self.pitch, 0.9 * height) or gap < 0:
            return True
        if max(height, last.height) > _OTHER_SIZE * min(height, last.height):
            return True
        if item:
            return not last.by_line
        ended = _ENDS.search(text_of(above)) is not None
        if last.by_line:  # wrapped lines of an item are indented, or the next word did not fit into the line above
            text = text_of(row)
            word = (row[-1].right - row[0].left) * (len(text.split()[0]) + 1) / len(text)
            ended = ended or (text[0].isupper() and above[-1].right + word < self.right)
            return ended and row[0].left < above[0].left + 0.2 * height
        indent = row[0].left - self.left
        return ended and 0.8 * height < indent < 5 * height and above[0].left - self.left < 0.5 * indent


def _lower_median(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 3] if values else 0.0
