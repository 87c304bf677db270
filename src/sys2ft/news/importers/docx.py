"""DOCX to blocks; the only module that uses the package `python-docx`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sys2ft.news.importers.grids import LONGEST_NAME, Cell, Grid, may_be_names, within
from sys2ft.news.importers.marks import plain
from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, optional
from sys2ft.news.importers.texts import cannot_be_read, clean, flat, read_head, what_it_is
from sys2ft.news.importers.word_text import (
    DELETED,
    MOVED,
    OFF,
    Node,
    Style,
    Styles,
    Words,
    alternative,
    child,
    local,
    value,
)

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_ASIDES = "comments, page headers and footers"
_WRAPPERS = frozenset({"sdtContent", "customXml", "ins", "moveTo", "smartTag", "body"})
_Rows = list[tuple[Node, list[Cell]]]
"""The rows of a table with their cells."""
_GUESSED = "first row of a table, not marked as a header: read as the names of its columns"


def read_docx(source: Source) -> Iterator[Piece]:
    """Blocks of a Word file under its headings: paragraphs, lists, tables, notes and text boxes, in order."""
    head = read_head(source)
    if head.startswith(_OLD_OFFICE):
        raise source.error(
            "a file with a password, or one from before Word 2007",
            expected="a DOCX file that opens without a password",
            fix="open it in a word processor and save it as DOCX without a password",
        )
    if not head.startswith(b"PK"):
        raise source.error(
            what_it_is(head) or "text", expected="a DOCX file", fix="rename it: its ending does not match its content"
        )
    docx = optional("docx", "python-docx", "reading DOCX")
    try:
        document = docx.Document(str(source.path))
        flow = _Flow(document)
    except OSError as error:
        raise cannot_be_read(source, error) from error
    except MemoryError:
        raise
    except Exception as error:  # python-docx raises many types of errors on foreign or damaged archives
        raise source.error(
            f"an archive that is not a Word document ({type(error).__name__}: {excerpt(str(error))})",
            expected="a DOCX file",
            fix="open it in a word processor and save it again as DOCX, or omit it",
        ) from error
    try:
        yield from _asides(document)
        yield from flow.blocks(document.element.body)
        yield from flow.rest()
    except RecursionError:
        raise source.error(
            "a document whose parts are nested too deeply",
            expected="a DOCX file as word processors write it",
            fix="open it in a word processor and save it again as DOCX, or omit it",
        ) from None


def _asides(document: Any) -> Iterator[Remark]:
    """Text outside the document's own, which is omitted and reported."""
    for part in document.part.package.iter_parts():
        named = re.fullmatch(r"/word/(comments|header|footer)\d*\.xml", str(part.partname))
        said = named and re.findall(r"<w:t(?: [^>]*)?>([^<]*)</w:t>", part.blob.decode("utf-8", "replace"))
        if named and said and (words := excerpt(" ".join(said))):
            yield Remark(what=_ASIDES, place=named.group(1), shown=words)


def _part(document: Any, kind: str) -> Node | None:
    """The root of a part that the document refers to, such as its styles."""
    from docx.oxml import parse_xml

    for relation in document.part.rels.values():
        if relation.reltype.endswith(f"/{kind}") and not relation.is_external:
            return parse_xml(relation.target_part.blob)
    return None


