"""Reads a study's run folder and writes its results: results.json and results.npz.

The results of an unfinished study contain what has been measured, and list what is missing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from sys2ft.errors import SettingsError
from sys2ft.representations import baselines, geometry
from sys2ft.representations.analyses import per_graph
from sys2ft.representations.analyses.findings import findings
from sys2ft.representations.analyses.per_graph import Arrays, Scheme, Traced
from sys2ft.representations.analyses.transitions import Transition, mean_over_walks, power_law
from sys2ft.representations.graphs.graph import Floats, Graph
from sys2ft.representations.measuring.probes import SHIFTS
from sys2ft.representations.measuring.trace import IN_WEIGHTS, ROOT, context_name
from sys2ft.runs import item_seed, read_json, read_jsonl, write_bytes, write_json
from sys2ft.statistics import mean_over_news

FORMAT = 1
KIND = "represent"


def analyse(folder: Path) -> dict[str, Any]:
    """Analyse a study's folder, write results.json and results.npz, and return the content of results.json.

    Raises SettingsError if the folder does not contain a study.
    """
    run = read_json(folder / "run.json")
    settings = run["settings"].get(KIND)
    if settings is None or not (folder / ROOT / "plan.json").is_file():
        raise SettingsError(
            f"{folder} does not contain a study of representations",
            expected="a folder made by `sys2ft represent`",
            fix="check the path",
        )
    plan = read_json(folder / ROOT / "plan.json")
    scheme = Scheme(
        layers=tuple(plan["layers"]),
        focus=plan["focus"],
        lengths=tuple(plan["lengths"]),
        window=settings["window"],
        skip=settings["skip"],
        dimensions=settings["dimensions"],
        probed=plan["walks_probed"],
    )
    graphs, fitted = [], []
    arrays: dict[str, Any] = {}
    missing: list[str] = []
    for row in plan["graphs"]:
        graph = Graph.from_dict(row)
        traced = per_graph.gather(folder / ROOT, graph, scheme, settings["walks"])
        if traced is None or traced.walks < settings["walks"]:
            missing.append(f"{graph.name}: {settings['walks'] - (traced.walks if traced else 0)} contexts")
        if traced is None:
            continue
        found, turned = _graph(folder / ROOT / graph.slug, traced, settings, missing)
        graphs.append({**row, **found})
        fitted.append((graph.nodes, turned))
        arrays |= {f"{graph.slug}/{name}": array for name, array in per_graph.maps(traced).items()}
        arrays[f"{graph.slug}/distances_LCP"] = traced.mean_distances_LCP.astype(np.float32)
    results = {
        "format": FORMAT,
        "name": run["name"],
        "model": run["model"],
        "settings": settings,
        "layers": plan["layers"],
        "focus": plan["focus"],
        "lengths": plan["lengths"],
        "graphs": graphs,
        "heads": read_json(file) if (file := folder / ROOT / "heads.json").is_file() else None,
        "power_laws": _power_laws(fitted),
        "reference": read_json(file) if (file := folder / "reference.json").is_file() else None,
        "missing": missing,
    }
    results["findings"] = findings(results)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(folder / "results.npz", buffer.getvalue())
    write_json(folder / "results.json", results)
    return results


def _graph(
    folder: Path, traced: Traced, settings: dict[str, Any], missing: list[str]
) -> tuple[dict[str, Any], dict[str, Transition | None]]:
    turned, lead = per_graph.turns(traced)
    curves = per_graph.curves(traced)
    found = {
        "walks": traced.walks,
        "words_of_first": traced.units[0]["words"],
        "massive": _massive(traced.units, settings["context"]),
        "curves": curves,
        "energy_by_layer": [
            _estimate(np.array(traced.energy_XLC)[:, layer, -1]) for layer in range(len(traced.scheme.layers))
        ],
        "transitions": {name: turn.to_dict() if turn else None for name, turn in turned.items()},
        "lead": {kind: estimate.to_dict() for kind, estimate in lead.items()},
        "ends": _ends(traced),
        "components": per_graph.components(traced),
        "moves": _moves(traced.units),
        "heads_off": _heads_off(folder, traced, missing),
        "weights": _weights(folder / "learn", traced, settings, missing),
        "seconds": sum(sum(unit["seconds"].values()) for unit in traced.units),
    }
    return found, turned


def _massive(units: list[dict[str, Any]], words: int) -> list[float]:
    """Share of a context's words left out of the means, by layer, averaged over walks."""
    return [float(share) for share in np.mean([unit["massive"] for unit in units], axis=0) / words]


def _estimate(values_X: Any) -> dict[str, Any] | None:
    found = mean_over_walks(values_X)
    return found.to_dict() if found else None


