"""The figure of a study: dots, curves, a scaling law or a heat map, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from sys2ft.pages.charts import (
    DASHED,
    DOTTED,
    PALETTE,
    Legend,
    Row as Mark,
    Series,
    Spec,
    colour_of,
    constant,
    curves,
    draw,
    estimates,
    heat_map,
    log_axis,
    marker_of,
)
from sys2ft.report import number
from sys2ft.statistics import Score
from sys2ft.statistics.scores import value as as_number
from sys2ft.studies.drawn import AGE, PER_NEWS
from sys2ft.studies.gathered import Setting
from sys2ft.studies.labels import BASE, said
from sys2ft.studies.measures import in_nats
from sys2ft.studies.results import ALL, Curve, Results, base_at
from sys2ft.studies.words import measure_title, place_title

_HEIGHT = 220
_X_TITLES = {
    **PER_NEWS,
    "order": "place in the training",
    AGE: "updates since the news item's own (small: news items)",
}
_LABEL_WIDTH = 36  # characters in a line of a setting's label
_BAND = 40  # points at which a fitted law is drawn


def figure_of(found: Results) -> str | None:
    """The figure as SVG with a label for screen readers; None if nothing is finished that it shows."""
    kind = found.study.figure.kind
    if kind == "grid":
        return _grid(found)
    if kind == "dots":
        return _dots(found)
    return _curves(found)


def _dots(found: Results) -> str | None:
    """A row for each setting, the bases first; a marker for each measure."""
    study = found.study
    names = [name for name in found.study.drawn if any((r.measure, r.part) == (name, ALL) for r in found.rows)]
    places: dict[str, Mapping[str, str]] = {}
    for one in found.rows:
        places.setdefault(place_title(study, one.at), one.at)
    series = [Series(measure_title(name), colour_of(k + 1), marker_of(k)) for k, name in enumerate(names)]
    lines = {title: fill(title, _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False) for title in places}
    marks = [
        _mark(row.score, measure_title(name), f"{title}, {measure_title(name)}", place=lines[title])
        for title, at in places.items()
        for name in names
        if (row := found.row(at, name)) is not None
    ]
    if not marks:
        return None
    legend = Legend(series)
    tall = max(len(names), *(label.count("\n") + 1 for label in lines.values()))
    broken = {"labelLimit": 260, "labelExpr": "split(datum.label, '\\n')"}
    y = {"field": "place", "type": "nominal", "sort": list(lines.values()), "title": None, "axis": broken}
    place: dict[str, Mapping[str, object]] = {"y": y}
    if len(names) > 1:
        place["yOffset"] = {"field": "series", "sort": [one.name for one in series]}
    axis = {"title": _axis_title(names), "scale": {"zero": False, "nice": True}}
    spec = {
        "height": {"step": 14 * tall + 12, "for": "position"},
        "layer": estimates(marks, "x", axis, place, legend),
    }
    return draw(spec, f"{study.asks} {', '.join(map(measure_title, names))} of each setting, with 95% intervals")


def _axis_title(names: Sequence[str]) -> str:
    return "nats per token" if all(map(in_nats, names)) else measure_title(names[0]) if len(names) == 1 else "accuracy"


def _mark(score: Score, series: str, what: str, **place: object) -> Mark:
    row = {"series": series, "estimate": score.estimate, "low": score.low, "high": score.high}
    return {**row, "text": f"{what}: {number(score)}, n = {score.n_items}", **place}


def _curves(found: Results) -> str | None:
    """A panel for each measure, one below the other, and a line for each setting or seed of lines."""
    panels = [panel for name in found.study.drawn if (panel := _panel(found, name)) is not None]
    if not panels:
        return None
    return draw(
        {"vconcat": panels, "resolve": {"scale": {"stroke": "shared", "fill": "shared", "shape": "shared"}}},
        f"{found.study.asks} {', '.join(map(measure_title, found.study.drawn))} by {found.study.figure.x}",
    )


def _panel(found: Results, measure: str) -> Spec | None:
    study = found.study
    own = [curve for curve in found.curves if curve.measure == measure]
    logarithmic = study.figure.kind == "scaling"
    shown = [[(x, score) for x, score in curve.points if x > 0 or not logarithmic] for curve in own]
    names = [place_title(study, curve.at) for curve in own]
    marks = [
        {**_mark(score, name, f"{name}, {_X_TITLES.get(study.figure.x, study.figure.x)} {x:,.4g}"), "x": x}
        for name, points in zip(names, shown, strict=True)
        for x, score in points
    ]
    if not marks:
        return None
    series = [Series(name, colour_of(k + 1), marker_of(k)) for k, name in enumerate(names)]
    layers = curves(
        marks, _x_axis(found, [mark["x"] for mark in marks]), {"title": measure_title(measure)}, series, Legend(series)
    )
    if logarithmic:
        layers += _laws(found, measure, [mark["x"] for mark in marks])
    if study.figure.x == AGE:
        layers.append(_news_items([point for points in shown for point in points]))
    layers += _levels(found, own)
    return {"height": _HEIGHT, "width": 400, "layer": layers}


def _x_axis(found: Results, values: Sequence[float]) -> Spec:
    name = found.study.figure.x
    title = _X_TITLES.get(name, name)
    if found.study.figure.kind == "scaling":
        return log_axis(values, title, form=".2~e" if name == "flop" else "~g")
    whole = all(value == int(value) for value in values)
    return {"title": title, "axis": {"tickMinStep": 1, "format": "d"} if whole else {}}


def _news_items(points: Sequence[tuple[float, Score]]) -> Spec:
    """The number of news items of each age, at the foot of the panel: only the earliest ones grow old."""
    counts: dict[float, set[int]] = {}
    for x, score in points:
        counts.setdefault(x, set()).add(score.n_news)
    rows = [{"x": x, "count": "–".join(map(str, sorted({min(own), max(own)})))} for x, own in counts.items()]
    mark = {"type": "text", "fontSize": 9, "baseline": "bottom", "aria": False}
    place = {"x": {"field": "x", "type": "quantitative"}, "y": {"value": _HEIGHT - 2}}
    return {"data": {"values": rows}, "mark": mark, "encoding": {**place, "text": {"field": "count"}}}


def _laws(found: Results, measure: str, xs: Sequence[float]) -> list[Spec]:
    """The fitted power laws, dashed."""
    low, high = min(xs), max(xs)
    at = [low * (high / low) ** (k / (_BAND - 1)) for k in range(_BAND)] if high > low else []
    layers = []
    for k, one in enumerate(effort for effort in found.efforts if effort.measure == measure):
        if one.law is None or one.law.flat:
            continue
        rows = [{"x": x, "y": one.law.at(x)} for x in at]
        layers.append(
            {
                "data": {"values": rows},
                "mark": {
                    "type": "line",
                    "strokeDash": list(DASHED),
                    "stroke": PALETTE[(k + 1) % len(PALETTE)],
                    "strokeWidth": 1.2,
                    "aria": False,
                },
                "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
            }
        )
    return layers


def _levels(found: Results, own: Sequence[Curve]) -> list[Spec]:
    """The base in context, as the level that closes the gap."""
    if not own or own[0].measure != "closed_book":
        return []
    models = {setting.at["model"]: setting for setting in found.settings}
    rows = [found.row(base_at(found.study, setting), "in_context") for setting in models.values()]
    return [_constant(row.score.estimate) for row in rows if row is not None]


def _constant(at: float) -> Spec:
    layer = constant(at)
    layer["mark"] = {**layer["mark"], "strokeDash": list(DOTTED), "strokeWidth": 1.4}
    return layer


def _grid(found: Results) -> str | None:
    """A heat map: two axes of the grid, or the accuracy on the news items of each update after each update."""
    figure, measure = found.study.figure, found.study.drawn[0]
    if figure.x == "update":
        maps = [_matrix(found, setting, measure) for setting in found.settings]
        panels = [panel for panel in maps if panel is not None]
        return draw({"vconcat": panels}, f"{found.study.asks} {measure_title(measure)} by update") if panels else None
    cells = []
    for row in found.rows:
        x, y = row.at.get(figure.x), row.at.get(figure.series)
        if (row.measure, row.part) == (measure, ALL) and x and y and row.at.get("seed") != BASE:
            text = f"{said(figure.x, x)}, {said(figure.series, y)}: {number(row.score)}"
            cells.append({"x": x, "y": y, "value": row.score.estimate, "text": text})
    if not cells:
        return None
    xs, ys = (list(dict.fromkeys(cell[name] for cell in cells)) for name in ("x", "y"))
    x_axis = {"title": figure.x, "scale": {"domain": xs}, "axis": {"labelAngle": 0}}
    y_axis = {"title": figure.series, "scale": {"domain": ys}}
    spec = heat_map(cells, x_axis, y_axis, {}, measure_title(measure), 60 * len(ys))
    return draw({"vconcat": [spec]}, f"{found.study.asks} {measure_title(measure)} by {figure.x} and {figure.series}")


def _matrix(found: Results, setting: Setting, measure: str) -> Spec | None:
    """Accuracy on the news items of update i after update j, means over seeds."""
    cells: dict[tuple[int, int], list[float]] = {}
    for places in setting.places:
        for place in places:
            for (news_id, _), value in setting.take(place.found, measure).items() if place.last else ():
                if news_id in setting.arrived:  # not the items of a set of retention
                    cells.setdefault((setting.arrived[news_id] + 1, place.update), []).append(as_number(value))
    if not cells:
        return None
    updates = sorted({j for _, j in cells})
    rows = [
        {
            "x": j,
            "y": i,
            "value": sum(own) / len(own),
            "text": f"news of update {i} after update {j}: {sum(own) / len(own):.2f}",
        }
        for (i, j), own in sorted(cells.items())
    ]
    x_axis = {"title": "after update", "scale": {"domain": updates}, "axis": {"labelAngle": 0}}
    y_axis = {"title": "news items of update", "scale": {"domain": updates}}
    title = f"{place_title(found.study, setting.at)}: {measure_title(measure)}"
    return heat_map(rows, x_axis, y_axis, {}, title, 220)