class _Flow:
    """Reads paragraphs and tables in order."""

    def __init__(self, document: Any) -> None:
        self.styles = Styles(_part(document, "styles"))
        self.words = Words(self.styles)
        self._notes: dict[tuple[str, str], Node] = {}
        for kind in ("footnote", "endnote"):
            notes = _part(document, f"{kind}s")
            for one in notes if notes is not None else ():
                if local(one) == kind and value(one, "type", "normal") == "normal":
                    self._notes[kind, value(one, "id")] = one
        self._noted: set[tuple[str, str]] = set()
        self._titles: dict[int, str] = {}
        self._items: list[str] = []
        self._begun = ""
        self._carried = ""  # text of paragraphs whose end was deleted
        self._number = 0

    def blocks(self, body: Node, place: str = "") -> Iterator[Piece]:
        """The blocks of a body, or at `place` of a text box."""
        for part in self._parts(body):
            if isinstance(part, Remark):
                yield part
                continue
            self._number += not place
            here = place or f"paragraph {self._number}"
            yield from self._table(part, here) if local(part) == "tbl" else self._paragraph(part, here)
        if self._carried:
            yield Block(text=self._carried, titles=self._path, place=place or f"paragraph {self._number}")
            self._carried = ""
        yield from self._end_of_list()

    def rest(self) -> Iterator[Remark]:
        """Notes whose references were deleted."""
        for key, note in self._notes.items():
            if key not in self.words.noted and (said := self._note(note)):
                yield Remark(what="note without a reference in the text", place=key[0], shown=excerpt(said))

    def _parts(self, node: Node) -> Iterator[Node | Remark]:
        """Paragraphs and tables, also those within content controls and insertions."""
        for one in node:
            name = local(one)
            if name in ("p", "tbl"):
                yield one
            elif name == "AlternateContent":
                yield from self._parts(alternative(one))
            elif name == "sdt" and (content := child(one, "sdtContent")) is not None:
                gallery = value(child(one, "sdtPr", "docPartObj", "docPartGallery"))
                if gallery == "Table of Contents":
                    yield Remark(what="table of contents", place=f"paragraph {self._number}", shown=_shown(content))
                elif child(one, "sdtPr", "showingPlcHdr") is not None:
                    what = "placeholder of an empty form field"
                    yield Remark(what=what, place=f"paragraph {self._number}", shown=_shown(content))
                else:
                    yield from self._parts(content)
            elif name in _WRAPPERS:
                yield from self._parts(one)
            elif name in ("del", "moveFrom") and (said := _shown(one)):
                yield Remark(what=DELETED if name == "del" else MOVED, place=f"paragraph {self._number}", shown=said)
            elif name == "altChunk":
                yield Remark(what="embedded document", place=f"paragraph {self._number}")

    @property
    def _path(self) -> tuple[str, ...]:
        return tuple(self._titles[level] for level in sorted(self._titles))

    def _end_of_list(self) -> Iterator[Block]:
        if self._items:
            yield Block(text="\n".join(self._items), titles=self._path, place=self._begun, by_line=True)
            self._items = []

    def _text(self, paragraph: Node) -> str:
        return flat(plain(clean(self.words.of(paragraph))))

    def _paragraph(self, paragraph: Node, place: str) -> Iterator[Piece]:
        properties = child(paragraph, "pPr")
        style = self.styles.get(value(child(paragraph, "pPr", "pStyle")) or self.styles.default)
        text = self._text(paragraph)
        if self._carried:
            text, self._carried = flat(f"{self._carried} {text}"), ""
        if properties is not None and any(child(properties, "rPr", name) is not None for name in ("del", "moveFrom")):
            self._carried = text
            yield from self._beside(place)
            return
        level = _level(style, properties)
        listed = level is None and _listed(style, properties)
        if not listed:
            yield from self._end_of_list()
        if text and re.fullmatch(r"(?i)toc ?\d|table of figures", style.name):
            yield Remark(what="table of contents", place=place, shown=excerpt(text))
        elif text and level is not None:
            for deeper in [known for known in self._titles if known >= level]:
                del self._titles[deeper]
            self._titles[level] = text
        elif text and listed:
            self._begun = self._begun if self._items else place
            self._items.append(f"- {text}")
        elif text:
            yield Block(text=text, titles=self._path, place=place)
        yield from self._beside(place)

    def _beside(self, place: str) -> Iterator[Piece]:
        """What belongs to the blocks just read: reports, notes and text boxes."""
        words = self.words
        while words.remarks or words.notes or words.boxes:
            remarks, notes, boxes = words.remarks, words.notes, words.boxes
            words.remarks, words.notes, words.boxes = [], [], []
            for what, said in remarks:
                yield Remark(what=what, place=place, shown=excerpt(said), left_out=what != _GUESSED)
            for key in notes:
                first = key not in self._noted  # a note may refer to itself
                self._noted.add(key)
                if first and key in self._notes and (said := self._note(self._notes[key])):
                    line = f"[{words.noted[key]}] {said}"
                    if self._items:
                        self._items.append(line)
                    else:
                        yield Block(text=line, titles=self._path, place=place)
            for box in boxes:
                yield from self.blocks(box, f"{place}, text box")

    def _note(self, note: Node) -> str:
        lines = []
        for part in self._parts(note):
            if not isinstance(part, Remark):
                lines += self._rows(part) if local(part) == "tbl" else [self._text(part)]
        return " ".join(filter(None, lines))

    def _table(self, table: Node, place: str) -> Iterator[Piece]:
        yield from self._end_of_list()
        lines = self._rows(table)
        if any(lines):
            yield Block(text="\n".join(filter(None, lines)), titles=self._path, place=place, by_line=True)
        yield from self._beside(place)

    def _rows(self, table: Node) -> list[str]:
        """A line for each row, under the names in its header."""
        rows: _Rows = []
        above: dict[int, str] = {}
        for row in _inside(table, "tr"):
            if any(child(row, "trPr", name) is not None for name in ("del", "moveFrom")):
                self.words.remarks.append((DELETED, _shown(row)))
            else:
                rows.append((row, self._cells(row, above)))
        grid, (first, until) = Grid(), self._header(table, rows)
        return [*(grid.row(cells, head=first <= n < until) for n, (_, cells) in enumerate(rows)), grid.rest()]

    def _header(self, table: Node, rows: _Rows) -> tuple[int, int]:
        """The numbers of the first row that names columns and of the first row after these; equal if there is none.

        Header rows are marked: to be repeated on each page, else by the style of the table, else by bold letters.
        Without a mark, the first row that is no title is one if it reads as names.
        """
        first = next((n for n, (_, cells) in enumerate(rows) if len(cells) != 1 or cells[0].columns == 1), len(rows))
        if first == len(rows):
            return first, first
        styled = self._styles_first_row(table)
        for marked in (_repeated, lambda row: _formatted_first(row) or (styled and row is rows[0][0]), self._bold):
            until = first
            while until < len(rows) and marked(rows[until][0]) and _are_short(rows[until][1]):
                until += 1
            whole = marked is _repeated or until == len(rows) or not _continues(rows[until][0])
            if first < until and whole and (until < len(rows) or until - first == 1):
                return first, until
        cells, rest = rows[first][1], [below for _, below in rows[first + 1 :]]
        levels = 1
        if rest and _continues(rows[first + 1][0]):  # in a header, beside names of groups of columns
            levels = 2 * _in_groups(rows[first][0])
        until = first + levels * may_be_names(cells, rest[max(0, levels - 1) :])
        if until < len(rows) and _continues(rows[until][0]):
            until = first
        if rest and first < until:
            self.words.remarks.append((_GUESSED, "; ".join(cell.text for cell in cells)))
        return first, until

    def _styles_first_row(self, table: Node) -> bool:
        look = child(table, "tblPr", "tblLook")
        shown = value(look, "firstRow") or str(_hexadecimal(value(look)) >> 5 & 1)
        return shown not in OFF and self.styles.get(value(child(table, "tblPr", "tblStyle"))).first_row

    def _bold(self, row: Node) -> bool:
        paragraphs = [one for one in row.iter() if local(one) == "p"]
        return bool(_shown(row)) and all(map(self.words.is_bold, paragraphs))

    def _cells(self, row: Node, above: dict[int, str]) -> list[Cell]:
        """The cells of a row; `above` holds the text of cells that reach down, by column."""
        skipped = _number(child(row, "trPr", "gridBefore"), 0)
        cells = [Cell(text="", columns=skipped)] if skipped else []
        column = skipped
        for cell in _inside(row, "tc"):
            merged = child(cell, "tcPr", "vMerge")
            width = _number(child(cell, "tcPr", "gridSpan"), 1)
            if child(cell, "tcPr", "cellDel") is not None:
                self.words.remarks.append((DELETED, _shown(cell)))
                text = ""
            elif _is_continued(merged):
                text = above.get(column, "")
            else:
                text = self._cell(cell)
            above.pop(column, None)
            if merged is not None:
                above[column] = text
            cells.append(Cell(text=text, columns=width))
            column += width
        return cells

    def _cell(self, cell: Node) -> str:
        said = ""
        for part in self._parts(cell):
            if isinstance(part, Remark):
                self.words.remarks.append((part.what, part.shown))
            elif local(part) == "tbl":
                said = within(said, self._rows(part))
            else:
                said = f"{said} {self._text(part)}".strip()
        return said


