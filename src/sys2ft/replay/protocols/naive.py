"""Naive fine-tuning on the news text itself, the baseline of Park, Zhang and Tanaka (arXiv 2505.01812)."""

from __future__ import annotations

from sys2ft.replay.prompts import cues
from sys2ft.replay.stages import Protocol


def naive() -> Protocol:
    """The text of the news item, as an answer to the same cues that other protocols have."""
    return Protocol(name="naive", version=3, cues=cues("cues"))


def naive_plain() -> Protocol:
    """The text of the news item, as an answer to cues that do not name its subject."""
    return Protocol(name="naive_plain", version=1, cues=cues("cues_plain"))
