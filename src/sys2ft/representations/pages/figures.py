"""Charts of a study: curves, layer maps, components, attention heads, interventions, weights and power laws.

Each takes what results.json holds and returns SVG, or None where the study does not hold the data. The drawings of the
nodes themselves are in `pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.pages.charts import (
    DASHED,
    DOTTED,
    LINE,
    PALETTE,
    Legend,
    Row,
    Series,
    Spec,
    constant,
    curves,
    draw,
    estimates,
    heat_map,
    level,
    log_axis,
)
from sys2ft.representations.pages.words import interval

Found = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

ACCURACY, ENERGY, OTHER, GREY = PALETTE[2], PALETTE[1], PALETTE[3], PALETTE[0]
_COLUMNS = 20  # of a heat map: more cannot be distinguished on a phone
_WORDS = "words of context (log scale)"


def curves_figure(graph: Found, results: Found) -> str | None:
    """Accuracy and normalised energy against context, with their nulls, tables and critical sizes."""
    lengths, found = results["lengths"], graph["curves"]
    lines: list[tuple[Series, Found]] = [
        (Series("accuracy", ACCURACY, "circle"), found["accuracy"]),
        (Series("energy", ENERGY, "diamond"), found["energy"]),
        (Series("energy, shuffled", GREY, LINE, DOTTED), found["shuffled"]),
        (Series("energy, mixing null", ENERGY, LINE, DASHED), {"mean": found["mixing"]["mean"]}),
        (Series("one-step table", ACCURACY, LINE, DASHED), {"mean": found["one_step"]["mean"]}),
        (Series("two-step table", ACCURACY, LINE, DOTTED), {"mean": found["two_step"]["mean"]}),
    ]
    rows = [row for series, curve in lines for row in _curve(series.name, lengths, curve, "words")]
    series = [one for one, _ in lines]
    reference = results["reference"]
    if reference is not None:
        inside = [
            (n, accuracy)
            for n, accuracy in zip(reference["context_length"], reference["accuracy"], strict=True)
            if lengths[0] <= n <= lengths[-1]
        ]
        series.append(Series(reference["model"], OTHER, "triangle-up"))
        rows += _curve(reference["model"], [n for n, _ in inside], {"mean": [a for _, a in inside]}, "words")
    most = max([1.1, *(value for value in found["energy"]["mean"] if value is not None)]) + 0.05
    x = log_axis([lengths[0], lengths[-1]], _WORDS)
    y = {"title": None, "scale": {"domain": [0, most], "nice": False}}
    layers = curves(rows, x, y, series, Legend(series))
    for curve, colour in (("accuracy", ACCURACY), ("energy", ENERGY)):
        layers += _critical(curve, graph["transitions"][curve], x, colour)
    return draw({"height": 300, "layer": layers}, f"Accuracy and Dirichlet energy by context length, {graph['name']}")


def _curve(name: str, x: Sequence[float], curve: Found, unit: str) -> list[Row]:
    """Rows of a curve over the contexts; `curve` has `mean` and may have `low`, `high` and `n`."""
    rows = []
    for i, (at, mean) in enumerate(zip(x, curve["mean"], strict=True)):
        low, high = (curve[end][i] if end in curve else None for end in ("low", "high"))
        text = f"{name}, {at:g} {unit}: {interval({'estimate': mean, 'low': low, 'high': high})}"
        if low is None:
            text = f"{name}, {at:g} {unit}: {_short(mean)}"
        text += f", n = {curve['n'][i]}" if "n" in curve else ""
        rows.append({"series": name, "x": at, "estimate": mean, "low": low, "high": high, "text": text})
    return rows


def _critical(curve: str, transition: Found | None, x: Spec, colour: str) -> list[Spec]:
    """Critical sizes as triangles on the axis with their intervals: onset upwards, saturation downwards."""
    layers: list[Spec] = []
    for kind, marker in (("onset", "triangle-up"), ("saturation", "triangle-down")):
        found = transition and transition[kind]
        if found:
            text = f"{kind} of {curve}: {interval(found)} words, {found['n']} walks"
            place = {"y": {"field": "at", "type": "quantitative"}}
            ends = {"x": {**x, "field": "low", "type": "quantitative"}, "x2": {"field": "high"}}
            spot = {"x": {**x, "field": "estimate", "type": "quantitative"}, "description": {"field": "text"}}
            line = {"type": "rule", "strokeWidth": 3, "opacity": 0.6, "stroke": colour, "aria": False}
            mark = {"type": "point", "size": 80, "fill": colour, "stroke": colour, "shape": marker}
            rows = [{**found, "text": text, "at": 0.025}]
            whole = rows if found["low"] is not None else []
            layers.append({"data": {"values": whole}, "mark": line, "encoding": {**place, **ends}})
            layers.append({"data": {"values": rows}, "mark": mark, "encoding": {**place, **spot}})
    return layers


def alignment_figure(graph: Found, results: Found) -> str:
    """How far the first components are from the graph's spectral embedding: Procrustes distance and widest angle."""
    lengths, found = results["lengths"], graph["curves"]
    angle = {part: [None if v is None else v / 90 for v in found["angle"][part]] for part in ("mean", "low", "high")}
    lines: list[tuple[Series, Found]] = [
        (Series("Procrustes distance", ACCURACY, "circle"), found["procrustes"]),
        (Series("the same, mixing null", ACCURACY, LINE, DASHED), {"mean": found["mixed_procrustes"]["mean"]}),
        (Series("widest angle / 90°", OTHER, "triangle-up"), angle),
    ]
    series = [one for one, _ in lines]
    rows = [row for one, curve in lines for row in _curve(one.name, lengths, curve, "words")]
    chance, name = graph["ends"]["procrustes_by_chance"], "Procrustes by chance"
    series += [Series(name, GREY, LINE, DOTTED)] if chance is not None else []
    levels = [{"series": name, "text": f"{name}: {interval(chance)}", **chance}] if chance is not None else []
    legend = Legend(series)
    y = {"title": None, "scale": {"domain": [0, 1.05], "nice": False}}
    layers = curves(rows, log_axis([lengths[0], lengths[-1]], _WORDS), y, series, legend)
    layers.append(level(levels, "y", y, legend))
    described = f"Alignment of the first components with the spectral embedding, {graph['name']}"
    return draw({"height": 240, "layer": layers}, described)


