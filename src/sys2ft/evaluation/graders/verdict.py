"""A grade: the verdict on one answer, and its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sys2ft.news import Question


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict and its reason; `correct` is None if the answer could not be graded."""

    correct: bool | None
    why: str


Grader = Callable[[str, Question], Grade]
"""(answer text, question) -> grade."""
