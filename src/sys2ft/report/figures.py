"""The figures of a run as SVG text, to stand inline in the page.

Each function returns the SVG, or None where the run does not hold the data yet. The same data give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sys2ft.pages.drawing import FAINT, INK, PALETTE, STYLE, canvas, colour_of, few_ticks, legend, marker_of, svg
from sys2ft.report.artifacts import BASE, Artifacts
from sys2ft.report.summary import Measured, Summary
from sys2ft.statistics import Score


def accuracy_figure(summary: Summary) -> str | None:
    """Closed book and in context by subject, with intervals, chance and the base's ICL."""
    block = summary.block()
    rows = [row for row in block.rows if isinstance(row.closed_book, Score) or isinstance(row.in_context, Score)]
    if not rows:
        return None
    with mpl.rc_context(STYLE | {"svg.hashsalt": "accuracy"}):
        figure, axes = canvas(0.42 * len(rows) + 1.3)
        kinds = (
            ("closed_book", "closed book", "o", PALETTE[2], 0.13),
            ("in_context", "in context", "D", PALETTE[1], -0.13),
        )
        for field, label, marker, colour, shift in kinds:
            points = [(getattr(row, field), i + shift) for i, row in enumerate(reversed(rows))]
            filled = colour if field == "closed_book" else "none"
            for measured, y in points:
                _point(axes, measured, y, colour=colour, marker=marker, fill=filled)
            axes.plot([], [], marker, color=colour, markerfacecolor=filled, label=label)
        base = block.row(BASE).in_context
        if isinstance(base, Score):
            axes.axvline(base.estimate, color=PALETTE[1], linestyle="--", linewidth=1, label="base with the news (ICL)")
        if block.chance is not None:
            axes.axvline(block.chance, color=PALETTE[0], linestyle=":", linewidth=1.2, label="chance")
        axes.set_yticks(range(len(rows)), [row.subject for row in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="y", visible=False)
        _accuracy_axis(axes)
        legend(figure, axes)
        return svg(figure, "accuracy", "Accuracy of each model, closed book and in context, with 95% intervals")


def domain_figure(summary: Summary) -> str | None:
    """Closed book by domain, one marker a subject, with the base's in-context accuracy as a bar."""
    blocks = [b for b in summary.slices("domain") if any(isinstance(r.closed_book, Score) for r in b.rows)]
    if not blocks:
        return None
    subjects = [row.subject for row in blocks[0].rows]
    with mpl.rc_context(STYLE | {"svg.hashsalt": "domain"}):
        figure, axes = canvas(len(blocks) * (0.17 * len(subjects) + 0.28) + 1.3)
        step = 0.8 / len(subjects)
        for place, block in enumerate(reversed(blocks)):
            for k, row in enumerate(block.rows):
                y = place + 0.4 - step * (k + 0.5)
                _point(axes, row.closed_book, y, colour=colour_of(k), marker=marker_of(k), size=5)
            icl = block.row(BASE).in_context
            if isinstance(icl, Score):
                axes.plot([icl.estimate] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.6)
        for k, subject in enumerate(subjects):
            axes.plot([], [], marker_of(k), color=colour_of(k), label=subject)
        axes.plot([], [], color=INK, linewidth=1.6, label="base with the news (ICL)")
        for place in range(1, len(blocks)):
            axes.axhline(place - 0.5, color=FAINT, linewidth=0.5)
        axes.set_yticks(range(len(blocks)), [f"{block.name} ({block.n_questions})" for block in reversed(blocks)])
        axes.set_ylim(-0.5, len(blocks) - 0.5)
        axes.grid(axis="y", visible=False)
        _accuracy_axis(axes, "closed-book accuracy (number of questions in brackets)")
        legend(figure, axes)
        return svg(figure, "domain", "Closed-book accuracy of each model by domain, with 95% intervals")


def loss_figure(artifacts: Artifacts) -> str | None:
    """Training loss by step: median over the adapters, and their range."""
    curves = {p: _by_step(rows) for p, rows in artifacts.curves.items()}
    curves = {p: curve for p, curve in curves.items() if len(curve)}
    if not curves:
        return None
    with mpl.rc_context(STYLE | {"svg.hashsalt": "loss"}):
        figure, axes = canvas(3.4)
        for protocol, (steps, low, middle, high) in curves.items():
            k = artifacts.subjects.index(protocol)
            axes.fill_between(steps, low, high, color=colour_of(k), alpha=0.15, linewidth=0)
            every = max(1, len(steps) // 6)
            axes.plot(
                steps, middle, color=colour_of(k), linewidth=1.6, marker=marker_of(k), markersize=4.5,
                markevery=(k % every, every), label=protocol,
            )  # fmt: skip
        axes.set_yscale("log")
        few_ticks(axes.yaxis, "{x:g}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("loss (log scale)")
        legend(figure, axes)
        return svg(figure, "loss", "Training loss by step, median and range over adapters")


def yield_figure(summary: Summary) -> str | None:
    """Replay elements kept, and rejected by reason, as shares of each protocol's elements."""
    costs = [cost for cost in summary.costs if (cost.kept or 0) + sum(cost.rejected.values()) > 0]
    if not costs:
        return None
    reasons = sorted({reason for cost in costs for reason, n in cost.rejected.items() if n})
    with mpl.rc_context(STYLE | {"svg.hashsalt": "yield"}):
        figure, axes = canvas(0.42 * len(costs) + 1.5)
        order = (2, 1, 5, 4, 7, 3, 6, 0)  # neighbours in the bar differ in lightness as well as in hue
        left = np.zeros(len(costs))
        totals = np.array([(cost.kept or 0) + sum(cost.rejected.values()) for cost in costs], dtype=float)
        for k, part in enumerate(("kept", *reasons)):
            n = np.array([(cost.kept or 0) if part == "kept" else cost.rejected.get(part, 0) for cost in costs])
            share = n / totals
            axes.barh(
                range(len(costs)), share, left=left, height=0.62, color=PALETTE[order[k % len(order)]],
                edgecolor="#fffffe", linewidth=1, label=part,
            )  # fmt: skip
            for y, (start, width, value) in enumerate(zip(left, share, n, strict=True)):
                if width > 0.055 + 0.01 * len(str(value)):
                    axes.text(start + width / 2, y, f"{value:,}", color="#fffffe", ha="center", va="center", size=9)
            left += share
        axes.set_yticks(range(len(costs)), [cost.protocol for cost in costs])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the elements parsed or rejected")
        legend(figure, axes)
        return svg(figure, "yield", "Replay elements kept, and rejected by reason, for each protocol")


def cost_figure(summary: Summary) -> str | None:
    """Closed book against FLOP spent on generation and training, with the base's two levels as lines."""
    block = summary.block()
    spent = {cost.protocol: cost.flop for cost in summary.costs if cost.flop}
    rows = [(k, row) for k, row in enumerate(block.rows) if row.subject in spent and isinstance(row.closed_book, Score)]
    if not rows:
        return None
    with mpl.rc_context(STYLE | {"svg.hashsalt": "cost"}):
        figure, axes = canvas(3.4)
        for k, row in rows:
            x = spent[row.subject]
            _point(axes, row.closed_book, x, colour=colour_of(k), marker=marker_of(k), upright=True, label=row.subject)
        for measured, style, label in (
            (block.row(BASE).in_context, "--", "base with the news (ICL)"),
            (block.row(BASE).closed_book, ":", "base closed book"),
        ):
            if isinstance(measured, Score):
                axes.axhline(measured.estimate, color=PALETTE[0], linestyle=style, linewidth=1.2, label=label)
        axes.set_xscale("log")
        values = [spent[row.subject] for _, row in rows]
        axes.set_xlim(min(values) / 1.6, max(values) * 1.6)
        few_ticks(axes.xaxis, _flop_text)
        axes.set_ylim(0, 1)
        axes.set_xlabel("FLOP, generation and training (log scale)")
        axes.set_ylabel("closed-book accuracy")
        legend(figure, axes)
        return svg(figure, "cost", "Closed-book accuracy against FLOP spent, by protocol")


def _point(
    axes: Any,
    measured: Measured,
    at: float,
    *,
    colour: str,
    marker: str,
    fill: str | None = None,
    size: float = 6.5,
    upright: bool = False,
    label: str | None = None,
) -> None:
    """A marker with its interval, horizontal unless `upright`; nothing where the score is not defined."""
    if not isinstance(measured, Score):
        return
    if measured.low is not None and measured.high is not None:
        ends = ([measured.low, measured.high], [at, at])
        axes.plot(*(reversed(ends) if upright else ends), color=colour, linewidth=1.8, solid_capstyle="butt")
    place = (at, measured.estimate) if upright else (measured.estimate, at)
    # A hollow marker is filled with the page's own ground, or the interval would run through it.
    face = "#fffffd" if fill == "none" else colour
    axes.plot(
        *place, marker, color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.5, label=label, zorder=3
    )


def _accuracy_axis(axes: Any, label: str = "accuracy") -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel(label)


def _flop_text(value: float, position: int | None = None) -> str:
    for divisor, unit in ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G")):
        if value >= divisor:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.3g}"


def _by_step(rows: Sequence[dict[str, Any]], most: int = 200) -> Any:
    """(step, lowest, median, highest loss over adapters); at most `most` steps, the losses between them pooled."""
    steps = np.array([row["step"] for row in rows if _usable(row)])
    losses = np.array([row["loss"] for row in rows if _usable(row)])
    if not len(steps):
        return ()
    width = max(1, -(-int(steps.max() - steps.min() + 1) // most))
    bins = (steps - steps.min()) // width
    kept = np.unique(bins)
    groups = [losses[bins == b] for b in kept]
    middle = [float(np.median(group)) for group in groups]
    x = steps.min() + kept * width + (width - 1) / 2
    return x, [float(g.min()) for g in groups], middle, [float(g.max()) for g in groups]


def _usable(row: dict[str, Any]) -> bool:
    """Whether a logarithmic axis can show it; a diverged adapter's loss is not a number."""
    return row["loss"] is not None and isfinite(row["loss"]) and row["loss"] > 0
