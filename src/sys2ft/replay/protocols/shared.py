"""What several protocols share: their filters, and elements from prompts and lists."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sys2ft.generators import Pair
from sys2ft.models import Message
from sys2ft.replay.filters import (
    Filter,
    Reason,
    Said,
    copied_line,
    copied_name,
    invention,
    miscalculation,
    off_topic,
    refusal,
    unknown_names,
)
from sys2ft.replay.stages import Stage, Trail

ABOUT_THE_NEWS: tuple[Filter, ...] = (refusal, copied_line, copied_name, off_topic, miscalculation)
"""For texts that may go beyond the news item."""
RESTATES: tuple[Filter, ...] = (*ABOUT_THE_NEWS, invention)
"""For texts that say what the news item says."""


def foreign_name(said: Said) -> Reason | None:
    """Rejects texts with names that neither the news item nor what was said before has. Numbers may be worked out."""
    known = " ".join((said.news.text, *said.earlier.values()))
    return "invented" if unknown_names(said.text, known, said.language) else None


long_reply = partial(Stage, stops=(), temperature=0.7, may_be_cut=True)
"""A stage that gives a long text or a list. It is sampled at a low temperature, since errors add up over its length,
ends where the model ends it, and is used up to its last complete line or sentence if it reaches its budget."""


def asked(prompt: str, text: str) -> Pair:
    """The element with this prompt and completion."""
    return Pair(messages=(Message("user", prompt),), text=text)


def each_line(trail: Trail) -> Sequence[Pair]:
    """One element for each line that the last stage said, each with the next cue."""
    lines = list(trail.said.values())[-1].splitlines()
    return [asked(trail.cue_for(place), line) for place, line in enumerate(lines)]
