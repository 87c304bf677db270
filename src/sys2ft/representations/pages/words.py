"""Formats a study's numbers and its headline, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]


def headline(results: Found) -> str:
    """The findings in one sentence."""
    claims = [row for row in results["findings"] if row["verdict"] != "open"]
    right = sum(row["verdict"] == "yes" for row in claims)
    count = len(results["findings"])
    graphs = ", ".join(graph["name"] for graph in results["graphs"])
    return f"{graphs}: {right} of {count} claims hold, {len(claims) - right} do not, {count - len(claims)} are open"


def interval(found: Found | None) -> str:
    """An estimate with its interval, such as '0.62 [0.48, 0.74]'."""
    if found is None or found["estimate"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['estimate']:.3g} [no interval]"
    return f"{found['estimate']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"
