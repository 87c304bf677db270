"""Baselines that need no model: successor tables for the accuracy, mixing with the previous word for the geometry.

Shapes: W words of the context, N nodes, C context lengths, P pairs of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sys2ft.representations.geometry import mixed_distances, pairs_of
from sys2ft.representations.graphs.graph import Floats, Graph
from sys2ft.representations.graphs.prompts import Ints

Bools = npt.NDArray[np.bool_]


def memorisation(graph: Graph, nodes_W: Ints, asks_W: Bools, steps: int) -> Floats:
    """Accuracy (W) of a table of what has followed the last `steps` words so far; NaN where nothing is asked.

    Any word that followed before is a neighbour. So the table is right where it has an entry; where it has none it
    guesses uniformly, and its accuracy is the share of words that are neighbours. One step corresponds to looking back
    at an earlier occurrence of the word, two steps to an earlier occurrence of the word and the one before it.
    """
    degree_N = graph.adjacency.sum(axis=1)
    seen: set[tuple[int, ...]] = set()
    accuracy = np.full(len(nodes_W), np.nan)
    nodes = [int(node) for node in nodes_W]
    for word, node in enumerate(nodes):
        last = tuple(nodes[max(0, word + 1 - steps) : word + 1])
        if asks_W[word]:
            accuracy[word] = 1.0 if last in seen else degree_N[node] / graph.nodes
            if len(last) == steps:
                seen.add(last)
    return accuracy


def mixing(nodes_W: Ints, nodes: int, lengths: Sequence[int], *, window: int, skip: int) -> Floats:
    """Distances (C, P) of random word vectors mixed with the vector of the previous word, averaged over the window.

    The null model without learning: a head that copies the previous token, applied to random vectors. In expectation
    over the vectors; NaN for nodes that are not in the window.
    """
    rows = []
    for length in lengths:
        start = min(max(length - window, skip), length)
        weights_NN = np.zeros((nodes, nodes))
        current_W, before_W = nodes_W[start:length], nodes_W[max(start - 1, 0) : length - 1]
        current_W = current_W[len(current_W) - len(before_W) :]
        np.add.at(weights_NN, (current_W, before_W), 1.0)
        counts_N = weights_NN.sum(axis=1)
        distances = mixed_distances(weights_NN / np.maximum(counts_N, 1.0)[:, None])
        absent = counts_N == 0
        distances[pairs_of((absent[:, None] | absent[None]).astype(np.float64)) > 0] = np.nan
        rows.append(distances)
    return np.array(rows)


def accuracy(graph: Graph, nodes_W: Ints, probability_WN: npt.NDArray[np.floating]) -> Floats:
    """Rule-following accuracy (W): total probability of the current node's neighbours; NaN where nothing is asked."""
    result: Floats = (probability_WN * graph.adjacency[nodes_W]).sum(axis=1).astype(np.float64)
    return result


def trailing(values_W: npt.NDArray[np.floating], lengths: Sequence[int], window: int) -> Floats:
    """Mean (C) over the last `window` words of each length, as for the representations; NaN if there are none."""
    there = ~np.isnan(values_W)
    total = np.concatenate([[0.0], np.cumsum(np.where(there, values_W, 0.0))])
    count = np.concatenate([[0], np.cumsum(there)])
    ends = np.asarray(lengths)
    starts = np.maximum(ends - window, 0)
    known = count[ends] - count[starts]
    result: Floats = np.where(known > 0, (total[ends] - total[starts]) / np.maximum(known, 1), np.nan)
    return result
