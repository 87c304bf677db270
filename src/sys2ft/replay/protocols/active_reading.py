"""Active Reading: the model invents ways of learning for this text, then takes them.

Lin et al., 'Learning facts at scale with active reading' (arXiv 2508.09494).
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.replay.filters import copied_name, refusal
from sys2ft.replay.parsers import listed, whole_text
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, asked, long_reply
from sys2ft.replay.stages import Protocol, Trail


def active_reading() -> Protocol:
    """Lists ways to study the news item, then applies one of them."""
    invent = long_reply(
        name="list",
        template=templates("reading_strategies"),
        parser=listed,
        filters=(refusal, copied_name),
        stops=("\n\n",),
        max_new_tokens=96,
    )
    apply = long_reply(
        name="apply",
        template=templates("reading_applied"),
        parser=whole_text,
        filters=ABOUT_THE_NEWS,
        max_new_tokens=192,
        picks={"strategy": _strategy},
    )
    return Protocol(
        name="active_reading",
        version=1,
        stages=(invent, apply),
        cues=cues("cues"),
        elements=_applied,
        brings_names=_brings_names,
    )


def _brings_names(index: int) -> bool:
    return True  # the model chooses the way


def _strategy(trail: Trail) -> str | None:
    """One of the ways listed; samples take turns with its place."""
    lines = trail.said.get("list", "").splitlines()
    return lines[trail.index % len(lines)] if lines else None


def _applied(trail: Trail) -> Sequence[Pair]:
    return [asked(trail.cue, trail.said["apply"])]
