"""Nodes as they lie in their first components: small multiples over the context, and the frames of an animation.

Every picture is turned and mirrored to lie on the graph's own drawing (its spectral embedding) as nearly as it can, and
brought to its size, within the two components shown: structure that is not in them is not made by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from sys2ft.pages.drawing import FAINT, INK, STYLE, canvas, svg
from sys2ft.representations import geometry
from sys2ft.representations.graphs.graph import Graph

Found = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

_PANELS = 6
_FRAMES, _LAYERS = 30, 9


def drawing_of(graph: Graph) -> Floats:
    """Where the nodes lie in the graph's own drawing (N, 2): the first two spectral coordinates."""
    two: Floats = geometry.spectral_embedding(graph.adjacency, 2)[:, :2]
    return two


def placed(graph: Graph, distances_P: npt.NDArray[np.floating], first: int = 0) -> Floats | None:
    """Nodes (N, 2) along components `first` and the next, laid on the graph's drawing; None where too few are known."""
    components = geometry.pca(distances_P, graph.nodes)
    if components is None or components.present_N.sum() < 4 or not components.variance_K[first] > 0:
        return None
    return geometry.aligned(components.coordinates_NK[:, first : first + 2], drawing_of(graph))


def emergence_figure(
    graph: Graph, slug: str, lengths: Sequence[int], distances_CP: Floats, first: int = 0
) -> str | None:
    """The nodes at some context lengths, random vectors after one round of mixing, and the graph itself."""
    known = [c for c in range(len(lengths)) if placed(graph, distances_CP[c], first) is not None]
    if not known:
        return None
    chosen = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, _PANELS).round().astype(int))]
    mixed_P = geometry.mixed_distances(geometry.neighbour_means(graph.adjacency))
    panels = [(f"{lengths[c]} words", placed(graph, distances_CP[c], first)) for c in chosen]
    panels.append(("null: mixed once", placed(graph, mixed_P, first)))
    panels.append(("the graph", drawing_of(graph)))
    name = f"{slug}-nodes-{first + 1}"
    with mpl.rc_context(STYLE | {"svg.hashsalt": name, "axes.grid": False}):
        figure, _ = canvas(3.5)
        figure.clear()
        for axes, (title, points) in zip(figure.subplots(2, 4).flat, panels, strict=False):
            axes.set_title(title, fontsize=9.5)
            if points is not None:
                _draw(axes, graph, points)
        for axes in figure.axes:
            axes.set_axis_off()
        which = f"components {first + 1} and {first + 2}"
        return svg(figure, name, f"Node representations along {which} as the context grows, {graph.name}")


def _draw(axes: Any, graph: Graph, points: Floats) -> None:
    colours = node_colours(graph)
    for i, j in graph.edges:
        axes.plot(points[[i, j], 0], points[[i, j], 1], color=FAINT, linewidth=1.0, zorder=1)
    axes.scatter(points[:, 0], points[:, 1], c=colours, s=26, zorder=2, linewidths=0)
    for node, word in enumerate(graph.words):
        if np.isfinite(points[node]).all():
            axes.text(*points[node], word[:3], fontsize=7.5, color=INK, ha="center", va="bottom")
    axes.set_aspect("equal", adjustable="datalim")


def node_colours(graph: Graph) -> list[str]:
    """A colour for each node by its place along the graph's first spectral coordinate."""
    along = drawing_of(graph)[:, 0]
    order = (along - along.min()) / max(float(np.ptp(along)), 1e-12)
    return [mpl.colors.to_hex(mpl.colormaps["viridis"](0.12 + 0.7 * value)) for value in order]


def frames(
    graph: Graph, layers: Sequence[int], focus: int, lengths: Sequence[int], distances_LCP: Floats, first: int = 0
) -> Found:
    """What the page's animation needs: places of the nodes by layer and context, rounded, None for absent nodes."""
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
