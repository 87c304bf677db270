"""Rewriting: the text in several different ways at a time, as prompted by SEAL (arXiv 2506.10943, 'rewrite')."""

from __future__ import annotations

from sys2ft.replay.parsers import listed
from sys2ft.replay.prompts import restating_cues, templates
from sys2ft.replay.protocols.shared import RESTATES, each_line, long_reply
from sys2ft.replay.stages import Protocol


def rewrite() -> Protocol:
    """The model restates the news item in several ways; each is an element."""
    restate = long_reply(name="ask", template=templates("rewrite"), parser=listed, max_new_tokens=192)
    return Protocol(
        name="rewrite",
        version=2,
        stages=(restate,),
        cues=restating_cues(),
        elements=each_line,
        filters=RESTATES,
        per_sample=3,
    )
