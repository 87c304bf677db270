"""Attention in token trees: a node attends to its own path from the root, and to nothing else.

The nodes of a batch are concatenated in one sequence, so that no other layer computes padding. For attention they are
split into branches: the nodes that an example added to its tree (a run at the end of its path) are the queries, and the
whole path the keys. Every node is a query once, and there is no mask of all nodes by all nodes. Branches of similar
length are computed in one batch.

Shapes: T nodes of a batch, E branches of a block, C query nodes of a branch, L nodes of its path (both padded to the
longest), H heads, h key-value heads, d head size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sys2ft.engine.attention import as_bias
from sys2ft.engine.transfer import send_integers

# Branches share a block when the lengths of their queries, and of their paths, round up to the same powers of these
# numbers. Larger numbers give fewer calls and more padding.
_QUERIES, _PATH = 1.15, 1.5


@dataclass(slots=True)
class _Block:
    """Branches computed in one batch, and which nodes of its path each query sees."""

    full_E1CL: Tensor
    near_E1CL: Tensor | None

    @classmethod
    def of(cls, depth_EC: Tensor, longest: int, window: int | None) -> _Block:
        """From the depth of each query, and the length of the longest path."""
        behind_E1CL = depth_EC[:, None, :, None] - torch.arange(longest, device=depth_EC.device)
        full_E1CL = behind_E1CL >= 0
        return cls(full_E1CL, None if window is None else full_E1CL & (behind_E1CL < window))

    def visible(self, sliding: bool) -> Tensor:
        return self.near_E1CL if sliding and self.near_E1CL is not None else self.full_E1CL


@dataclass(slots=True)
class Paths:
    """How a batch of trees is split into branches: the path form of attention.

    `own` and `path` are the query nodes and the path nodes, (E, C) and (E, L) of all blocks concatenated; `place_T` is
    each node's place in `own`. Padding repeats a node of the same branch: an overflow in one adapter's branch must not
    reach that of another.
    """

    blocks: list[_Block]
    own: Tensor
    path: Tensor
    place_T: Tensor
    float32: bool = False
    """Compute in float32 in passes with a gradient, which take two to three times as long in bfloat16 on a CPU."""
    _bias: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, sliding: bool) -> Tensor:
        """Attention output (1, T, H, d). query (1, H, T, d), key and value (1, h, T, d), rotary positions applied."""
        dtype = query.dtype
        if self.float32 and query.requires_grad:
            query, key, value = query.float(), key.float(), value.float()
        shapes = [(*block.full_E1CL.shape[:1], *block.full_E1CL.shape[2:]) for block in self.blocks]  # E, C, L
        # Gathered for all blocks and then split: one sum of gradients instead of one per block.
        queries, keys, values = (
            torch.split(
                take(tensor[0].transpose(0, 1).contiguous(), nodes),
                [shape[0] * shape[which] for shape in shapes],
            )
            for tensor, nodes, which in ((query, self.own, 1), (key, self.path, 2), (value, self.path, 2))
        )
        outputs = []
        for number, (branches, _, _) in enumerate(shapes):
            query_EHCd, key_EhLd, value_EhLd = (
                part[number].view(branches, -1, *part[number].shape[1:]).transpose(1, 2)
                for part in (queries, keys, values)
            )
            output_EHCd = _sdpa(query_EHCd, key_EhLd, value_EhLd, self._block_bias(number, sliding, query), scaling)
            outputs.append(output_EHCd.transpose(1, 2).flatten(0, 1))
        return take(torch.cat(outputs), self.place_T).to(dtype)[None]

    def _block_bias(self, block: int, sliding: bool, like: Tensor) -> Tensor:
        """The bias of a block, made once for all layers."""
        key = (block, sliding)
        if key not in self._bias:
            self._bias[key] = as_bias(self.blocks[block].visible(sliding), like.dtype)
        return self._bias[key]


def lay_paths(
    paths: Sequence[Sequence[int]],
    own: Sequence[int],
    device: torch.device | str,
    window: int | None = None,
) -> Paths:
    """Split trees into branches. `paths[e]` are an example's nodes from its root; the last `own[e]` are its queries."""
    alike: dict[tuple[int, int], list[int]] = {}
    for branch, (path, count) in enumerate(zip(paths, own, strict=True)):
        if count:  # an example that is the beginning of an earlier one adds no node
            alike.setdefault((_rounded(count, _QUERIES), _rounded(len(path), _PATH)), []).append(branch)
    place_T = np.zeros(sum(own), dtype=np.int64)
    depths, longests, owns, whole = [], [], [], []
    done = 0
    for branches in alike.values():
        queries = max(own[b] for b in branches)
        longest = max(len(paths[b]) for b in branches)
        own_EC = np.empty((len(branches), queries), dtype=np.int64)
        path_EL = np.empty((len(branches), longest), dtype=np.int64)
        depth_EC = np.empty((len(branches), queries), dtype=np.int64)
        for e, branch in enumerate(branches):
            path, count = paths[branch], own[branch]
            path_EL[e, : len(path)], path_EL[e, len(path) :] = path, path[0]
            own_EC[e, :count], own_EC[e, count:] = path[len(path) - count :], path[-1]
            depth_EC[e] = np.minimum(np.arange(queries) + len(path) - count, len(path) - 1)
            place_T[path[len(path) - count :]] = done + e * queries + np.arange(count)
        depths.append(depth_EC)
        longests.append(longest)
        owns.append(own_EC.ravel())
        whole.append(path_EL.ravel())
        done += own_EC.size
    own_nodes, path_nodes, place, *sent = send_integers(
        [np.concatenate(owns), np.concatenate(whole), place_T, *depths], device
    )
    blocks = [_Block.of(depth_EC, longest, window) for depth_EC, longest in zip(sent, longests, strict=True)]
    return Paths(blocks, own_nodes, path_nodes, place)


def _rounded(length: int, base: float) -> int:
    return math.ceil(math.log(length, base))


class _Take(torch.autograd.Function):
    """Rows of a (T, ...) tensor. The gradients of a row that is taken often are summed in float32 in any dtype."""

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


def take(rows: Tensor, index: Tensor) -> Tensor:
    """Rows of a (T, ...) tensor, whose gradients are summed in float32."""
    return cast(Tensor, _Take.apply(rows, index))  # type: ignore[no-untyped-call]


def _sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float) -> Tensor:
    """SDPA of grouped heads. CPU kernels share key-value heads; those of CUDA that accept a mask need them repeated."""
    grouped = query.shape[1] != key.shape[1]
    if grouped and query.device.type != "cpu":
        repeat = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
        grouped = False
    return nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, scale=scaling, enable_gqa=grouped
    )
