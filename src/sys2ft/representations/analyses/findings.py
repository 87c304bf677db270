"""Claims about in-context representations, each with its estimate, interval and verdict.

A verdict is 'yes' where the whole interval supports the claim, 'no' where the whole interval contradicts it, and 'open'
where it contains the null value or where there is no interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]


def findings(results: Found) -> list[Found]:
    """The claims that the results allow to judge, with estimate, interval and verdict."""
    rows = [row for graph in results["graphs"] for row in _of_graph(graph)]
    for name, law in results["power_laws"].items():
        claim = f"the {name} grows as a power of the number of nodes"
        rows.append(_row("all graphs", claim, law["exponent"], 0.0, above=True, unit="exponent", of="graphs"))
    return rows


def _of_graph(graph: Found) -> Iterator[Found]:
    name, ends = graph["name"], graph["ends"]
    yield _row(name, "the energy falls as the context grows", ends["energy_fall"], 0.0, above=False, unit="change")
    yield _row(name, "the energy is below that of shuffled nodes", ends["energy"], 1.0, above=False, unit="energy")
    yield _row(
        name, "the energy is below that of random vectors mixed with the previous word", ends["energy_below_mixing"],
        0.0, above=False, unit="difference",
    )  # fmt: skip
    yield _row(
        name, "the first components match the graph's shape better than chance", ends["procrustes_below_chance"],
        0.0, above=False, unit="Procrustes distance, difference",
    )  # fmt: skip
    yield _row(
        name, "they match it better than random vectors mixed with the previous word",
        ends["procrustes_below_mixing"], 0.0, above=False, unit="Procrustes distance, difference",
    )  # fmt: skip
    yield _row(
        name, "averaged over walks, the first components match the graph's shape better than chance",
        ends["pooled_below_chance"], 0.0, above=False, unit="Procrustes distance, difference",
    )  # fmt: skip
    yield _row(
        name, "averaged over walks, they match it better than random vectors mixed with the previous word",
        ends["pooled_below_mixing"], 0.0, above=False, unit="Procrustes distance, difference",
    )  # fmt: skip
    yield _row(
        name, "the accuracy is above a one-step table's", ends["accuracy_above_one_step"], 0.0, above=True,
        unit="difference",
    )  # fmt: skip
    for kind, lead in graph["lead"].items():
        claim = f"the energy's {kind} comes before the accuracy's"
        yield _row(name, claim, lead, 1.0, above=False, unit="ratio of contexts")
    if graph["prior"] is not None:
        yield _of_prior(name, graph)
    off = graph["heads_off"]
    if off is not None:
        yield _row(
            name, "switching off the induction heads lowers accuracy more than switching off as many others",
            off["induction_beyond_random"], 0.0, above=True, unit="difference",
        )  # fmt: skip
    yield from _of_moves(name, graph["moves"])
    if graph["weights"] is not None:
        yield from _of_weights(name, graph["weights"])


def _of_prior(name: str, graph: Found) -> Found:
    """Which components show the words' usual order and the context's; judged only where both appear.

    The p values are corrected for the number of components.
    """
    components = graph["components"]
    limit = 0.05 / max(1, len(components))
    usual, context = (
        next((row["component"] for row in components if row[p] is not None and row[p] < limit), None)
        for p in ("p_prior", "p")
    )
    found = [
        f"{what} in component {k}" if k else f"{what} in none"
        for what, k in (("the usual order shows", usual), ("the context's", context))
    ]
    claim = f"the context's structure is in higher components than the words' usual order ({', '.join(found)})"
    row = _row(name, claim, graph["ends"]["components_above_prior"], 0.0, above=True, unit="components")
    return row if usual and context else {**row, "verdict": "open"}


def _of_moves(name: str, moves: list[Found]) -> Iterator[Found]:
    """The layer at which moving along the in-context components changes predictions most."""
    along = [row for row in moves if row["shift"] == "components" and row["target_gain"]]
    if along:
        best = max(along, key=lambda row: row["target_gain"]["estimate"])
        claim = f"predictions follow a word moved along the in-context components (layer {best['layer']}, the best)"
        yield _row(name, claim, best["target_gain"], 0.0, above=True, unit="gain of the target's neighbours")


def _of_weights(name: str, weights: Found) -> Iterator[Found]:
    same = weights["same_geometry"]
    row = _row(
        name, "learning in weights changes the geometry as the context does", same["correlation"], 0.0, above=True,
        unit="correlation", of="placements",
    )  # fmt: skip
    yield row


def _row(
    graph: str, claim: str, estimate: Found | None, null: float, *, above: bool, unit: str, of: str = "walks"
) -> Found:
    """One claim: that the estimate is above (or below) `null`, its value if the claim is wrong."""
    if estimate is None:
        return {
            "graph": graph, "claim": claim, "estimate": None, "low": None, "high": None, "n": 0, "of": of,
            "unit": unit, "verdict": "open",
        }  # fmt: skip
    low, high = estimate["low"], estimate["high"]
    verdict = "open"
    if low is not None and high is not None:
        right, wrong = (low > null, high < null) if above else (high < null, low > null)
        verdict = "yes" if right else "no" if wrong else "open"
    return {
        "graph": graph, "claim": claim, "estimate": estimate["estimate"], "low": low, "high": high,
        "n": estimate["n"], "of": of, "unit": unit, "verdict": verdict,
    }  # fmt: skip
