"""Attention of one new token a row to a prefix that many rows share and to each row's own tokens.

The prefix's keys and values exist once for each group of rows; a group's scores against them are one matrix product,
whatever the number of rows. Own keys and values lie in buffers that grow by blocks.

Shapes: B rows in groups (rows of a group stand together), H key-value heads, Q query heads for each of them, P prefix
length (padded to the longest group), C own tokens, K = P + C keys, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

_BLOCK = 32  # tokens by which own buffers grow


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
    bias_BK: Tensor = field(init=False)
    bias_sliding_BK: Tensor | None = field(init=False, default=None)

    @property
    def positions_B(self) -> Tensor:
        """Position of each row's next token."""
        return self.prefix_lengths_B + self.lengths_B

    def begin(self) -> None:
        """Prepare masks and room for one new token a row."""
        device = self.lengths_B.device
        self.used = int(self.lengths_B.max()) + 1
        longest = max(keys.shape[1] for keys, _ in self.prefix[0])
        key_P, key_C = torch.arange(longest, device=device), torch.arange(self.used, device=device)
        visible_BK = torch.cat(
            [key_P < self.prefix_lengths_B[:, None], key_C <= self.lengths_B[:, None]], dim=-1
        )  # own keys beyond a row's length belong to nobody yet
        self.bias_BK = _as_bias(visible_BK)
        if self.window is not None:
            position_BK = torch.cat(
                [key_P.expand(len(self.lengths_B), -1), self.prefix_lengths_B[:, None] + key_C], dim=-1
            )
            self.bias_sliding_BK = _as_bias(visible_BK & (self.positions_B[:, None] - position_BK < self.window))
        for layer, (keys, values) in enumerate(self.own):
            if keys.shape[2] < self.used:
                grow = (0, 0, 0, _BLOCK)
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
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: DecodeState,
    scaling: float,
    sliding: bool,
) -> Tensor:
    """Attention output (B, 1, H*Q, d) of one new token a row; its keys and values go into the state's own buffers.

    `sliding`: this layer looks back no further than the state's window.
    query (B, H*Q, 1, d), key and value (B, H, 1, d), rotary positions applied.
    """
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    rows, heads, _, size = key.shape
    own_keys, own_values = state.own[layer]
    index = state.lengths_B[:, None, None, None].expand(-1, heads, 1, size)
    own_keys.scatter_(2, index, key)
    own_values.scatter_(2, index, value)
    own_keys, own_values = own_keys[:, :, : state.used], own_values[:, :, : state.used]

    query_BHQd = query.reshape(rows, heads, -1, size) * scaling
    queries = query_BHQd.shape[2]
    prefix = state.prefix[layer]
    longest = max(keys.shape[1] for keys, _ in prefix)
    scores_BHQK = torch.zeros(rows, heads, queries, longest + state.used, dtype=query.dtype, device=query.device)
    for (start, end), (keys, _) in zip(state.bounds, prefix, strict=True):
        together = query_BHQd[start:end].transpose(0, 1).reshape(heads, -1, size)
        part = torch.bmm(together, keys.transpose(1, 2)).view(heads, end - start, queries, -1)
        scores_BHQK[start:end, ..., : keys.shape[1]] = part.transpose(0, 1)
    scores_BHQK[..., longest:] = torch.matmul(query_BHQd, own_keys.transpose(2, 3))
    bias_BK = state.bias_sliding_BK if sliding and state.bias_sliding_BK is not None else state.bias_BK
    weights_BHQK = scores_BHQK.float().add_(bias_BK[:, None, None]).softmax(-1).to(query.dtype)

    output_BHQd = torch.matmul(weights_BHQK[..., longest:], own_values)
    for (start, end), (_, values) in zip(state.bounds, prefix, strict=True):
        length = values.shape[1]  # 0 for a prompt of one token, alone in its group
        together = weights_BHQK[start:end, ..., :length].transpose(0, 1).reshape(heads, (end - start) * queries, length)
        part = torch.bmm(together, values).view(heads, end - start, queries, size)
        output_BHQd[start:end] += part.transpose(0, 1)
    return output_BHQd.view(rows, 1, heads * queries, size)
