"""HTML to blocks, by the standard library's parser: pages are streamed and need not be well-formed.

Navigation, forms, scripts and hidden text are omitted; text among them is reported.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from html.parser import HTMLParser

from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, table_row
from sys2ft.news.importers.sentences import split_last
from sys2ft.news.importers.texts import PARAGRAPH, cannot_be_read, clean, encoding_of, not_of, read_head, too_long

_CHUNK = 65_536
_FURNITURE = frozenset({"nav", "footer", "aside", "form", "button", "select", "menu", "dialog"})
_SILENT = frozenset({"script", "style", "template", "svg", "math", "iframe", "object", "canvas", "noscript"})
_BREAKS = frozenset(
    """address article blockquote body br caption center dd details div dl dt fieldset figcaption figure header hr html
    li main ol p pre section summary table tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6 title""".split()  # noqa: SIM905 - a list of words reads best as text
)
_VOID = frozenset(
    """area base br col embed hr img input link meta param source track wbr""".split()  # noqa: SIM905
)
_OPTIONAL_END = frozenset({"p", "li", "dt", "dd", "td", "th", "tr", "option"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LISTS = frozenset({"ul", "ol", "dl", "table"})
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0(?![.\d]*[1-9])", re.IGNORECASE
)
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?([A-Za-z0-9_:.-]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    """Converts tags and text into pieces, which are queued in `ready`."""

    def __init__(self, titles: tuple[str, ...] = (), place: str = "") -> None:
        super().__init__(convert_charrefs=True)
        self.ready: deque[Piece] = deque()
        self.outer, self.fixed_place = titles, place
        self.page_title = ""
        self.titles: dict[int, str] = {}
        self._text: list[str] = []  # of the open paragraph, item or cell
        self._size = 0
        self._place = place
        self._pre = 0
        self._lines: list[str] = []  # of the open list or table
        self._held = 0
        self._lists = 0  # number of open lists and tables
        self._cell = ""  # tag of the open cell
        self._cells: list[str] = []
        self._names: list[str] = []  # of the table's columns
        self._heads = 0  # header cells of the open row
        self._skipping: tuple[str, str] | None = None  # the tag that began it, and the reason to report (none: "")
        self._depth = 0
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            if tag != self._skipping[0] or tag not in _OPTIONAL_END:
                self._depth += tag == self._skipping[0]
                return
            self._end_skip()  # `<p hidden>` ends where the next `<p>` begins
        given = {name: value or "" for name, value in attrs}
        hidden = "hidden" in given or _HIDDEN.search(given.get("style", "")) is not None
        if tag not in _VOID and (hidden or tag in _SILENT or tag in _FURNITURE):
            self._end_paragraph()
            why = "hidden text" if hidden else "page furniture (navigation, forms)" if tag in _FURNITURE else ""
            self._skipping, self._depth = (tag, why), 1
        elif tag == "img":
            self.handle_data(given.get("alt", ""))
        elif tag == "br":
            self.handle_data("\n")
        elif tag in ("td", "th"):
            self._end_cell()
            self._cell = tag
        elif tag == "tr":
            self._end_row()
        elif tag in _HEADINGS:
            self._show(self._take())  # even within a cell: such a table serves the layout
            self._end_lines()
        elif tag in _BREAKS:
            self._end_paragraph()
            self._pre += tag == "pre"
            self._lists += tag in _LISTS

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping[0]
            if not self._depth:
                self._end_skip()
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag == "tr":
            self._end_row()
        elif tag == "title":
            self.page_title = self._take()
        elif tag in _HEADINGS:
            self._heading(int(tag[1]), self._take())
        elif tag in _BREAKS:
            if tag == "table":
                self._end_table()
            self._end_paragraph()
            self._pre -= tag == "pre" and self._pre > 0
            if tag in _LISTS and self._lists:
                self._lists -= 1
                if not self._lists:
                    self._end_lines()

    def handle_data(self, data: str) -> None:
        if self._skipping:
            if self._skipping[1] and sum(map(len, self._skipped)) < 200:
                self._skipped.append(data)
            return
        if not self._text:
            self._place = self._where()
        self._text.append(data)
        self._size += len(data)
        if self._size > PARAGRAPH:
            done, rest = split_last(self._take())
            self._show(done)
            self._text, self._size = [rest], len(rest)

    def finish(self) -> None:
        """Close everything that is open."""
        self._end_table()
        self._end_paragraph()
        self._end_lines()
        if self._skipping:
            self._end_skip()

    def _where(self) -> str:
        return self.fixed_place or f"line {self.getpos()[0]}"

    def _take(self) -> str:
        text = clean("".join(self._text))
        self._text, self._size = [], 0
        if self._pre:
            return text.strip("\n") if text.strip() else ""
        return " ".join(text.split())

    def _show(self, text: str, *, by_line: bool = False) -> None:
        path = self.outer + tuple(self.titles[level] for level in sorted(self.titles))
        # The page's title often repeats the first heading with the site's name: it is used only without headings.
        if not path and self.page_title:
            path = (self.page_title,)
        if text.strip():
            self.ready.append(Block(text=text, titles=path, place=self._place, by_line=by_line))

    def _line(self, text: str) -> None:
        """Add a line to the open list or table; a very long one is emitted in parts."""
        if text.strip():
            self._lines.append(text)
            self._held += len(text)
        if self._held > PARAGRAPH:
            self._end_lines()

    def _end_lines(self) -> None:
        self._show("\n".join(self._lines), by_line=True)
        self._lines, self._held = [], 0

    def _end_paragraph(self) -> None:
        if self._cell:
            self._text.append(" ")  # a paragraph within a cell, which continues
        elif self._lists:
            if text := " ".join(self._take().split()):
                self._line(f"- {text}")
        else:
            by_line = bool(self._pre)
            self._show(self._take(), by_line=by_line)

    def _end_cell(self) -> None:
        if self._cell:
            self._cells.append(self._take())
            self._heads += self._cell == "th"
            self._cell = ""
        else:
            self._end_paragraph()

    def _end_row(self) -> None:
        self._end_cell()
        if self._cells and self._heads == len(self._cells):
            self._names = self._cells
        elif self._cells:
            self._line(table_row(self._names, self._cells))
        self._cells, self._heads = [], 0

    def _end_table(self) -> None:
        self._end_row()
        if self._names and not self._lines and not self._held:
            self._line("; ".join(self._names))  # a table of headers only
        self._names = []

    def _heading(self, level: int, name: str) -> None:
        for deeper in [known for known in self.titles if known >= level]:
            del self.titles[deeper]
        if name:
            self.titles[level] = name

    def _end_skip(self) -> None:
        assert self._skipping is not None
        words = " ".join("".join(self._skipped).split())
        if words:
            self.ready.append(Remark(what=self._skipping[1], place=self._where(), shown=excerpt(words)))
        self._skipping, self._skipped = None, []


def blocks_of_html(text: str, titles: tuple[str, ...], place: str) -> list[Piece]:
    """The blocks of HTML inside another document."""
    page = _Page(titles, place)
    page.feed(text)
    page.close()
    page.finish()
    return list(page.ready)


def read_html(source: Source) -> Iterator[Piece]:
    """Blocks of a page under its headings, or under its title if it has none."""
    head = read_head(source)
    declared = _CHARSET.search(head)
    encoding = encoding_of(source, head)
    if declared and encoding == "utf-8" and not source.settings.encoding:
        encoding = declared.group(1).decode("ascii")
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
    except LookupError:
        raise source.error(
            f"the unknown encoding {encoding!r} declared",
            expected="an encoding that Python knows",
            fix="give it with --encoding",
        ) from None
    page = _Page()
    try:
        with source.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                page.feed(_decoded(source, decoder, chunk, page, encoding))
                source.advance(len(chunk))
                if len(page.rawdata) > source.settings.max_record:
                    raise too_long(source, f"line {page.getpos()[0]}", "a tag, comment or script")
                yield from _drain(page)
            page.feed(_decoded(source, decoder, b"", page, encoding))
    except OSError as error:
        raise cannot_be_read(source, error) from error
    page.close()
    page.finish()
    yield from _drain(page)


def _drain(page: _Page) -> Iterator[Piece]:
    while page.ready:
        yield page.ready.popleft()


def _decoded(source: Source, decoder: codecs.IncrementalDecoder, chunk: bytes, page: _Page, encoding: str) -> str:
    try:
        return decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        line = page.getpos()[0] + page.rawdata.count("\n") + error.object[: error.start].count(b"\n")
        raise not_of(source, encoding, f"line {line}", error) from error
