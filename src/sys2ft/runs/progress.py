"""Progress display of a run: bars if standard error is a terminal, else nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Advance(Protocol):
    """Called with the number of units completed since the last call."""

    def __call__(self, units: int = 1) -> None: ...


class Display:
    """Receives the progress of named tasks. This base class shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        """A task of `total` units (None: unknown); yields the function that advances it.

        With `passing` it disappears at the end.
        """
        yield lambda units=1: None

    def note(self, text: str) -> None:
        """Print a line that remains on the screen."""


class TerminalDisplay(Display):
    """Progress bars on standard error, since standard output is for results."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        identity: TaskID = self._progress.add_task(name, total=total)

        def advance(units: int = 1) -> None:
            self._progress.advance(identity, units)

        try:
            yield advance
        finally:
            self._progress.stop_task(identity)
            if passing:
                self._progress.remove_task(identity)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)


@contextmanager
def display(quiet: bool = False) -> Iterator[Display]:
    """The display of a command: bars if standard error is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield Display()
        return
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TerminalDisplay(progress)
