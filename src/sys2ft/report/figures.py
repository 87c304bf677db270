"""The figures of a run: accuracy, domains, cost, yield and training loss, as SVG to be placed inline in the page.

Each function returns None if the run does not contain the data yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from sys2ft.pages.charts import (
    DASHED,
    DOTTED,
    INK,
    LINE,
    ON_SERIES,
    PALETTE,
    Legend,
    Row,
    Series,
    Spec,
    colour_of,
    curves,
    draw,
    estimates,
    level,
    log_axis,
    marker_of,
)
from sys2ft.report.artifacts import BASE, Artifacts
from sys2ft.report.summary import Measured, Summary
from sys2ft.report.words import counted
from sys2ft.statistics import Score

_ICL, _CHANCE = "base with the news (ICL)", "chance"


def accuracy_figure(summary: Summary) -> str | None:
    """Closed book and in context by subject, with intervals, chance and the base's ICL."""
    block = summary.block()
    rows = [row for row in block.rows if isinstance(row.closed_book, Score) or isinstance(row.in_context, Score)]
    if not rows:
        return None
    conditions = (("closed_book", "closed book"), ("in_context", "in context"))
    points = [
        one
        for row in rows
        for field, name in conditions
        for one in _point(getattr(row, field), name, f"{row.subject}, {name}", place=row.subject)
    ]
    series = [Series("closed book", PALETTE[2], "circle"), Series("in context", PALETTE[1], "diamond", hollow=True)]
    levels = _point(block.row(BASE).in_context, _ICL, _ICL)
    series += [Series(_ICL, PALETTE[1], dash=DASHED)] if levels else []
    if block.chance is not None:
        series.append(Series(_CHANCE, PALETTE[0], dash=DOTTED))
        levels.append({"series": _CHANCE, "estimate": block.chance, "text": f"chance: {block.chance:.3f}"})
    legend = Legend(series)
    place = {"y": _names([row.subject for row in rows]), "yOffset": _offset([name for _, name in conditions])}
    spec = {
        "height": {"step": 42, "for": "position"},
        "layer": [level(levels, "x", _ACCURACY, legend), *estimates(points, "x", _ACCURACY, place, legend)],
    }
    return draw(spec, "Accuracy of each model, closed book and in context, with 95% intervals")


def domain_figure(summary: Summary) -> str | None:
    """Closed book by domain, one marker a subject, with the base's in-context accuracy as a bar."""
    blocks = [b for b in summary.slices("domain") if any(isinstance(r.closed_book, Score) for r in b.rows)]
    if not blocks:
        return None
    subjects = [row.subject for row in blocks[0].rows]
    named = {id(block): f"{block.name} ({block.n_questions})" for block in blocks}
    points = [
        one
        for block in blocks
        for row in block.rows
        for one in _point(
            row.closed_book, row.subject, f"{row.subject}, {block.name}, closed book", place=named[id(block)]
        )
    ]
    bars = [
        one
        for block in blocks
        for one in _point(block.row(BASE).in_context, _ICL, f"{_ICL}, {block.name}", place=named[id(block)])
    ]
    series = [Series(subject, colour_of(k), marker_of(k)) for k, subject in enumerate(subjects)]
    legend = Legend([*series, *([Series(_ICL, INK)] if bars else [])])
    y = _names([named[id(block)] for block in blocks])
    axis = {**_ACCURACY, "title": "closed-book accuracy (number of questions in brackets)"}
    bar: Spec = {
        "data": {"values": bars},
        "mark": {"type": "tick", "orient": "vertical", "thickness": 2},
        "encoding": {
            "y": y,
            "x": {**axis, "field": "estimate", "type": "quantitative"},
            "stroke": legend.lines["stroke"],
            "description": {"field": "text"},
        },
    }
    spec = {
        "height": {"step": 16 * len(subjects) + 12, "for": "position"},
        "layer": [bar, *estimates(points, "x", axis, {"y": y, "yOffset": _offset(subjects)}, legend)],
    }
    return draw(spec, "Closed-book accuracy of each model by domain, with 95% intervals")


def loss_figure(artifacts: Artifacts) -> str | None:
    """Training loss by step: median over the adapters, and their range."""
    found = {p: _by_step(rows) for p, rows in artifacts.curves.items()}
    found = {p: steps for p, steps in found.items() if steps}
    if not found:
        return None
    series = [Series(p, colour_of(artifacts.subjects.index(p)), marker_of(artifacts.subjects.index(p))) for p in found]
    rows = [{**step, "series": p} for p, steps in found.items() for step in steps]
    for row in rows:
        loss = f"median {row['estimate']:.3g}, range {row['low']:.3g} to {row['high']:.3g}"
        row["text"] = f"{row['series']}, step {row['x']:g}: {loss} over {row.pop('n')} losses"
    x = {"title": "optimiser step", "axis": {"tickMinStep": 1, "tickCount": 6}}
    y = log_axis([row[end] for row in rows for end in ("low", "high")], "loss (log scale)", margin=1.1)
    spec = {"height": 240, "layer": curves(rows, x, y, series, Legend(series))}
    return draw(spec, "Training loss by step, median and range over adapters")


