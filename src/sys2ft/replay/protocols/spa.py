"""SPA: seven strategies of learning as prompts, each giving one long text (arXiv 2603.22213)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sys2ft.replay.filters import Reason, Said, invention
from sys2ft.replay.parsers import whole_text
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, foreign_name, long_reply
from sys2ft.replay.stages import Protocol

STRATEGIES = ("key_concepts", "mind_map", "implications", "questions", "case_studies", "discussion", "teacher")
"""In the order of the instructions, examples and cues of the language files."""
_RESTATING = ("key_concepts", "mind_map")
_WITH_PEOPLE = ("case_studies", "discussion")
"""Strategies that may bring in people whom the news item does not name."""


def spa() -> Protocol:
    """All seven strategies in turn: sample i follows strategy i, starting over after the last."""
    return _made("spa", range(len(STRATEGIES)))


def one_strategy(name: str) -> Protocol:
    """One of STRATEGIES as a protocol by itself, called 'spa_' and its name."""
    return _made(f"spa_{name}", [STRATEGIES.index(name)])


def _made(name: str, places: Sequence[int]) -> Protocol:
    chosen = tuple(STRATEGIES[place] for place in places)
    write = long_reply(
        name="ask",
        template=templates("spa", only=tuple(places), in_rotation=True),
        parser=whole_text,
        filters=(*ABOUT_THE_NEWS, partial(_beyond, chosen)),
        max_new_tokens=224,
    )
    said: Mapping[str, Sequence[str]] = cues("cues_spa")
    own = {code: [lines[place] for place in places] for code, lines in said.items()}
    return Protocol(name=name, version=1, stages=(write,), cues=own, brings_names=partial(_brings_names, chosen))


def _brings_names(strategies: Sequence[str], index: int) -> bool:
    return strategies[index % len(strategies)] in _WITH_PEOPLE


def _beyond(strategies: Sequence[str], said: Said) -> Reason | None:
    """Rejects names that the news item does not have, and in key concepts and mind maps numbers too."""
    if _brings_names(strategies, said.index):
        return None
    strategy = strategies[said.index % len(strategies)]
    return invention(said) if strategy in _RESTATING else foreign_name(said)
