"""A study of in-context representations as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from sys2ft.report.represent_page import interval

Found = Mapping[str, Any]


def represent_tables(results: Found) -> list[Table]:
    """The numbers at the full length by graph, and the claims with their verdicts."""
    numbers = Table(
        "graph", "walks", "accuracy", "one-step table", "energy", "Procrustes", "turns at (accuracy)",
        "turns at (energy)", box=None, pad_edge=False,
        title=f"{results['model']['name']}, {results['settings']['context']} words, layer {results['focus']}",
        title_justify="left",
    )  # fmt: skip
    for graph in results["graphs"]:
        ends, turns = graph["ends"], graph["transitions"]
        numbers.add_row(
            graph["name"],
            str(graph["walks"]),
            *(interval(ends[name]) for name in ("accuracy", "one_step", "energy", "procrustes")),
            *(_turns(turns[name]) for name in ("accuracy", "energy")),
        )
    claims = Table("graph", "claim", "estimate", "n", "verdict", box=None, pad_edge=False)
    for row in results["findings"]:
        claims.add_row(row["graph"], row["claim"], interval(row), str(row["n"]), row["verdict"])
    return [numbers, claims]


def _turns(transition: Found | None) -> str:
    """Onset and saturation in words of context."""
    if transition is None:
        return "–"
    found = [f"{kind} {_words(transition[kind])}" for kind in ("onset", "saturation") if transition[kind]]
    return ", ".join(found) or "nowhere"


def _words(found: Found) -> str:
    if found["low"] is None:
        return f"{found['estimate']:.0f}"
    return f"{found['estimate']:.0f} [{found['low']:.0f}, {found['high']:.0f}]"
