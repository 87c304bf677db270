"""Running headers and footers of a PDF: lines repeated at the top or bottom of its pages, and page numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

_SHARE = 0.6
"""A line is repeated if it is on at least this share of the pages, of the even or odd pages, or of those between."""
_LEAST = 3
_PAGE_WORDS = re.compile(
    r"pages?|pp?|pg|seiten?|s|von|of|páginas?|paginas?|pág|pag|de|di|sur|folio|стр|страница|из"
    r"|第|[页頁]共?|ページ|共|第页共页|쪽|페이지|صفحة|من",
    re.I,
)
_COUNTED = re.compile(r"(\d+)\s*(?:/|of|von|de|di|sur|из|من|页\s*共|頁\s*共|ページ\s*/)\s*(\d+)", re.I)
_MARKED = re.compile(
    r"(?:[|·•–—―/]|\b(?:page|pg|p|seite|página|pagina|стр|страница)\.?)\s*#(?:\s*(?:/|of|von|de|di|из)\s*\d+)?\W*\Z"
    r"|\A\W*(?:page|seite|página|pagina|стр\.?)?\s*#(?:\s*(?:/|of|von|de|di|из)\s*\d+)?\s*[|·•–—―/]",
    re.I,
)
"""A page number (`#`) at an end of a line, behind a mark: 'Annual report | 3', '3 · Ferries', 'Ferries, page 3'."""
_AT_AN_END = re.compile(r"(?:#\s+)?[^\W\d_]+[^#.!?]*\s[^#.!?]*[^\W\d_]+(?:\s+#)?")
"""A page number at an end of a line of at least two other words."""
_ROMAN = re.compile(r"[ivxlcdm]+", re.I)
_LETTERS = re.compile(r"[^\W\d_]+")
_MARKS = re.compile(r"[\d#\s./|·•–—―()\[\]:,-]*")
_NUMBER = re.compile(r"\d+")
_SENTENCE = re.compile(r"[.!?。！？؟।]\W*\Z")
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page."""

    text: str
    apart: bool = False
    """White space separates it from the line nearer to the middle, and it is not larger."""
    in_table: bool = False
    """It and the line nearer to the middle have several cells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A repeated line, and the pages (from 1) that it is removed from."""

    line: str
    pages: tuple[int, ...]


def next_running(pages: Sequence[Sequence[Line]], end: int, outer: Container[int]) -> Running | None:
    """The next line to remove from one end of the pages (0: the first line, -1: the last); None if nothing is repeated.

    A line is removed when its text is the same on at least three pages: most of all, of the even, of the odd, or of
    consecutive pages. White space must separate from the text a sentence (which stays where it is first), a row of a
    table, and a line further in (on the pages `outer`, a line was removed here already). Page numbers are removed: '3
    of 12' on page 3 of 12, and numbers that grow with the pages, alone, beside words such as 'page', or at an end of a
    line that a mark or white space sets apart. Lines that merely differ in numbers ('Bridge 1 is green.') stay.
    """
    lines = {number: page[end] for number, page in enumerate(pages, start=1) if page}
    by_text: dict[str, list[int]] = {}
    for number, line in lines.items():
        by_text.setdefault(" ".join(line.text.casefold().split()), []).append(number)
    for numbers in by_text.values():
        if _repeated(numbers, list(lines)):
            text = lines[numbers[0]].text
            sentence = _SENTENCE.search(text) is not None and len(_WORD.findall(text)) > 1
            inner = any(number in outer for number in numbers)
            in_table = any(lines[number].in_table for number in numbers)
            if not (sentence or inner or in_table) or _block_is_apart([pages[n - 1] for n in numbers], end):
                return Running(line=text, pages=tuple(numbers[sentence:]))
    numbered = _numbered(lines, len(pages))
    return Running(line=lines[numbered[0]].text, pages=tuple(numbered)) if numbered else None


def _block_is_apart(pages: Sequence[Sequence[Line]], end: int) -> bool:
    """Whether the line, or it and up to three further lines that all pages share, is apart from the text."""
    for depth in range(min(4, min(map(len, pages)))):
        lines = [page[-1 - depth if end else depth] for page in pages]
        if len({line.text for line in lines}) > 1:
            return False
        if sum(line.apart for line in lines) * 2 > len(lines):
            return True
    return False


def _repeated(numbers: Sequence[int], with_text: Sequence[int]) -> bool:
    if len(numbers) < _LEAST:
        return False
    between = [n for n in with_text if numbers[0] <= n <= numbers[-1]]
    if len(numbers) >= _SHARE * len(between):
        return True
    parity = {n % 2 for n in numbers}
    return len(parity) == 1 and len(numbers) >= _SHARE * sum(n % 2 in parity for n in between)


def _numbered(lines: dict[int, Line], total: int) -> list[int]:
    """The pages on which the line at one end is a page number."""
    certain = [
        number
        for number, line in lines.items()
        if _is_label(line.text)
        and (counted := _COUNTED.search(line.text))
        and (int(counted[1]), int(counted[2])) == (number, total)
    ]
    if certain:
        return certain
    # Pictures between the pages may count as pages or not.
    labels = {
        number: {*_labels(line, number, "page"), *_labels(line, rank, "page with text")}
        for rank, (number, line) in enumerate(lines.items())
    }
    seen = Counter(label for mine in labels.values() for label in mine)
    for label, _ in seen.most_common():
        numbers = [number for number in lines if label in labels[number]]
        if _repeated(numbers, list(lines)):
            return numbers
    return []


def _is_label(text: str) -> bool:
    """Whether a line is numbers, words such as 'page' and marks, and nothing else."""
    words = _LETTERS.findall(text)
    return all(_PAGE_WORDS.fullmatch(word) for word in words) and _MARKS.fullmatch(_LETTERS.sub("", text)) is not None


def _labels(line: Line, number: int, what: str) -> Iterator[tuple[str, str, int]]:
    """The line without one number, or Roman numeral, that may be a page's, and how far it is from `number`."""
    for found in _NUMBER.finditer(line.text):
        rest = f"{line.text[: found.start()]}#{line.text[found.end() :]}"
        if _is_label(rest) or _MARKED.search(rest) or (line.apart and _AT_AN_END.fullmatch(rest)):
            yield what, rest.casefold(), int(found[0]) - number
    alone = line.text.strip(" -–—.[]()").lower()
    if _ROMAN.fullmatch(alone):
        yield what, "roman", _roman(alone) - number


def _roman(text: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
