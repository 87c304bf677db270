"""Rounds the sizes of a batch up to a few values, so that kernels compiled for a shape are used again.

In half precision oneDNN compiles a kernel for each shape of a matrix product, which takes as long as some products. The
trees of a training have lengths of their own in every step; rounded, they come back. A tree is filled up with padding
nodes, copies of its root that no other node attends to. The list of nodes at which the head predicts is filled up by
repeating its last one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sys2ft.engine.trees.tree import Pack


def missing(nodes: int) -> int:
    """How many nodes are missing to the next multiple of a power of two, which is at most a 24th of `nodes`."""
    return -nodes % (1 << max(0, (nodes // 24).bit_length() - 1))


def round_up(pack: Pack) -> Pack:
    """The same batch with padding nodes after each tree, and the head's nodes repeated."""
    source, moved = list[np.ndarray](), list[np.ndarray]()  # padded node to node, and back
    segments: list[tuple[int, int]] = []
    first = end = 0
    for slot, nodes in pack.segments:
        more = missing(nodes)
        source += [np.arange(first, first + nodes), np.full(more, first)]
        moved.append(np.arange(end, end + nodes))
        segments.append((slot, nodes + more))
        first, end = first + nodes, end + nodes + more
    source_T = np.concatenate(source)
    device, paths = pack.tokens_T.device, pack.paths
    to_T, from_T = torch.from_numpy(np.concatenate(moved)).to(device), torch.from_numpy(source_T).to(device)
    return replace(
        pack,
        tokens_T=pack.tokens_T[from_T],
        positions_T=pack.positions_T[from_T],
        # A padding node is no query: it is given the output of its root.
        paths=replace(paths, own=to_T[paths.own], path=to_T[paths.path], place_T=paths.place_T[from_T]),
        segments=segments,
        node_N=to_T[pack.node_N],
        names_T=None if pack.names_T is None else pack.names_T[source_T],
        padding=end - first,
        repeated=missing(pack.predictions),
    )
