"""Paraphrases: the model restates the news item (Park, Zhang and Tanaka, arXiv 2505.01812)."""

from __future__ import annotations

from sys2ft.replay.parsers import one_paragraph
from sys2ft.replay.prompts import restating_cues, templates
from sys2ft.replay.protocols.shared import RESTATES
from sys2ft.replay.stages import Protocol, Stage


def paraphrase() -> Protocol:
    """The model restates the news item."""
    restate = Stage(name="ask", template=templates("paraphrase"), parser=one_paragraph, filters=RESTATES)
    return Protocol(name="paraphrase", version=4, stages=(restate,), cues=restating_cues())
