"""Draws charts with Vega-Lite as SVG that is placed inline in a page.

A chart is a Vega-Lite specification, a plain dictionary: layers built by the functions here. `draw` gives all of them
one style and renders them offline. Colours are CSS variables with the light palette as fallback, so charts follow the
page into dark mode. Every series has its own marker or dash, so no chart relies on colour alone. The `text` field of a
row becomes the aria-label of its mark, which screen readers read out and the page's script shows as a tooltip.

The same data give the same bytes, and no element has an id: several charts can share one page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Any, Literal

Row = dict[str, Any]
Spec = dict[str, Any]
Channel = Mapping[str, Any]

# The light values of --s0 ... --s7; page.css has them too, and their dark ones. From the colour-blind safe sets of
# Okabe & Ito and Tol, darkened until each has a contrast of 3:1 on white.
_LIGHT = ("#5f6b7a", "#b85c00", "#0072b2", "#00795a", "#a3408b", "#8a7300", "#3a8fb7", "#c23b22")
PALETTE = tuple(f"var(--s{k}, {colour})" for k, colour in enumerate(_LIGHT))
MARKERS = ("square", "circle", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
INK, RULE, PAGE, ON_SERIES = "currentColor", "var(--rule, #d5d8dc)", "var(--page, #fff)", "var(--on-series, #fff)"
SOLID, DASHED, DOTTED = (1, 0), (6, 3), (2, 2)
LINE = "M-1.7,0L1.7,0"
"""Legend symbol of a series drawn as a line without markers: a path, which Vega-Lite accepts as a shape."""

WIDTH = 480  # narrow, so that the text stays legible on a phone
_VEGA_LITE = "6.4"  # Vega-Lite version; the renderer bundles several
_FONT = 12


@dataclass(frozen=True, slots=True)
class Series:
    """One entry of a legend, and the look of its marks."""

    name: str
    colour: str
    marker: str = LINE
    dash: tuple[int, int] = SOLID
    hollow: bool = False

    @property
    def fill(self) -> str:
        """Fill of the marker; a hollow one has the page's background colour, which hides the interval behind it."""
        return PAGE if self.hollow else self.colour


def colour_of(k: int) -> str:
    """The colour of series number `k`."""
    return PALETTE[k % len(PALETTE)]


def marker_of(k: int) -> str:
    """The marker of series number `k`."""
    return MARKERS[k % len(MARKERS)]


class Legend:
    """Channels that style each mark by its row's `series`. Vega-Lite merges them into one legend."""

    def __init__(self, series: Sequence[Series]) -> None:
        names = [one.name for one in series]
        longest = max((len(name) for name in names), default=0)
        columns = max(1, min(len(names), int(WIDTH / (0.56 * _FONT * longest + 40))))
        shown = {"title": None, "orient": "top", "columns": columns, "labelLimit": 0, "symbolOpacity": 1}

        def channel(values: Sequence[Any]) -> Spec:
            scale = {"domain": names, "range": list(values)}
            return {"field": "series", "type": "nominal", "scale": scale, "legend": shown if len(names) > 1 else None}

        stroke, dash = channel([one.colour for one in series]), channel([list(one.dash) for one in series])
        self.lines: Spec = {"stroke": stroke, "strokeDash": dash}
        self.markers: Spec = {
            "stroke": stroke,
            "fill": channel([one.fill for one in series]),
            "shape": channel([one.marker for one in series]),
        }
        self.bars: Spec = {"fill": channel([one.fill for one in series])}


def estimates(
    rows: Sequence[Row], value: Literal["x", "y"], axis: Channel, place: Mapping[str, Channel], legend: Legend
) -> list[Spec]:
    """Markers at `estimate` with a line from `low` to `high` along the axis `value`; `place` has the other channels."""
    whole = [row for row in rows if row["low"] is not None and row["high"] is not None]
    ends = {value: {**axis, "field": "low", "type": "quantitative"}, f"{value}2": {"field": "high"}}
    spot = {value: {**axis, "field": "estimate", "type": "quantitative"}, "description": {"field": "text"}}
    whiskers = _layer(whole, {"type": "rule", "strokeWidth": 2, "aria": False}, {**place, **ends, **legend.lines})
    markers = _layer(rows, {"type": "point", "size": 60, "strokeWidth": 1.5}, {**place, **spot, **legend.markers})
    return [whiskers, markers]


