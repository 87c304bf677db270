"""PDF to blocks; the only module that uses the package `pypdfium2`.

Lines, columns and paragraphs follow from the places of the characters. Chapters come from the file's outline, else from
lines in larger letters. Lines repeated at the top or bottom of the pages are omitted and reported.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from ctypes import byref, c_double
from dataclasses import dataclass, field, replace
from typing import Any

from sys2ft.errors import NewsError, UserError
from sys2ft.news.importers.joints import join_lines, without_inner_spaces, words_of
from sys2ft.news.importers.pdf_layout import Cell, Layout, Paragraph, Row, layout, rows_of, text_of
from sys2ft.news.importers.pdf_running import Line, Running, next_running
from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, optional
from sys2ft.news.importers.sentences import split_last
from sys2ft.news.importers.texts import cannot_be_read, clean, read_head, what_it_is

_MADE_BY_A_PROGRAM = re.compile(
    r"^(?:microsoft word|untitled|slide \d|.*\.(?:docx?|indd|tex|pdf|pptx?|odt|qxd)$)", re.I
)
_ENDS = re.compile(r"[.!?。！？؟।…][\"'”’»)\]」』）]*\Z")
_HEADING = 1.15
"""Lines in letters larger than the text by this factor are headings, if the file has no outline."""
_LONGEST_HEADING = 150
_WORDLESS_SHARE = 0.4
"""A page with a larger share of characters that the file does not name is a page without text."""
_HYPHEN = "\x02"  # what pdfium makes of a hyphen or a soft hyphen at a line's end
_UNKNOWN = "\ufffd"
_BULLETS = dict.fromkeys(map(ord, "\uf0b7\uf0a7\uf0d8\uf076\uf0fc\uf06c\uf06e"), "•")  # Symbol and Wingdings
_LIGATURES = re.compile("[\ufb00-\ufb4f\ufb50-\ufdff\ufe70-\ufefc]")

_Outline = list[tuple[int, int, str]]
"""Page from 0, depth from 0, name of each chapter, in order."""


@dataclass(slots=True)
class _Page:
    """A page: its rows, how many characters have no Unicode value, and text at other angles than the page's."""

    rows: list[Row]
    characters: int = 0
    unknown: int = 0
    aslant: str = ""
    made: Layout = field(default_factory=Layout)


def read_pdf(source: Source) -> Iterator[Piece]:
    """The paragraphs of a PDF's pages under its title and chapters. Raises NewsError if there is no text."""
    head = read_head(source)
    if b"%PDF-" not in head[:1024]:
        raise source.error(
            what_it_is(head) or "text", expected="a PDF file", fix="rename it: its ending does not match its content"
        )
    pdfium = optional("pypdfium2", "pypdfium2", "reading PDF")
    with _open(source, pdfium) as file:
        pages = [_page(source, pdfium, file, number) for number in range(len(file))]
        title, outline = _title(file), _outline(file)
    yield from _without_text(source, pages)
    for found in _remove_running(pages):
        yield Remark(what="running header or footer", place=f"on {len(found.pages)} pages", shown=excerpt(found.line))
    for number, page in enumerate(pages, start=1):
        page.made = layout(page.rows)
        yield from _remarks(page, f"page {number}")
    yield from _blocks([page.made.paragraphs for page in pages], title, outline)


def _open(source: Source, pdfium: Any) -> Any:
    try:
        file = pdfium.PdfDocument(source.path)
        file.init_forms()
        return file
    except OSError as error:
        raise cannot_be_read(source, error) from error
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.raw.FPDF_ERR_PASSWORD:
            raise source.error(
                "a file that a password protects",
                expected="a PDF that opens without a password",
                fix="save a copy without one, for example: qpdf --decrypt --password=... in.pdf out.pdf",
            ) from error
        raise _damaged(source, error) from error


def _damaged(source: Source, error: Exception, place: str = "") -> NewsError:
    return source.error(
        f"a damaged PDF ({type(error).__name__}: {excerpt(str(error))})",
        expected="a readable PDF",
        fix="open it in a viewer and save it again, or omit it",
        place=place,
    )


# Characters -----------------------------------------------------------------------------------------------------------


