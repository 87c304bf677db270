"""report.html of a study of in-context representations: a pure function of results.json, results.npz and run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.errors import UserError
from sys2ft.files import read_json, write_text
from sys2ft.report.page import environment, facts, script_hash, trusted
from sys2ft.representations.graphs import Graph

_HERE = Path(__file__).resolve().parent

Found = Mapping[str, Any]
Arrays = Mapping[str, npt.NDArray[np.float64]]


def write_represent_report(folder: Path) -> Path:
    """Write report.html into a study's folder, whole or not at all, and return its path."""
    folder = Path(folder)
    if not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} holds no results of a study", expected="results.json", do="give `sys2ft represent` again"
        )
    results = read_json(folder / "results.json")
    with np.load(folder / "results.npz") as found:
        arrays = {name: found[name] for name in found.files}
    path = folder / "report.html"
    write_text(path, _render(read_json(folder / "run.json"), results, arrays))
    return path


def _render(run: dict[str, Any], results: Found, arrays: Arrays) -> str:
    from sys2ft.report import represent_figures as figures

    script = (_HERE / "represent.js.j2").read_text(encoding="utf-8")
    css = "".join((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "represent.css"))
    templates = environment()
    templates.filters["interval"] = interval
    return templates.get_template("represent.html.j2").render(
        css=trusted(css),
        script=trusted(script),
        script_hash=script_hash(script),
        run=run,
        results=results,
        headline=headline(results),
        graphs=[_graph(graph, results, arrays) for graph in results["graphs"]],
        heads=_drawn(figures.heads_figure(results)),
        power=_drawn(figures.power_law_figure(results)),
        facts=facts(run, [("adapter SHA-256", run["identity"].get("adapter"))]),
        record=json.dumps(run, indent=2, ensure_ascii=False),
    )


def _graph(graph: Found, results: Found, arrays: Arrays) -> dict[str, Any]:
    """What the page shows of a graph: numbers, claims, figures, and its frames as JSON for the page's script."""
    from sys2ft.report import represent_pictures as pictures

    of = Graph.from_dict(graph)
    layers, lengths, focus = results["layers"], results["lengths"], results["focus"]
    distances_LCP = arrays[f"{graph['slug']}/distances_LCP"]
    firsts = (0,) if of.prior is None else (0, 2)
    frames = [(first, pictures.frames(of, layers, focus, lengths, distances_LCP, first)) for first in firsts]
    return {
        **graph,
        # In a data block only '<' could end it; JSON may write that as an escape.
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
    """Title, explanation and SVG of each figure of a graph; '' for one that it has no use for."""
    from sys2ft.report import represent_figures as figures, represent_pictures as pictures

    lengths, focus = results["lengths"], results["focus"]
    focused_CP = arrays[f"{graph['slug']}/distances_LCP"][results["layers"].index(focus)]
    return [
        (
            "Accuracy and energy",
            "Accuracy: probability on neighbours of the current word. Energy: mean squared distance over edges by that "
            "over all pairs; 1 is no trace of the graph. Triangles on the axis: where the curves turn (up: onset, "
            "down: saturation).",
            figures.curves_figure(graph, results),
        ),
        (
            "The nodes, components 1 and 2",
            f"Layer {focus}, distances averaged over the walks.",
            pictures.emergence_figure(of, graph["slug"], lengths, focused_CP),
        ),
        (
            "The nodes, components 3 and 4",
            "Where structure lies that the words' own semantics push out of the first two.",
            pictures.emergence_figure(of, graph["slug"], lengths, focused_CP, 2) if of.prior is not None else "",
        ),
        (
            "Alignment",
            f"Of the first {results['settings']['dimensions']} components with the graph's spectral embedding, where "
            "three quarters of the nodes are in the window.",
            figures.alignment_figure(graph, results),
        ),
        ("Components", f"At the full length, layer {focus}.", figures.components_figure(graph)),
        ("Layers and contexts", "Means over the walks.", figures.maps_figure(graph, results, arrays)),
        (
            "Heads switched off",
            "Highest prefix-matching scores, highest previous-token scores, or as many others at random.",
            figures.heads_off_figure(graph),
        ),
        (
            "Representations moved",
            "To another node's mean: along the in-context components, along all others, along both, and by a random "
            "vector as long as the first.",
            figures.moves_figure(graph),
        ),
        (
            "In weights and in context",
            "Words in random order tell nothing of the graph: what shows on them comes from the weights.",
            figures.weights_figure(graph, results),
        ),
    ]


def _drawn(svg: str | None) -> Any:
    return trusted(svg) if svg else None


def headline(results: Found) -> str:
    """What was found, in a sentence."""
    claims = [row for row in results["findings"] if row["verdict"] != "open"]
    right = sum(row["verdict"] == "yes" for row in claims)
    count = len(results["findings"])
    graphs = ", ".join(graph["name"] for graph in results["graphs"])
    return f"{graphs}: {right} of {count} claims hold, {len(claims) - right} do not, {count - len(claims)} are open"


def interval(found: Found | None) -> str:
    """An estimate with its interval, such as '0.62 [0.48, 0.74]'."""
    if found is None or found["estimate"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['estimate']:.3g} [no interval]"
    return f"{found['estimate']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"
