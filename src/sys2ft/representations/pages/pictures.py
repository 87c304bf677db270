"""Drawings of the nodes along two components: small multiples over the context, and the frames of an animation.

Every drawing is rotated, reflected and scaled to match the graph's own layout (its spectral embedding), within the two
components shown. This cannot create structure that is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.pages.charts import RULE, WIDTH, Row, Spec, draw
from sys2ft.representations import geometry
from sys2ft.representations.graphs.graph import Graph

Found = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

_PANELS, _ACROSS, _PITCH = 6, 4, 2.5  # context panels, panels per row, row height in half widths
# The colour map viridis at even steps.
_VIRIDIS = (
    "440154",
    "482475",
    "414487",
    "355f8d",
    "2a788e",
    "21918c",
    "22a884",
    "44bf70",
    "7ad151",
    "bddf26",
    "fde725",
)
_FRAMES, _LAYERS = 30, 9


def drawing_of(graph: Graph) -> Floats:
    """Positions of the nodes in the graph's own layout (N, 2): the first two spectral coordinates."""
    two: Floats = geometry.spectral_embedding(graph.adjacency, 2)[:, :2]
    return two


def placed(graph: Graph, distances_P: npt.NDArray[np.floating], first: int = 0) -> Floats | None:
    """Nodes (N, 2) along components `first` and the next, matched to the graph's layout; None if too few are known."""
    components = geometry.pca(distances_P, graph.nodes)
    if components is None or components.present_N.sum() < 4 or not components.variance_K[first] > 0:
        return None
    return geometry.aligned(components.coordinates_NK[:, first : first + 2], drawing_of(graph))


def emergence_figure(graph: Graph, lengths: Sequence[int], distances_CP: Floats, first: int = 0) -> str | None:
    """The nodes at some context lengths, random vectors after one round of mixing, and the graph itself."""
    known = [c for c in range(len(lengths)) if placed(graph, distances_CP[c], first) is not None]
    if not known:
        return None
    chosen = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, _PANELS).round().astype(int))]
    mixed_P = geometry.mixed_distances(geometry.neighbour_means(graph.adjacency))
    panels = [(f"{lengths[c]} words", placed(graph, distances_CP[c], first)) for c in chosen]
    panels.append(("null: mixed once", placed(graph, mixed_P, first)))
    panels.append(("the graph", drawing_of(graph)))
    known_points = [points[np.isfinite(points).all(axis=1)] for _, points in panels if points is not None]
    half = 1.15 * max(float(np.abs(points).max()) for points in known_points)
    titles: list[Row] = []
    nodes: list[Row] = []
    edges: list[Row] = []
    for k, (title, points) in enumerate(panels):
        # All panels share one coordinate system: they are the cells of a grid, `half` being half the width of a cell.
        centre = np.array([2 * half * (k % _ACROSS), -_PITCH * half * (k // _ACROSS)])
        titles.append({"x": centre[0], "y": centre[1] + 1.32 * half, "text": title})
        if points is not None:
            nodes += _nodes(graph, points, centre, title)
            edges += _edges(graph, points, centre)
    rows = -(-len(panels) // _ACROSS)
    x = _axis("x", [-half, half * (2 * _ACROSS - 1)])
    y = _axis("y", [-half * (1 + _PITCH * (rows - 1)), 1.5 * half])
    layers = [
        {
            "data": {"values": edges},
            "mark": {"type": "rule", "stroke": RULE, "aria": False},
            "encoding": {"x": x, "y": y, "x2": {"field": "x2"}, "y2": {"field": "y2"}},
        },
        {
            "data": {"values": nodes},
            "mark": {"type": "circle", "size": 34, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "color": {"field": "colour", "type": "nominal", "scale": None},
                "description": {"field": "text"},
            },
        },
        {
            "data": {"values": [node for node in nodes if node["word"]]},
            "mark": {"type": "text", "dy": -7, "fontSize": 8, "aria": False},
            "encoding": {"x": x, "y": y, "text": {"field": "word"}},
        },
        {
            "data": {"values": titles},
            "mark": {"type": "text", "fontSize": 11, "aria": False},
            "encoding": {"x": x, "y": y, "text": {"field": "text"}},
        },
    ]
    height = WIDTH / (2 * _ACROSS) * (_PITCH * rows)
    which = f"components {first + 1} and {first + 2}"
    described = f"Node representations along {which} as the context grows, {graph.name}"
    return draw({"height": height, "layer": layers}, described)


def _axis(field: str, domain: Sequence[float]) -> Spec:
    scale = {"domain": list(domain), "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": None}


def _nodes(graph: Graph, points: Floats, centre: Floats, title: str) -> list[Row]:
    colours, rows = node_colours(graph), []
    for node, point in enumerate(points):
        if np.isfinite(point).all():
            x, y = (point + centre).tolist()
            word = graph.words[node] if graph.words else ""
            text = f"{title}: {word or f'node {node}'} at ({point[0]:.3f}, {point[1]:.3f})"
            rows.append({"x": x, "y": y, "colour": colours[node], "word": word[:3], "text": text})
    return rows


def _edges(graph: Graph, points: Floats, centre: Floats) -> list[Row]:
    rows = []
    for i, j in graph.edges:
        ends = points[[i, j]] + centre
        if np.isfinite(ends).all():
            (x, y), (x2, y2) = ends.tolist()
            rows.append({"x": x, "y": y, "x2": x2, "y2": y2})
    return rows


def node_colours(graph: Graph) -> list[str]:
    """A colour for each node, by its position along the graph's first spectral coordinate."""
    along = drawing_of(graph)[:, 0]
    order = 0.12 + 0.7 * (along - along.min()) / max(float(np.ptp(along)), 1e-12)
    stops = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _VIRIDIS])
    channels = [np.interp(order, np.linspace(0, 1, len(stops)), stops[:, c]) for c in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.stack(channels, axis=1).round().astype(int).tolist()]


def frames(
    graph: Graph, layers: Sequence[int], focus: int, lengths: Sequence[int], distances_LCP: Floats, first: int = 0
) -> Found:
    """Data of the page's animation: rounded node positions by layer and context length, None for absent nodes."""
    rows = sorted({*np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int).tolist(), layers.index(focus)})
    columns = np.unique(np.linspace(0, len(lengths) - 1, _FRAMES).round().astype(int)).tolist()
    own = drawing_of(graph)
    return {
        "name": graph.name,
        "edges": graph.edges,
        "words": list(graph.words),
        "colours": node_colours(graph),
        "graph": _rounded(own),
        "layers": [layers[row] for row in rows],
        "focus": rows.index(layers.index(focus)),
        "lengths": [lengths[column] for column in columns],
        "places": [[_rounded(placed(graph, distances_LCP[row, column], first)) for column in columns] for row in rows],
    }


def _rounded(points: Floats | None) -> list[list[float] | None] | None:
    if points is None:
        return None
    return [[round(float(v), 4) for v in point] if np.isfinite(point).all() else None for point in points]
