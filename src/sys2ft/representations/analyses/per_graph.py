"""Analyses of the contexts of one graph, each a function of the files that `measuring.trace` wrote.

Shapes: X walks, L layers, C context lengths, W words, N nodes, P pairs of nodes, S shuffles, K components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.representations import baselines, geometry
from sys2ft.representations.analyses.transitions import (
    Estimate,
    Transition,
    band,
    interval_of_draws,
    mean_over_walks,
    two_phases,
)
from sys2ft.representations.geometry import Components
from sys2ft.representations.graphs.graph import Floats, Graph
from sys2ft.representations.graphs.prompts import Ints
from sys2ft.runs import item_seed, read_json
from sys2ft.statistics import resampling_weights

SHUFFLES = 200
_ENOUGH = 0.75  # of the nodes
COMPONENTS = 8  # analysed individually
_POOLED_DRAWS = 1000  # each needs a PCA
CURVES = (
    "accuracy",
    "at",
    "one_step",
    "two_step",
    "energy",
    "raw",
    "mixing",
    "procrustes",
    "mixed_procrustes",
    "angle",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What the contexts of a folder have in common."""

    layers: tuple[int, ...]
    focus: int
    lengths: tuple[int, ...]
    window: int
    skip: int
    dimensions: int
    probed: int
    """Walks on which heads were switched off."""

    @property
    def focus_index(self) -> int:
        return self.layers.index(self.focus)


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays of one context."""

    nodes_W: Ints
    asks_W: npt.NDArray[np.bool_]
    probability_WN: npt.NDArray[np.float32]
    distances_LCP: npt.NDArray[np.float32]

    @classmethod
    def read(cls, file: Path) -> Arrays:
        with np.load(file) as found:
            return cls(
                found["nodes_W"].astype(np.int64),
                found["asks_W"],
                found["probability_WN"],
                found["distances_LCP"],
            )


@dataclass(slots=True)
class Traced:
    """The measurements of all walks of one graph."""

    graph: Graph
    scheme: Scheme
    curves: dict[str, list[Floats]] = field(default_factory=lambda: {name: [] for name in CURVES})
    """By name in CURVES: a row (C) for each walk; curves of representations are at the focus layer."""
    energy_XLC: list[Floats] = field(default_factory=list)
    components_X: list[Components | None] = field(default_factory=list)
    """At the focus layer and the full length."""
    last_XP: dict[str, list[Floats]] = field(default_factory=lambda: {"measured": [], "mixing": []})
    """Squared distances at the focus layer and the full length: of the model, and of the mixing null."""
    shuffled_XSC: list[Floats] = field(default_factory=list)
    units: list[dict[str, Any]] = field(default_factory=list)
    _sum_LCP: Floats | None = None
    _known_LCP: Floats | None = None

    @property
    def walks(self) -> int:
        return len(self.units)

    @property
    def mean_distances_LCP(self) -> Floats:
        """Distances averaged over the walks in which both nodes are in the window; NaN where there is no such walk."""
        assert self._sum_LCP is not None
        assert self._known_LCP is not None
        with np.errstate(invalid="ignore"):
            mean: Floats = self._sum_LCP / self._known_LCP
        return mean

    def add(self, unit: dict[str, Any], arrays: Arrays, walk: int) -> None:
        graph, scheme, focus = self.graph, self.scheme, self.scheme.focus_index
        distances_CP = arrays.distances_LCP[focus].astype(np.float64)
        right_W = baselines.accuracy(graph, arrays.nodes_W, arrays.probability_WN)
        mixed_CP = baselines.mixing(arrays.nodes_W, graph.nodes, scheme.lengths, window=scheme.window, skip=scheme.skip)
        aligned_C, angle_C = alignment(graph, distances_CP, scheme.dimensions)
        add = {
            "accuracy": baselines.trailing(right_W, scheme.lengths, scheme.window),
            "at": right_W[np.array(scheme.lengths) - 1],
            "energy": geometry.normalised_energy(distances_CP, graph.adjacency),
            "raw": geometry.energy(distances_CP, graph.adjacency),
            "mixing": geometry.normalised_energy(mixed_CP, graph.adjacency),
            "procrustes": aligned_C,
            "mixed_procrustes": alignment(graph, mixed_CP, scheme.dimensions)[0],
            "angle": angle_C,
        }
        for steps, name in ((1, "one_step"), (2, "two_step")):
            table_W = baselines.memorisation(graph, arrays.nodes_W, arrays.asks_W, steps)
            add[name] = baselines.trailing(table_W, scheme.lengths, scheme.window)
        for name, curve_C in add.items():
            self.curves[name].append(curve_C)
        self.energy_XLC.append(geometry.normalised_energy(arrays.distances_LCP, graph.adjacency))
        self.components_X.append(geometry.pca(distances_CP[-1], graph.nodes))
        for name, given_CP in (("measured", distances_CP), ("mixing", mixed_CP)):
            self.last_XP[name].append(given_CP[-1])
        self.shuffled_XSC.append(_shuffled_energies(graph, distances_CP, walk))
        self.units.append(unit)
        known = ~np.isnan(arrays.distances_LCP)
        filled = np.where(known, arrays.distances_LCP, 0.0).astype(np.float64)
        self._sum_LCP = filled if self._sum_LCP is None else self._sum_LCP + filled
        self._known_LCP = known.astype(np.float64) if self._known_LCP is None else self._known_LCP + known

    def curve(self, name: str) -> Floats:
        """One of CURVES (X, C)."""
        return np.array(self.curves[name])


def gather(folder: Path, graph: Graph, scheme: Scheme, walks: int) -> Traced | None:
    """The finished walks of a graph; None where there is none yet."""
    traced = Traced(graph, scheme)
    for walk, file in _finished(folder / graph.slug, walks):
        traced.add(read_json(file), Arrays.read(file.with_suffix(".npz")), walk)
    return traced if traced.walks else None


def _finished(folder: Path, walks: int) -> Iterator[tuple[int, Path]]:
    for walk in range(walks):
        file = folder / f"walk-{walk:02d}.json"
        if file.is_file():
            yield walk, file


def enough(components: Components | None) -> bool:
    """Whether there are components, of enough nodes to compare their positions with the graph's."""
    return components is not None and components.variance_K[0] > 0 and components.present_N.mean() >= _ENOUGH