def yield_figure(summary: Summary) -> str | None:
    """Replay elements kept, and rejected by reason, as shares of each protocol's elements."""
    costs = [cost for cost in summary.costs if (cost.kept or 0) + sum(cost.rejected.values()) > 0]
    if not costs:
        return None
    reasons = sorted({reason for cost in costs for reason, n in cost.rejected.items() if n})
    order = (2, 1, 5, 4, 7, 3, 6, 0)  # neighbours in the bar differ in lightness as well as in hue
    parts = ("kept", *reasons)
    rows = []
    for cost in costs:
        counts = [(cost.kept or 0) if part == "kept" else cost.rejected.get(part, 0) for part in parts]
        total, start = sum(counts), 0.0
        for part, n in zip(parts, counts, strict=True):
            share = n / total
            label = f"{n:,}" if share > 0.06 + 0.012 * len(str(n)) else ""
            text = f"{cost.protocol}, {part}: {n:,} of {total:,} ({100 * share:.1f}%)"
            row: Row = {"place": cost.protocol, "series": part, "start": start, "end": start + share, "label": label}
            rows += [{**row, "middle": start + share / 2, "text": text}] if n else []
            start += share
    y = _names([cost.protocol for cost in costs])
    axis = {
        "type": "quantitative",
        "scale": {"domain": [0, 1], "nice": False},
        "axis": {"format": "%", "tickCount": 5},
        "title": "share of the elements parsed or rejected",
    }
    legend = Legend([Series(part, PALETTE[order[k % len(order)]], "square") for k, part in enumerate(parts)])
    bars: Spec = {
        "mark": {"type": "bar", "height": {"band": 0.7}, "stroke": ON_SERIES},
        "encoding": {
            "y": y,
            "x": {**axis, "field": "start"},
            "x2": {"field": "end"},
            "description": {"field": "text"},
            **legend.bars,
        },
    }
    labels: Spec = {
        "transform": [{"filter": "datum.label !== ''"}],
        "mark": {"type": "text", "color": ON_SERIES, "fontSize": 11, "aria": False},
        "encoding": {"y": y, "x": {**axis, "field": "middle"}, "text": {"field": "label"}},
    }
    spec = {"height": {"step": 34}, "data": {"values": rows}, "layer": [bars, labels]}
    return draw(spec, "Replay elements kept, and rejected by reason, for each protocol")


def cost_figure(summary: Summary) -> str | None:
    """Closed book against FLOP spent on generation and training, with the base's two levels as lines."""
    block = summary.block()
    spent = {cost.protocol: cost.flop for cost in summary.costs if cost.flop}
    rows = [(k, row) for k, row in enumerate(block.rows) if row.subject in spent and isinstance(row.closed_book, Score)]
    if not rows:
        return None
    series = [Series(row.subject, colour_of(k), marker_of(k)) for k, row in rows]
    points = [
        one
        for _, row in rows
        for one in _point(
            row.closed_book,
            row.subject,
            f"{row.subject}, {spent[row.subject]:.3g} FLOP, closed book",
            x=spent[row.subject],
        )
    ]
    levels = []
    for measured, dash, label in (
        (block.row(BASE).in_context, DASHED, _ICL),
        (block.row(BASE).closed_book, DOTTED, "base closed book"),
    ):
        if lines := _point(measured, label, label):
            levels += lines
            series.append(Series(label, PALETTE[0], LINE, dash))
    legend = Legend(series)
    axis = log_axis([row["x"] for row in points], "FLOP, generation and training (log scale)", "~s", margin=1.6)
    x = {"field": "x", "type": "quantitative", **axis}
    y = {**_ACCURACY, "title": "closed-book accuracy"}
    spec = {
        "height": 240,
        "layer": [level(levels, "y", y, legend), *estimates(points, "y", y, {"x": x}, legend)],
    }
    return draw(spec, "Closed-book accuracy against FLOP spent, by protocol")


_ACCURACY: Spec = {
    "title": "accuracy",
    "scale": {"domain": [0, 1]},
    "axis": {"values": [0, 0.25, 0.5, 0.75, 1], "format": ".2~f"},
}


def _names(names: Sequence[str]) -> Spec:
    return {"field": "place", "type": "nominal", "sort": list(names), "title": None}


def _offset(names: Sequence[str]) -> Spec:
    return {"field": "series", "type": "nominal", "sort": list(names), "scale": {"domain": list(names)}}


def _point(measured: Measured, series: str, label: str, **fields: Any) -> list[Row]:
    """The row of a score, with its numbers in words; none where the score is not defined."""
    if not isinstance(measured, Score):
        return []
    ends = "no interval"
    if measured.low is not None and measured.high is not None:
        ends = f"{measured.low:.3f}, {measured.high:.3f}"
    text = f"{label}: {measured.estimate:.3f} [{ends}], {counted(measured.n_items, 'question')}"
    text += f" of {counted(measured.n_news, 'news item')}"
    numbers = {"estimate": measured.estimate, "low": measured.low, "high": measured.high}
    return [{"series": series, "text": text, **numbers, **fields}]


def _by_step(rows: Iterable[dict[str, Any]], most: int = 80) -> list[Row]:
    """Lowest, median and highest loss over adapters at up to `most` steps; the losses between them are pooled."""
    pairs_N2 = np.array([(row["step"], row["loss"]) for row in rows if _usable(row)], dtype=np.float64).reshape(-1, 2)
    steps, losses = pairs_N2[:, 0].astype(np.int64), pairs_N2[:, 1]
    if not len(steps):
        return []
    width = max(1, -(-int(steps.max() - steps.min() + 1) // most))
    bins = (steps - steps.min()) // width
    pooled = []
    for number in np.unique(bins):
        group = losses[bins == number]
        x = float(steps.min() + number * width + (width - 1) / 2)
        ends = {"low": float(group.min()), "high": float(group.max())}
        pooled.append({"x": x, "estimate": float(np.median(group)), **ends, "n": len(group)})
    return pooled


def _usable(row: dict[str, Any]) -> bool:
    """Whether a logarithmic axis can show it; a diverged adapter's loss is not a number."""
    return row["loss"] is not None and isfinite(row["loss"]) and row["loss"] > 0
