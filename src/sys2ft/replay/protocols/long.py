"""Long lists of implications, as prompted by SEAL (arXiv 2506.10943, 'implications-long')."""

from __future__ import annotations

from sys2ft.replay.parsers import listed
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, each_line, foreign_name
from sys2ft.replay.stages import Protocol, Stage


def long() -> Protocol:
    """The model lists all that follows from the news item; each line is an element."""
    conclude = Stage(
        name="ask",
        template=templates("long"),
        parser=listed,
        stops=(),
        max_new_tokens=256,
        temperature=0.7,
        may_be_cut=True,
    )
    return Protocol(
        name="long",
        version=1,
        stages=(conclude,),
        cues=cues("cues_implication"),
        elements=each_line,
        filters=(*ABOUT_THE_NEWS, foreign_name),
        per_sample=4,
    )
