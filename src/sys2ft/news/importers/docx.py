"""DOCX to blocks; the only module that uses the package `python-docx`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, optional, table_row
from sys2ft.news.importers.texts import cannot_be_read, clean, read_head, what_it_is

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def read_docx(source: Source) -> Iterator[Piece]:
    """Blocks of a Word file under its headings: paragraphs, lists and tables, in order."""
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
    yield from _asides(document)
    yield from _blocks(document)


def _asides(document: Any) -> Iterator[Remark]:
    """Text outside the main run of paragraphs, which is omitted and reported."""
    for part in document.part.package.iter_parts():
        named = re.fullmatch(r"/word/(footnotes|endnotes|comments|header|footer)\d*\.xml", str(part.partname))
        words = named and _text_of(part.blob.decode("utf-8", "replace"))
        if named and words:
            yield Remark(what="footnotes, comments, page headers and footers", place=named.group(1), shown=words)
    boxes = re.findall(r"(?s)<w:txbxContent>.*?</w:txbxContent>", document.element.body.xml)
    for words in dict.fromkeys(filter(None, map(_text_of, boxes))):  # a box is stored twice, for old programs
        yield Remark(what="text box", place="text box", shown=words)


def _text_of(xml: str) -> str:
    return excerpt(" ".join(re.findall(r"<w:t(?: [^>]*)?>([^<]*)</w:t>", xml)))


def _blocks(document: Any) -> Iterator[Piece]:
    titles: dict[int, str] = {}
    items: list[str] = []
    place = begun = ""
    for number, part in enumerate(document.iter_inner_content(), start=1):
        place = f"paragraph {number}"
        path = tuple(titles[level] for level in sorted(titles))
        is_table = not hasattr(part, "runs")
        style = "" if is_table else (part.style.name or "" if part.style is not None else "")
        listed = not is_table and (style.startswith("List") or _numbered(part))
        if items and not listed:
            yield Block(text="\n".join(items), titles=path, place=begun, by_line=True)
            items = []
        if is_table:
            yield from _table(part, path, place)
            continue
        text = " ".join(clean("".join(_visible(part))).split())
        if hidden := " ".join(run.text for run in part.runs if run.font.hidden).strip():
            yield Remark(what="hidden text", place=place, shown=excerpt(hidden))
        if not text:
            continue
        level = _level(style)
        if level is not None:
            for deeper in [known for known in titles if known >= level]:
                del titles[deeper]
            titles[level] = text
        elif listed:
            begun = begun if items else place
            items.append(f"- {text}")
        else:
            yield Block(text=text, titles=path, place=place)
    if items:
        yield Block(text="\n".join(items), titles=tuple(titles[k] for k in sorted(titles)), place=begun, by_line=True)


def _numbered(paragraph: Any) -> bool:
    """Whether a paragraph's format makes it a list item."""
    return paragraph._p.pPr is not None and paragraph._p.pPr.numPr is not None


def _visible(paragraph: Any) -> Iterator[str]:
    """The text of a paragraph with its links, without hidden runs."""
    for part in paragraph.iter_inner_content():
        runs = part.runs if hasattr(part, "runs") else [part]
        yield from (run.text for run in runs if not run.font.hidden)


def _level(style: str) -> int | None:
    if style == "Title":
        return 0
    found = re.fullmatch(r"[Hh]eading (\d)", style)
    return int(found.group(1)) if found else None


def _table(table: Any, path: tuple[str, ...], place: str) -> Iterator[Block]:
    rows = []
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:
            if cell._tc is not last:  # a cell over several columns is listed for each of them
                cells.append(" ".join(clean(cell.text).split()))
            last = cell._tc
        rows.append(cells)
    names, *rest = rows or [[]]
    lines = [table_row(names, cells) for cells in rest] if rest else ["; ".join(filter(None, names))]
    yield Block(text="\n".join(line for line in lines if line), titles=path, place=place, by_line=True)
