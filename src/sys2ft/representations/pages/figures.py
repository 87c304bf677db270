"""Figures of a study of in-context representations: curves, maps over layers, components, probes, power laws.

Each takes what results.json holds and returns SVG, or None where the study does not hold the data. Pictures of the
nodes themselves are in `pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from sys2ft.pages.drawing import INK, PALETTE, STYLE, canvas, few_ticks, legend, svg

Found = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

ACCURACY, ENERGY, OTHER, GREY = PALETTE[2], PALETTE[1], PALETTE[3], PALETTE[0]
_COLUMNS = 30  # of a heat map: more cannot be told apart on a telephone


def curves_figure(graph: Found, results: Found) -> str | None:
    """Accuracy and normalised energy against context, with their nulls, tables and critical sizes."""
    lengths, curves = results["lengths"], graph["curves"]
    name = f"{graph['slug']}-curves"
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(4.2)
        _band(axes, lengths, curves["accuracy"], ACCURACY, "o", "accuracy")
        _band(axes, lengths, curves["energy"], ENERGY, "D", "energy")
        _band(axes, lengths, curves["shuffled"], GREY, None, "energy, shuffled", style=":")
        _line(axes, lengths, curves["mixing"]["mean"], ENERGY, "--", "energy, mixing null")
        _line(axes, lengths, curves["one_step"]["mean"], ACCURACY, "--", "one-step table")
        _line(axes, lengths, curves["two_step"]["mean"], ACCURACY, ":", "two-step table")
        reference = results["reference"]
        if reference is not None:
            axes.plot(
                reference["context_length"], reference["accuracy"], color=OTHER, linewidth=1.2, marker="^",
                markersize=4, label=reference["model"],
            )  # fmt: skip
        for curve, colour in (("accuracy", ACCURACY), ("energy", ENERGY)):
            _critical(axes, graph["transitions"][curve], colour)
        axes.set_xscale("log")
        axes.set_xlim(lengths[0], lengths[-1])
        axes.set_ylim(0, max(1.1, *(v for v in curves["energy"]["mean"] if v is not None)) + 0.05)
        few_ticks(axes.xaxis, "{x:g}")
        axes.set_xlabel("words of context (log scale)")
        legend(figure, axes)
        return svg(figure, name, f"Accuracy and Dirichlet energy against context length, {graph['name']}")


def _band(
    axes: Any, x: Sequence[int], curve: Found, colour: str, marker: str | None, label: str, style: str = "-"
) -> None:
    mean, low, high = (np.array(curve[part], dtype=float) for part in ("mean", "low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    every = max(1, len(x) // 8)
    axes.plot(x, mean, style, color=colour, linewidth=1.7, marker=marker, markersize=4.5, markevery=every, label=label)


def _line(axes: Any, x: Sequence[int], mean: Sequence[float | None], colour: str, style: str, label: str) -> None:
    axes.plot(x, np.array(mean, dtype=float), style, color=colour, linewidth=1.1, label=label)


def _critical(axes: Any, transition: Found | None, colour: str) -> None:
    """Critical sizes as ticks on the axis with their intervals: onset upwards, saturation downwards."""
    if transition is None:
        return
    for kind, marker in (("onset", "^"), ("saturation", "v")):
        found = transition[kind]
        if found is not None:
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [0.025, 0.025], color=colour, linewidth=2.5, alpha=0.6)
            axes.plot(found["estimate"], 0.025, marker, color=colour, markersize=7, zorder=4)


def alignment_figure(graph: Found, results: Found) -> str:
    """How far the first components are from the graph's spectral embedding: Procrustes distance and widest angle."""
    name = f"{graph['slug']}-alignment"
    lengths, curves = results["lengths"], graph["curves"]
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(3.2)
        _band(axes, lengths, curves["procrustes"], ACCURACY, "o", "Procrustes distance")
        _line(axes, lengths, curves["mixed_procrustes"]["mean"], ACCURACY, "--", "the same, mixing null")
        angle = {
            part: [None if v is None else v / 90 for v in curves["angle"][part]] for part in ("mean", "low", "high")
        }
        _band(axes, lengths, angle, OTHER, "^", "widest angle, parts of 90 degrees")
        chance = graph["ends"]["procrustes_by_chance"]
        if chance is not None:
            axes.axhline(chance["estimate"], color=GREY, linestyle=":", linewidth=1.2, label="Procrustes by chance")
        axes.set_xscale("log")
        axes.set_xlim(lengths[0], lengths[-1])
        axes.set_ylim(0, 1.05)
        few_ticks(axes.xaxis, "{x:g}")
        axes.set_xlabel("words of context (log scale)")
        legend(figure, axes)
        return svg(figure, name, f"Alignment of the first components with the spectral embedding, {graph['name']}")


