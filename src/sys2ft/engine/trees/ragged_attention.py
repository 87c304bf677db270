"""Attention in token trees by one FlashAttention kernel: what path attention computes, in half precision on a GPU.

The branches of a batch are sequences of different lengths, concatenated: an example's own nodes are the queries, its
whole path the keys. A query sees the keys up to its own place if both are aligned at their ends, which is the kernel's
causal mask for sequences with fewer queries than keys. There are no blocks, no padding and no masks: a layer launches
as many kernels for a thousand branches as for one, and key-value heads are not repeated for their queries.

Shapes: T nodes of a batch, E branches, N nodes of all their paths, H heads, h key-value heads, d head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.engine.transfer import send_integers
from sys2ft.engine.trees.path_attention import lay_paths, take

State = tuple[Tensor, ...]
"""What the kernel keeps for its gradient besides its inputs and its output."""


@dataclass(slots=True)
class RaggedPaths:
    """How a batch of trees is split into branches: the ragged form of path attention.

    `own` and `path` are the query nodes (T,) and the path nodes (N,) of all branches concatenated, `own_ends` and
    `path_ends` (E + 1) where each branch ends in them, after a 0; `place_T` is each node's place in `own`.
    """

    own: Tensor
    path: Tensor
    place_T: Tensor
    own_ends: Tensor
    path_ends: Tensor
    most_own: int
    most_path: int
    window: int | None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, sliding: bool) -> Tensor:
        """Attention output (1, T, H, d). query (1, H, T, d), key and value (1, h, T, d), rotary positions applied."""
        query_THd, key_Nhd, value_Nhd = (
            take(tensor[0].transpose(0, 1).contiguous(), nodes)
            for tensor, nodes in ((query, self.own), (key, self.path), (value, self.path))
        )
        window = self.window if sliding else None
        output_THd = _Flash.apply(query_THd, key_Nhd, value_Nhd, self, scaling, window)  # type: ignore[no-untyped-call]
        return take(output_THd, self.place_T)[None]


def lay_ragged(
    paths: Sequence[Sequence[int]],
    own: Sequence[int],
    device: torch.device | str,
    window: int | None = None,
) -> RaggedPaths:
    """Split trees into branches. `paths[e]` are an example's nodes from its root; the last `own[e]` are its queries."""
    branches = [(path, count) for path, count in zip(paths, own, strict=True) if count]
    order = [node for path, count in branches for node in path[len(path) - count :]]
    place = [0] * len(order)
    for number, node in enumerate(order):
        place[node] = number
    own_nodes, path_nodes, place_T, own_ends, path_ends = send_integers(
        [
            order,
            [node for path, _ in branches for node in path],
            place,
            [0, *itertools.accumulate(count for _, count in branches)],
            [0, *itertools.accumulate(len(path) for path, _ in branches)],
        ],
        device,
    )
    # Of a batch whose branches all have one query the kernel would keep its state in another form.
    most_own = max(2, *(count for _, count in branches))
    most_path = max(len(path) for path, _ in branches)
    return RaggedPaths(own_nodes, path_nodes, place_T, own_ends.int(), path_ends.int(), most_own, most_path, window)


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, paths: RaggedPaths, scaling: float, window: int | None
    ) -> Tensor:
        output, state = flash_forward(query, key, value, paths, scaling, window)
        ctx.save_for_backward(query, key, value, output, *state)
        ctx.how = paths, scaling, window
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        query, key, value, output, *state = ctx.saved_tensors
        gradients = flash_backward(gradient.contiguous(), query, key, value, output, tuple(state), *ctx.how)
        return *gradients, None, None, None


def flash_forward(
    query_THd: Tensor, key_Nhd: Tensor, value_Nhd: Tensor, paths: RaggedPaths, scaling: float, window: int | None
) -> tuple[Tensor, State]:
    """Output (T, H, d), and the kernel's state."""
    output_THd, *state, _ = torch.ops.aten._flash_attention_forward(
        query_THd, key_Nhd, value_Nhd, paths.own_ends, paths.path_ends, paths.most_own, paths.most_path,
        0.0, True, False, scale=scaling, **_window(window),
    )  # fmt: skip
    return output_THd, tuple(state)


def flash_backward(
    gradient_THd: Tensor,
    query_THd: Tensor,
    key_Nhd: Tensor,
    value_Nhd: Tensor,
    output_THd: Tensor,
    state: State,
    paths: RaggedPaths,
    scaling: float,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values."""
    logsumexp, *random = state
    return cast(
        tuple[Tensor, Tensor, Tensor],
        torch.ops.aten._flash_attention_backward(
            gradient_THd, query_THd, key_Nhd, value_Nhd, output_THd, logsumexp, paths.own_ends, paths.path_ends,
            paths.most_own, paths.most_path, 0.0, True, *random, scale=scaling, **_window(window),
        ),
    )  # fmt: skip


def _window(window: int | None) -> dict[str, int]:
    """The kernel counts the keys before a query's own."""
    return {} if window is None else {"window_size_left": window - 1, "window_size_right": 0}


def ragged_works(model: nn.Module) -> bool:
    """Whether the kernel computes attention with heads like the model's, and its gradient, as path attention does."""
    weight, config = next(model.parameters()), cast(Any, model).config
    heads = getattr(config, "num_attention_heads", None)
    size = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
    if weight.dtype == torch.float32 or not heads or not size or size % 8 or size > 256:
        return False
    few = getattr(config, "num_key_value_heads", None) or heads
    try:
        return _agrees(weight.device, weight.dtype, heads, few, size)
    except (RuntimeError, TypeError, AttributeError):  # the build of torch, or the card, has no such kernel
        return False


def _agrees(device: torch.device, dtype: torch.dtype, heads: int, few: int, size: int) -> bool:
    """Two trees: three branches of one beginning, and a single one."""
    paths = [[0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 7], [0, 1, 2, 6, 8], [9, 10, 11, 12]]
    own, window = [6, 2, 1, 4], 3
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(1, count, 13, size, generator=generator) for count in (heads, few, few, heads)]
    found = []
    for form in (lay_ragged(paths, own, device, window), lay_paths(paths, own, device, window)):
        for sliding in (False, True):
            query, key, value, gradient = (one.to(device=device, dtype=dtype) for one in drawn)
            given = [one.detach().requires_grad_() for one in (query, key, value)]
            with torch.enable_grad():
                output = form.attend(0, *given, scaling=size**-0.5, sliding=sliding)
                gradients = torch.autograd.grad(output, given, gradient.transpose(1, 2))
            found += [output.detach(), *gradients]
    half = len(found) // 2
    off = [(a - b).float().norm() / b.float().norm() for a, b in zip(found[:half], found[half:], strict=True)]
    return bool((torch.stack(off) < 0.05).all())
