"""The parser of HTML pages: tags and text to blocks under their titles, while the page is read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

from sys2ft.news.importers.equations import Math, tex
from sys2ft.news.importers.furniture import AROUND, NAVIGATION, OF_THE_SITE, OUTSIDE, RELATED, omitted
from sys2ft.news.importers.grids import Cell, Grid, within
from sys2ft.news.importers.marks import DROP, END, LOWER, NOTE, RAISE, READING, RUBY, plain, unmarked
from sys2ft.news.importers.pieces import Block, Piece, Remark, excerpt
from sys2ft.news.importers.sentences import split_last
from sys2ft.news.importers.texts import PARAGRAPH, clean, flat

_BREAKS = frozenset(
    """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure
    footer form header hr html li main menu nav ol p pre section summary table tbody td tfoot th thead title tr ul
    h1 h2 h3 h4 h5 h6""".split()  # noqa: SIM905 - a list of words reads best as text
)
_VOID = frozenset(
    """area base br col embed hr img input link meta param source track wbr""".split()  # noqa: SIM905
)
_OPTIONAL_END = frozenset({"p", "li", "dt", "dd", "td", "th", "tr", "option"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LISTS = frozenset({"ul", "ol", "dl"})
_MAIN = frozenset({"main", "article"})
_MARKS = {"sup": RAISE, "sub": LOWER, "ruby": RUBY, "rt": READING, "rtc": READING, "rp": DROP}
_ALIGNED = re.compile(r"vertical-align\s*:\s*(super|sub)\b", re.IGNORECASE)
_NOTE_CLASS = re.compile(r"(?i)(?:foot|end)note|reference|fn-?ref|note-?ref|\bcite")
_LINE = "\u2028"  # of `<br>`: unlike the line breaks of the source, a space in text of any script
_TEX = "\0tex"


@dataclass(slots=True)
class _Table:
    """An open table."""

    outer: list[str]
    """The text before it in the cell around it."""
    grid: Grid = field(default_factory=Grid)
    cells: list[Cell] = field(default_factory=list)
    cell: Mapping[str, str] | None = None
    """The attributes of the open cell, its tag among them."""
    head: bool = False
    lines: list[str] = field(default_factory=list)
    """Its rows, if it is within a cell."""


class Page(HTMLParser):
    """Converts tags and text into pieces, which are queued in `ready`."""

    def __init__(
        self, titles: tuple[str, ...] = (), place: str = "", within: str = "", keep_furniture: bool = False
    ) -> None:
        super().__init__(convert_charrefs=True)
        self.ready: deque[Piece] = deque()
        self.outer, self.fixed_place, self.within, self.keep = titles, place, within, keep_furniture
        self.by_name = True  # whether names of templates tell what is furniture
        self.main_only = False  # whether to leave out what is outside `<main>`
        self.sizes = [0, 0]  # characters of the blocks outside and inside it
        self.page_title = ""
        self.titles: dict[int, str] = {}
        self._text: list[str] = []  # of the open paragraph, item or cell
        self._size = 0
        self._linked = 0  # characters of it within links
        self._place = place
        self._pre = self._links = self._anchors = self._main = self._in_main = self._lists = self._held = 0
        self._marked: list[tuple[str, int]] = []  # open tags with the number of their marks
        self._gap = False  # whether a word must not follow directly
        self._lines: list[str] = []  # of the open list or table
        self._only_links = True  # all lines so far
        self._tables: list[_Table] = []
        self._math: Math | None = None
        self._skipping: tuple[str, str] | None = None  # the tag that began it, and the reason to report (none: "")
        self._depth = 0
        self._skipped: list[str] = []

    # Tags and text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in reversed(attrs)}
        if self._skipping:
            if tag != self._skipping[0] or tag not in _OPTIONAL_END:
                self._depth += tag == self._skipping[0]
                return
            self._end_skip()  # `<p hidden>` ends where the next `<p>` begins
        if self._math is not None:
            if tag not in _BREAKS:
                self._math.start(tag, given)
                return
            self._end_math()
        why = omitted(tag, given, keep=self.keep, by_name=self.by_name) if tag not in _VOID else None
        if why is not None:
            if tag in _BREAKS:
                self._end_paragraph()
            if tag == "script" and given.get("type", "").startswith("math/tex"):
                why = _TEX
            self._skipping, self._depth = (tag, why), 1
        elif tag == "math" or tag.endswith(":math"):
            self._math = Math(given)
        elif tag == "img":
            self._beside(tex(given.get("alt", "")))
        elif tag == "br":
            self.handle_data(_LINE)
        elif tag in ("table", "td", "th", "tr", "thead", "tbody", "tfoot"):
            self._start_of_table(tag, given)
        elif tag in _HEADINGS:
            self._show(self._take())  # even within a cell: such a table serves the layout
            self._end_lines()
        elif tag in _BREAKS:
            self._end_paragraph()
            self._main += tag in _MAIN
            self._in_main += tag == "main"
            self._pre += tag == "pre"
            self._lists += tag in _LISTS
        else:
            self._start_of_mark(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping[0]
            if not self._depth:
                self._end_skip()
        elif self._math is not None:
            if tag == "math" or tag.endswith(":math") or tag in _BREAKS:
                self._end_math()
            else:
                self._math.end(tag)
        elif tag in ("table", "td", "th", "tr"):
            self._end_of_table(tag)
        elif tag in ("thead", "tbody", "tfoot"):
            self._end_of_table("tr")
            if self._tables:
                self._tables[-1].head = False
        elif tag == "title":
            self.page_title = self._take()
        elif tag in _HEADINGS:
            self._heading(int(tag[1]), self._take())
        elif tag in _BREAKS:
            self._end_paragraph()
            if tag == "main":
                self._end_lines()  # a list that was not closed
            self._main = max(0, self._main - (tag in _MAIN))
            self._in_main = max(0, self._in_main - (tag == "main"))
            self._pre -= tag == "pre" and self._pre > 0
            if tag in _LISTS and self._lists:
                self._lists -= 1
                if not self._lists and not self._tables:
                    self._end_lines()
        else:
            self._end_of_mark(tag)

    def handle_data(self, data: str) -> None:
        data = unmarked(data)
        if self._skipping:
            reason = self._skipping[1]
            if reason and (reason == _TEX or sum(map(len, self._skipped)) < 200):
                self._skipped.append(data)
            return
        if self._math is not None:
            self._math.data(data)
            return
        self._add(f" {data}" if self._gap and data[:1].isalnum() else data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):  # text in XHTML
            self.handle_data(data.removeprefix("CDATA["))

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Read `<![CDATA[`; skip other `<![` as comments, since the base class raises AssertionError for them."""
        if self.rawdata.startswith("<![CDATA[", i):
            end = self.rawdata.find("]]>", i)
            if end < 0:
                return -1
            self.unknown_decl(self.rawdata[i + 3 : end])
            return end + 3
        return self.parse_bogus_comment(i, False)

    def finish(self) -> None:
        """Close everything that is open."""
        if self._skipping:
            self._end_skip()
        if self._math is not None:
            self._end_math()
        while self._tables:
            self._end_of_table("table")
        self._end_paragraph()
        self._end_lines()

    # Text

    def _where(self) -> str:
        return self.fixed_place or f"{self.within}line {self.getpos()[0]}"

    def _add(self, data: str) -> None:
        if not self._text:
            self._place = self._where()
        self._text.append(data)
        self._size += len(data)
        self._linked += len(data.strip()) if self._links else 0
        self._gap = False
        if self._size > PARAGRAPH and (not self._marked or self._size > 2 * PARAGRAPH):
            done, rest = split_last(self._take())
            self._show(done)
            self._text, self._size = [rest], len(rest)

    def _beside(self, said: str) -> None:
        """Add what stood in place of text, such as a picture; a space divides it from words beside it."""
        if said:
            before = "".join(self._text[-1:])
            self._add(f" {said}" if before[-1:].isalnum() and said[0].isalnum() else said)
            self._gap = said[-1].isalnum()

    def _start_of_mark(self, tag: str, given: Mapping[str, str]) -> None:
        if tag in ("rt", "rp", "rb", "rtc") and self._marked and self._marked[-1][0] in ("rt", "rp"):
            self._end_of_mark(self._marked[-1][0])  # `<rt>` ends where the next one begins
        aligned = _ALIGNED.search(given.get("style", ""))
        marks = {"super": RAISE, "sub": LOWER}[aligned.group(1).lower()] if aligned else _MARKS.get(tag, "")
        if marks == RAISE and _NOTE_CLASS.search(given.get("class", "")):
            marks += NOTE
        if tag == "a":
            self._links += 1
            self._anchors += 1
            kind = f"{given.get('role', '')} {given.get('epub:type', '')}"
            if "#" in given.get("href", "") or "noteref" in kind:
                marks = NOTE
        if marks or any(tag == known for known, _ in self._marked):
            self._marked.append((tag, len(marks)))
            self._text.append(marks)
        elif tag == "q":
            self._add("“")

    def _end_of_mark(self, tag: str) -> None:
        self._links -= tag == "a" and self._links > 0
        if any(tag == known for known, _ in self._marked):
            while self._marked:
                known, marks = self._marked.pop()
                self._text.append(END * marks)
                if known == tag:
                    break
        elif tag == "q":
            self._add("”")

    def _take(self) -> str:
        text = plain(clean("".join(self._text)))
        self._text, self._size, self._linked, self._anchors = [], 0, 0, 0
        self._marked, self._gap = [], False
        in_lines = text.replace(_LINE, "\n").strip("\n")
        return (in_lines if text.strip() else "") if self._pre else flat(text)

    def _show(self, text: str, *, by_line: bool = False) -> None:
        path = self.outer + tuple(self.titles[level] for level in sorted(self.titles))
        # The page's title often repeats the first heading with the site's name: it is used only without headings.
        if not path and self.page_title:
            path = (self.page_title,)
        if not text.strip():
            return
        self.sizes[self._in_main > 0] += len(text)
        if self.main_only and not self._in_main:
            self.ready.append(Remark(what=OUTSIDE, place=self._place, shown=excerpt(text)))
        else:
            self.ready.append(Block(text=text, titles=path, place=self._place, by_line=by_line))

    def _line(self, text: str, *, link: bool = False) -> None:
        """Add a line to the open list or table; a very long one is emitted in parts."""
        if text.strip():
            self._lines.append(text)
            self._held += len(text)
            self._only_links = self._only_links and link
        if self._held > PARAGRAPH:
            self._end_lines()

    def _end_lines(self) -> None:
        text = "\n".join(self._lines)
        last = self._last_title()
        if self._lines and self._only_links and RELATED.match(last) and not self.keep:
            self.ready.append(Remark(what=AROUND, place=self._place, shown=excerpt(f"{last}: {text}")))
        else:
            self._show(text, by_line=True)
        self._lines, self._held, self._only_links = [], 0, True

    def _end_paragraph(self) -> None:
        if self._tables and self._tables[-1].cell is not None:
            self._text.append(_LINE)  # a paragraph within a cell, which continues
            return
        linked, whole = self._linked, sum(len(part.strip()) for part in self._text)
        if self._lists or self._tables:
            if text := " ".join(self._take().split()):
                self._line(f"- {text}" if self._lists else text, link=linked * 10 >= whole * 9)
        else:
            anchors = self._anchors
            text = self._take()
            site = OF_THE_SITE.match(text) and len(text) < 600 and not self._main
            menu = anchors > 2 and not self._main and not re.search(r"[.?!。？！]$", text)
            if (
                text
                and not self.keep
                and (site or (linked * 10 >= whole * 9 and (menu or RELATED.match(self._last_title()))))
            ):
                self.ready.append(
                    Remark(what=AROUND if site or not menu else NAVIGATION, place=self._place, shown=excerpt(text))
                )
            else:
                self._show(text, by_line=bool(self._pre))

    def _last_title(self) -> str:
        return self.titles[max(self.titles)] if self.titles else ""

    def _heading(self, level: int, name: str) -> None:
        for deeper in [known for known in self.titles if known >= level]:
            del self.titles[deeper]
        if name and (level == 1 or self._in_main or not self.main_only):
            self.titles[level] = name

    # Tables

    def _start_of_table(self, tag: str, given: Mapping[str, str]) -> None:
        if tag == "table":
            nested = bool(self._tables) and self._tables[-1].cell is not None
            if not nested:
                self._end_paragraph()
            self._tables.append(_Table(self._text if nested else []))
            self._text = []
        elif not self._tables:
            self._end_paragraph()
        elif tag in ("td", "th"):
            self._end_of_table(tag)
            self._tables[-1].cell = {**given, "tag": tag}
        else:
            self._end_of_table("tr")
            self._tables[-1].head = tag == "thead" or (tag == "tr" and self._tables[-1].head)

    def _end_of_table(self, tag: str) -> None:
        """End the open cell, with `tr` or `table` the row too, with `table` the table."""
        if not self._tables:
            self._end_paragraph()
            return
        table = self._tables[-1]
        if table.cell is not None:
            cell, table.cell = table.cell, None
            spans = (_number(cell.get("colspan", "")), _number(cell.get("rowspan", "")))
            table.cells.append(Cell(text=self._take(), head=cell["tag"] == "th", columns=spans[0], rows=spans[1]))
        else:
            self._end_paragraph()
        if tag in ("tr", "table") and table.cells:
            self._row(table.grid.row(table.cells, head=table.head))
            table.cells = []
        if tag == "table":
            self._row(table.grid.rest())
            self._close(self._tables.pop())

    def _row(self, line: str) -> None:
        if len(self._tables) > 1 and line.strip():
            self._tables[-1].lines.append(line)
        elif line:
            self._line(line)

    def _close(self, table: _Table) -> None:
        """Emit a table, or put it into the cell around it."""
        if not self._tables:
            if not self._lists:
                self._end_lines()
            return
        around = self._tables[-1]
        self._text = table.outer
        inner = sum(map(len, table.lines))
        if (around.cells or around.grid.named or "".join(table.outer).strip()) and inner <= PARAGRAPH:
            self._text = [within(flat("".join(table.outer)), table.lines), " "]
        else:  # a table that serves the layout
            for line in [self._take(), *table.lines]:
                self._row(line)
        self._size = sum(map(len, self._text))

    # Equations and what is left out

    def _end_math(self) -> None:
        assert self._math is not None
        said, self._math = self._math.text(), None
        if said:
            self._beside(said)
        else:
            self.ready.append(Remark(what="equation without text", place=self._where()))

    def _end_skip(self) -> None:
        assert self._skipping is not None
        reason, said = self._skipping[1], "".join(self._skipped)
        self._skipping, self._skipped = None, []
        if reason == _TEX:
            self._beside(tex(said))
        elif words := " ".join(said.split()):
            self.ready.append(Remark(what=reason, place=self._where(), shown=excerpt(words)))


def _number(said: str) -> int:
    return int(said) if re.fullmatch(r"[0-9]{1,4}", said.strip()) else 1
