"""Displays that interrupt the work they show, or remember what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sys2ft.runs import Display


class Interrupted(Exception):
    pass


class StopWhen(Display):
    """Raises `error` as soon as `stop(units)` holds of what was done further."""

    def __init__(self, stop: Callable[[int], bool], error: type[BaseException] = Interrupted) -> None:
        self.stop, self.error = stop, error

    @contextmanager
    def task(self, name: str, total: int, *, passing: bool = False) -> Iterator[Any]:
        def advance(units: int = 1) -> None:
            if self.stop(units):
                raise self.error

        yield advance


class StopAt(StopWhen):
    """Interrupts after more than so many units."""

    def __init__(self, units: int, error: type[BaseException] = Interrupted) -> None:
        super().__init__(self._passed, error)
        self.left = units

    def _passed(self, units: int) -> bool:
        self.left -= units
        return bool(units) and self.left < 0


class Notes(Display):
    """Remembers the lines that stay on the screen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)
