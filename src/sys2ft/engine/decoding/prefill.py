"""Reading prompts: the prefix of a group is read once and stored, what follows it is read as token trees.

Shapes: B prompts, R those of a pass, D hidden size, H key-value heads, C own tokens (padded to the longest), T nodes, P
prefix, d head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.adapters.bank import adapter_rows
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.attention import KeysValues
from sys2ft.engine.decoding.prefix_attention import Group
from sys2ft.engine.forward import hidden_states
from sys2ft.engine.transfer import send, send_integers
from sys2ft.engine.trees.tree import TokenTree

_NODES = 384  # prompt tokens per pass: in longer ones most attention scores are between unrelated prompts, and masked
_NODES_ON_GPU = 2048  # shorter passes take no less time; the scores of these cost some 6% of the layers at 7B


@dataclass(slots=True)
class Reading:
    """Prompts that have been read, as a decode loop continues them.

    hidden_BD: the last hidden state of each prompt. own[layer]: keys (B, H, d, C) and values (B, H, C, d) of the tokens
    after its group's prefix, of which row b has `lengths[b]`; entries beyond are finite and unused.
    """

    hidden_BD: Tensor
    own: list[KeysValues]
    lengths: list[int]
    tokens_computed: int


def read_prompts(
    model: torch.nn.Module,
    bank: Bank | None,
    prompts: Sequence[tuple[Sequence[int], Group]],
    spare: int = 0,
) -> Reading:
    """Read (token ids, group) pairs, ordered by group; groups whose prefix was not read yet are given theirs.

    `spare`: tokens for which the buffers have space after the longest prompt.
    """
    reader = _Reader(model, bank, prompts, spare)
    for tokens in reader.passes():
        reader.read(tokens)
    hidden_BD = torch.stack([reader.hidden[row] for row in range(len(prompts))])
    return Reading(hidden_BD, reader.own, reader.lengths, reader.tokens_computed)


@dataclass(slots=True)
class _Pass:
    """A tree to read: the nodes of each row in it, and the group whose prefix precedes its roots, if any."""

    slot: int
    after: Group | None = None
    tree: TokenTree = field(default_factory=TokenTree)
    nodes: dict[int, list[int]] = field(default_factory=dict)
    prefix_of: dict[int, Group] = field(default_factory=dict)  # by row: the prefix to keep from that row's nodes

    @property
    def start(self) -> int:
        """Position of the tree's roots."""
        return self.after.shared if self.after else 0


