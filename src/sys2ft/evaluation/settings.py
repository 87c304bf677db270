"""Evaluation settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.evaluation.records import SCORINGS, Scoring

Control = Literal["none", "neighbours", "rephrased", "statements", "other_adapter"]
CONTROLS: tuple[Control, ...] = ("neighbours", "rephrased", "statements", "other_adapter")
FREE_TEXT = ("free_text_temperature", "free_text_top_p", "direct_tokens", "reasoned_tokens")
"""The settings that decide generated answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateSettings:
    """How knowledge is measured."""

    scorings: tuple[Scoring, ...] = SCORINGS
    """Scorings to compute: ways of asking and grading."""
    headline: Scoring = "cloze"
    """Scoring of the main table, which also decides the best protocol."""
    controls: tuple[Control, ...] = CONTROLS
    """Closed-book controls, before and after training: questions about the field that the news item does not change,
    its own questions in other words, statements to complete, its own questions asked of another news item's adapter.
    `none`: no controls. A later evaluation in the same run folder may ask for others."""
    retention: tuple[str, ...] = ()
    """Sets on which training should change nothing, as `NAME=FILE` or `NAME=FILE:COUNT` (a sample that does not depend
    on the order in the file): problems (`gsm8k=gsm8k_test.jsonl:100`), instructions, text; `prose`: the bundled text. A
    later evaluation in the same run folder may ask for others."""
    retention_tokens: int = 256
    """Maximum number of tokens of an answer to an item of these sets."""
    max_drop: float | None = None
    """Refuse a protocol whose accuracy on neighbour questions, or on a retention set, falls by more than this (0.05: 5
    points): its adapters are put aside. A later evaluation with another value brings them back. None: keep all."""
    free_text_temperature: float = 0.0
    """Sampling temperature of free text; 0: greedy."""
    free_text_top_p: float = 1.0
    """Top-p (nucleus) of free-text sampling."""
    direct_tokens: int = 24
    """Maximum number of tokens of a direct answer."""
    reasoned_tokens: int = 128
    """Maximum number of tokens of step-by-step reasoning, including the final answer."""

    def __post_init__(self) -> None:
        unknown = [scoring for scoring in (*self.scorings, self.headline) if scoring not in SCORINGS]
        if unknown or self.headline not in self.scorings or len(set(self.scorings)) < len(self.scorings):
            raise SettingsError(
                f"scorings={list(self.scorings)}, headline={self.headline}",
                expected=f"some of {', '.join(SCORINGS)}, each at most once, including the headline",
                fix="correct --scorings or --headline",
            )
        if (
            not self.controls
            or len(set(self.controls)) < len(self.controls)
            or ("none" in self.controls and len(self.controls) > 1)
        ):
            raise SettingsError(
                f"controls={list(self.controls)}",
                expected=f"some of {', '.join(CONTROLS)}, each at most once, or none alone",
                fix="correct --controls",
            )
        if self.direct_tokens < 1 or self.reasoned_tokens < 1:
            raise SettingsError(
                f"direct_tokens={self.direct_tokens}, reasoned_tokens={self.reasoned_tokens}",
                expected="at least 1",
                fix="raise the setting",
            )
        if self.retention_tokens < 1:
            raise SettingsError(
                f"retention_tokens={self.retention_tokens}", expected="at least 1", fix="raise --retention-tokens"
            )
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise SettingsError(
                f"max_drop={self.max_drop}",
                expected="a share from 0 to below 1, such as 0.05 for 5 points of accuracy",
                fix="correct --max-drop",
            )
        check_sampling(self.free_text_temperature, self.free_text_top_p, 0)


FREE = ("controls", "retention", "retention_tokens", "max_drop")
"""Settings that a later evaluation in the same run folder may change: no other result depends on them."""
BY_CHOICE = EvaluateSettings(scorings=("cloze", "cloze_raw", "letter"), controls=("none",))
"""Only the scorings that pick a choice: they have a chance level and generate no text."""
