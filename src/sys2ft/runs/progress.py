"""Progress display of a run: bars and notes if standard error is a terminal, else notes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sys2ft.runs.stops import Stopped
from sys2ft.terminal import Console, print, printable


class Advance(Protocol):
    """Called with the number of units completed since the last call."""

    def __call__(self, units: int = 1) -> None: ...


class Display:
    """Receives the progress of named tasks. This base class shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        """A task of `total` units (None: unknown); yields the function that advances it.

        With `passing` it disappears at the end. Work that stops on request says in `Stopped.places` how far it was.
        """
        done = 0

        def advance(units: int = 1) -> None:
            nonlocal done
            done += units
            shown(units)

        with self._shown(name, total, passing) as shown:
            try:
                yield advance
            except Stopped as stopped:
                stopped.places.append(f"{name.strip()}: {done:,}" + ("" if total is None else f" of {total:,}"))
                raise

    @contextmanager
    def _shown(self, name: str, total: int | None, passing: bool) -> Iterator[Advance]:
        yield lambda units=1: None

    def note(self, text: str) -> None:
        """Print a line that remains on the screen."""


class NotesDisplay(Display):
    """Notes only, on standard error, for logs: what is left out or done again must not go unseen."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class TerminalDisplay(Display):
    """Progress bars on standard error, since standard output is for results."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def _shown(self, name: str, total: int | None, passing: bool) -> Iterator[Advance]:
        identity: TaskID = self._progress.add_task(printable(name), total=total)

        def advance(units: int = 1) -> None:
            self._progress.advance(identity, units)

        try:
            yield advance
        finally:
            self._progress.stop_task(identity)
            if passing:
                self._progress.remove_task(identity)

    def note(self, text: str) -> None:
        self._progress.console.print(text)


@contextmanager
def display(quiet: bool = False) -> Iterator[Display]:
    """The display of a command: bars and notes if standard error is a terminal, else notes; nothing if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield Display() if quiet else NotesDisplay()
        return
    columns = (
        TextColumn("{task.description:<34}", markup=False),  # names of tasks come from files
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TerminalDisplay(progress)
