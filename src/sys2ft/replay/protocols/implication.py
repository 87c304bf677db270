"""Implications: the model reasons about what follows from the news item (Park, Zhang and Tanaka, arXiv 2505.01812)."""

from __future__ import annotations

from sys2ft.replay.parsers import one_paragraph
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS
from sys2ft.replay.stages import Protocol, Stage


def implication() -> Protocol:
    """The model says one thing that follows from the news item."""
    conclude = Stage(name="ask", template=templates("implication"), parser=one_paragraph, filters=ABOUT_THE_NEWS)
    return Protocol(name="implication", version=3, stages=(conclude,), cues=cues("cues_implication"))