def alignment(graph: Graph, distances_CP: Floats, dimensions: int) -> tuple[Floats, Floats]:
    """Procrustes distance (C) of the first components to the spectral embedding, and the widest angle between them.

    Over the nodes in the window. NaN where fewer than three quarters are: few points always match well.
    """
    reference = geometry.spectral_embedding(graph.adjacency, dimensions)
    apart_C, angle_C = np.full(len(distances_CP), np.nan), np.full(len(distances_CP), np.nan)
    for c, distances_P in enumerate(distances_CP):
        components = geometry.pca(distances_P, graph.nodes)
        if enough(components):
            assert components is not None
            first = components.coordinates_NK[:, :dimensions]
            apart_C[c] = geometry.procrustes(first, reference)
            angle_C[c] = geometry.subspace_angles(first, reference).max()
    return apart_C, angle_C


def _shuffled_energies(graph: Graph, distances_CP: Floats, walk: int) -> Floats:
    """Normalised energies (S, C) on the graph with shuffled node labels; each walk has its own shuffles."""
    graphs_SNN = geometry.shuffled(graph.adjacency, SHUFFLES, item_seed("shuffle", graph.name, walk))
    edges_SP = geometry.pairs_of(graphs_SNN)
    known_CP = ~np.isnan(distances_CP)
    filled_CP = np.where(known_CP, distances_CP, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        on_edges_SC = edges_SP @ filled_CP.T / (edges_SP @ known_CP.T)
        found: Floats = on_edges_SC / (filled_CP.sum(axis=1) / known_CP.sum(axis=1))
    return found


def curves(traced: Traced) -> dict[str, Any]:
    """Every curve with its interval, and the null distribution of the energy under shuffled node labels."""
    found: dict[str, Any] = {name: band(traced.curve(name)) for name in CURVES}
    null_SC = _mean_over(np.array(traced.shuffled_XSC))
    found["shuffled"] = {
        "mean": _listed(null_SC.mean(axis=0)),
        "low": _listed(np.quantile(null_SC, 0.025, axis=0)),
        "high": _listed(np.quantile(null_SC, 0.975, axis=0)),
    }
    return found


def _mean_over(values_XSC: Floats) -> Floats:
    there = ~np.isnan(values_XSC)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, values_XSC, 0.0).sum(axis=0) / there.sum(axis=0)
    return mean


def _listed(values: Floats) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def maps(traced: Traced) -> dict[str, Floats]:
    """Maps of layer by context (L, C).

    Energy (mean over walks); and, for the averaged distances, the Procrustes distance to the spectral embedding and the
    variance share of the first components.
    """
    graph, scheme = traced.graph, traced.scheme
    mean_LCP = traced.mean_distances_LCP
    share_LC = np.full(mean_LCP.shape[:2], np.nan)
    for place in np.ndindex(share_LC.shape):
        components = geometry.pca(mean_LCP[place], graph.nodes)
        if enough(components):
            assert components is not None
            share_LC[place] = components.share_K[: scheme.dimensions].sum()
    return {
        "energy_LC": _mean_over(np.array(traced.energy_XLC)),
        "procrustes_LC": np.array([alignment(graph, own_CP, scheme.dimensions)[0] for own_CP in mean_LCP]),
        "share_LC": share_LC,
    }


def turns(traced: Traced) -> tuple[dict[str, Transition | None], dict[str, Estimate]]:
    """Phases of accuracy, energy and the one-step table, and the ratio of the energy's breaks to the accuracy's.

    All curves use the same trailing window, so that none lags behind another. A ratio below 1: the energy turns first.
    """
    lengths = traced.scheme.lengths
    found = {name: two_phases(lengths, traced.curve(name)) for name in ("accuracy", "energy", "one_step")}
    lead: dict[str, Estimate] = {}
    for kind in ("onset", "saturation"):
        energy, right = found["energy"], found["accuracy"]
        if energy and right and kind in energy.draws and kind in right.draws:
            ratio = getattr(energy, kind).estimate / getattr(right, kind).estimate
            ratios_D = 10 ** (energy.draws[kind] - right.draws[kind])
            lead[kind] = Estimate.of(ratio, interval_of_draws(ratios_D, traced.walks), traced.walks)
    return found, lead


