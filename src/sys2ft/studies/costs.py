"""What the updates of a cell cost, and how many elements they had: of the generation, the part that they use."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from sys2ft.replay.settings import BUDGETS
from sys2ft.studies.cells import Cell
from sys2ft.studies.samples import kept_of, written_elements
from sys2ft.studies.store import Store

PARAPHRASE = "paraphrase"
"""What prompts show, and the protocol that writes it."""
SHOWN = "shown"
"""In the counts of a record: those of the texts that prompts show."""


def kept_amounts(store: Store, cell: Cell, counts: Mapping[str, Any]) -> Mapping[str, float]:
    """What generation kept for each news item, in elements; in the unit of the budget where the cell uses all of it.

    `counts` are those of a record. Empty if they do not say, and the elements were deleted.
    """
    if "used" in counts and (cell.generate.budget[0] == BUDGETS[0] or not cell.options.elements):
        used: Mapping[str, float] = counts["used"]
        return used
    news = store.news(cell)
    if cell.options.written:
        elements = written_elements(cell.options.written, news)
    elif store.has_elements(key := store.elements_key(cell)):
        elements = store.elements(key)
    else:
        return {}
    return {name: len(own) for name, own in kept_of(elements, news).items()}


def spent(store: Store, cell: Cell, number: int, record: Mapping[str, Any]) -> float:
    """FLOP of an update: of its training, and of the generation of the elements that it is the first to use.

    Rehearsed elements were generated for an earlier update. The text of a news item alone was not generated.
    """
    counts = record["counts"]
    own = {name for name, update in record["update"].items() if update == number}
    share = len(own) / max(1, len(record["update"]))
    shown = counts.get(SHOWN) or _counts_of_shown(store, cell)
    flop = float(record["totals"].get("flop", 0.0)) + share * float(shown.get("flop", 0.0))
    if cell.options.layout == "abstract" or not counts.get("flop"):
        return flop
    amounts = kept_amounts(store, cell, counts)
    if total := sum(amounts.values()):
        most = cell.options.elements or inf
        share = sum(min(amounts.get(name, 0.0), most) for name in own - set(record["left_out"])) / total
    return flop + share * float(counts["flop"])


def _counts_of_shown(store: Store, cell: Cell) -> Mapping[str, Any]:
    """Those of a record that does not have them itself, as earlier ones do not."""
    if cell.options.shown != PARAPHRASE or not store.has_elements(key := store.elements_key(cell, PARAPHRASE)):
        return {}
    return store.counts(key)


def too_few(store: Store, cell: Cell, record: Mapping[str, Any]) -> dict[str, int]:
    """The news items that have fewer elements than the cell asks for, and how many they have."""
    amounts = kept_amounts(store, cell, record["counts"]) if cell.options.elements else {}
    if not amounts or cell.options.layout == "abstract":
        return {}
    have = {item.id: int(amounts.get(item.id, 0)) for item in store.news(cell)}
    return {name: count for name, count in have.items() if count < cell.options.elements}
