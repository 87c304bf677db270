"""Ctrl-C and SIGTERM: the work in progress stops where nothing is lost; a second signal stops it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sys2ft.runs.stops import Stop, Stopped, stoppable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of a terminal, and of a cluster before it takes a machine
_WAIT = b"\nsys2ft: stopping after the step in progress; once more stops at once\n"


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise Stopped, at once or after the step in progress.

    A signal that the process was started to ignore (`nohup`, a shell's background job) stays ignored. Outside the main
    thread, where Python forbids handlers, nothing changes.
    """
    stop = Stop()

    def handle(number: int, _frame: Any) -> None:
        again = stop.requested
        stop.request(number)
        if again or not stop.finishing:
            raise Stopped(number)
        os.write(2, _WAIT)  # not by print, which may be what was interrupted

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, handle)
        with stoppable(stop):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe_stop(stopped: KeyboardInterrupt) -> tuple[str, int]:
    """What to print after a stop, and the exit code (128 and the signal's number)."""
    places = getattr(stopped, "places", [])
    where = f" at {'; '.join(reversed(places))}" if places else ""
    number: int = getattr(stopped, "number", signal.SIGINT)
    return f"sys2ft: stopped{where}. Finished work is kept: the same command resumes it.", 128 + number
