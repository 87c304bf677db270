"""Markdown to blocks; the only module that uses the package `markdown-it-py`.

A file is parsed in segments that end before a heading, or at an empty line in a long section, so that memory is bounded
by a segment. Link targets and images are omitted; the alternative text of images is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sys2ft.news.importers.html import blocks_of_html, text_of_html
from sys2ft.news.importers.pieces import Block, Piece, Remark, Source, excerpt, table_row
from sys2ft.news.importers.texts import clean, flat, lines_of

_SEGMENT = 64_000
_LONG = 4 * _SEGMENT
_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_BREAKS = {"softbreak": "\n", "hardbreak": "\u2028"}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read_markdown(source: Source) -> Iterator[Piece]:
    """Blocks of a Markdown file under its headings; a title in its front matter comes first."""
    titles: dict[int, str] = {}
    lines = iter(enumerate(lines_of(source), start=1))
    for begun, segment in _segments(lines):
        if begun == 1 and (front := _front_matter(segment)):
            held, segment = front
            if title := held.get("title"):
                titles[0] = str(title)
            rest = ", ".join(str(key) for key in held if key != "title")
            if rest:
                yield Remark(what="front matter", place="line 1", shown=excerpt(rest))
        yield from _blocks(_parser().parse(clean("\n".join(segment))), titles, begun)


def _segments(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Parts of the file with the number of their first line."""
    held: list[str] = []
    size, begun, fence = 0, 1, ""
    for number, line in lines:
        heading, blank = _HEADING.match(line), not line.strip()
        between = not fence and ((heading and size > _SEGMENT) or (blank and size > _LONG))
        if between or size > 4 * _LONG:
            yield begun, [*held, fence] if fence else held
            held, size, begun = ([fence] if fence else []), 0, number - bool(fence)
        found = _FENCE.match(line)
        if found and not fence:
            fence = found.group(1)
        elif found and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        held.append(line)
        size += len(line)
    if held:
        yield begun, held


def _front_matter(segment: list[str]) -> tuple[dict[str, object], list[str]] | None:
    """The mapping between '---' lines at the top of a file, and the lines with it blanked, which keeps line numbers."""
    if not segment or segment[0].rstrip() != "---":
        return None
    end = next((i for i, line in enumerate(segment[1:200], start=1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        return None
    try:
        held = yaml.safe_load("\n".join(segment[1:end]))
    except yaml.YAMLError:
        return None
    return (held, [""] * (end + 1) + segment[end + 1 :]) if isinstance(held, dict) else None


def _blocks(tokens: list[Token], titles: dict[int, str], begun: int) -> Iterator[Piece]:
    position, listed, items = 0, 0, list[str]()
    remarks: list[Remark] = []
    place = ""
    while position < len(tokens):
        token = tokens[position]
        if token.map and not listed:
            place = f"line {begun + token.map[0]}"
        path = tuple(titles[level] for level in sorted(titles))
        if token.type == "heading_open":
            level = int(token.tag[1])
            for deeper in [known for known in titles if known >= level]:
                del titles[deeper]
            if name := _inline(tokens[position + 1], place, remarks):
                titles[level] = name
            position += 2
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            listed += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            listed -= 1
            if not listed and items:
                yield Block(text="\n".join(items), titles=path, place=place, by_line=True)
                items = []
        elif token.type == "table_open":
            position, rows = _table(tokens, position, place, remarks)
            yield Block(text="\n".join(rows), titles=path, place=place, by_line=True)
        elif token.type == "inline":
            text = _inline(token, place, remarks)
            if listed:
                first = tokens[position - 2].type == "list_item_open"
                items.append("  " * (listed - 1) + ("- " if first else "  ") + text)
            elif text:
                yield Block(text=text, titles=path, place=place)
        elif token.type in ("fence", "code_block"):
            if listed:
                items += ["  " * listed + line for line in token.content.rstrip("\n").split("\n")]
            elif token.content.strip():
                yield Block(text=token.content.strip("\n"), titles=path, place=place, by_line=True)
        elif token.type == "html_block":
            yield from blocks_of_html(token.content, path, place)
        yield from remarks
        remarks.clear()
        position += 1


def _table(tokens: list[Token], position: int, place: str, remarks: list[Remark]) -> tuple[int, list[str]]:
    """The table's end position and its rows, each cell with the name of its column."""
    names: list[str] = []
    cells: list[str] = []
    rows = []
    while tokens[position].type != "table_close":
        token = tokens[position]
        if token.type in ("th_open", "td_open"):
            (names if token.type == "th_open" else cells).append(_inline(tokens[position + 1], place, remarks))
        elif token.type == "tr_close" and cells:
            rows.append(table_row(names, cells))
            cells = []
        position += 1
    return position, rows or ["; ".join(names)]


def _inline(token: Token, place: str, remarks: list[Remark]) -> str:
    """The plain text of an inline token, without marks, links and images; what is left out is added to `remarks`."""
    children = token.children or ()
    if any(child.type in ("html_inline", "s_open") for child in children):
        said, omitted = text_of_html("".join(map(_as_html, children)), place)
        remarks += omitted
        return said
    return flat("".join(map(_words, children)))


def _words(child: Token) -> str:
    if child.type == "image":
        return flat("".join(map(_words, child.children or ())))
    return _BREAKS.get(child.type) or (child.content if child.type in ("text", "code_inline", "text_special") else "")


def _as_html(child: Token) -> str:
    """A part of a line that contains HTML or struck-out text, for the parser of pages."""
    if child.type == "html_inline":
        return child.content
    return {"s_open": "<s>", "s_close": "</s>", "hardbreak": "<br>"}.get(child.type) or escape(_words(child))
