"""Parts that run one after the other within a time budget; each failure is recorded and the next part runs."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Figures = dict[str, Any]


class Wrong(AssertionError):
    """A part has run, and what it computed is wrong; `figures` say by how much."""

    def __init__(self, message: str, figures: Figures) -> None:
        super().__init__(message)
        self.figures = figures


class Incomplete(Exception):
    """A part has failed after it measured `figures`, such as at the peer's turn."""

    def __init__(self, message: str, figures: Figures) -> None:
        super().__init__(message)
        self.figures = figures


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement. It starts only if `seconds`, an upper estimate of its time, are left."""

    name: str
    seconds: float
    run: Callable[[], Figures]


@dataclass(slots=True)
class Outcome:
    """What became of a part: `ok`, `skipped`, `wrong` or `failed`."""

    name: str
    state: str
    seconds: float = 0.0
    figures: Figures = field(default_factory=dict)
    error: str = ""

    @property
    def bad(self) -> bool:
        return self.state in ("wrong", "failed")


def run_parts(
    parts: Sequence[Part], *, until: float, done: Callable[[Outcome], None], clock: Callable[[], float] = time.monotonic
) -> list[Outcome]:
    """Run `parts` in order until the time `until` of `clock`; `done` is called with each outcome."""
    outcomes = []
    for part in parts:
        begun = clock()
        left = until - begun
        if left < part.seconds:
            outcome = Outcome(part.name, "skipped", error=f"{left:.0f} s were left, up to {part.seconds:.0f} needed")
        else:
            outcome = _run(part)
            outcome.seconds = clock() - begun
        outcomes.append(outcome)
        done(outcome)
        # Tensors of a part that failed are held by its traceback, which is gone now.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return outcomes


def _run(part: Part) -> Outcome:
    try:
        return Outcome(part.name, "ok", figures=part.run())
    except Wrong as error:
        return Outcome(part.name, "wrong", figures=error.figures, error=str(error))
    except Incomplete as error:
        return Outcome(part.name, "failed", figures=error.figures, error=str(error))
    except Exception as error:  # any error of torch or a library: the other parts still have something to say
        traceback.print_exc()
        return Outcome(part.name, "failed", error=described(error))


def described(error: Exception) -> str:
    """The first line of an error."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:500]