def _ends(traced: Traced) -> dict[str, Any]:
    """The quantities that the findings compare at the full length, paired by walk."""
    of = {name: traced.curve(name)[:, -1] for name in per_graph.CURVES}
    energy_XC = traced.curve("energy")
    known = ~np.isnan(energy_XC)
    first_X = np.array([row[have][0] if have.any() else np.nan for row, have in zip(energy_XC, known, strict=True)])
    null = _aligned_by_chance(traced)
    return {
        **{name: _estimate(values) for name, values in of.items()},
        "energy_fall": _estimate(of["energy"] - first_X),
        "energy_below_mixing": _estimate(of["energy"] - of["mixing"]),
        "accuracy_above_one_step": _estimate(of["accuracy"] - of["one_step"]),
        "procrustes_by_chance": _estimate(null),
        "procrustes_below_chance": _estimate(of["procrustes"] - null),
        "procrustes_below_mixing": _estimate(of["procrustes"] - of["mixed_procrustes"]),
        **{name: estimate and estimate.to_dict() for name, estimate in per_graph.pooled(traced).items()},
        "components_above_prior": _estimate(_above_prior(traced)),
    }


def _above_prior(traced: Traced) -> Floats:
    """How many components the one of lowest energy on the graph is above the one of lowest energy on the prior (X)."""
    graph = traced.graph
    if graph.prior is None:
        return np.array([])
    found = []
    for components in traced.components_X:
        if components is not None:
            both = (geometry.component_energy(components, one) for one in (graph.adjacency, graph.prior))
            places = [int(np.nanargmin(energies[: per_graph.COMPONENTS])) for energies in both]
            found.append(float(places[0] - places[1]))
    return np.array(found)


def _aligned_by_chance(traced: Traced) -> Floats:
    """Mean Procrustes distance of each walk at the full length, with the nodes in its window shuffled (X)."""
    dimensions = traced.scheme.dimensions
    reference = geometry.spectral_embedding(traced.graph.adjacency, dimensions)
    found = []
    for walk, components in enumerate(traced.components_X):
        if not per_graph.enough(components):
            found.append(np.nan)
            continue
        assert components is not None
        seed = item_seed("alignment", traced.graph.name, walk)
        first = components.coordinates_NK[:, :dimensions]
        found.append(geometry.procrustes_by_chance(first, reference, per_graph.SHUFFLES, seed))
    return np.array(found)


