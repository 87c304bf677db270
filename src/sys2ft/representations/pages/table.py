"""The terminal tables of a study: numbers by graph, critical sizes, and claims with verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from sys2ft.representations.pages.words import interval

Found = Mapping[str, Any]


def study_tables(results: Found) -> list[Table]:
    """Tables of the numbers at the full length by graph, the critical sizes, and the claims with their verdicts."""
    return [_numbers(results), _turns(results), _claims(results)]


def _numbers(results: Found) -> Table:
    title = f"{results['model']['name']}, {results['settings']['context']} words, layer {results['focus']}"
    table = Table(
        "graph", "walks", "accuracy", "one-step table", "energy", "Procrustes", "of the mean", box=None, pad_edge=False,
        title=title, title_justify="left",
    )  # fmt: skip
    for graph in results["graphs"]:
        ends = (
            interval(graph["ends"][name])
            for name in ("accuracy", "one_step", "energy", "procrustes", "pooled_procrustes")
        )
        table.add_row(graph["name"], str(graph["walks"]), *ends)
    return table


def _turns(results: Found) -> Table:
    table = Table("graph", "curve", "onset (words)", "saturation (words)", "explained", box=None, pad_edge=False)
    for graph in results["graphs"]:
        for name, turn in graph["transitions"].items():
            if turn is not None:
                fit = ("line", "one break", "two breaks")[len(turn["breaks"])]
                sizes = (interval(turn[kind]) for kind in ("onset", "saturation"))
                table.add_row(graph["name"], name.replace("_", "-"), *sizes, f"{turn['explained'][fit]:.2f}")
    return table


def _claims(results: Found) -> Table:
    table = Table("graph", "claim", "estimate", "n", "verdict", box=None, pad_edge=False)
    for row in results["findings"]:
        table.add_row(row["graph"], row["claim"], interval(row), str(row["n"]), row["verdict"])
    return table
