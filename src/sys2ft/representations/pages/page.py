"""report.html of a study: a pure function of results.json, results.npz and run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.errors import UserError
from sys2ft.files import read_json, write_text
from sys2ft.pages import facts, render, trusted
from sys2ft.representations.graphs.graph import Graph
from sys2ft.representations.pages import figures, pictures
from sys2ft.representations.pages.words import headline, interval

_HERE = Path(__file__).resolve().parent

Found = Mapping[str, Any]
Arrays = Mapping[str, npt.NDArray[np.float64]]


def write_study_page(folder: Path) -> Path:
    """Write report.html into a study's folder, atomically, and return its path."""
    folder = Path(folder)
    if not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} does not contain the results of a study",
            expected="results.json",
            fix="run `sys2ft represent` again",
        )
    results = read_json(folder / "results.json")
    with np.load(folder / "results.npz") as found:
        arrays = {name: found[name] for name in found.files}
    path = folder / "report.html"
    write_text(path, _render(read_json(folder / "run.json"), results, arrays))
    return path


def _render(run: dict[str, Any], results: Found, arrays: Arrays) -> str:
    values = {
        "run": run,
        "results": results,
        "headline": headline(results),
        "graphs": [_graph(graph, results, arrays) for graph in results["graphs"]],
        "heads": _drawn(figures.heads_figure(results)),
        "power": _drawn(figures.power_law_figure(results)),
        "facts": facts(run, [("adapter SHA-256", run["identity"].get("adapter"))]),
        "record": json.dumps(run, indent=2, ensure_ascii=False),
    }
    return render(_HERE, "study", values, filters={"interval": interval})


def _graph(graph: Found, results: Found, arrays: Arrays) -> dict[str, Any]:
    """The section of one graph: numbers, claims, figures, and the frames of its animation as JSON."""
    of = Graph.from_dict(graph)
    layers, lengths, focus = results["layers"], results["lengths"], results["focus"]
    distances_LCP = arrays[f"{graph['slug']}/distances_LCP"]
    firsts = (0,) if of.prior is None else (0, 2)
    frames = [(first, pictures.frames(of, layers, focus, lengths, distances_LCP, first)) for first in firsts]
    return {
        **graph,
        # Only '<' could end a data block; JSON may write it as an escape.
        "players": [(first, trusted(json.dumps(held).replace("<", "\\u003c"))) for first, held in frames],
        "figures": [
            (title, said, _drawn(svg)) for title, said, svg in _figures(of, graph, results, arrays) if svg != ""
        ],
        "landmarks": [
            ("accuracy", graph["ends"]["accuracy"]),
            ("energy (1: no trace)", graph["ends"]["energy"]),
            ("Procrustes distance (0: the graph)", graph["ends"]["procrustes"]),
            ("the same, walks averaged", graph["ends"]["pooled_procrustes"]),
        ],
        "left_out": graph["massive"][layers.index(focus)],
        "findings": [row for row in results["findings"] if row["graph"] == graph["name"]],
    }


def _figures(of: Graph, graph: Found, results: Found, arrays: Arrays) -> list[tuple[str, str, str | None]]:
    """Title, explanation and SVG of each figure of a graph; '' for a figure that does not apply to it."""
    lengths, focus = results["lengths"], results["focus"]
    focused_CP = arrays[f"{graph['slug']}/distances_LCP"][results["layers"].index(focus)]
    return [
        (
            "Accuracy and energy",
            "Accuracy: probability of the neighbours of the current word. Energy: mean squared distance over edges "
            "divided by that over all pairs; 1 means no trace of the graph. Triangles on the axis mark critical sizes "
            "(up: onset, down: saturation).",
            figures.curves_figure(graph, results),
        ),
        (
            "The nodes, components 1 and 2",
            f"Layer {focus}; distances averaged over the walks.",
            pictures.emergence_figure(of, lengths, focused_CP),
        ),
        (
            "The nodes, components 3 and 4",
            "Structure that the semantics of the words push out of the first two components.",
            pictures.emergence_figure(of, lengths, focused_CP, 2) if of.prior is not None else "",
        ),
        (
            "Alignment",
            f"The first {results['settings']['dimensions']} components against the graph's spectral embedding, where "
            "at least three quarters of the nodes are in the window.",
            figures.alignment_figure(graph, results),
        ),
        ("Components", f"At the full length, layer {focus}.", figures.components_figure(graph)),
        ("Layers and contexts", "Means over the walks.", figures.maps_figure(graph, results, arrays)),
        (
            "Heads switched off",
            "The heads with the highest prefix-matching or previous-token scores, or as many others at random.",
            figures.heads_off_figure(graph),
        ),
        (
            "Representations moved",
            "Moved to the mean of another node: along the in-context components, along all other directions, along "
            "both, and by a random vector of the same norm as the first.",
            figures.moves_figure(graph),
        ),
        (
            "In weights and in context",
            "Words in random order carry no information about the graph: structure found on them comes from the "
            "weights.",
            figures.weights_figure(graph, results),
        ),
    ]


def _drawn(svg: str | None) -> Any:
    return trusted(svg) if svg else None