def _page(source: Source, pdfium: Any, file: Any, number: int) -> _Page:
    try:
        page = file[number]
        if pdfium.raw.FPDFPage_GetAnnotCount(page):  # form fields: their values become text of the page
            page.flatten()
            page = file[number]
        _widen_empty(pdfium, page)
        text = page.get_textpage()
        return _characters(pdfium.raw, text)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # what pypdfium2 raises on a damaged page is not documented
        raise _damaged(source, error, f"page {number + 1}") from error


def _widen_empty(pdfium: Any, page: Any) -> None:
    """Give text without visible extent the width of a stroke: pdfium reads no text from objects of width 0."""
    for one in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_TEXT]):
        left, _, right, _ = one.get_bounds()
        if right - left < 0.01:
            pdfium.raw.FPDFTextObj_SetTextRenderMode(one.raw, pdfium.raw.FPDF_TEXTRENDERMODE_STROKE)
            pdfium.raw.FPDFPageObj_TransformF(one.raw, pdfium.raw.FS_MATRIX(1, 0, 0, 1, 0, 0))


def _characters(raw: Any, text: Any) -> _Page:
    """The cells of a page: characters in the order of the file, as long as they follow each other on one baseline."""
    found: dict[int, list[Cell]] = {}
    sizes: Counter[int] = Counter()
    page = _Page([])
    x, y = c_double(), c_double()
    cell: Cell | None = None
    angle = high = 0
    for i in range(text.count_chars()):
        code = raw.FPDFText_GetUnicode(text, i)
        if 0xD800 <= code < 0xDC00:  # half of a character; its other half has the same place
            high = code
            continue
        if 0xDC00 <= code < 0xE000 and high:
            code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00
        high = 0
        if raw.FPDFText_IsGenerated(text, i):
            if code == 0x20 and cell is not None:
                cell.text += " "
            else:
                cell = None
            continue
        here = round(math.degrees(raw.FPDFText_GetCharAngle(text, i))) % 360
        left, bottom, right, top = text.get_charbox(i, loose=True)
        raw.FPDFText_GetCharOrigin(text, i, byref(x), byref(y))
        # Turned so that the text is horizontal.
        left, bottom, right, top, base = _turned(here, left, bottom, right, top, x.value, y.value)
        word = _character(code, bool(raw.FPDFText_HasUnicodeMapError(text, i)))
        page.characters += not word.isspace()
        page.unknown += word == _UNKNOWN
        sizes[here] += 1
        height = max(top - bottom, 1e-3)
        if cell is None or here != angle or not _follows(cell, left, right, base, height):
            cell = Cell("", left, right, base, height)
            found.setdefault(here, []).append(cell)
            angle = here
        cell.text += word
        cell.left, cell.right = min(cell.left, left), max(cell.right, right)
    upright = max(sizes, key=lambda one: sizes[one], default=0)
    page.aslant = " ".join(one.text.strip() for key, cells in found.items() if key != upright for one in cells).strip()
    cells = found.get(upright, [])
    for one in cells:
        one.text = without_inner_spaces(one.text)
    page.rows = rows_of(cells)
    return page


def _turned(
    angle: int, left: float, bottom: float, right: float, top: float, x: float, y: float
) -> tuple[float, float, float, float, float]:
    """A box and its baseline, turned back by `angle` degrees, which pdfium counts clockwise."""
    if angle == 90:
        return -top, left, -bottom, right, x
    if angle == 180:
        return -right, -top, -left, -bottom, -y
    if angle == 270:
        return bottom, -right, top, -left, -x
    return left, bottom, right, top, y


def _follows(cell: Cell, left: float, right: float, base: float, height: float) -> bool:
    """Whether a character continues a cell: same baseline and size, no wide gap, on either side."""
    if abs(base - cell.base) > 0.08 * cell.height or max(height, cell.height) > 1.15 * min(height, cell.height):
        return False
    gap = max(left - cell.right, cell.left - right)
    return -2 * height < gap < 0.9 * height


def _character(code: int, unmapped: bool) -> str:
    """A character as text: ligatures as letters, bullets of symbol fonts as bullets, U+FFFD for what has no value."""
    if code == ord(_HYPHEN) and not unmapped:
        return "-"
    one = chr(code).translate(_BULLETS)
    if one.isspace():
        return " "
    if unmapped or unicodedata.category(one) in ("Co", "Cn", "Cs", "Cc"):
        return _UNKNOWN
    return unicodedata.normalize("NFKC", one) if _LIGATURES.match(one) else one


