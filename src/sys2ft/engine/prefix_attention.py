"""Attention of new tokens to a prefix that many rows share and to each row's own tokens.

The prefix's keys and values exist once for each group of rows; a group's scores against them are one matrix product,
whatever the number of rows. Own keys and values lie in buffers that grow by blocks.

Shapes: B rows in G groups (rows of a group stand together), H key-value heads, Q queries for each of them, T new
tokens, P prefix length (padded to the longest group), C capacity of the own buffers, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class DecodeState:
    """Keys and values of a decode loop.

    prefix[layer][group]: keys and values (H, P_g, d). own[layer]: keys and values (B, H, C, d).
    `bounds[g]` are the first row and the end of group g. `lengths_B` counts each row's own tokens before this step.
    """

    prefix: list[list[tuple[Tensor, Tensor]]]
    own: list[tuple[Tensor, Tensor]]
    bounds: list[tuple[int, int]]
    prefix_lengths_B: Tensor
    lengths_B: Tensor
    window: int | None = None
    used: int = field(init=False, default=0)
    bias: Tensor = field(init=False)
    bias_sliding: Tensor | None = field(init=False, default=None)
    places_BT: Tensor = field(init=False)

    def begin(self, steps_B: Tensor, width: int) -> None:
        """Prepare the masks for `width` new tokens a row, of which `steps_B` are real (the rest is padding)."""
        device = self.lengths_B.device
        place_T = torch.arange(width, device=device)
        self.places_BT = self.lengths_B[:, None] + place_T
        self.used = int((self.lengths_B + width).max())
        longest = max(keys.shape[1] for keys, _ in self.prefix[0])
        key_P, key_C = torch.arange(longest, device=device), torch.arange(self.used, device=device)
        in_prefix = (key_P[None] < self.prefix_lengths_B[:, None])[:, None, :].expand(-1, width, -1)
        in_own = key_C[None, None] <= self.places_BT[:, :, None]
        visible = torch.cat([in_prefix, in_own], dim=-1)
        self.bias = _as_bias(visible)
        if self.window is not None:
            position_BT = self.prefix_lengths_B[:, None] + self.places_BT
            key_position = torch.cat(
                [key_P.expand(len(self.lengths_B), -1), self.prefix_lengths_B[:, None] + key_C], dim=-1
            )
            near = position_BT[:, :, None] - key_position[:, None, :] < self.window
            self.bias_sliding = _as_bias(visible & near)
        self._make_room()

    def _make_room(self) -> None:
        for layer, (keys, values) in enumerate(self.own):
            short = self.used - keys.shape[2]
            if short > 0:
                grow = (0, 0, 0, max(short, 32))
                self.own[layer] = (nn.functional.pad(keys, grow), nn.functional.pad(values, grow))

    def keep(self, rows: Tensor, bounds: list[tuple[int, int]], groups: list[int]) -> None:
        """Go on with some rows only (in order) and with the groups that still have any."""
        self.own = [(keys[rows], values[rows]) for keys, values in self.own]
        self.prefix = [[layer[g] for g in groups] for layer in self.prefix]
        self.bounds = bounds
        self.lengths_B = self.lengths_B[rows]
        self.prefix_lengths_B = self.prefix_lengths_B[rows]


def _as_bias(visible: Tensor) -> Tensor:
    return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, float("-inf"))


def prefix_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, state: DecodeState, scaling: float
) -> Tensor:
    """Attention output (B, T, H*Q, d) of new tokens; writes their keys and values into the state's own buffers.

    query (B, H*Q, T, d), key and value (B, H, T, d), rotary positions applied.
    """
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    rows, heads, width, size = key.shape
    queries = query.shape[1] // heads
    own_keys, own_values = state.own[layer]
    index = state.places_BT[:, None, :, None].expand(-1, heads, -1, size)
    own_keys.scatter_(2, index, key)
    own_values.scatter_(2, index, value)
    own_keys, own_values = own_keys[:, :, : state.used], own_values[:, :, : state.used]

    query_BHXd = query.reshape(rows, heads, queries * width, size) * scaling
    longest = max(keys.shape[1] for keys, _ in state.prefix[layer])
    scores = torch.zeros(rows, heads, queries * width, longest + state.used, dtype=query.dtype, device=query.device)
    for (start, end), (keys, _) in zip(state.bounds, state.prefix[layer], strict=True):
        together = query_BHXd[start:end].transpose(0, 1).reshape(heads, -1, size)
        part = torch.bmm(together, keys.transpose(1, 2))
        part = part.view(heads, end - start, queries * width, -1).transpose(0, 1)
        scores[start:end, :, :, : keys.shape[1]] = part
    scores[..., longest:] = torch.matmul(query_BHXd, own_keys.transpose(2, 3))
    bias = state.bias_sliding if getattr(module, "is_sliding", False) and state.bias_sliding is not None else state.bias
    weights = scores.float().view(rows, heads, queries, width, -1).add_(bias[:, None, None]).softmax(-1)
    weights = weights.to(query.dtype).view(rows, heads, queries * width, -1)

    output = torch.matmul(weights[..., longest:], own_values)
    for (start, end), (_, values) in zip(state.bounds, state.prefix[layer], strict=True):
        together = weights[start:end, :, :, : values.shape[1]].transpose(0, 1).reshape(heads, -1, values.shape[1])
        part = torch.bmm(together, values).view(heads, end - start, queries * width, size).transpose(0, 1)
        output[start:end] += part
    # (B, H, Q*T, d) -> (B, T, H*Q, d)
    return output.view(rows, heads * queries, width, size).transpose(1, 2)
