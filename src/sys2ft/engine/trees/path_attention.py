"""Attention in token trees: a node attends to its own path from the root, and to nothing else.

The nodes of a batch lie end to end in one sequence, so that every other layer computes no padding. For attention they
are cut into branches: those nodes that an example brought into its tree (a run at the end of its path) ask the whole
path. Every node is asked for once, whatever its tree, and no mask of all nodes by all nodes is ever made. Branches of
like length are computed together.

Shapes: T nodes of a batch, E branches of a block, C nodes a branch asks for, L nodes of its path (both padded to the
longest), H heads, h key-value heads, d head size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

# Branches are alike when the nodes they ask for, and those of their paths, round up to the same powers of these.
# Larger: fewer, fuller calls, and more padding.
_ASKED, _PATH = 1.15, 1.5


@dataclass(slots=True)
class _Block:
    """Branches computed together, and which node of a branch's path each of its nodes sees."""

    full_E1CL: Tensor
    near_E1CL: Tensor | None

    def bias(self, sliding: bool, like: Tensor) -> Tensor:
        """What is added to the scores: -inf where a node may not look."""
        seen = self.near_E1CL if sliding and self.near_E1CL is not None else self.full_E1CL
        return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -math.inf)


@dataclass(slots=True)
class Paths:
    """How a batch of trees is cut into branches.

    `own` and `path` are the nodes that ask and those of their paths, (E, C) and (E, L) of all blocks end to end;
    `place_T` says where each node stands in `own`. Padding repeats a node of the branch itself: what overflows in one
    adapter's branch must not reach another's. Of the nodes `doubles` are in no branch.
    """

    blocks: list[_Block]
    own: Tensor
    path: Tensor
    place_T: Tensor
    doubles: int = 0
    _bias: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def bias(self, block: int, sliding: bool, like: Tensor) -> Tensor:
        """The block's bias, made once for all layers."""
        key = (block, sliding)
        if key not in self._bias:
            self._bias[key] = self.blocks[block].bias(sliding, like)
        return self._bias[key]

    @property
    def padded(self) -> int:
        """Places computed by attention that hold no node."""
        return len(self.own) - len(self.place_T) + self.doubles


def lay_paths(
    paths: Sequence[Sequence[int]],
    own: Sequence[int],
    device: torch.device | str,
    window: int | None = None,
    doubles: Mapping[int, int] | None = None,
) -> Paths:
    """Cut trees into branches. `paths[e]` are an example's nodes from its root; the last `own[e]` ask.

    `doubles`: nodes of no example, each with the node of which it is given the output.
    """
    doubles = doubles or {}
    alike: dict[tuple[int, int], list[int]] = {}
    for branch, (path, count) in enumerate(zip(paths, own, strict=True)):
        if count:  # an example that another one holds already brings no node
            alike.setdefault((_rounded(count, _ASKED), _rounded(len(path), _PATH)), []).append(branch)
    place_T = np.zeros(sum(own) + len(doubles), dtype=np.int64)
    blocks, owns, whole = [], [], []
    done = 0
    for branches in alike.values():
        asked = max(own[b] for b in branches)
        longest = max(len(paths[b]) for b in branches)
        own_EC = np.empty((len(branches), asked), dtype=np.int64)
        path_EL = np.empty((len(branches), longest), dtype=np.int64)
        depth_EC = np.empty((len(branches), asked), dtype=np.int64)
        for e, branch in enumerate(branches):
            path, count = paths[branch], own[branch]
            path_EL[e, : len(path)], path_EL[e, len(path) :] = path, path[0]
            own_EC[e, :count], own_EC[e, count:] = path[len(path) - count :], path[-1]
            depth_EC[e] = np.minimum(np.arange(asked) + len(path) - count, len(path) - 1)
            place_T[path[len(path) - count :]] = done + e * asked + np.arange(count)
        behind_ECL = depth_EC[:, :, None] - np.arange(longest)
        full = torch.from_numpy(behind_ECL >= 0)[:, None].to(device)
        near = None if window is None else full & torch.from_numpy(behind_ECL < window)[:, None].to(device)
        blocks.append(_Block(full, near))
        owns.append(own_EC.ravel())
        whole.append(path_EL.ravel())
        done += own_EC.size
    for double, node in doubles.items():
        place_T[double] = place_T[node]
    own_nodes, path_nodes, place = (
        torch.from_numpy(x).to(device) for x in (np.concatenate(owns), np.concatenate(whole), place_T)
    )
    return Paths(blocks, own_nodes, path_nodes, place, len(doubles))


def _rounded(length: int, base: float) -> int:
    return math.ceil(math.log(length, base))


class _Take(torch.autograd.Function):
    """Rows of a (T, ...) tensor. Gradients of a row taken often are summed in float32 whatever the dtype."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape, ctx.dtype = rows.shape, rows.dtype
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        total = torch.zeros(ctx.shape, dtype=torch.float32, device=gradient.device)
        return total.index_add_(0, index, gradient.float()).to(ctx.dtype), None


def _take(rows: Tensor, index: Tensor) -> Tensor:
    return cast(Tensor, _Take.apply(rows, index))  # type: ignore[no-untyped-call]


def path_attention(query: Tensor, key: Tensor, value: Tensor, paths: Paths, *, scaling: float, sliding: bool) -> Tensor:
    """Attention output (1, T, H, d). query (1, H, T, d), key and value (1, h, T, d), rotary positions applied."""
    dtype = query.dtype
    # CPU kernels share key-value heads by themselves; those of CUDA that take a mask do not.
    shared = query.device.type == "cpu"
    if shared and query.requires_grad:
        # Their backward pass takes two to three times as long in bfloat16 as in float32.
        query, key, value = query.float(), key.float(), value.float()
    shapes = [(*block.full_E1CL.shape[:1], *block.full_E1CL.shape[2:]) for block in paths.blocks]  # E, C, L
    # Taken for all blocks at once, and then cut: one sum of gradients instead of one a block.
    queries, keys, values = (
        torch.split(
            _take(tensor[0].transpose(0, 1).contiguous(), nodes),
            [shape[0] * shape[which] for shape in shapes],
        )
        for tensor, nodes, which in ((query, paths.own, 1), (key, paths.path, 2), (value, paths.path, 2))
    )
    repeat = 1 if shared else query.shape[1] // key.shape[1]
    outputs = []
    for number, (branches, _, _) in enumerate(shapes):
        query_EHCd, key_EhLd, value_EhLd = (
            part[number].view(branches, -1, *part[number].shape[1:]).transpose(1, 2) for part in (queries, keys, values)
        )
        if repeat > 1:
            key_EhLd, value_EhLd = (x.repeat_interleave(repeat, dim=1) for x in (key_EhLd, value_EhLd))
        output_EHCd = nn.functional.scaled_dot_product_attention(
            query_EHCd,
            key_EhLd,
            value_EhLd,
            attn_mask=paths.bias(number, sliding, query),
            scale=scaling,
            enable_gqa=shared and query.shape[1] != key.shape[1],
        )
        outputs.append(output_EHCd.transpose(1, 2).flatten(0, 1))
    return _take(torch.cat(outputs), paths.place_T).to(dtype)[None]
