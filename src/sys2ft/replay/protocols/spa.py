"""SPA: seven strategies of learning as prompts, each giving one long text (arXiv 2603.22213)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sys2ft.replay.filters import Reason, Said, invention
from sys2ft.replay.parsers import whole_text
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS
from sys2ft.replay.stages import Protocol, Stage

STRATEGIES = ("key_concepts", "mind_map", "implications", "questions", "case_studies", "discussion", "teacher")
"""In the order of the instructions, examples and cues of the language files."""
_RESTATING = ("key_concepts", "mind_map")


def spa() -> Protocol:
    """All seven strategies in turn: sample i follows strategy i, starting over after the last."""
    return _made("spa", range(len(STRATEGIES)))


def one_strategy(name: str) -> Protocol:
    """One of STRATEGIES as a protocol by itself, called 'spa_' and its name."""
    return _made(f"spa_{name}", [STRATEGIES.index(name)])


def _made(name: str, places: Sequence[int]) -> Protocol:
    kept = [_invention if STRATEGIES[place] in _RESTATING else None for place in places]
    write = Stage(
        name="ask",
        template=templates("spa", only=tuple(places), in_rotation=True),
        parser=whole_text,
        filters=(*ABOUT_THE_NEWS, *([_invention] if any(kept) else [])),
        stops=(),
        max_new_tokens=224,
        may_be_cut=True,
    )
    said: Mapping[str, Sequence[str]] = cues("cues_spa")
    own = {code: [lines[place] for place in places] for code, lines in said.items()}
    return Protocol(name=name, version=1, stages=(write,), cues=own)


def _invention(said: Said) -> Reason | None:
    """Rejects key concepts and mind maps with names or numbers that the news item does not have."""
    places = len(said.template.instructions)
    if places > 1 and STRATEGIES[said.index % places] not in _RESTATING:
        return None
    return invention(said)