def components(traced: Traced) -> list[dict[str, Any]]:
    """The first components at the full length: shares of variance and energy, and energy on the graph and the prior.

    `p`: share of node shuffles with an energy as low along this component, for the averaged distances.
    """
    graph = traced.graph
    whole = geometry.pca(traced.mean_distances_LCP[traced.scheme.focus_index, -1], graph.nodes)
    if whole is None:
        return []
    graphs = {"energy": graph.adjacency} | ({} if graph.prior is None else {"prior": graph.prior})
    own = [c for c in traced.components_X if c is not None]
    rows: list[dict[str, Any]] = []
    on = {name: geometry.component_energy(whole, adjacency) for name, adjacency in graphs.items()}
    on_own = {name: [geometry.component_energy(c, adjacency) for c in own] for name, adjacency in graphs.items()}
    raw_K = whole.variance_K * np.nan_to_num(on["energy"])
    for k in range(min(COMPONENTS, len(whole.variance_K))):
        row: dict[str, Any] = {
            "component": k + 1,
            "share": _given(float(whole.share_K[k])),
            "share_of_energy": _given(float(raw_K[k] / raw_K.sum()) if raw_K.sum() > 0 else np.nan),
            "share_by_walk": _dict(mean_over_walks([c.share_K[k] for c in own])),
        }
        for name, adjacency in graphs.items():
            row[name] = _given(float(on[name][k]))
            row[f"{name}_by_walk"] = _dict(mean_over_walks([energies[k] for energies in on_own[name]]))
            row["p" if name == "energy" else f"p_{name}"] = _chance(whole, k, adjacency)
        rows.append(row)
    return rows


def _chance(components: Components, k: int, adjacency: Floats) -> float | None:
    """How often shuffled nodes have an energy as low along a component."""
    along_N = components.coordinates_NK[components.present_N, k]
    if not components.variance_K[k] > 0:
        return None
    adjacency = adjacency[np.ix_(components.present_N, components.present_N)]
    i, j = np.nonzero(np.triu(adjacency))
    rng = np.random.default_rng(item_seed("chance", k))
    orders_SN = np.array([np.arange(len(along_N)), *(rng.permutation(len(along_N)) for _ in range(5 * SHUFFLES))])
    real, *many = np.square(along_N[orders_SN[:, i]] - along_N[orders_SN[:, j]]).sum(axis=1)
    return float((1 + np.sum(np.array(many) <= real * (1 + 1e-12))) / (1 + len(many)))


def pooled(traced: Traced) -> dict[str, Estimate | None]:
    """Procrustes distance of the distances averaged over walks, at the focus layer and the full length.

    Where each walk has its own placement of words, the contribution of the words averages out and that of the graph
    remains. Also its difference to chance (shuffled nodes) and to the mixing null, averaged in the same way.
    """
    weights_DX = np.vstack([np.ones(traced.walks), resampling_weights(traced.walks, draws=_POOLED_DRAWS)])
    measured_D, chance_D = _pooled(traced, traced.last_XP["measured"], weights_DX)
    mixing_D, _ = _pooled(traced, traced.last_XP["mixing"], weights_DX)
    found = {
        "pooled_procrustes": measured_D,
        "pooled_below_chance": measured_D - chance_D,
        "pooled_below_mixing": measured_D - mixing_D,
    }
    return {
        name: None
        if np.isnan(own_D[0])
        else Estimate.of(
            float(own_D[0]), interval_of_draws(own_D[1:][~np.isnan(own_D[1:])], traced.walks), traced.walks
        )
        for name, own_D in found.items()
    }


def _pooled(traced: Traced, distances_XP: list[Floats], weights_DX: Floats) -> tuple[Floats, Floats]:
    """Procrustes distances (D) of weighted mean distances, and that of shuffled nodes for the first of them."""
    dimensions, nodes = traced.scheme.dimensions, traced.graph.nodes
    reference = geometry.spectral_embedding(traced.graph.adjacency, dimensions)
    known_XP = ~np.isnan(np.array(distances_XP))
    filled_XP = np.where(known_XP, np.array(distances_XP), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_DP = (weights_DX @ filled_XP) / (weights_DX @ known_XP)
    found_D, chance = np.full(len(mean_DP), np.nan), np.nan
    for draw, mean_P in enumerate(mean_DP):
        components = geometry.pca(mean_P, nodes)
        if enough(components):
            assert components is not None
            first = components.coordinates_NK[:, :dimensions]
            found_D[draw] = geometry.procrustes(first, reference)
            if draw == 0:
                seed = item_seed("alignment", traced.graph.name)
                chance = geometry.procrustes_by_chance(first, reference, SHUFFLES, seed)
    return found_D, np.full(len(found_D), chance)


def _given(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _dict(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate.to_dict() if estimate else None