def curves(rows: Sequence[Row], x: Channel, y: Channel, series: Sequence[Series], legend: Legend) -> list[Spec]:
    """Lines through (`x`, `estimate`), a band from `low` to `high`, some markers, and a tooltip at every point.

    Rows without an estimate leave a gap. Values beyond an axis are drawn at its end: clipping them would need a clip
    path, which is an element with an id.
    """
    x, y = ({**axis, "scale": {**axis.get("scale", {}), "clamp": True}} for axis in (x, y))
    place = {"x": {**x, "field": "x", "type": "quantitative"}}
    height = {**y, "field": "estimate", "type": "quantitative"}
    ends = {"y": {**y, "field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
    bands, marked = [], []
    for k, one in enumerate(series):
        own = [row for row in rows if row["series"] == one.name and row["estimate"] is not None]
        band = [row for row in own if row["low"] is not None]
        look = {"type": "area", "opacity": 0.16, "color": one.colour, "aria": False}
        bands += [_layer(band, look, {**place, **ends})] if band else []
        every = max(1, len(own) // 7)
        marked += own[k % every :: every] if one.marker != LINE else []
    line = {"type": "line", "strokeWidth": 1.6, "aria": False, "invalid": "break-paths-show-path-domains"}
    dots = {"type": "point", "size": 36, "strokeWidth": 1, "aria": False}
    unseen = {"type": "point", "size": 60, "fill": "transparent", "stroke": "transparent"}
    return [
        *bands,
        _layer(rows, line, {**place, "y": height, **legend.lines}),
        _layer(marked, dots, {**place, "y": height, **legend.markers}),
        _layer(
            [row for row in rows if row["estimate"] is not None],
            unseen,
            {**place, "y": height, "description": {"field": "text"}},
        ),
    ]


def log_axis(values: Iterable[float], title: str, form: str = "~g", margin: float = 1.0) -> Spec:
    """A logarithmic axis from min / `margin` to max * `margin`, with ticks at 1, 2 and 5 times powers of ten."""
    known = list(values)
    margin = max(margin, 1.1) if min(known) == max(known) else margin
    low, high = min(known) / margin, max(known) * margin
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    return {
        "title": title,
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        # A range too narrow for such ticks gets the renderer's own.
        "axis": {"values": shown, "format": form} if len(shown) > 1 else {},
    }


def level(rows: Sequence[Row], value: Literal["x", "y"], axis: Channel, legend: Legend) -> Spec:
    """Lines across the chart at `estimate` on the axis `value`."""
    at = {value: {**axis, "field": "estimate", "type": "quantitative"}, "description": {"field": "text"}}
    return _layer(rows, {"type": "rule", "strokeWidth": 1.4}, {**at, **legend.lines})


def constant(at: float, value: Literal["x", "y"] = "y") -> Spec:
    """A thin line at a reference value such as 0 or 1, without an entry in the legend."""
    mark = {"type": "rule", "strokeDash": list(DOTTED), "stroke": INK, "strokeWidth": 0.8, "aria": False}
    return _layer([{"at": at}], mark, {value: {"field": "at", "type": "quantitative"}})


def heat_map(rows: Sequence[Row], x: Channel, y: Channel, colour: Channel, title: str, height: int) -> Spec:
    """Cells at (`x`, `y`) coloured by `value`; `x` and `y` need a scale's domain, `y` from the bottom upwards."""
    values = [row["value"] for row in rows]
    low, high = min(values, default=0.0), max(values, default=1.0)
    # Swatches rather than a gradient bar: a gradient needs an element id, which would clash with other charts.
    keys = {"orient": "right", "type": "symbol", "symbolType": "square", "symbolSize": 160, "title": None}
    shades = [low + (high - low) * k / 4 for k in reversed(range(5))]
    columns, lines = len(x["scale"]["domain"]), len(y["scale"]["domain"])
    encoding = {
        "x": {"field": "x", "type": "ordinal", **x},
        "y": {"field": "y", "type": "ordinal", **y, "scale": {"domain": y["scale"]["domain"][::-1]}},
        "fill": {"field": "value", "type": "quantitative", "legend": {**keys, "values": shades, "format": ".3~g"}},
        "description": {"field": "text"},
    }
    encoding["fill"] |= colour
    return {
        **_layer(rows, {"type": "rect"}, encoding),
        "title": {"text": title, "anchor": "start", "fontWeight": "normal", "fontSize": _FONT, "color": INK},
        # A whole number of pixels per cell keeps borders sharp and coordinates short.
        "width": columns * max(1, (WIDTH - 110) // columns),
        "height": lines * max(1, height // lines),
    }


def _layer(rows: Iterable[Row], mark: Spec, encoding: Mapping[str, Any]) -> Spec:
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": dict(encoding)}


def draw(spec: Mapping[str, Any], described: str) -> str:
    """The chart as an SVG element, in a group labelled with its description."""
    import vl_convert

    fits = {} if "vconcat" in spec else {"autosize": {"type": "fit-x", "contains": "padding"}, "width": WIDTH}
    whole = {
        **fits,
        "background": None,
        # The renderer's fonts are narrower than those of some browsers; the padding keeps labels inside.
        "padding": {"left": 12, "right": 8, "top": 2, "bottom": 2},
        "config": _CONFIG,
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(whole, vl_version=_VEGA_LITE)
    return f'<div role="group" aria-label="{escape(described)}">{svg}</div>'


_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": _FONT, "titleFontSize": _FONT}
_CONFIG: Spec = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        **_TEXT, "titleFontWeight": "normal", "gridColor": RULE, "domainColor": RULE, "tickColor": RULE,
        "labelLimit": 150, "ticks": False, "labelFlush": False, "labelPadding": 5, "titlePadding": 8, "aria": False,
    },
    "legend": {**_TEXT, "symbolSize": 70, "symbolStrokeWidth": 1.6, "columnPadding": 26, "rowPadding": 4},
    "point": {"opacity": 1},
    "tick": {"opacity": 1},
    "text": {"color": INK, "fontSize": _FONT},
}  # fmt: skip