def maps_figure(graph: Found, results: Found, arrays: Mapping[str, Floats]) -> str:
    """Layer by context: energy, distance to the spectral embedding, and the first components' share of variance."""
    name = f"{graph['slug']}-maps"
    lengths, layers = np.array(results["lengths"]), results["layers"]
    kept = np.unique(np.linspace(0, len(lengths) - 1, min(_COLUMNS, len(lengths))).round().astype(int))
    first = results["settings"]["dimensions"]
    panels = (
        ("energy_LC", "energy (dark: low)", "viridis"),
        ("procrustes_LC", "distance to the graph's shape (dark: near)", "viridis"),
        ("share_LC", f"share of variance in {first} components", "viridis_r"),
    )
    with mpl.rc_context(STYLE | {"svg.hashsalt": name, "axes.grid": False}):
        figure, _ = canvas(7.2)
        figure.clear()
        rows = figure.subplots(len(panels), 2, width_ratios=[40, 1], squeeze=False)
        for (axes, scale), (key, title, colours) in zip(rows, panels, strict=True):
            values = arrays[f"{graph['slug']}/{key}"][:, kept]
            known = values[np.isfinite(values)]
            low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
            axes.imshow(values, aspect="auto", origin="lower", interpolation="none", cmap=colours, vmin=low, vmax=high)
            axes.set_title(title, fontsize=10.5, loc="left")
            ticks = np.unique(np.linspace(0, len(kept) - 1, 6).round().astype(int))
            axes.set_xticks(ticks, [str(lengths[kept[t]]) for t in ticks])
            heights = np.unique(np.linspace(0, len(layers) - 1, 5).round().astype(int))
            axes.set_yticks(heights, [str(layers[h]) for h in heights])
            axes.set_ylabel("layer")
            scale.imshow(np.linspace(low, high, 64)[:, None], aspect="auto", origin="lower", cmap=colours)
            scale.set_xticks([])
            scale.set_yticks([0, 63], [f"{low:.2g}", f"{high:.2g}"])
            scale.yaxis.tick_right()
        rows[-1][0].set_xlabel("words of context")
        return svg(figure, name, f"Energy, alignment and variance by layer and context length, {graph['name']}")


def components_figure(graph: Found) -> str | None:
    """For each component at the full length: share of the variance, and energy on the graph and on the words' prior."""
    rows = graph["components"]
    if not rows:
        return None
    name = f"{graph['slug']}-components"
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(3.2)
        at = np.arange(1, len(rows) + 1)
        axes.bar(
            at, [row["share"] or 0.0 for row in rows], width=0.7, color=GREY, alpha=0.55, label="share of variance"
        )
        kinds = [("energy", "energy on the graph", ENERGY, "D", -0.12)]
        if graph["prior"] is not None:
            kinds.append(("prior", "energy on the words' usual order", OTHER, "o", 0.12))
        for key, label, colour, marker, shift in kinds:
            for x, row in zip(at, rows, strict=True):
                interval = row[f"{key}_by_walk"]
                if interval and interval["low"] is not None:
                    axes.plot([x + shift] * 2, [interval["low"], interval["high"]], color=colour, linewidth=1.6)
            values = np.array([row[key] for row in rows], dtype=float)
            axes.plot(at + shift, values, marker, color=colour, label=label, markersize=6)
        axes.axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xticks(at)
        axes.set_xlabel("component, by variance")
        axes.set_ylim(bottom=0)
        legend(figure, axes)
        return svg(figure, name, f"Variance and energy of each component, {graph['name']}")


def heads_figure(results: Found) -> str | None:
    """Prefix-matching scores of all heads."""
    heads = results["heads"]
    if heads is None:
        return None
    with mpl.rc_context(STYLE | {"svg.hashsalt": "heads", "axes.grid": False}):
        figure, axes = canvas(3.6)
        scores = np.array(heads["prefix_matching"])
        axes.imshow(scores, aspect="auto", origin="lower", interpolation="none", cmap="viridis", vmin=0)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("head")
        axes.set_ylabel("block")
        axes.set_title(f"prefix-matching score, 0 (dark) to {scores.max():.2f} (light)", fontsize=10.5, loc="left")
        return svg(figure, "heads", "Prefix-matching score of every attention head")


def heads_off_figure(graph: Found) -> str | None:
    """Accuracy with heads switched off."""
    off = graph["heads_off"]
    if off is None:
        return None
    name = f"{graph['slug']}-off"
    groups = [g for g in ("none", "induction", "previous token", "random") if g in off]
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(0.42 * len(groups) + 1.1)
        for y, group in enumerate(reversed(groups)):
            _interval(axes, off[group]["accuracy"], y, ACCURACY, "o")
        axes.set_yticks(range(len(groups)), list(reversed(groups)))
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("accuracy over the second half of the context")
        return svg(figure, name, f"Accuracy with attention heads switched off, {graph['name']}")


