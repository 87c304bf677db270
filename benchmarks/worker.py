"""A process that runs one job and reports its result: `python -m benchmarks.worker`, the job as JSON on standard input.

Every measured run has its own process. Peak memory can only be measured that way, and neither side inherits the
other's warm allocator, patched modules or thread pools. Importing, loading the model and one small warm-up are left out
of the time.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from sys2ft.runs import Display
from sys2ft.runs.progress import Advance


class PipeDisplay(Display):
    """Progress as JSON lines, for the process that shows it."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def send(self, **message: Any) -> None:
        """One line."""
        self._pipe.write(json.dumps(message) + "\n")

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        self.send(task=name, total=total)
        yield lambda units=1: self.send(advance=units)

    def note(self, text: str) -> None:
        self.send(note=text)


def main() -> int:
    # Standard output is for messages only: what libraries print goes to standard error.
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    show = PipeDisplay(pipe)
    order = json.load(sys.stdin)
    try:
        from benchmarks.context import Context

        module, name = order["job"].split(".")
        job = getattr(importlib.import_module(f"benchmarks.jobs.{module}"), name)
        show.send(result=job(Context(**order["context"], show=show), **order["args"]))
    except Exception as error:  # any library error: the table reports it, and the benchmark continues
        traceback.print_exc()
        show.send(error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