class _Reader:
    def __init__(
        self,
        model: torch.nn.Module,
        bank: Bank | None,
        prompts: Sequence[tuple[Sequence[int], Group]],
        spare: int,
    ) -> None:
        self.model, self.bank, self.prompts, self.spare = model, bank, prompts, spare
        self.device = next(model.parameters()).device
        self.most = _NODES_ON_GPU if self.device.type == "cuda" else _NODES
        self.lengths = [len(ids) - group.shared for ids, group in prompts]
        self.hidden: dict[int, Tensor] = {}
        self.own: list[KeysValues] = []
        self.tokens_computed = 0

    def passes(self) -> Iterator[_Pass]:
        """Small groups of a slot are read in one pass, prefixes included; the prefix of a large group is read first."""
        several: _Pass | None = None
        for _, members in itertools.groupby(range(len(self.prompts)), key=lambda row: id(self.prompts[row][1])):
            rows = list(members)
            group = self.prompts[rows[0]][1]
            own = sum(self.lengths[row] for row in rows)
            if group.prefix is None and group.shared + own <= self.most:
                prefix = self.prompts[rows[0]][0][: group.shared]
                if several and (
                    several.slot != group.slot or len(several.tree) + several.tree.cost([*prefix, 0]) + own > self.most
                ):
                    yield several
                    several = None
                several = several or _Pass(group.slot)
                self._add(several, rows)
                several.prefix_of[rows[0]] = group
                continue
            if group.prefix is None and group.shared:
                alone = _Pass(group.slot)
                alone.nodes[-1] = alone.tree.path([*self.prompts[rows[0]][0][: group.shared], 0])
                alone.prefix_of[-1] = group
                yield alone
            yield from self._in_parts(group, rows)
        if several:
            yield several

    def _in_parts(self, group: Group, rows: Sequence[int]) -> Iterator[_Pass]:
        """The tokens after the group's prefix, in trees of bounded size."""
        part = _Pass(group.slot, group)
        for row in rows:
            if part.nodes and len(part.tree) + self.lengths[row] > self.most:
                yield part
                part = _Pass(group.slot, group)
            self._add(part, [row])
        yield part

    def _add(self, into: _Pass, rows: Sequence[int]) -> None:
        for row in rows:
            # A tree has no node for a sequence's last token, so one is appended to the prompt.
            into.nodes[row] = into.tree.path([*self.prompts[row][0][into.start :], 0])

    def read(self, tokens: _Pass) -> None:
        tree, before = tokens.tree, tokens.start
        ancestors_TT = send(torch.from_numpy(tree.ancestors()), self.device)
        groups = {row: group for row, group in tokens.prefix_of.items() if row in tokens.nodes}
        paths = {row: path for row, path in tokens.nodes.items() if row >= 0}
        tokens_T, depths_T, ends_R, *shared = send_integers(
            [
                tree.tokens,
                tree.depths,
                [path[-1] for path in paths.values()],
                *(tokens.nodes[row][: group.shared] for row, group in groups.items()),
            ],
            self.device,
        )
        mask_TK = torch.cat([ancestors_TT.new_ones(len(tree), before), ancestors_TT], dim=1)
        kept: list[KeysValues] = []
        with adapter_rows(self.bank, [tokens.slot]):
            hidden_1TD = hidden_states(
                self.model,
                tokens_T[None],
                depths_T[None] + before,
                mask_TK[None],
                prefix=tokens.after.prefix if tokens.after else None,
                keep_kv=kept,
            )
        self.tokens_computed += len(tree)
        if tokens.after and tokens.after.prefix is None:  # prompts without a common prefix
            tokens.after.prefix = [(keys[0, :, :0].transpose(1, 2), values[0, :, :0]) for keys, values in kept]
        for group, shared_P in zip(groups.values(), shared, strict=True):
            group.prefix = [
                (keys[0, :, shared_P].transpose(1, 2).contiguous(), values[0, :, shared_P]) for keys, values in kept
            ]
        if paths:
            self._keep_own(paths, kept)
            self.hidden |= dict(zip(paths, hidden_1TD[0, ends_R], strict=True))

    def _keep_own(self, paths: Mapping[int, list[int]], kept: Sequence[KeysValues]) -> None:
        """Copy each row's own keys and values from those of a pass into its buffers."""
        longest = max(self.lengths)
        own_nodes = [path[len(path) - self.lengths[row] :] for row, path in paths.items()]
        nodes_RC, rows_R = send_integers(
            [np.array([own + [0] * (longest - len(own)) for own in own_nodes]), list(paths)], self.device
        )
        if not self.own:
            self.own = [self._buffers(*layer, longest) for layer in kept]
        for (keys, values), (own_keys, own_values) in zip(kept, self.own, strict=True):
            own_keys[..., :longest].index_copy_(0, rows_R, keys[0][:, nodes_RC].permute(1, 0, 3, 2))
            own_values[:, :, :longest].index_copy_(0, rows_R, values[0][:, nodes_RC].transpose(0, 1))

    def _buffers(self, keys_1HTd: Tensor, values_1HTd: Tensor, longest: int) -> KeysValues:
        """Keys and values to be filled up to `longest`; the spare space behind it is zero."""
        (_, heads, _, size), rows, width = keys_1HTd.shape, len(self.prompts), values_1HTd.shape[3]
        keys = keys_1HTd.new_empty(rows, heads, size, longest + self.spare)
        values = values_1HTd.new_empty(rows, heads, longest + self.spare, width)
        keys[..., longest:] = values[:, :, longest:] = 0
        return keys, values
