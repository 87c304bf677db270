"""Token trees: sequences of a batch concatenated, with every shared prefix computed once and no padding.

Attention is causal, so a token's hidden state depends on its ancestors alone, and sequences of one adapter that begin
with the same tokens can share them exactly. A batch holds the nodes of their prefix tree; each node attends to its
ancestors, and its position is its depth. Training packs an adapter's examples this way (the system prompt and repeated
questions are computed once), scoring packs a question's choices as branches. The last token of a sequence is only
predicted, never read, so it has no node.

Shapes: T nodes of a batch, N supervised targets, U nodes at which the head predicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.transfer import send_integers
from sys2ft.engine.trees.distributions import Distributions
from sys2ft.engine.trees.path_attention import Paths, lay_paths
from sys2ft.engine.trees.ragged_attention import RaggedPaths, lay_ragged


@dataclass(frozen=True, slots=True)
class Example:
    """A token sequence, which of its tokens are supervised, and the adapter slot it belongs to (-1: the base).

    In training, `weight` is that of the loss on each supervised token, and `teacher_weight` that of the divergence from
    `teacher`, which has a distribution for each supervised token.
    """

    ids: Sequence[int]
    loss_mask: Sequence[bool]
    slot: int = -1
    weight: float = 1.0
    teacher: Distributions | None = field(default=None, compare=False)
    teacher_weight: float = 0.0

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.loss_mask):
            raise ValueError(f"{len(self.ids)} ids but {len(self.loss_mask)} mask entries: they must be equal")
        if len(self.ids) < 2 or self.loss_mask[0] or not any(self.loss_mask):
            raise ValueError("an example needs a first token that is not supervised and at least one that is")
        if self.teacher is not None and len(self.teacher) != self.supervised:
            raise ValueError(f"{len(self.teacher)} distributions for {self.supervised} supervised tokens")

    @property
    def supervised(self) -> int:
        """Number of supervised tokens."""
        return sum(self.loss_mask)


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
        """Nodes of `ids[:-1]`, inserted if missing, so new nodes are at the end. Node i predicts `ids[i + 1]`."""
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
        """A 64-bit hash of each node's tokens from the root on: a name that does not depend on the batch."""
        names: list[int] = []
        for token, parent in zip(self.tokens, self.parents, strict=True):
            before = names[parent] if parent >= 0 else 0
            names.append((before * 0x5851F42D4C957F2D + token + 1) & 0xFFFFFFFFFFFFFFFF)
        return names


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step computed: tree nodes, predictions, tokens of the examples if none were shared, and `Pack.padded`."""

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
    """The tree of some examples of one slot: their indices in the caller's list, their nodes, and how many are new.

    `asked` are the nodes that need a prediction: those before a supervised token.
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
    """The examples as trees, in order of slot; a slot has several trees if one would exceed `max_nodes`.

    A single example may be longer. Examples of a slot keep their order, so those with a common prefix should be
    neighbours if a slot has many.
    """
    trees: list[SlotTree] = []
    for index in sorted(range(len(examples)), key=lambda i: examples[i].slot):
        example = examples[index]
        last = trees[-1] if trees else None
        if last is None or last.slot != example.slot or len(last) + last.tree.cost(example.ids) > max_nodes:
            trees.append(last := SlotTree(example.slot))
        last.add(index, example)
    return trees