def maps_figure(graph: Found, results: Found, arrays: Mapping[str, Floats]) -> str:
    """Layer by context: energy, distance to the spectral embedding, and the first components' share of variance."""
    lengths, layers = np.array(results["lengths"]), results["layers"]
    kept = np.unique(np.linspace(0, len(lengths) - 1, min(_COLUMNS, len(lengths))).round().astype(int))
    first = results["settings"]["dimensions"]
    panels = (
        ("energy_LC", "energy (dark: low)", False),
        ("procrustes_LC", "distance to the graph's shape (dark: near)", False),
        ("share_LC", f"share of variance in {first} components (dark: high)", True),
    )
    ticks = kept[np.unique(np.linspace(0, len(kept) - 1, 6).round().astype(int))]
    heights = np.unique(np.linspace(0, len(layers) - 1, 5).round().astype(int))
    maps = []
    for key, title, reverse in panels:
        values = arrays[f"{graph['slug']}/{key}"][:, kept]
        rows = [
            {
                "x": int(lengths[column]),
                "y": layer,
                "value": float(value),
                "text": f"layer {layer}, {lengths[column]} words: {value:.3g}",
            }
            for layer, line in zip(layers, values, strict=True)
            for column, value in zip(kept, line, strict=True)
            if np.isfinite(value)
        ]
        x: Spec = {
            "axis": {"values": lengths[ticks].tolist(), "labelAngle": 0},
            "title": "words of context" if key == panels[-1][0] else None,
            "scale": {"domain": lengths[kept].tolist()},
        }
        y: Spec = {
            "axis": {"values": [layers[h] for h in heights]},
            "title": "layer",
            "scale": {"domain": layers},
        }
        colour = {"scale": {"scheme": "viridis", "reverse": reverse}}
        maps.append(heat_map(rows, x, y, colour, title, height=150))
    spec = {"vconcat": maps, "resolve": {"scale": {"fill": "independent"}}}
    return draw(spec, f"Energy, alignment and variance by layer and context length, {graph['name']}")