def moves_figure(graph: Found) -> str | None:
    """How much probability the neighbours of the node a word was moved to gain, by layer and kind of shift."""
    rows = [row for row in graph["moves"] if row["target_gain"] is not None]
    if not rows:
        return None
    name = f"{graph['slug']}-moves"
    shifts = list(dict.fromkeys(row["shift"] for row in rows))
    layers = sorted({row["layer"] for row in rows})
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(3.2)
        for k, shift in enumerate(shifts):
            own = [row for row in rows if row["shift"] == shift]
            at = [layers.index(row["layer"]) + 0.14 * (k - (len(shifts) - 1) / 2) for row in own]
            colour = PALETTE[(2, 1, 3, 0)[k % 4]]
            for x, row in zip(at, own, strict=True):
                gain = row["target_gain"]
                if gain["low"] is not None:
                    axes.plot([x, x], [gain["low"], gain["high"]], color=colour, linewidth=1.6)
            axes.plot(at, [row["target_gain"]["estimate"] for row in own], "oDs^"[k % 4], color=colour, label=shift)
        axes.axhline(0.0, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(layers)), [str(layer) for layer in layers])
        axes.set_xlabel("layer at which the word's representation is moved")
        axes.set_ylabel("gain of the target's neighbours")
        legend(figure, axes)
        return svg(figure, name, f"Effect of moving a word's representation to another node's, {graph['name']}")


def weights_figure(graph: Found, results: Found) -> str | None:
    """Energy by layer: in context, in weights, in both and in neither."""
    weights = graph["weights"]
    if weights is None:
        return None
    name = f"{graph['slug']}-weights"
    named = (
        ("base-random-1", "in neither", GREY, "s"), ("base-graph-0", "in context", ACCURACY, "o"),
        ("learnt-random-1", "in weights", ENERGY, "D"), ("learnt-graph-0", "in both", OTHER, "^"),
    )  # fmt: skip
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure, axes = canvas(3.4)
        layers = results["layers"]
        for key, label, colour, marker in named:
            energies = weights["contexts"][key]["energy"]
            mean = np.array([np.nan if e is None else e["estimate"] for e in energies])
            ends = [
                np.array([np.nan if e is None or e[k] is None else e[k] for e in energies]) for k in ("low", "high")
            ]
            axes.fill_between(layers, *ends, color=colour, alpha=0.15, linewidth=0)
            axes.plot(layers, mean, color=colour, marker=marker, markersize=4.5, linewidth=1.5, label=label)
        axes.axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlabel("layer")
        axes.set_ylabel("energy")
        legend(figure, axes)
        return svg(figure, name, f"Energy by layer, learnt in context and in weights, {graph['name']}")


def power_law_figure(results: Found) -> str | None:
    """Critical context size against the number of nodes, both on log scales."""
    laws = results["power_laws"]
    if not laws:
        return None
    with mpl.rc_context(STYLE | {"svg.hashsalt": "power"}):
        figure, axes = canvas(3.8)
        for k, (key, law) in enumerate(laws.items()):
            colour, marker = PALETTE[(2, 1, 3, 4, 0, 7)[k % 6]], "oD^vsP"[k % 6]
            nodes = np.array([point["nodes"] for point in law["points"]], dtype=float)
            for point in law["points"]:
                if point["low"] is not None:
                    axes.plot([point["nodes"]] * 2, [point["low"], point["high"]], color=colour, linewidth=1.4)
            axes.plot(nodes, [point["estimate"] for point in law["points"]], marker, color=colour)
            exponent = law["exponent"]
            label = f"{key}: {exponent['estimate']:.2f} [{exponent['low']:.2f}, {exponent['high']:.2f}]"
            ends = np.array([nodes.min(), nodes.max()])
            axes.plot(
                ends, law["factor"] * ends ** exponent["estimate"], color=colour, linewidth=1.1, marker=marker,
                markersize=0.1, label=label,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        few_ticks(axes.xaxis, "{x:g}")
        few_ticks(axes.yaxis, "{x:g}")
        axes.set_xlabel("nodes (log scale)")
        axes.set_ylabel("critical context, words (log scale)")
        legend(figure, axes)
        return svg(figure, "power", "Critical context size against the number of nodes")


def _interval(axes: Any, found: Found | None, y: float, colour: str, marker: str) -> None:
    if found is None:
        return
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(found["estimate"], y, marker, color=colour, markersize=6.5)
