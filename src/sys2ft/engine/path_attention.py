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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

# Branches are alike when the nodes they ask for, and those of their paths, round up to the same powers of these.
# Larger: fewer, fuller calls, and more padding.
_ASKED, _PATH = 1.15, 1.5


@dataclass(slots=True)
class _Block:
    """Branches computed together: the nodes that ask, the nodes of their paths, and who sees whom.

    Padding repeats a node of the branch itself: what overflows in one adapter's branch must not reach another's.
    """

    own_EC: Tensor
    path_EL: Tensor
    full_E1CL: Tensor
    near_E1CL: Tensor | None

    def bias(self, sliding: bool, like: Tensor) -> Tensor:
        """What is added to the scores: -inf where a node may not look."""
        seen = self.near_E1CL if sliding and self.near_E1CL is not None else self.full_E1CL
        return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -math.inf)


@dataclass(slots=True)
class Paths:
    """How a batch of trees is cut into branches. `place_T`: where each node stands among the blocks' results."""

    blocks: list[_Block]
    place_T: Tensor
    places: int
    _bias: dict[tuple[int, bool], Tensor]

    def bias(self, block: int, sliding: bool, like: Tensor) -> Tensor:
        """The block's bias, made once for all layers."""
        key = (block, sliding)
        if key not in self._bias:
            self._bias[key] = self.blocks[block].bias(sliding, like)
        return self._bias[key]

    @property
    def padded(self) -> int:
        """Places computed by attention that hold no node."""
        return self.places - len(self.place_T)


def lay_paths(
    paths: Sequence[Sequence[int]], own: Sequence[int], device: torch.device | str, window: int | None = None
) -> Paths:
    """Cut trees into branches. `paths[e]` are an example's nodes from its root; the last `own[e]` ask."""
    alike: dict[tuple[int, int], list[int]] = {}
    for branch, (path, count) in enumerate(zip(paths, own, strict=True)):
        if count:  # an example that another one holds already brings no node
            alike.setdefault((_rounded(count, _ASKED), _rounded(len(path), _PATH)), []).append(branch)
    place_T = np.zeros(sum(own), dtype=np.int64)
    blocks = []
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
        full = behind_ECL >= 0
        near = None if window is None else full & (behind_ECL < window)
        blocks.append(
            _Block(
                torch.from_numpy(own_EC).to(device),
                torch.from_numpy(path_EL).to(device),
                torch.from_numpy(full)[:, None].to(device),
                None if near is None else torch.from_numpy(near)[:, None].to(device),
            )
        )
        done += own_EC.size
    return Paths(blocks, torch.from_numpy(place_T).to(device), done, {})


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
    query_THd, key_Thd, value_Thd = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
    # CPU kernels share key-value heads by themselves; those of CUDA that take a mask do not.
    shared = query.device.type == "cpu"
    repeat = 1 if shared else query.shape[1] // key.shape[1]
    outputs = []
    for number, block in enumerate(paths.blocks):
        branches, asked = block.own_EC.shape
        query_EHCd = (
            _take(query_THd, block.own_EC.flatten()).view(branches, asked, *query_THd.shape[1:]).transpose(1, 2)
        )
        key_EhLd, value_EhLd = (
            _take(rows, block.path_EL.flatten()).view(branches, -1, *rows.shape[1:]).transpose(1, 2)
            for rows in (key_Thd, value_Thd)
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
        outputs.append(output_EHCd.transpose(1, 2).reshape(branches * asked, *query_THd.shape[1:]))
    return _take(torch.cat(outputs), paths.place_T)[None]
