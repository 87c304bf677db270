"""Token trees: many sequences in one row, every shared prefix computed once.

Attention is causal, so a token's hidden state depends on its ancestors alone. Sequences that begin alike can therefore
share those tokens exactly: the row holds the nodes of their prefix tree, each node attends to its ancestors, and its
position is its depth. Training packs an adapter's examples this way (the system prompt and repeated questions are
computed once), scoring packs a question's choices as branches. A sequence's last token is only predicted, never read,
so it takes no place in the row.

Shapes: R rows, T nodes in a row (padded to the longest), N supervised targets, U nodes they are read off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """A token sequence, which of its tokens are supervised, and the adapter slot it belongs to (-1: the base)."""

    ids: Sequence[int]
    loss_mask: Sequence[bool]
    slot: int = -1

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.loss_mask):
            raise ValueError(f"{len(self.ids)} ids but {len(self.loss_mask)} mask entries: they must be equal")
        if len(self.ids) < 2 or self.loss_mask[0] or not any(self.loss_mask):
            raise ValueError("an example needs a first token that is not supervised and at least one that is")


class TokenTree:
    """The prefix tree of some examples; `add` says how many nodes an example brought."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._child: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def path(self, ids: Sequence[int]) -> list[int]:
        """Nodes of `ids[:-1]`, inserted where missing: node i predicts `ids[i + 1]`."""
        node, nodes = -1, []
        for depth, token in enumerate(ids[:-1]):
            key = (node, token)
            found = self._child.get(key)
            if found is None:
                found = self._child[key] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
                self.depths.append(depth)
            node = found
            nodes.append(node)
        return nodes

    def cost(self, ids: Sequence[int]) -> int:
        """Nodes that `path(ids)` would insert."""
        node = -1
        for done, token in enumerate(ids[:-1]):
            found = self._child.get((node, token))
            if found is None:
                return len(ids) - 1 - done
            node = found
        return 0

    def ancestors(self, size: int) -> np.ndarray:
        """Boolean (size, size): row i is True at i and its ancestors; padding rows see themselves only."""
        mask = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask


@dataclass(slots=True)
class Pack:
    """Trees as tensors, with the targets that are read off them.

    tokens_RT, positions_RT, mask_RTT as the forward pass takes them; row_slots one slot a row. Target n is token
    `target_N[n]`, predicted at node `node_N[n]` of the flattened (R*T) rows, for example `example_N[n]`.
    """

    tokens_RT: Tensor
    positions_RT: Tensor
    mask_RTT: Tensor
    row_slots: list[int]
    node_N: Tensor
    target_N: Tensor
    example_N: Tensor
    tokens_computed: int
    unique_nodes_U: Tensor = field(init=False)
    unique_N: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # Several targets may be read off one node (choices that begin alike): the head runs once for each node.
        self.unique_nodes_U, self.unique_N = torch.unique(self.node_N, return_inverse=True)


def group_rows(examples: Sequence[Example], max_nodes: int) -> list[list[int]]:
    """Split examples into rows: one slot a row, at most `max_nodes` nodes where a single example allows it.

    Examples of a slot go in the order given, so that those which share a prefix should stand together.
    """
    rows: list[list[int]] = []
    open_rows: dict[int, tuple[TokenTree, list[int]]] = {}
    for index, example in enumerate(examples):
        tree, row = open_rows.get(example.slot, (TokenTree(), []))
        if row and len(tree) + tree.cost(example.ids) > max_nodes:
            tree, row = TokenTree(), []
        if not row:
            rows.append(row)
        tree.path(example.ids)
        row.append(index)
        open_rows[example.slot] = (tree, row)
    return rows


def row_size(examples: Sequence[Example], row: Sequence[int]) -> int:
    """Nodes of one row."""
    tree = TokenTree()
    for index in row:
        tree.path(examples[index].ids)
    return len(tree)


def pack(examples: Sequence[Example], rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Pack:
    """Lay out `rows` (indices into `examples`) as one batch; `example_N` keeps the indices given."""
    trees, node_lists, targets, owners = [], [], [], []
    for row in rows:
        tree, nodes, tokens, indices = TokenTree(), [], [], []
        for index in row:
            example = examples[index]
            path = tree.path(example.ids)
            for place in range(1, len(example.ids)):
                if example.loss_mask[place]:
                    nodes.append(path[place - 1])
                    tokens.append(example.ids[place])
                    indices.append(index)
        trees.append(tree)
        node_lists.append(nodes)
        targets.extend(tokens)
        owners.extend(indices)
    size = max(len(tree) for tree in trees)
    tokens_RT = np.zeros((len(rows), size), dtype=np.int64)
    positions_RT = np.zeros((len(rows), size), dtype=np.int64)
    mask_RTT = np.empty((len(rows), size, size), dtype=bool)
    for r, tree in enumerate(trees):
        tokens_RT[r, : len(tree)] = tree.tokens
        positions_RT[r, : len(tree)] = tree.depths
        mask_RTT[r] = tree.ancestors(size)
    flat = [r * size + node for r, nodes in enumerate(node_lists) for node in nodes]
    return Pack(
        tokens_RT=torch.from_numpy(tokens_RT).to(device),
        positions_RT=torch.from_numpy(positions_RT).to(device),
        mask_RTT=torch.from_numpy(mask_RTT).to(device),
        row_slots=[examples[row[0]].slot for row in rows],
        node_N=torch.tensor(flat, device=device),
        target_N=torch.tensor(targets, device=device),
        example_N=torch.tensor(owners, device=device),
        tokens_computed=sum(len(tree) for tree in trees),
    )
