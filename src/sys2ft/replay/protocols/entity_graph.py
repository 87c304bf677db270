"""EntiGraph: the model names what a text is about, then discusses how two or three of these are related.

Yang, Band, Li, Candès and Hashimoto, 'Synthetic continued pretraining' (arXiv 2409.07431).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from sys2ft.generators import Pair
from sys2ft.replay.filters import refusal
from sys2ft.replay.parsers import listed_names, whole_text
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import RESTATES, asked, long_reply
from sys2ft.replay.stages import Protocol, Trail
from sys2ft.text import names

_MOST = 8
"""Entities of a list that are combined, the first ones."""


def entity_graph() -> Protocol:
    """Lists entities, then explains how some are related; those that the news item does not name are left out."""
    entities = long_reply(
        name="list",
        template=templates("entity_list"),
        parser=listed_names,
        filters=(refusal,),
        stops=("\n\n",),
        max_new_tokens=64,
        temperature=0.3,
    )
    relation = long_reply(
        name="relate",
        template=templates("entity_relation"),
        parser=whole_text,
        filters=RESTATES,
        stops=("\n\n",),
        max_new_tokens=160,
        picks={"entities": chosen_entities},
    )
    return Protocol(name="entity_graph", version=1, stages=(entities, relation), cues=cues("cues"), elements=_discussed)


def chosen_entities(trail: Trail) -> str | None:
    """Two or three entities of the list that occur in the news item; None if fewer than two do.

    Samples take turns with all pairs, then with all triples.
    """
    lines = trail.said.get("list", "").splitlines()
    named = [line for line in lines if names(trail.news.text, _without_article(line))]
    parts = named[:_MOST]
    groups = [*combinations(parts, 2), *combinations(parts, 3)]
    return "; ".join(groups[trail.index % len(groups)]) if groups else None


def _without_article(name: str) -> str:
    first, _, rest = name.partition(" ")
    return rest if rest and first.lower() in ("the", "a", "an") else name


def _discussed(trail: Trail) -> Sequence[Pair]:
    return [asked(trail.cue, trail.said["relate"])]
