"""Which blocks of a web page belong to its main text; the only module that uses the package `trafilatura`.

trafilatura judges by the structure of the whole page and gives its main text, but without equations and scripts, and
without a word about what it drops. So it is asked for its judgement only: the blocks are those of our reader, and those
that trafilatura's text does not contain are reported.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable

from sys2ft.news.importers.pieces import Block, Piece, Remark, excerpt, optional

JUDGED = "text beside the main text of a page"
LARGEST = 2_000_000
"""Bytes of the largest page that is judged: trafilatura needs a tree of the page in memory."""
_LEAST = 1000  # letters and digits of a page; less is a snippet, which has no surroundings
_SHARE = 0.15  # of a page's text that trafilatura must give to be believed
_PART = 10  # characters that are compared at a time
_FOUND = 0.5


def judged(pieces: Iterable[Piece], html: str) -> list[Piece]:
    """The pieces of a page, with remarks in place of the blocks that are not part of its main text.

    Empty if the page is too short for a judgement, or has no main text. A block between two blocks of the main text
    stays too: equations, captions and short paragraphs.
    """
    given = list(pieces)
    blocks = [piece for piece in given if isinstance(piece, Block)]
    size = sum(len(_squeezed(block.text)) for block in blocks)
    text = _squeezed(_main_text(html)) if size >= _LEAST else ""
    if not text or len(text) < _SHARE * size:
        return []
    known = [_found(block.text, text) >= _FOUND for block in blocks]
    verdicts = iter(one or known[at - 1 : at] + known[at + 1 : at + 2] == [True, True] for at, one in enumerate(known))
    return [
        Remark(what=JUDGED, place=piece.place, shown=excerpt(piece.text))
        if isinstance(piece, Block) and not next(verdicts)
        else piece
        for piece in given
    ]


def _main_text(html: str) -> str:
    trafilatura = optional("trafilatura", "trafilatura", "reading HTML")
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without a main text is no fault
    try:
        return trafilatura.extract(html, include_comments=False) or ""
    except (ValueError, TypeError, AttributeError, RecursionError):  # of markup that no browser would build
        return ""


def _squeezed(text: str) -> str:
    """Letters and digits alone, so that marks, spaces and raised digits do not matter."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).casefold()


def _found(text: str, within: str) -> float:
    """The share of a text that another contains, by parts of a few characters; names of columns stand apart."""
    whole = found = 0.0
    for words in map(_squeezed, re.split(r"[;:|()\n]", text)):
        parts = [words[at : at + _PART] for at in range(0, max(1, len(words) - _PART + 1), _PART // 2)]
        whole += len(words)
        found += len(words) * sum(part in within for part in parts) / len(parts)
    return found / whole if whole else 1.0