def _moves(units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Interventions by layer and shift, over walks: probabilities before and after, and their changes."""
    rows = []
    given = [unit["moves"] for unit in units if unit["moves"]]
    for layer in sorted({row["layer"] for moves in given for row in moves}):
        for shift in SHIFTS:
            own = [row for moves in given for row in moves if row["layer"] == layer and row["shift"] == shift]
            parts = ("target_before", "target_after", "own_before", "own_after")
            value = {part: np.array([row[part] for row in own]) for part in parts}
            rows.append(
                {
                    "layer": layer,
                    "shift": shift,
                    "pairs": sum(row["pairs"] for row in own),
                    **{part: _estimate(value[part]) for part in parts},
                    "target_gain": _estimate(value["target_after"] - value["target_before"]),
                    "own_loss": _estimate(value["own_before"] - value["own_after"]),
                }
            )
    return rows


def _heads_off(folder: Path, traced: Traced, missing: list[str]) -> dict[str, Any] | None:
    """Accuracy and energy with heads switched off, and the differences to the untouched model, paired by walk."""
    files = [folder / f"heads-off-{walk:02d}.json" for walk in range(traced.scheme.probed)]
    units = [read_json(file) for file in files if file.is_file()]
    if len(units) < len(files):
        missing.append(f"{traced.graph.name}: {len(files) - len(units)} contexts with heads switched off")
    if not units:
        return None
    found: dict[str, Any] = {"words": units[0]["words"], "heads": units[0]["off"]["induction"]["heads"]}
    whole = np.array([unit["off"]["none"]["accuracy"] for unit in units])
    for group in units[0]["off"]:
        right = np.array([unit["off"][group]["accuracy"] for unit in units])
        energies = np.array([[np.nan if e is None else e for e in unit["off"][group]["energy"]] for unit in units])
        found[group] = {
            "accuracy": _estimate(right),
            "loss": _estimate(whole - right),
            "energy": [_estimate(energies[:, layer]) for layer in range(energies.shape[1])],
        }
    random = np.array([unit["off"]["random"]["accuracy"] for unit in units])
    induction = np.array([unit["off"]["induction"]["accuracy"] for unit in units])
    found["induction_beyond_random"] = _estimate(random - induction)
    return found


def _weights(folder: Path, traced: Traced, settings: dict[str, Any], missing: list[str]) -> dict[str, Any] | None:
    """Effects of learning in weights: knowledge, accuracy, geometry, and its similarity to the in-context geometry."""
    graph, scheme = traced.graph, traced.scheme
    if not settings["learn"]:
        return None
    names = [f"{graph.slug}-{walk:02d}" for walk in range(settings["learn"])]
    kinds = [context_name(*kind) for kind in IN_WEIGHTS]
    done = [name for name in names if all((folder / name / f"{kind}.json").is_file() for kind in kinds)]
    if len(done) < len(names):
        missing.append(f"{graph.name}: {len(names) - len(done)} placements learnt in weights")
    if not done:
        return None
    read = {kind: [Arrays.read(folder / name / f"{kind}.npz") for name in done] for kind in kinds}
    walks = folder.parent
    in_context = context_name("base", None, 0)
    read[in_context] = [Arrays.read(walks / f"walk-{name.rpartition('-')[2]}.npz") for name in done]
    found: dict[str, Any] = {"placements": len(done), "closed_book": _known(folder, done), "contexts": {}}
    for kind, arrays in read.items():
        right = [
            baselines.trailing(
                baselines.accuracy(graph, a.nodes_W, a.probability_WN), scheme.lengths[-1:], scheme.window
            )[0]
            for a in arrays
        ]
        energies = np.array([geometry.normalised_energy(a.distances_LCP[:, -1], graph.adjacency) for a in arrays])
        last = [a.distances_LCP[scheme.focus_index, -1:].astype(np.float64) for a in arrays]
        apart = [per_graph.alignment(graph, one, scheme.dimensions)[0][0] for one in last]
        found["contexts"][kind] = {
            "accuracy": _estimate(right),
            "energy": [_estimate(energies[:, layer]) for layer in range(energies.shape[1])],
            "procrustes": _estimate(apart),
        }
    first, second = context_name("base", "random", 0), context_name("base", "random", 1)
    learnt = context_name("learnt", "random", 1)
    found["same_geometry"] = _same_geometry(
        [
            (_at_end(c, scheme) - _at_end(b0, scheme), _at_end(w, scheme) - _at_end(b1, scheme))
            for c, b0, w, b1 in zip(read[in_context], read[first], read[learnt], read[second], strict=True)
        ],
        graph,
    )
    return found


def _at_end(arrays: Arrays, scheme: Scheme) -> Floats:
    """Distances at the focus layer and the full length, in units of their mean."""
    distances_P = arrays.distances_LCP[scheme.focus_index, -1].astype(np.float64)
    scaled: Floats = distances_P / np.nanmean(distances_P)
    return scaled


def _same_geometry(changes: list[tuple[Floats, Floats]], graph: Graph) -> dict[str, Any]:
    """Correlation over node pairs between the changes of distance in context and in weights, with its shuffled null."""
    real: list[float] = []
    null: list[float] = []
    for number, (context_P, weights_P) in enumerate(changes):
        both_2NN = geometry.matrix_of(np.array([context_P, weights_P]), graph.nodes)
        present = np.flatnonzero(np.isnan(both_2NN).sum(axis=(0, 2)) < graph.nodes - 1)
        context_NN, weights_NN = both_2NN[:, present[:, None], present]
        rng = np.random.default_rng(item_seed("same geometry", graph.name, number))
        orders_SN = np.array([rng.permutation(len(present)) for _ in range(per_graph.SHUFFLES)])
        shuffled_SP = geometry.pairs_of(weights_NN[orders_SN[:, :, None], orders_SN[:, None]])
        context_P = geometry.pairs_of(context_NN)
        real.append(_correlation(context_P, geometry.pairs_of(weights_NN)))
        null.extend(_correlation(context_P, other_P) for other_P in shuffled_SP)
    return {
        "correlation": _estimate(real),
        "shuffled": [float(q) for q in np.quantile(null, (0.025, 0.975))],
    }


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson correlation over the pairs known in both; 0 where one of them is constant."""
    known = ~np.isnan(a + b)
    a, b = a[known], b[known]
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and a.std() > 0 and b.std() > 0 else 0.0


def _known(folder: Path, names: list[str]) -> dict[str, Any]:
    """Closed-book and in-context accuracy on the edges, before and after training, over the news items."""
    found: dict[str, Any] = {}
    for subject in ("base", "learnt"):
        rows = [row for name in names for row in read_jsonl(folder / name / f"{subject}.jsonl")]
        for condition in ("closed_book", "in_context"):
            outcomes = {(r["news_id"], r["question"]): r["correct"] for r in rows if r["condition"] == condition}
            if outcomes:
                score = mean_over_news(outcomes)
                found[f"{subject} {condition}"] = {
                    "estimate": score.estimate, "low": score.low, "high": score.high, "n": score.n_news,
                }  # fmt: skip
    return found


def _power_laws(fitted: list[tuple[int, dict[str, Transition | None]]]) -> dict[str, Any]:
    """The power law of the critical size, for each curve and kind of break found at three or more graph sizes."""
    found: dict[str, Any] = {}
    for name in ("accuracy", "energy", "one_step"):
        for kind in ("onset", "saturation"):
            points = [
                (nodes, getattr(turn, kind), turn.draws[kind])
                for nodes, turned in fitted
                if (turn := turned[name]) is not None and kind in turn.draws
            ]
            law = power_law([p[0] for p in points], [p[1].estimate for p in points], [p[2] for p in points])
            if law is not None:
                found[f"{name} {kind}"] = {
                    **law.to_dict(), "points": [{"nodes": nodes, **size.to_dict()} for nodes, size, _ in points],
                }  # fmt: skip
    return found