def _inside(node: Node, name: str) -> Iterator[Node]:
    """The rows of a table or the cells of a row, also those within content controls and insertions."""
    for one in node:
        if local(one) == name:
            yield one
        elif local(one) in _WRAPPERS or local(one) == "sdt":
            yield from _inside(one, name)


def _shown(node: Node) -> str:
    """The start of all text in an element, for a report."""
    return excerpt(" ".join(one.text or "" for one in node.iter() if local(one) in ("t", "delText")))


def _number(node: Node | None, default: int) -> int:
    said = value(node)
    return int(said) if said.isascii() and said.isdigit() and len(said) < 5 else default


def _are_short(cells: list[Cell]) -> bool:
    return all(len(cell.text) <= LONGEST_NAME for cell in cells)


def _is_continued(merged: Node | None) -> bool:
    return merged is not None and value(merged, default="continue") == "continue"


def _continues(row: Node) -> bool:
    """Whether a cell of the row above reaches down into this one."""
    return any(_is_continued(child(cell, "tcPr", "vMerge")) for cell in _inside(row, "tc"))


def _in_groups(row: Node) -> bool:
    """Whether some cells of a row lie over several columns, and all others reach down."""
    cells = list(_inside(row, "tc"))
    wide = [_number(child(cell, "tcPr", "gridSpan"), 1) > 1 for cell in cells]
    return any(wide) and all(
        over or child(cell, "tcPr", "vMerge") is not None for cell, over in zip(cells, wide, strict=True)
    )