# What is omitted ------------------------------------------------------------------------------------------------------


def _without_text(source: Source, pages: Sequence[_Page]) -> Iterator[Remark]:
    """Remarks on pages without usable text, which lose their rows. Raises NewsError if no page has any."""
    nameless = [n for n, page in enumerate(pages, 1) if page.unknown > _WORDLESS_SHARE * max(page.characters, 1)]
    blank = [n for n, page in enumerate(pages, 1) if not page.rows]
    if len(blank) + len(nameless) == len(pages):
        raise source.error(
            f"{len(pages)} pages without text, probably scanned images"
            if not nameless
            else f"{len(nameless)} pages whose fonts do not name their characters (no Unicode mapping)",
            expected="a PDF with text",
            fix="run text recognition first, for example: ocrmypdf"
            f"{' --force-ocr' if nameless else ''} {source.path.name} text.pdf",
        )
    for number in blank:
        yield Remark(what="page without text (a picture?)", place=f"page {number}")
    for number in nameless:
        shown = excerpt(" ".join(text_of(row) for row in pages[number - 1].rows))
        yield Remark(what="page whose fonts do not name their characters", place=f"page {number}", shown=shown)
        pages[number - 1].rows = []


def _remarks(page: _Page, place: str) -> Iterator[Remark]:
    if page.aslant:
        what = "text at another angle than the page's (a watermark?)"
        yield Remark(what=what, place=place, shown=excerpt(page.aslant))
    if page.unknown and page.rows:
        line = next((text for row in page.rows if _UNKNOWN in (text := text_of(row))), "")
        at = line.find(_UNKNOWN)
        shown = f"{page.unknown}, such as in {excerpt(line[max(0, at - 25) : at + 25])!r}"
        yield Remark(what="characters without a Unicode value: U+FFFD in their place", place=place, shown=shown)
    if page.made.columns:
        what = "columns: read one after the other"
        yield Remark(what=what, place=place, shown=f"{page.made.columns} times", left_out=False)
    if page.made.tables:
        what = "text in columns (a table?): read row by row"
        yield Remark(what=what, place=place, shown=f"{page.made.tables} times", left_out=False)


def _remove_running(pages: Sequence[_Page]) -> Iterator[Running]:
    """Remove repeated lines and page numbers from the pages, and yield them."""
    for end in (0, -1):
        lines = [_lines(page.rows, end) for page in pages]
        outer: set[int] = set()
        while (found := next_running(lines, end, outer)) is not None:
            for number in found.pages:
                del lines[number - 1][end], pages[number - 1].rows[end]
            outer.update(found.pages)
            yield found


def _lines(rows: Sequence[Row], end: int) -> list[Line]:
    """The rows as lines; white space is more than the height of a line."""
    largest = max((cell.height for row in rows[1:-1] for cell in row), default=0.0)
    found = []
    for number, row in enumerate(rows):
        other = number - 1 if end else number + 1
        gap = abs(row[0].base - rows[other][0].base) if 0 <= other < len(rows) else 0.0
        apart = gap > 1.8 * row[0].height and row[0].height <= 1.05 * largest
        in_table = 0 <= other < len(rows) and min(len(row), len(rows[other])) > 1
        found.append(Line(" | ".join(" ".join(cell.text.split()) for cell in row), apart, in_table))
    return found


# Chapters and paragraphs ----------------------------------------------------------------------------------------------


def _title(file: Any) -> tuple[str, ...]:
    title = " ".join(clean(file.get_metadata_value("Title") or "").split())
    return () if not title or _MADE_BY_A_PROGRAM.match(title) else (title,)


def _outline(file: Any) -> _Outline:
    found: _Outline = []
    try:
        for entry in file.get_toc():
            dest, name = entry.get_dest(), " ".join(clean(entry.get_title() or "").split())
            page = dest.get_index() if dest is not None else None
            if page is not None and page >= 0 and name:
                found.append((page, entry.level, name))
    except Exception:  # a damaged outline: the text does not need it
        return []
    return found


_Section = tuple[tuple[str, ...], int, list[Paragraph]]
"""Title path, page from 1, and paragraphs."""


