"""HTML to blocks, by the standard library's parser: pages are streamed and need not be well-formed.

What is no text of the page (`furniture`), hidden or struck out is omitted and reported.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import BinaryIO

from sys2ft.news.importers.charsets import encoding_of_page
from sys2ft.news.importers.html_page import Page
from sys2ft.news.importers.main_text import LARGEST, judged
from sys2ft.news.importers.pieces import Block, Piece, Remark, Source
from sys2ft.news.importers.texts import cannot_be_read, not_of, read_head, too_long

_CHUNK = 65_536


def blocks_of_html(text: str, titles: tuple[str, ...], place: str) -> list[Piece]:
    """Pieces of an HTML fragment within another document."""
    page = Page(titles, place)
    page.feed(text)
    page.close()
    page.finish()
    return list(page.ready)


def text_of_html(text: str, place: str) -> tuple[str, list[Remark]]:
    """The text of an HTML fragment on one line, and what was left out of it."""
    pieces = blocks_of_html(text, (), place)
    said = " ".join(piece.text for piece in pieces if isinstance(piece, Block))
    return said, [piece for piece in pieces if isinstance(piece, Remark)]


def read_html(source: Source) -> Iterator[Piece]:
    """Blocks of a page's main text under its headings, or under its title if it has none."""
    encoding, remark = encoding_of_page(source, read_head(source))
    if remark:
        yield Remark(what=remark, place="line 1", left_out=False)

    def opened() -> BinaryIO:
        return source.path.open("rb")

    try:
        if not source.settings.keep_furniture and source.path.stat().st_size <= LARGEST:
            html = source.path.read_bytes().decode(encoding, "replace")
            # A judgement of the whole page says more than names, which hide a part of the text of some pages.
            if found := judged(blocks_of_page(source, opened, encoding, by_name=False), html):
                yield from found
                return
    except OSError as error:
        raise cannot_be_read(source, error) from error
    yield from blocks_of_page(source, opened, encoding)


def blocks_of_page(
    source: Source,
    opened: Callable[[], BinaryIO],
    encoding: str,
    titles: tuple[str, ...] = (),
    within: str = "",
    keep_furniture: bool = False,
    by_name: bool = True,
) -> Iterator[Piece]:
    """Blocks of the page that `opened` gives, under `titles`; `within` precedes the line number of each place."""
    keep = keep_furniture or source.settings.keep_furniture
    page = Page(titles, within=within, keep_furniture=keep)
    page.by_name = by_name
    try:
        if not keep and _has_main(opened):
            first = Page(titles, within=within)
            for _ in _pieces(source, opened, encoding, first):
                pass
            page.main_only = first.sizes[1] > first.sizes[0]
        for piece in _pieces(source, opened, encoding, page):
            if isinstance(piece, int):
                source.advance(piece)
            else:
                yield piece
    except OSError as error:
        raise cannot_be_read(source, error) from error


def _has_main(opened: Callable[[], BinaryIO]) -> bool:
    """Whether a page says which part of it is the main one."""
    before = b""
    with opened() as file:
        while chunk := file.read(_CHUNK):
            if b"<main" in (before + chunk).lower():
                return True
            before = chunk[-5:]
    return False


def _pieces(source: Source, opened: Callable[[], BinaryIO], encoding: str, page: Page) -> Iterator[Piece | int]:
    """The pieces of a page, and the number of bytes of each part that was read."""
    decoder = codecs.getincrementaldecoder(encoding)("sys2ft.undefined")
    with opened() as file:
        while chunk := file.read(_CHUNK):
            page.feed(_decoded(source, decoder, chunk, page, encoding))
            yield len(chunk)
            if len(page.rawdata) > source.settings.max_record:
                raise too_long(source, f"{page.within}line {page.getpos()[0]}", "a tag, comment or script")
            yield from _drain(page)
        page.feed(_decoded(source, decoder, b"", page, encoding))
    page.close()
    page.finish()
    yield from _drain(page)


def _drain(page: Page) -> Iterator[Piece]:
    while page.ready:
        yield page.ready.popleft()


def _decoded(source: Source, decoder: codecs.IncrementalDecoder, chunk: bytes, page: Page, encoding: str) -> str:
    try:
        return decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        line = page.getpos()[0] + page.rawdata.count("\n") + error.object[: error.start].count(b"\n")
        raise not_of(source, encoding, f"{page.within}line {line}", error) from error
