"""Long lists of implications, as prompted by SEAL (arXiv 2506.10943, 'implications-long')."""

from __future__ import annotations

from sys2ft.replay.parsers import listed
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, each_line, foreign_name, long_reply
from sys2ft.replay.stages import Protocol


def long() -> Protocol:
    """The model lists all that follows from the news item; each line is an element."""
    conclude = long_reply(name="ask", template=templates("long"), parser=listed, max_new_tokens=256)
    return Protocol(
        name="long",
        version=1,
        stages=(conclude,),
        cues=cues("cues_implication"),
        elements=each_line,
        filters=(*ABOUT_THE_NEWS, foreign_name),
        per_sample=4,
    )
