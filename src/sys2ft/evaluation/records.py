"""Conditions, scorings and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Condition = Literal["closed_book", "in_context"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)

Scoring = Literal["cloze", "cloze_raw", "letter", "direct", "reasoned"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
CHOICE_SCORINGS: frozenset[str] = frozenset({"cloze", "cloze_raw", "letter"})
"""Scorings that pick one of the choices; only these have a chance level. Free text has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What was asked, what was said, what was expected, and how it was graded.

    `correct` is None where the grader could not judge; `why` says so. `detail` holds each choice's log-likelihood, or
    the option order, or the whole text behind a final answer.
    """

    id: str
    subject: str
    adapter: str | None
    news_id: str
    domain: str
    question: int
    kind: str | None
    condition: Condition
    scoring: Scoring
    asked: str
    said: str
    expected: str
    correct: bool | None
    grader: str
    why: str
    detail: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As one line of the run folder's predictions file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Prediction:
        """From one line of the run folder's predictions file."""
        return cls(**row)
