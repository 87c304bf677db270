"""Progress display of a run: bars and notes if standard error is a terminal, else notes; for programs JSON lines.

A bar shows the stage, what is measured while it runs (a loss, a yield) and the time left. The same measurements go to a
listener, such as an experiment tracker (`runs.trackers`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sys2ft.runs.stops import Stopped
from sys2ft.terminal import Console, print, print_json, printable

JSON_LINES = "SYS2FT_PROGRESS"
"""Environment variable; with the value `json` a command writes its progress to standard error as JSON lines."""
_EVERY = 0.2  # seconds between two lines about one task


class Advance(Protocol):
    """Called with the number of units completed since the last call."""

    def __call__(self, units: int = 1) -> None: ...


class Listener(Protocol):
    """Receives what is measured: named values of a curve at a step, such as the loss of an adapter's step."""

    def __call__(self, curve: str, step: int, values: Mapping[str, float]) -> None: ...


class Display:
    """Receives the progress of named tasks. This base class shows nothing."""

    place = ""
    """Number of the stage in progress, such as '2 of 4'; empty outside of stages."""
    listener: Listener | None = None

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

    @contextmanager
    def stage(self, number: int, of: int) -> Iterator[None]:
        """Tasks within the block belong to this stage of so many."""
        before, self.place = self.place, f"{number} of {of}"
        try:
            yield
        finally:
            self.place = before

    def measured(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        """Hand what was measured to the listener. A step is handed over again where work is repeated."""
        if self.listener is not None:
            self.listener(curve, step, values)

    def live(self, text: str) -> None:
        """Show a few words in the line of the innermost task that stays, such as 'loss 1.43'."""

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
        self._staying: list[TaskID] = []

    @contextmanager
    def _shown(self, name: str, total: int | None, passing: bool) -> Iterator[Advance]:
        title = f"{self.place}  {name}" if self.place else name
        task = self._progress.add_task(printable(title), total=total, live="")
        if not passing:
            self._staying.append(task)

        def advance(units: int = 1) -> None:
            self._progress.advance(task, units)

        try:
            yield advance
        finally:
            self._progress.stop_task(task)
            if passing:
                self._progress.remove_task(task)
            else:
                self._staying.remove(task)

    def live(self, text: str) -> None:
        if self._staying:
            self._progress.update(self._staying[-1], live=printable(text))

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
        print_json(json.dumps(row), file=sys.stderr)


class _Time(ProgressColumn):
    """The time left, and of a task that has ended the time it took."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.stop_time is not None:
            return Text(f"took {clock(task.elapsed or 0)}", style="progress.elapsed")
        left = task.time_remaining
        return Text("" if left is None else f"{clock(left)} left", style="progress.remaining")


def clock(seconds: float) -> str:
    """Seconds as 3:12 or 1:03:12."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
        TextColumn("{task.description:<30}", markup=False),  # names of tasks come from files
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[live]}", markup=False),
        _Time(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TerminalDisplay(progress)
