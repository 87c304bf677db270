"""The pieces that readers yield one at a time, so that no file has to fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from sys2ft.errors import NewsError, UserError
from sys2ft.news.importers.settings import ImportSettings
from sys2ft.news.problems import bad_input
from sys2ft.news.schema import Cloze, News, Question


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A paragraph, list, table or listing of a document, under the titles above it."""

    text: str
    titles: tuple[str, ...] = ()
    place: str
    by_line: bool = False
    """Divided between its lines only: a list, a table, code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A self-contained text (a row, a record) with its questions."""

    text: str
    titles: tuple[str, ...] = ()
    place: str
    questions: tuple[Question, ...] = ()
    answer_at: tuple[int | None, ...] = ()
    """The offset of each question's answer in the text, if the source has offsets; else empty."""
    neighbours: tuple[Question, ...] = ()
    cloze: Cloze | None = None
    made: News | None = None
    """The news item, if the source is already a news file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """Something that was omitted or changed, to be reported."""

    what: str
    place: str
    shown: str = ""
    left_out: bool = True
    """Whether it is missing from the news items; else it was changed."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot be used; reading continues after it."""

    error: NewsError


Piece: TypeAlias = Block | Entry | Remark | Bad


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file to be read."""

    path: Path
    name: str
    """Its name in errors: a path relative to the working directory."""
    label: str
    """Its name in the news items: its path below the given folder, or its file name."""
    settings: ImportSettings
    declared: str = ""
    """The codec that a web server declared; empty for files."""
    advance: Callable[[int], None] = lambda size: None
    """Called by readers of streams with the number of bytes read since the last call."""

    def error(self, found: str, *, expected: str, fix: str, place: str = "") -> NewsError:
        """The error for the file, or for a place in it."""
        return bad_input(self.name, found, expected=expected, fix=fix, place=place)


Reader: TypeAlias = Callable[[Source], Iterator[Piece]]


def excerpt(text: str, size: int = 60) -> str:
    """The start of a text, on one line."""
    words = " ".join(text[: 4 * size].split())
    return words if len(words) <= size else words[: size - 3] + "..."


def table_row(names: Sequence[str], cells: Sequence[str]) -> str:
    """A row of a table as text: each cell after the name of its column; empty cells are omitted."""
    named = [(names[i] if i < len(names) else "", cell) for i, cell in enumerate(cells)]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in named if cell)


def optional(module: str, package: str, use: str) -> ModuleType:
    """A module of the extra `import`. Raises UserError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{use} needs the package {package}, which is not installed",
            expected="the extra 'import' of this package",
            fix=f"pip install 'sys2ft[import]', or: pip install {package}",
        ) from error