def group_trees(trees: Iterable[SlotTree], max_nodes: int) -> Iterator[list[SlotTree]]:
    """Groups of consecutive trees, each of at most `max_nodes` nodes in one pass (a single tree may have more)."""
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
    """Trees as tensors, one after the other, with the targets that are predicted at their nodes.

    `segments`: (slot, nodes) of each tree. Target n is token `target_N[n]`, predicted at node `node_N[n]`, for example
    `example_N[n]`, in place `place_N[n]` of its ids. `teacher_N` has a row for each target if any example has a
    teacher. `names_T` (on request) is a 64-bit hash of each node's tokens.

    Several targets can share a node (choices that begin alike): the head runs once for each node of `asked_U`, and
    target n is predicted at number `asked_N[n]` of them. `order_N` are the targets in order of these nodes; `ends`,
    after a 0, is where each node's targets end in it. `owners` is `example_N` in the host's memory.
    """

    tokens_T: Tensor
    positions_T: Tensor
    paths: Paths | RaggedPaths
    segments: list[tuple[int, int]]
    node_N: Tensor
    target_N: Tensor
    example_N: Tensor
    place_N: Tensor
    asked_U: Tensor
    asked_N: Tensor
    order_N: Tensor
    ends: list[int]
    owners: list[int]
    teacher_N: Distributions | None = None
    names_T: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens_T)

    def targets(self, first: int, end: int) -> Tensor:
        """Numbers of the targets that are predicted at the nodes `asked_U[first:end]`."""
        return self.order_N[self.ends[first] : self.ends[end]]

    @property
    def predictions(self) -> int:
        """Nodes at which the head predicts."""
        return len(self.asked_U)

    @property
    def padded(self) -> int:
        """Places of attention that hold no node. Nothing else computes padding."""
        return len(self.paths.own) - len(self)


def pack(
    examples: Sequence[Example],
    trees: Sequence[SlotTree],
    device: torch.device | str = "cpu",
    *,
    window: int | None = None,
    ragged: bool = False,
    named: bool = False,
) -> Pack:
    """Lay out `trees` of `examples` as one batch. `window`: how far back a sliding-window layer looks. `ragged`: for
    the ragged form of attention."""
    nodes, targets, owners, places = [], [], [], []
    paths: list[list[int]] = []
    start = 0
    members = [examples[index] for tree in trees for index in tree.members]
    for tree in trees:
        for index, path in zip(tree.members, tree.paths, strict=True):
            example = examples[index]
            path = [start + node for node in path]
            paths.append(path)
            for place in range(1, len(example.ids)):
                if example.loss_mask[place]:
                    nodes.append(path[place - 1])
                    targets.append(example.ids[place])
                    owners.append(index)
                    places.append(place)
        start += len(tree)
    # Counted on the host: the device would make it wait for the sizes.
    asked, asked_of, counts = np.unique(np.array(nodes), return_inverse=True, return_counts=True)
    tokens_T, positions_T, node_N, target_N, example_N, place_N, asked_U, asked_N, order_N = send_integers(
        [
            [token for tree in trees for token in tree.tree.tokens],
            [depth for tree in trees for depth in tree.tree.depths],
            *(nodes, targets, owners, places),
            *(asked, asked_of, np.argsort(asked_of, kind="stable")),
        ],
        device,
    )
    names = np.array([name for tree in trees for name in tree.tree.names()], dtype=np.uint64) if named else None
    return Pack(
        tokens_T=tokens_T,
        positions_T=positions_T,
        paths=(lay_ragged if ragged else lay_paths)(
            paths, [count for tree in trees for count in tree.own], device, window
        ),
        segments=[(tree.slot, len(tree)) for tree in trees],
        node_N=node_N,
        target_N=target_N,
        example_N=example_N,
        place_N=place_N,
        asked_U=asked_U,
        asked_N=asked_N,
        order_N=order_N,
        ends=[0, *np.cumsum(counts).tolist()],
        owners=owners,
        teacher_N=_teachers(members, device),
        names_T=names,
    )


def _teachers(examples: Sequence[Example], device: torch.device | str) -> Distributions | None:
    """Those of all supervised tokens in order, with empty rows for examples without a teacher."""
    top = next((example.teacher.top_PK.shape[1] for example in examples if example.teacher is not None), None)
    if top is None:
        return None
    rows = [Distributions.none(e.supervised, top) if e.teacher is None else e.teacher for e in examples]
    return Distributions.cat(rows).to(device)