def components_figure(graph: Found) -> str | None:
    """For each component at the full length: share of the variance, and energy on the graph and on the words' prior."""
    found = graph["components"]
    if not found:
        return None
    kinds = [("energy", Series("energy on the graph", ENERGY, "diamond"))]
    if graph["prior"] is not None:
        kinds.append(("prior", Series("energy on the words' usual order", OTHER, "circle")))
    share = Series("share of variance", GREY, "square")
    bars, points = [], []
    for at, row in enumerate(found, start=1):
        value = row["share"] or 0.0
        text = f"component {at}: {100 * value:.1f}% of the variance"
        bars.append({"x": at, "estimate": value, "series": share.name, "text": text})
        for key, series in kinds:
            if row[key] is not None:
                walks = row[f"{key}_by_walk"] or {"low": None, "high": None}
                ends = {end: walks[end] for end in ("low", "high")}
                text = f"component {at}, {series.name}: {interval({'estimate': row[key], **ends})}"
                points.append({"x": at, "series": series.name, "estimate": row[key], **ends, "text": text})
    series_shown = [share, *(series for _, series in kinds)]
    legend = Legend(series_shown)
    x = {"field": "x", "type": "ordinal", "title": "component, by variance", "axis": {"labelAngle": 0}}
    y = {"title": None, "scale": {"domainMin": 0}}
    bar: Spec = {
        "data": {"values": bars},
        "mark": {"type": "bar", "opacity": 0.55, "width": {"band": 0.75}},
        "encoding": {
            "x": x,
            "y": {**y, "field": "estimate", "type": "quantitative"},
            "description": {"field": "text"},
            **legend.bars,
        },
    }
    offset = {"field": "series", "type": "nominal", "scale": {"domain": [series.name for _, series in kinds]}}
    layers = [bar, *estimates(points, "y", y, {"x": x, "xOffset": offset}, legend), constant(1.0)]
    return draw({"height": 240, "layer": layers}, f"Variance and energy of each component, {graph['name']}")


