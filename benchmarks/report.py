"""From runs to tables: medians, paired ratios, and the JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.runner import OURS, Outcome, Side

COLUMNS = ("", "share", "seconds", "tokens/s", "ours faster by", "wanted", "peak GiB")


@dataclass(kw_only=True)
class Part:
    """A part's result: the rows of its table, checks, notes, and all figures for the JSON file."""

    name: str
    title: str
    columns: tuple[str, ...] = COLUMNS
    rows: list[tuple[str, ...]] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The contents for the JSON file."""
        return {"title": self.title, "checks": self.checks, "notes": self.notes, **self.figures}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Theirs over ours for the runs of each turn, which are adjacent in time: median, lowest, highest."""
    found = [their / our for our, their in zip(ours, theirs, strict=False)]
    return {"median": median(found), "low": min(found), "high": max(found)}


def seconds(runs: Sequence[Mapping[str, Any]], share: float) -> list[float]:
    """Seconds for the whole work, extrapolated linearly from the share that was done."""
    return [run["seconds"] / share for run in runs]


def add_sides(part: Part, sides: Sequence[Side], outcome: Outcome) -> None:
    """A row for each side of a comparison, ours first, and its figures."""
    part.figures |= {"runs": outcome.runs, "searches": outcome.searches, "missing": outcome.missing, "sides": {}}
    tokens = outcome.runs[OURS][0]["tokens"]
    ours = seconds(outcome.runs[OURS], 1.0)
    for side in sides:
        runs = outcome.runs.get(side.name)
        if runs is None:
            continue
        if side.name in outcome.missing and not runs:
            part.rows.append((side.name, *("–",) * (len(part.columns) - 1)))
            part.notes.append(f"{side.name}: {outcome.missing[side.name]}")
            continue
        spent = seconds(runs, side.share)
        figure: dict[str, Any] = {
            "share": side.share,
            "seconds": median(spent),
            "tokens_per_second": tokens / median(spent),
            "peak_bytes": median(run["peak_bytes"] for run in runs),
            "target": side.target,
        }
        ratio = wanted = "–"
        if side.name != OURS:
            figure["faster"] = ratios(ours, spent)
            ratio = "{median:.2f} [{low:.2f}, {high:.2f}]".format(**figure["faster"])
        if side.target is not None:
            reached = figure["faster"]["median"] >= side.target
            part.checks[f"{side.name}: at least {side.target:g} times"] = reached
            wanted = f"{side.target:g} {'yes' if reached else 'no'}"
        part.figures["sides"][side.name] = figure
        share = f"{side.share:.3g}" if side.share < 1 else "1"
        cells = (f"{figure['seconds']:,.1f}", f"{figure['tokens_per_second']:,.0f}", ratio, wanted)
        part.rows.append((side.name, share, *cells, gib(figure["peak_bytes"])))
        if side.name in outcome.missing:
            part.notes.append(f"{side.name}: {len(runs)} runs, then {outcome.missing[side.name]}")
        if side.remark:
            part.notes.append(f"{side.name}: {side.remark}")
        if side.name in outcome.searches:
            found = outcome.searches[side.name]
            tried = ", ".join(f"{size}: {rate:.3g}" for size, rate in found["tried"].items())
            part.notes.append(f"{side.name}: batches of {found['best']} (rate by size {tried})")
    if any(side.share < 1 for side in sides if side.name in part.figures["sides"]):
        part.notes.append("A share below 1 was measured and extrapolated linearly to the whole work.")


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.2f}"


def table(part: Part) -> RenderableType:
    """The part for a terminal or a file of 110 columns."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(part.columns):
        grid.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in part.rows:
        grid.add_row(*(Text(cell) for cell in row))
    lines = [f"{'holds' if ok else 'DOES NOT HOLD'}: {what}" for what, ok in part.checks.items()] + part.notes
    notes = [Padding(Text(line), (0, 0, 0, 1)) for line in lines]
    return Group(Text(part.title, style="bold"), Text(), grid, *notes, Text())
