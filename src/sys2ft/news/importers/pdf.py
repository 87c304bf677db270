"""PDF to blocks; the only module that uses the package `pypdf`.

Pages have no paragraphs, so the text of all pages is one run of sentences, which continues across pages. Chapters come
from the file's outline. Lines repeated at the top or bottom of most pages are omitted and reported.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sys2ft.errors import NewsError, UserError
from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, optional
from sys2ft.news.importers.sentences import split_last
from sys2ft.news.importers.texts import cannot_be_read, clean, read_head, what_it_is

_REPEATED = 0.6
"""A first or last line is a running header if it is on at least this share of the pages, numbers ignored."""
_MADE_BY_A_PROGRAM = re.compile(
    r"^(?:microsoft word|untitled|slide \d|.*\.(?:docx?|indd|tex|pdf|pptx?|odt|qxd)$)", re.I
)

_ENDS = (".", "!", "?", "。", "！", "？")

_Outline = list[tuple[int, int, str]]
"""Page from 0, depth from 0, name of each chapter, in order."""


def read_pdf(source: Source) -> Iterator[Piece]:
    """The sentences of a PDF's pages under its title and chapters. Raises NewsError if there is no text."""
    head = read_head(source)
    if b"%PDF-" not in head[:1024]:
        raise source.error(
            what_it_is(head) or "text", expected="a PDF file", fix="rename it: its ending does not match its content"
        )
    pypdf = optional("pypdf", "pypdf", "reading PDF")
    # It logs faults that it repairs and raises the others, which are reported.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = _open(source, pypdf)
    pages = [_page_lines(source, page, number) for number, page in enumerate(reader.pages, start=1)]
    blank = [number for number, lines in enumerate(pages, start=1) if not lines]
    if len(blank) == len(pages):
        raise source.error(
            f"{len(pages)} pages without text, probably scanned images",
            expected="a PDF with text",
            fix=f"run text recognition first, for example: ocrmypdf {source.path.name} text.pdf",
        )
    for number in blank:
        yield Remark(what="page without text (a picture?)", place=f"page {number}")
    for line, count in _running(pages):
        yield Remark(what="running header or footer", place=f"on {count} pages", shown=excerpt(line))
    yield from _blocks(pages, _title(reader), _outline(reader))


def _open(source: Source, pypdf: Any) -> Any:
    try:
        reader = pypdf.PdfReader(source.path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise source.error(
                "a file that a password protects",
                expected="a PDF that opens without a password",
                fix="save a copy without one, for example: qpdf --decrypt --password=... in.pdf out.pdf",
            )
        _ = len(reader.pages)
    except (UserError, MemoryError):
        raise
    except pypdf.errors.DependencyError as error:
        raise source.error(
            "a file in AES encryption, which needs the package cryptography",
            expected="a PDF without encryption, or that package",
            fix="pip install 'cryptography>=43', or save a copy without encryption",
        ) from error
    except OSError as error:
        raise cannot_be_read(source, error) from error
    except Exception as error:  # pypdf raises many types of errors on damaged files
        raise _damaged(source, error) from error
    return reader


def _damaged(source: Source, error: Exception, place: str = "") -> NewsError:
    return source.error(
        f"a damaged PDF ({type(error).__name__}: {excerpt(str(error))})",
        expected="a readable PDF",
        fix="open it in a viewer and save it again, or omit it",
        place=place,
    )


def _page_lines(source: Source, page: Any, number: int) -> list[str]:
    try:
        text = clean(page.extract_text())
    except (MemoryError, UserError):
        raise
    except Exception as error:
        raise _damaged(source, error, f"page {number}") from error
    return [line for line in (" ".join(line.split()) for line in text.split("\n")) if line]


def _running(pages: list[list[str]]) -> list[tuple[str, int]]:
    """Remove lines repeated at the top or bottom of most pages from `pages`; returns them with their page counts."""
    taken = []
    with_text = [lines for lines in pages if lines]
    for end in (0, -1):
        while len(with_text) > 2:
            seen = Counter(_pattern(lines[end]) for lines in with_text if lines)
            if not seen:
                break
            pattern, count = seen.most_common(1)[0]
            if count < _REPEATED * len(with_text) or count < 3:
                break
            shown = next(lines[end] for lines in with_text if lines and _pattern(lines[end]) == pattern)
            taken.append((shown, count))
            for lines in with_text:
                if lines and _pattern(lines[end]) == pattern:
                    del lines[end]
    return taken


def _pattern(line: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "0", line.casefold())


def _title(reader: Any) -> tuple[str, ...]:
    try:
        title = " ".join(clean(str((reader.metadata or {}).get("/Title") or "")).split())
    except Exception:  # damaged metadata: the text does not need it
        return ()
    return () if not title or _MADE_BY_A_PROGRAM.match(title) else (title,)


def _outline(reader: Any) -> _Outline:
    found: _Outline = []

    def walk(entries: list[Any], depth: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, depth + 1)
                continue
            page = reader.get_destination_page_number(entry)
            name = " ".join(clean(str(entry.title)).split())
            if page is not None and page >= 0 and name:
                found.append((page, depth, name))

    try:
        walk(reader.outline, 0)
    except Exception:  # a damaged outline: the text does not need it
        return []
    return found


def _sections(
    pages: Sequence[Sequence[str]], title: tuple[str, ...], outline: _Outline
) -> Iterator[tuple[tuple[str, ...], int, Sequence[str]]]:
    """Title path, page from 1, and lines, in order; a page is split at the headings of chapters."""
    path: tuple[str, ...] = ()
    for number, lines in enumerate(pages):
        # A chapter whose heading is not among the page's lines begins with the page.
        for _, depth, name in (chapter for chapter in outline if chapter[0] == number):
            at = next((i for i, line in enumerate(lines) if line.casefold() == name.casefold()), None)
            if at is not None:
                yield title + path, number + 1, lines[:at]
                lines = lines[at + 1 :]
            path = (*path[:depth], name)
        yield title + path, number + 1, lines


def _blocks(pages: Sequence[Sequence[str]], title: tuple[str, ...], outline: _Outline) -> Iterator[Block]:
    """Runs of sentences, one for each page and chapter; an unfinished sentence moves to the next page."""
    held, place, under = "", "", title
    for path, page, lines in _sections(pages, title, outline):
        if held and path != under:
            yield Block(text=held, titles=under, place=place)
            held = ""
        place = place if held else f"page {page}"
        held, under = joined(held, lines), path
        done, rest = (held, "") if held.endswith(_ENDS) else split_last(held)
        if rest or held.endswith(_ENDS):
            yield Block(text=done, titles=path, place=place)
            held, place = rest, f"page {page}"
    if held:
        yield Block(text=held, titles=under, place=place)


def joined(held: str, lines: Sequence[str]) -> str:
    """Append the lines of a page to `held`; words hyphenated at a line's end are joined."""
    for line in lines:
        if re.search(r"[a-zà-ÿ]-$", held) and re.match(r"[a-zà-ÿ]", line):
            held = held[:-1] + line
        else:
            held = f"{held} {line}" if held else line
    return held