def _repeated(row: Node) -> bool:
    mark = child(row, "trPr", "tblHeader")
    return mark is not None and value(mark) not in OFF


def _formatted_first(row: Node) -> bool:
    """Whether a row says that it has its table style's format of first rows."""
    mark = child(row, "trPr", "cnfStyle")
    return value(mark, "firstRow", "0") not in OFF or value(mark).startswith("1")


def _hexadecimal(said: str) -> int:
    return int(said, 16) if re.fullmatch("[0-9A-Fa-f]{1,8}", said) else 0


def _listed(style: Style, properties: Node | None) -> bool:
    """Whether a paragraph is a list item, by its format or its style."""
    number = child(properties, "numPr") if properties is not None else None
    if number is not None:
        return value(child(number, "numId"), default="1") != "0"
    return style.name.lower().startswith("list") or style.numbered


def _level(style: Style, properties: Node | None) -> int | None:
    """The level of a heading; 0 for the document's title, None for text."""
    if style.name.lower() == "title":
        return 0
    found = re.fullmatch(r"(?i)heading (\d)", style.name)
    if found:
        return int(found.group(1))
    outline = value(child(properties, "outlineLvl")) if properties is not None else ""
    outline = outline or style.outline
    return int(outline) + 1 if re.fullmatch("[0-8]", outline) else None
