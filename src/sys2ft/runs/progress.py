"""Progress display of a run: bars and notes if standard error is a terminal, else notes; for programs JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
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

JSON_LINES = "SYS2FT_PROGRESS"
"""Environment variable; with the value `json` a command writes its progress to standard error as JSON lines."""
_EVERY = 0.2  # seconds between two lines about one task


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


class LinesDisplay(Display):
    """One JSON object a line on standard error, for the program that started the command.

    `{"task": NAME, "done": UNITS, "total": UNITS or null, "ended": BOOL}` of a task, at its start, at its end and at
    most five times a second between them; `{"note": TEXT}` of a note. Errors are not JSON.
    """

    @contextmanager
    def _shown(self, name: str, total: int | None, passing: bool) -> Iterator[Advance]:
        done, last = 0, time.monotonic()

        def line(ended: bool) -> None:
            self._write({"task": name.strip(), "done": done, "total": total, "ended": ended})

        def advance(units: int = 1) -> None:
            nonlocal done, last
            done += units
            if (now := time.monotonic()) - last >= _EVERY:
                last = now
                line(False)

        line(False)
        try:
            yield advance
        finally:
            line(True)

    def note(self, text: str) -> None:
        self._write({"note": text})

    def _write(self, row: dict[str, str | int | bool | None]) -> None:
        sys.stderr.write(json.dumps(row) + "\n")
        sys.stderr.flush()


@contextmanager
def display(quiet: bool = False) -> Iterator[Display]:
    """The display of a command: bars and notes if standard error is a terminal, else notes; nothing if `quiet`.

    JSON lines if the environment asks for them (`SYS2FT_PROGRESS=json`).
    """
    if os.environ.get(JSON_LINES) == "json":
        yield LinesDisplay()
        return
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
