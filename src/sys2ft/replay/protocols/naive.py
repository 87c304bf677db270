"""Naive fine-tuning on the news text itself, the baseline of Park, Zhang and Tanaka (arXiv 2505.01812)."""

from __future__ import annotations

from sys2ft.replay.prompts import restating_cues
from sys2ft.replay.stages import Protocol


def naive() -> Protocol:
    """The text of the news item, as an answer to the same cues that paraphrases have."""
    return Protocol(name="naive", version=4, cues=restating_cues())
