"""Token trees: many sequences laid end to end, every shared prefix computed once, nothing padded.

Attention is causal, so a token's hidden state depends on its ancestors alone. Sequences of one adapter that begin alike
can therefore share those tokens exactly: a batch holds the nodes of their prefix tree, each node attends to its
ancestors, and its position is its depth. Training packs an adapter's examples this way (the system prompt and repeated
questions are computed once), scoring packs a question's choices as branches. A sequence's last token is only
predicted, never read, so it takes no place.

Shapes: T nodes of a batch, N supervised targets, U nodes they are read off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.trees.path_attention import Paths, lay_paths


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
    """The prefix tree of some sequences."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._child: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def path(self, ids: Sequence[int]) -> list[int]:
        """Nodes of `ids[:-1]`, inserted where missing: node i predicts `ids[i + 1]`. New ones stand at its end."""
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

    def ancestors(self) -> np.ndarray:
        """Boolean (nodes, nodes): row i is True at i and its ancestors."""
        mask = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask

    def names(self) -> list[int]:
        """A 64-bit hash of each node's tokens from the root on: what names it wherever it is laid."""
        names: list[int] = []
        for token, parent in zip(self.tokens, self.parents, strict=True):
            before = names[parent] if parent >= 0 else 0
            names.append((before * 0x5851F42D4C957F2D + token + 1) & 0xFFFFFFFFFFFFFFFF)
        return names


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a pass computed: tree nodes, head rows, tokens the examples hold when nothing is shared, and padding.

    `padded` counts attention positions without a node, padding nodes, and nodes that the head is asked for once more
    (`Pack`). Nothing else computes padding.
    """

    tokens_computed: int = 0
    predictions: int = 0
    tokens_shown: int = 0
    padded: int = 0

    def __add__(self, other: StepCost) -> StepCost:
        return StepCost(
            self.tokens_computed + other.tokens_computed,
            self.predictions + other.predictions,
            self.tokens_shown + other.tokens_shown,
            self.padded + other.padded,
        )


@dataclass(slots=True)
class SlotTree:
    """The tree of some examples of one slot: their places in the caller's list, their nodes, and how many are new.

    `asked` are the nodes that the head is asked for: those before a supervised token.
    """

    slot: int
    tree: TokenTree = field(default_factory=TokenTree)
    members: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.tree)

    def add(self, index: int, example: Example) -> None:
        before = len(self.tree)
        self.members.append(index)
        self.paths.append(path := self.tree.path(example.ids))
        self.asked.update(node for node, supervised in zip(path, example.loss_mask[1:], strict=False) if supervised)
        self.own.append(len(self.tree) - before)


def slot_trees(examples: Sequence[Example], max_nodes: int) -> list[SlotTree]:
    """The examples as trees, in order of slot; a slot has several where one would pass `max_nodes`.

    A single example may be longer than that. Examples of a slot go in the order given, so those that begin alike
    should stand together where a slot has many.
    """
    trees: list[SlotTree] = []
    for index in sorted(range(len(examples)), key=lambda i: examples[i].slot):
        example = examples[index]
        last = trees[-1] if trees else None
        if last is None or last.slot != example.slot or len(last) + last.tree.cost(example.ids) > max_nodes:
            trees.append(last := SlotTree(example.slot))
        last.add(index, example)
    return trees


def together(trees: Iterable[SlotTree], max_nodes: int) -> Iterator[list[SlotTree]]:
    """Neighbouring trees whose nodes fit into one pass of `max_nodes`."""
    batch: list[SlotTree] = []
    nodes = 0
    for tree in trees:
        if batch and nodes + len(tree) > max_nodes:
            yield batch
            batch, nodes = [], 0
        batch.append(tree)
        nodes += len(tree)
    if batch:
        yield batch


@dataclass(slots=True)
class Pack:
    """Trees as tensors, one after the other, with the targets that are read off them.

    `segments`: (slot, nodes) of each tree, doubles of its root among them where its length was rounded up. Target n is
    token `target_N[n]`, predicted at node `node_N[n]`, for example `example_N[n]`. `names_T` (asked for) hold a 64-bit
    name of each node, made of its tokens.

    Several targets may be read off one node (choices that begin alike): the head runs once for each node of `asked_U`,
    of which target n is number `asked_N[n]`. Where their number was rounded up, the last is `repeated` so many times.
    """

    tokens_T: Tensor
    positions_T: Tensor
    paths: Paths
    segments: list[tuple[int, int]]
    node_N: Tensor
    target_N: Tensor
    example_N: Tensor
    names_T: np.ndarray | None = None
    rounded: bool = False
    asked_U: Tensor = field(init=False)
    asked_N: Tensor = field(init=False)
    repeated: int = field(init=False, default=0)
    _order_N: Tensor = field(init=False)
    _ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.asked_U, self.asked_N = torch.unique(self.node_N, return_inverse=True)
        if self.rounded:
            self.repeated = _to_round(len(self.asked_U))
            self.asked_U = torch.cat([self.asked_U, self.asked_U[-1:].expand(self.repeated)])
        self._order_N = torch.argsort(self.asked_N, stable=True)
        self._ends = [0, *torch.bincount(self.asked_N, minlength=len(self.asked_U)).cumsum(0).tolist()]

    def __len__(self) -> int:
        """Nodes without doubles."""
        return len(self.tokens_T) - self.paths.doubles

    def targets(self, first: int, end: int) -> Tensor:
        """The targets that are read off the nodes `asked_U[first:end]`, by number."""
        return self._order_N[self._ends[first] : self._ends[end]]

    @property
    def predictions(self) -> int:
        """Nodes that the head is asked for."""
        return len(self.asked_U) - self.repeated

    @property
    def padded(self) -> int:
        """Doubles, nodes asked for a second time, and places of attention that hold no node."""
        return self.paths.doubles + self.repeated + self.paths.padded


def pack(
    examples: Sequence[Example],
    trees: Sequence[SlotTree],
    device: torch.device | str = "cpu",
    *,
    window: int | None = None,
    named: bool = False,
    rounded: bool = False,
) -> Pack:
    """Lay out `trees` of `examples` as one batch. `window`: how far back a sliding-window layer looks.

    `rounded`: the length of a tree is rounded up to one of a few by doubles of its root, and so is the number of nodes
    that the head is asked for.
    """
    nodes, targets, owners = [], [], []
    paths: list[list[int]] = []
    more = [_to_round(len(tree)) if rounded else 0 for tree in trees]
    doubles: dict[int, int] = {}
    start = 0
    for tree, extra in zip(trees, more, strict=True):
        for index, path in zip(tree.members, tree.paths, strict=True):
            example = examples[index]
            path = [start + node for node in path]
            paths.append(path)
            for place in range(1, len(example.ids)):
                if example.loss_mask[place]:
                    nodes.append(path[place - 1])
                    targets.append(example.ids[place])
                    owners.append(index)
        end = start + len(tree)
        doubles |= dict.fromkeys(range(end, end + extra), start)
        start = end + extra
    own = [count for tree in trees for count in tree.own]

    def of_nodes(of: Callable[[TokenTree], list[int]]) -> list[int]:
        values = ((of(tree.tree), extra) for tree, extra in zip(trees, more, strict=True))
        return [value for own, extra in values for value in (*own, *own[:1] * extra)]

    names = np.array(of_nodes(TokenTree.names), dtype=np.uint64) if named else None
    return Pack(
        tokens_T=torch.tensor(of_nodes(lambda tree: tree.tokens), device=device),
        positions_T=torch.tensor(of_nodes(lambda tree: tree.depths), device=device),
        paths=lay_paths(paths, own, device, window, doubles),
        segments=[(tree.slot, len(tree) + extra) for tree, extra in zip(trees, more, strict=True)],
        node_N=torch.tensor(nodes, device=device),
        target_N=torch.tensor(targets, device=device),
        example_N=torch.tensor(owners, device=device),
        names_T=names,
        rounded=rounded,
    )


def _to_round(nodes: int) -> int:
    """How many nodes are wanting to the next multiple of a power of two, of at most a 24th part of them."""
    return -nodes % (1 << max(0, (nodes // 24).bit_length() - 1))
