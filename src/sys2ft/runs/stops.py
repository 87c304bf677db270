"""Requests to stop: a flag that long work polls where nothing is lost, and the exception that ends the work.

Nothing here installs a signal handler. A program that does so (the command line, see `cli.signals`) calls
`Stop.request` in it; any other caller can do that from another thread, or at a time limit of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stopped(KeyboardInterrupt):
    """Work that stopped on request; what it had finished is kept."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number
        """The signal that asked for it."""
        self.places: list[str] = []
        """How far each open task was, innermost first, such as 'train (steps): 120 of 400'."""


class Stop:
    """A request to stop, which a signal handler or another thread may make at any time."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that asked for it; None: nothing did."""
        self.finishing = False
        """Whether a step is in progress that should be finished first (see `finish_steps`)."""

    def request(self, number: int = signal.SIGINT) -> None:
        """Ask the work to stop where it next polls."""
        self.number = number

    @property
    def requested(self) -> bool:
        return self.number is not None

    def check(self) -> None:
        """Raise Stopped if it was requested."""
        if self.number is not None:
            raise Stopped(self.number)

    @contextmanager
    def finish_steps(self) -> Iterator[None]:
        """Within the block the work polls `requested` and stops by itself; a request of the last moment is checked."""
        self.finishing = True
        try:
            yield
        finally:
            self.finishing = False
        self.check()


_CURRENT: ContextVar[Stop | None] = ContextVar("stop", default=None)


def current_stop() -> Stop:
    """The request that applies here: that of the innermost `stoppable` block, else one that is never made."""
    return _CURRENT.get() or Stop()


@contextmanager
def stoppable(stop: Stop | None = None) -> Iterator[Stop]:
    """Work within the block stops when `stop` is requested: training after the step in progress, with a checkpoint,
    generation and evaluation before the next unit. It raises Stopped."""
    stop = stop or Stop()
    token = _CURRENT.set(stop)
    try:
        yield stop
    finally:
        _CURRENT.reset(token)