def heads_figure(results: Found) -> str | None:
    """Prefix-matching scores of all heads."""
    heads = results["heads"]
    if heads is None:
        return None
    rows = [
        {"x": head, "y": block, "value": score, "text": f"block {block}, head {head}: {score:.3f}"}
        for block, line in enumerate(heads["prefix_matching"])
        for head, score in enumerate(line)
    ]
    blocks, count = len(heads["prefix_matching"]), len(heads["prefix_matching"][0])
    x: Spec = {
        "title": "head",
        "axis": {"values": list(range(0, count, max(1, count // 10))), "labelAngle": 0},
        "scale": {"domain": list(range(count))},
    }
    y: Spec = {
        "title": "block",
        "axis": {"values": list(range(0, blocks, max(1, blocks // 8)))},
        "scale": {"domain": list(range(blocks))},
    }
    colour = {"scale": {"scheme": "viridis", "domainMin": 0}}
    spec = {"vconcat": [heat_map(rows, x, y, colour, "prefix-matching score (light: high)", height=230)]}
    return draw(spec, "Prefix-matching score of every attention head")


def heads_off_figure(graph: Found) -> str | None:
    """Accuracy with heads switched off."""
    off = graph["heads_off"]
    if off is None:
        return None
    groups = [group for group in ("none", "induction", "previous token", "random") if group in off]
    rows = [
        _row(off[group]["accuracy"], "accuracy", f"heads off: {group}", place=group)
        for group in groups
        if off[group]["accuracy"] is not None
    ]
    series = [Series("accuracy", ACCURACY, "circle")]
    axis = {"title": "accuracy over the second half of the context", "scale": {"domain": [0, 1]}}
    place = {"y": {"field": "place", "type": "nominal", "sort": groups, "scale": {"domain": groups}, "title": None}}
    spec = {"height": {"step": 30}, "layer": estimates(rows, "x", axis, place, Legend(series))}
    return draw(spec, f"Accuracy with attention heads switched off, {graph['name']}")


def moves_figure(graph: Found) -> str | None:
    """How much probability the neighbours of the node a word was moved to gain, by layer and kind of shift."""
    found = [row for row in graph["moves"] if row["target_gain"] is not None]
    if not found:
        return None
    shifts = list(dict.fromkeys(row["shift"] for row in found))
    colours, markers = (ACCURACY, ENERGY, OTHER, GREY), ("circle", "diamond", "square", "triangle-up")
    series = [Series(shift, colours[k % 4], markers[k % 4]) for k, shift in enumerate(shifts)]
    rows = [
        _row(row["target_gain"], row["shift"], f"layer {row['layer']}, {row['shift']}", x=row["layer"]) for row in found
    ]
    x = {
        "field": "x",
        "type": "ordinal",
        "title": "layer at which the word's representation is moved",
        "axis": {"labelAngle": 0},
    }
    offset = {"field": "series", "type": "nominal", "scale": {"domain": shifts}}
    axis = {"title": "gain of the target's neighbours"}
    place = {"x": x, "xOffset": offset}
    layers = [constant(0.0), *estimates(rows, "y", axis, place, Legend(series))]
    described = f"Effect of moving a word's representation to another node's, {graph['name']}"
    return draw({"height": 240, "layer": layers}, described)


def weights_figure(graph: Found, results: Found) -> str | None:
    """Energy by layer: in context, in weights, in both and in neither."""
    weights = graph["weights"]
    if weights is None:
        return None
    named = (
        ("base-random-1", Series("in neither", GREY, "square")),
        ("base-graph-0", Series("in context", ACCURACY, "circle")),
        ("learnt-random-1", Series("in weights", ENERGY, "diamond")),
        ("learnt-graph-0", Series("in both", OTHER, "triangle-up")),
    )
    rows = []
    for key, series in named:
        for layer, energy in zip(results["layers"], weights["contexts"][key]["energy"], strict=True):
            rows += [] if energy is None else [_row(energy, series.name, f"layer {layer}, {series.name}", x=layer)]
    shown = [series for _, series in named]
    shown_layers = results["layers"][:: max(1, len(results["layers"]) // 10)]
    x = {"title": "layer", "axis": {"values": shown_layers, "format": "d"}, "scale": {"nice": False}}
    layers = [*curves(rows, x, {"title": "energy"}, shown, Legend(shown)), constant(1.0)]
    described = f"Energy by layer, learnt in context and in weights, {graph['name']}"
    return draw({"height": 240, "layer": layers}, described)


def power_law_figure(results: Found) -> str | None:
    """Critical context size against the number of nodes, both on log scales."""
    laws = results["power_laws"]
    if not laws:
        return None
    colours, markers = (2, 1, 3, 4, 0, 7), ("circle", "diamond", "triangle-up", "triangle-down", "square", "cross")
    series, points, lines = [], [], []
    for k, (key, law) in enumerate(laws.items()):
        name = f"{key}: {interval(law['exponent'])}"
        series.append(Series(name, PALETTE[colours[k % 6]], markers[k % 6]))
        points += [_row(point, name, f"{key}, {point['nodes']} nodes", x=point["nodes"]) for point in law["points"]]
        nodes = [point["nodes"] for point in law["points"]]
        lines += [
            {"series": name, "x": n, "y": law["factor"] * n ** law["exponent"]["estimate"]}
            for n in (min(nodes), max(nodes))
        ]
    legend = Legend(series)
    x = {
        "field": "x",
        "type": "quantitative",
        **log_axis([row["x"] for row in points], "nodes (log scale)", margin=1.1),
    }
    values = [row[part] for row in points for part in ("estimate", "low", "high") if row[part] is not None]
    y = log_axis([*values, *(row["y"] for row in lines)], "critical context, words (log scale)", margin=1.1)
    fitted: Spec = {
        "data": {"values": lines},
        "mark": {"type": "line", "strokeWidth": 1.2, "aria": False},
        "encoding": {"x": x, "y": {**y, "field": "y", "type": "quantitative"}, **legend.lines},
    }
    spec = {"height": 270, "layer": [fitted, *estimates(points, "y", y, {"x": x}, legend)]}
    return draw(spec, "Critical context size against the number of nodes")


def _row(found: Found, series: str, label: str, **fields: Any) -> Row:
    """The row of an estimate, with its numbers in words."""
    count = f", n = {found['n']}" if "n" in found else ""
    numbers = {part: found[part] for part in ("estimate", "low", "high")}
    return {"series": series, "text": f"{label}: {interval(found)}{count}", **numbers, **fields}


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
