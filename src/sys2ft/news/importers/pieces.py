"""What a reader makes of a file, piece by piece, so that no file has to fit in memory."""

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
from sys2ft.news.schema import News, Question


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A paragraph, list, table or listing of a document, under the titles that stand above it."""

    text: str
    titles: tuple[str, ...] = ()
    place: str
    by_line: bool = False
    """Divided between its lines only: a list, a table, code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A text that stands for itself (a row, a record), with the questions that came with it."""

    text: str
    titles: tuple[str, ...] = ()
    place: str
    questions: tuple[Question, ...] = ()
    answer_at: tuple[int | None, ...] = ()
    """Where in the text each question's answer begins, where the source says so; else empty."""
    made: News | None = None
    """The news itself, where the source is already a file of news."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """Something that was not taken as it stands, and must not happen silently."""

    what: str
    place: str
    shown: str = ""
    left_out: bool = True
    """Whether it is missing from the news; else it is there in another form."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot be used; the file goes on behind it."""

    error: NewsError


Piece: TypeAlias = Block | Entry | Remark | Bad


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file to be read."""

    path: Path
    name: str
    """What errors call it: a path that can be opened from here."""
    label: str
    """What the news say about it: its path below the folder that was given, or its name."""
    settings: ImportSettings
    advance: Callable[[int], None] = lambda size: None
    """Told how many bytes have been read since the last call, by readers of streams."""

    def error(self, found: str, *, expected: str, do: str, place: str = "") -> NewsError:
        """What is wrong with the file, or at a place in it."""
        return bad_input(self.name, found, expected=expected, do=do, place=place)


Reader: TypeAlias = Callable[[Source], Iterator[Piece]]


def excerpt(text: str, size: int = 60) -> str:
    """The beginning of a text on one line."""
    words = " ".join(text[: 4 * size].split())
    return words if len(words) <= size else words[: size - 3] + "..."


def table_row(names: Sequence[str], cells: Sequence[str]) -> str:
    """A row of a table as words: each cell behind the name of its column, empty cells left out."""
    named = [(names[i] if i < len(names) else "", cell) for i, cell in enumerate(cells)]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in named if cell)


def optional(module: str, package: str, use: str) -> ModuleType:
    """A module that only the extra `import` installs. Raises UserError with the command that does."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{use} needs the package {package}, which is not installed",
            expected="the extra 'import' of this package",
            do=f"pip install 'sys2ft[import]', or: pip install {package}",
        ) from error
