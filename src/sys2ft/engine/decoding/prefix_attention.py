"""Attention of one new token a row to a prefix that many rows share and to each row's own tokens.

The prefix's keys and values are stored once for each group of rows; a group's scores against them are one matrix
product for any number of rows. Own keys and values are in buffers that grow in blocks.

Shapes: B rows in groups (rows of a group are contiguous), H key-value heads, Q query heads for each of them, P prefix
length (padded to the longest group), C own tokens, K = P + C keys, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from sys2ft.engine.attention import KeysValues, as_bias
from sys2ft.engine.transfer import send_integers

BUFFER_BLOCK = 64  # tokens by which the buffers of own keys and values grow; growing copies them


@dataclass(slots=True, eq=False)
class Group:
    """Prompts of one adapter slot whose first `shared` tokens are the same.

    `prefix[layer]`: keys (H, d, shared) and values (H, shared, d) of those tokens; None until they are read.
    """

    slot: int
    shared: int
    prefix: list[KeysValues] | None = None


@dataclass(slots=True)
class DecodeState:
    """Keys and values of a decode loop: the prefix form of attention.

    own[layer]: keys (B, H, d, C), as the product with a query needs them, and values (B, H, C, d). `row_groups` is the
    group of each row; rows of a group are contiguous. `lengths` counts each row's own tokens before this step; it is
    kept on the host and, as `lengths_B`, on the device, so that a step waits for neither.
    `window`: how far back a sliding-window layer looks.
    """

    own: list[KeysValues]
    row_groups: list[Group]
    lengths: np.ndarray
    window: int | None = None
    used: int = field(init=False, default=0)
    spans: list[tuple[int, int, Group]] = field(init=False)
    lengths_B: Tensor = field(init=False)
    prefix_lengths_B: Tensor = field(init=False)
    rows_B: Tensor = field(init=False)
    bias_BK: Tensor = field(init=False)
    bias_sliding_BK: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        (self.lengths_B,) = send_integers([self.lengths], self.own[0][0].device)
        self._find_spans()

    def _find_spans(self) -> None:
        """First row and end of each group; rows without a prefix are one group to the products."""
        self.spans = []
        for row, group in enumerate(self.row_groups):
            before = self.row_groups[row - 1] if row else None
            joins = before is not None and (group is before or not (group.shared or before.shared))
            start = self.spans.pop()[0] if joins else row
            self.spans.append((start, row + 1, group))
        (self.prefix_lengths_B,) = send_integers([[group.shared for group in self.row_groups]], self.lengths_B.device)

    @property
    def positions_B(self) -> Tensor:
        """Position of each row's next token."""
        return self.prefix_lengths_B + self.lengths_B

    def begin(self) -> None:
        """Prepare the masks, and space for one new token in each row."""
        device = self.lengths_B.device
        self.used = int(self.lengths.max()) + 1
        longest = max(group.shared for _, _, group in self.spans)
        key_P, key_C = torch.arange(longest, device=device), torch.arange(self.used, device=device)
        visible_BK = torch.cat(
            [key_P < self.prefix_lengths_B[:, None], key_C <= self.lengths_B[:, None]], dim=-1
        )  # own keys beyond a row's length are not written yet
        self.bias_BK = as_bias(visible_BK)
        if self.window is not None:
            position_BK = torch.cat(
                [key_P.expand(len(self.lengths_B), -1), self.prefix_lengths_B[:, None] + key_C], dim=-1
            )
            self.bias_sliding_BK = as_bias(visible_BK & (self.positions_B[:, None] - position_BK < self.window))
        capacity = self.own[0][1].shape[2]
        if capacity < self.used:
            self.own = [_extended(own, capacity + BUFFER_BLOCK) for own in self.own]
        self.rows_B = torch.arange(len(self.lengths_B), device=device)

    def end(self) -> None:
        """Count the token that each row has got."""
        self.lengths, self.lengths_B = self.lengths + 1, self.lengths_B + 1

    def keep(self, rows: list[int]) -> None:
        """Keep only these rows, in order."""
        (kept,) = send_integers([rows], self.lengths_B.device)
        self.own = [(keys[kept], values[kept]) for keys, values in self.own]
        self.lengths, self.lengths_B = self.lengths[rows], self.lengths_B[kept]
        self.row_groups = [self.row_groups[row] for row in rows]
        self._find_spans()

    def append(self, other: DecodeState) -> None:
        """Append the rows of another state."""
        capacity = max(self.own[0][1].shape[2], other.own[0][1].shape[2])
        self.own = [
            (torch.cat([keys, more_keys]), torch.cat([values, more_values]))
            for (keys, values), (more_keys, more_values) in zip(
                (_extended(own, capacity) for own in self.own),
                (_extended(own, capacity) for own in other.own),
                strict=True,
            )
        ]
        self.lengths = np.concatenate([self.lengths, other.lengths])
        self.lengths_B = torch.cat([self.lengths_B, other.lengths_B])
        self.row_groups = self.row_groups + other.row_groups
        self._find_spans()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, sliding: bool) -> Tensor:
        """Attention output (B, 1, H*Q, d) of one new token a row, whose keys and values are written to its buffers.

        query (B, H*Q, 1, d), key and value (B, H, 1, d), rotary positions applied.
        """
        (rows, heads, _, size), width = key.shape, value.shape[3]  # latent attention has narrower values
        own_keys, own_values = self.own[layer]
        own_keys[self.rows_B, :, :, self.lengths_B] = key[:, :, 0]
        own_values[self.rows_B, :, self.lengths_B] = value[:, :, 0]
        own_keys, own_values = own_keys[..., : self.used], own_values[:, :, : self.used]

        query_BHQd = query.reshape(rows, heads, -1, size) * scaling
        queries = query_BHQd.shape[2]
        longest = max(group.shared for _, _, group in self.spans)
        # The rows of a group, with their query heads, are contiguous: one product for each group and key-value head.
        query_HNd = query_BHQd.transpose(0, 1).reshape(heads, rows * queries, size)
        # Nothing is written beyond a shorter prefix, and masked scores must still be numbers.
        make = query.new_empty if all(group.shared == longest for _, _, group in self.spans) else query.new_zeros
        scores_HNK = make(heads, rows * queries, longest + self.used)
        for start, end, group in self.spans:
            here = slice(start * queries, end * queries)
            torch.bmm(query_HNd[:, here], _prefix_of(group, layer)[0], out=scores_HNK[:, here, : group.shared])
        scores_HBQK = scores_HNK.view(heads, rows, queries, -1)
        scores_HBQK[..., longest:] = torch.matmul(query_BHQd, own_keys).transpose(0, 1)
        bias_BK = self.bias_sliding_BK if sliding and self.bias_sliding_BK is not None else self.bias_BK
        weights_HBQK = scores_HBQK.float().add_(bias_BK[:, None]).softmax(-1).to(query.dtype)

        weights_HNK = weights_HBQK.view(heads, rows * queries, -1)
        output_HNd = query.new_empty(heads, rows * queries, width)
        for start, end, group in self.spans:  # a prefix of length 0 gives zeros
            here = slice(start * queries, end * queries)
            torch.bmm(weights_HNK[:, here, : group.shared], _prefix_of(group, layer)[1], out=output_HNd[:, here])
        output_BHQd = torch.matmul(weights_HBQK[..., longest:].transpose(0, 1), own_values)
        output_BHQd += output_HNd.view(heads, rows, queries, width).transpose(0, 1)
        return output_BHQd.view(rows, 1, heads * queries, width)


def _extended(own: KeysValues, tokens: int) -> KeysValues:
    keys_BHdC, values_BHCd = own
    more = tokens - values_BHCd.shape[2]
    return nn.functional.pad(keys_BHdC, (0, more)), nn.functional.pad(values_BHCd, (0, 0, 0, more))


def _prefix_of(group: Group, layer: int) -> KeysValues:
    assert group.prefix is not None, "a group's prefix is read before its rows are decoded"
    return group.prefix[layer]
