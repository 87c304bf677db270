"""Finding a protocol by name: the bundled ones, and those of other packages.

Another package's is found among the entry points of the group 'sys2ft.protocols'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sys2ft.plugins import PROTOCOLS, load_plugin, made_plugin, plugin_names
from sys2ft.replay.mixed import MIXED
from sys2ft.replay.protocols.active_reading import active_reading
from sys2ft.replay.protocols.cloze import cloze
from sys2ft.replay.protocols.entity_graph import entity_graph
from sys2ft.replay.protocols.implication import implication
from sys2ft.replay.protocols.long import long
from sys2ft.replay.protocols.naive import naive
from sys2ft.replay.protocols.paraphrase import paraphrase
from sys2ft.replay.protocols.reverse import reverse
from sys2ft.replay.protocols.rewrite import rewrite
from sys2ft.replay.protocols.self_qa import self_qa, self_qa_reasoned
from sys2ft.replay.protocols.spa import STRATEGIES, one_strategy, spa
from sys2ft.replay.stages import Protocol

BUNDLED: dict[str, Callable[[], Protocol]] = {
    "naive": naive,
    "paraphrase": paraphrase,
    "implication": implication,
    "self_qa": self_qa,
    "self_qa_reasoned": self_qa_reasoned,
    "rewrite": rewrite,
    "long": long,
    "entity_graph": entity_graph,
    "active_reading": active_reading,
    "reverse": reverse,
    "cloze": cloze,
    "spa": spa,
    **{f"spa_{name}": partial(one_strategy, name) for name in STRATEGIES},
}


def protocol_names() -> list[str]:
    """Names of all installed protocols, the bundled ones first."""
    return [*BUNDLED, *(name for name in plugin_names(PROTOCOLS) if name not in BUNDLED)]


def protocol(name: str) -> Protocol:
    """The protocol called `name`. Raises SettingsError that lists the installed ones, or says what is wrong with it."""
    if name in BUNDLED:
        return BUNDLED[name]()
    make = load_plugin(PROTOCOLS, name, flag="--protocols or --mix", known=[*protocol_names(), MIXED])
    made: Protocol = made_plugin(PROTOCOLS, name, make, kind=Protocol)
    return made