def _by_outline(pages: Sequence[list[Paragraph]], title: tuple[str, ...], outline: _Outline) -> Iterator[_Section]:
    """A page is split at the headings of its chapters."""
    path: tuple[str, ...] = ()
    for number, paragraphs in enumerate(pages):
        # A chapter whose heading is not among the page's lines begins with the page.
        for _, depth, name in (chapter for chapter in outline if chapter[0] == number):
            before, after = _divided(paragraphs, name)
            if after is not None:
                yield title + path, number + 1, before
                paragraphs = after
            path = (*path[:depth], name)
        yield title + path, number + 1, paragraphs


def _divided(paragraphs: Sequence[Paragraph], name: str) -> tuple[list[Paragraph], list[Paragraph] | None]:
    """The paragraphs before and after the lines that are a heading; None if it is not among them."""
    wanted = "".join(name.casefold().split())
    for number, one in enumerate(paragraphs):
        for start in range(len(one.lines)):
            for end in range(start + 1, min(start + 4, len(one.lines) + 1)):
                if "".join("".join(one.lines[start:end]).casefold().split()) == wanted:
                    parts = [replace(one, lines=part) for part in (one.lines[:start], one.lines[end:])]
                    before, after = ([part] if part.lines else [] for part in parts)
                    return [*paragraphs[:number], *before], [*after, *paragraphs[number + 1 :]]
    return list(paragraphs), None


def _by_size(pages: Sequence[list[Paragraph]], title: tuple[str, ...]) -> Iterator[_Section]:
    """A paragraph in larger letters than most of the text is the heading of what follows it."""
    heights: Counter[float] = Counter()
    for one in (one for paragraphs in pages for one in paragraphs):
        heights[round(one.height, 1)] += sum(map(len, one.lines))
    body = max(heights, key=lambda one: heights[one], default=0.0)
    path: list[tuple[float, str]] = []
    for number, paragraphs in enumerate(pages, start=1):
        held: list[Paragraph] = []
        for one in paragraphs:
            text = _text(one.lines)
            if one.height < _HEADING * body or len(text) > _LONGEST_HEADING or one.by_line or _ENDS.search(text):
                held.append(one)
                continue
            yield _path(title, path), number, held
            held = []
            path = [*(above for above in path if above[0] > one.height * 1.05), (one.height, text)]
        yield _path(title, path), number, held
    if path and not held:  # a heading without text after it
        yield (), len(pages), [Paragraph([path[-1][1]], body)]


def _path(title: tuple[str, ...], path: Sequence[tuple[float, str]]) -> tuple[str, ...]:
    names = [name for _, name in path]
    return tuple(names) if title and names and names[0].casefold() == title[0].casefold() else (*title, *names)


def _text(lines: Sequence[str]) -> str:
    text = ""
    for line in lines:
        text = join_lines(text, line).text
    return text


def _blocks(pages: Sequence[list[Paragraph]], title: tuple[str, ...], outline: _Outline) -> Iterator[Piece]:
    """The paragraphs as blocks; an unfinished sentence at the end of a column or page is continued in the next one."""
    known = {word for page in pages for one in page for line in one.lines for word in words_of(line)}
    held, place, under, full = "", "", title, False
    for path, page, paragraphs in _by_outline(pages, title, outline) if outline else _by_size(pages, title):
        here = f"page {page}"
        if held and path != under:
            yield Block(text=clean(held), titles=under, place=place)
            held = ""
        under = path
        for one in paragraphs:
            first = one.lines[0][0]
            goes_on = bool(held) and not one.by_line and not _ENDS.search(held)
            goes_on = goes_on and (
                first.islower() or (one.opens and (full or not (first.isupper() or first.isdigit())))
            )
            full = one.full
            if held and not goes_on:
                yield Block(text=clean(held), titles=path, place=place)
            if not goes_on:
                held, place = "", here
            if one.by_line:
                yield Block(text=clean("\n".join(one.lines)), titles=path, place=here, by_line=True)
                continue
            for line in one.lines:
                joined = join_lines(held, line, known)
                held = joined.text
                if joined.guessed:
                    what = "word divided at a line's end: joined by a guess"
                    yield Remark(what=what, place=here, shown=joined.guessed, left_out=False)
        if held and not _ENDS.search(held):
            done, rest = split_last(held)
            if rest:
                yield Block(text=clean(done), titles=path, place=place)
                held, place = rest, here
    if held:
        yield Block(text=clean(held), titles=under, place=place)
