"""Defines conditions, scorings and the prediction record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from math import exp
from typing import Any, Literal, get_args

Condition = Literal["closed_book", "in_context"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)

Scoring = Literal["cloze", "cloze_raw", "letter", "direct", "reasoned"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
CHOICE_SCORINGS: frozenset[str] = frozenset({"cloze", "cloze_raw", "letter"})
"""Scorings that pick one of the choices. Only these have a chance level."""

RetentionScoring = Literal["reasoned", "prompt", "instruction", "loss"]
"""How answers on retention sets are measured: a reasoned number, all instructions of a prompt, each of them, or the
mean loss of a text, in nats per token (`detail["nats_per_token"]`)."""


def can_ask(scoring: str, choices: Collection[str] | None) -> bool:
    """Whether a scoring can ask a question with these choices."""
    return bool(choices) or scoring not in CHOICE_SCORINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One graded answer: the prompt (`asked`), the answer (`said`), the expected answer and the grade.

    `correct` is None if the answer could not be graded; `why` gives the reason. `detail` contains each choice's
    log-likelihood in nats, the order of the options, or the whole text that a final answer was extracted from.
    """

    id: str
    subject: str
    adapter: str | None
    news_id: str
    domain: str
    question: int
    kind: str | None
    condition: Condition
    scoring: Scoring | RetentionScoring
    asked: str
    said: str
    expected: str
    correct: bool | None
    grader: str
    why: str
    detail: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as a line of the run folder's predictions file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Prediction:
        """A prediction from a line of the run folder's predictions file."""
        return cls(**row)


def share_of_right(detail: Mapping[str, Any], expected: str) -> float | None:
    """The probability of the right choice among all, by their log-likelihoods a token.

    From the `detail` of an answer by `cloze`; None for one of another scoring, which has no lengths.
    """
    if "tokens" not in detail:
        return None
    lengths = detail["tokens"]
    odds = {name: exp(value / tokens) for (name, value), tokens in zip(detail["choices"].items(), lengths, strict=True)}
    return odds[expected] / sum(odds.values())
