"""Batched sampling: shared prefixes are read once, rows that finish leave the batch.

A batch's prompts are grouped; what a group's prompts have in common at their start is prefilled once and kept once.
Every row has its own adapter slot and its own stream of random numbers.

Shapes: B rows of the batch, D hidden size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sys2ft.engine.bank import BASE, AdapterBank, adapter_rows
from sys2ft.engine.forward import decode_states, head, hidden_states, sliding_window
from sys2ft.engine.prefix_attention import DecodeState
from sys2ft.engine.sampling import Sampling, Uniforms, choose
from sys2ft.engine.tree import Example, TokenTree, group_rows, pack

_PREFILL_NODES = 768  # prompt tokens read together: more would spend the time on attention between strangers
_SHRINK_BELOW = 0.8  # rows still running, as a share of the batch, under which the finished ones are cut out


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """A prompt to go on from. Requests of one `group` and slot should begin alike: that part is computed once."""

    prompt_ids: Sequence[int]
    seed: int
    group: Hashable = None
    slot: int = BASE


@dataclass(frozen=True, slots=True)
class Decoded:
    """New token ids without the stop token, and whether a stop was reached (else `max_new_tokens` cut it)."""

    ids: list[int]
    finished: bool


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """One Decoded a request, in order, and what it cost: tokens read, and tokens sampled (stop tokens too)."""

    decoded: list[Decoded]
    tokens_computed: int
    tokens_generated: int


def decode(
    model: torch.nn.Module,
    requests: Sequence[DecodeRequest],
    how: Sampling,
    *,
    max_new_tokens: int,
    stop_ids: frozenset[int],
    stop_when: Callable[[list[int]], bool] | None = None,
    bank: AdapterBank | None = None,
    rows_at_once: int = 128,
    on_done: Callable[[int], None] | None = None,
) -> DecodeResult:
    """Sample a continuation of each request's prompt.

    A row ends at one of `stop_ids`, when `stop_when(new ids)` holds, or after `max_new_tokens`. `on_done` is told how
    many rows have ended. With temperature 0 this is the model's own greedy decoding.
    """
    order = sorted(range(len(requests)), key=lambda i: (requests[i].slot, str(requests[i].group), i))
    decoded: list[Decoded | None] = [None] * len(requests)
    computed = generated = 0
    with torch.inference_mode():
        while order:
            here, order = order[:rows_at_once], order[rows_at_once:]
            batch = _Batch(model, [requests[i] for i in here], how, bank)
            for row, (ids, finished) in batch.run(max_new_tokens, stop_ids, stop_when, on_done).items():
                decoded[here[row]] = Decoded(ids, finished)
            computed += batch.tokens_computed
            generated += batch.tokens_generated
    return DecodeResult([d for d in decoded if d is not None], computed, generated)


class _Batch:
    """One batch of rows, in order of slot and group, from prefill to the last row's end."""

    def __init__(
        self, model: torch.nn.Module, requests: Sequence[DecodeRequest], how: Sampling, bank: AdapterBank | None
    ) -> None:
        self.model, self.how, self.bank = model, how, bank
        self.device = next(model.parameters()).device
        groups: dict[tuple[int, Hashable, int], list[int]] = {}
        for row, request in enumerate(requests):
            if not request.prompt_ids:
                raise ValueError("a prompt needs at least one token")
            groups.setdefault((request.slot, request.group, request.prompt_ids[0]), []).append(row)
        self.rows = [row for members in groups.values() for row in members]  # still running, in batch order
        self.slots = [requests[row].slot for row in self.rows]
        self.uniforms = {row: Uniforms(requests[row].seed) for row in self.rows}
        self.tokens_computed = self.tokens_generated = 0
        prompts = [requests[row].prompt_ids for row in self.rows]
        ends = list(itertools.accumulate(len(members) for members in groups.values()))
        self.state, self.hidden_BD = self._prefill(prompts, list(zip([0, *ends], ends, strict=False)))

    def _prefill(self, prompts: Sequence[Sequence[int]], bounds: list[tuple[int, int]]) -> tuple[DecodeState, Tensor]:
        """Read all prompts as token trees; the state, and the last hidden state of each prompt (B, D)."""
        shared = [_common_prefix(prompts[start:end]) for start, end in bounds]
        prefix_lengths = [
            length for (start, end), length in zip(bounds, shared, strict=True) for _ in range(start, end)
        ]
        own_lengths = [len(prompt) - n for prompt, n in zip(prompts, prefix_lengths, strict=True)]
        # A tree leaves out a sequence's last token, which is only predicted: a prompt is followed by what it predicts.
        examples = [
            Example([*prompt, 0], [False] * len(prompt) + [True], slot)
            for prompt, slot in zip(prompts, self.slots, strict=True)
        ]
        first_of = {start: group for group, (start, _) in enumerate(bounds)}
        hidden: dict[int, Tensor] = {}
        prefix: list[list[tuple[Tensor, Tensor]]] = []
        own: list[tuple[Tensor, Tensor]] = []
        for tree_rows in group_rows(examples, _PREFILL_NODES):
            packed, kept = pack(examples, [tree_rows], self.device), list[tuple[Tensor, Tensor]]()
            with adapter_rows(self.bank, packed.row_slots):
                out = hidden_states(self.model, packed.tokens_RT, packed.positions_RT, packed.mask_RTT, keep_kv=kept)
            self.tokens_computed += packed.tokens_computed
            if not own:
                size = (len(prompts), kept[0][0].shape[1], max(own_lengths))
                own = [(k.new_zeros(*size, k.shape[3]), v.new_zeros(*size, v.shape[3])) for k, v in kept]
                prefix = [[(k, v)] * len(bounds) for k, v in kept]
            tree = TokenTree()
            for row in tree_rows:
                nodes = torch.tensor(tree.path(examples[row].ids), device=self.device)
                n = prefix_lengths[row]
                hidden[row] = out[0, nodes[-1]]
                for layer, (keys, values) in enumerate(kept):
                    own[layer][0][row, :, : own_lengths[row]] = keys[0, :, nodes[n:]]
                    own[layer][1][row, :, : own_lengths[row]] = values[0, :, nodes[n:]]
                    if row in first_of:
                        prefix[layer][first_of[row]] = (keys[0, :, nodes[:n]], values[0, :, nodes[:n]])
        as_tensor = partial(torch.tensor, dtype=torch.long, device=self.device)
        state = DecodeState(
            prefix=prefix,
            own=own,
            bounds=bounds,
            prefix_lengths_B=as_tensor(prefix_lengths),
            lengths_B=as_tensor(own_lengths),
            window=sliding_window(self.model),
        )
        return state, torch.stack([hidden[row] for row in range(len(prompts))])

    def _step(self, tokens_B: Tensor) -> None:
        """Read one new token a row."""
        self.state.begin()
        with adapter_rows(self.bank, self.slots):
            hidden_B1D = decode_states(self.model, tokens_B[:, None], self.state.positions_B[:, None], self.state)
        self.state.lengths_B = self.state.lengths_B + 1
        self.hidden_BD = hidden_B1D[:, 0]

    def run(
        self,
        max_new_tokens: int,
        stop_ids: frozenset[int],
        stop_when: Callable[[list[int]], bool] | None,
        on_done: Callable[[int], None] | None,
    ) -> dict[int, tuple[list[int], bool]]:
        """New ids and whether a stop was reached, by row."""
        new: dict[int, list[int]] = {row: [] for row in self.rows}
        ended: dict[int, bool] = {}
        for step in range(max_new_tokens):
            uniforms = [self.uniforms[row][step] for row in self.rows]
            uniforms_B = torch.tensor(uniforms, dtype=torch.float64, device=self.device)
            tokens_B = choose(head(self.model, self.hidden_BD), uniforms_B, self.how)
            before = len(ended)
            self.tokens_generated += len(new) - before
            for row, token in zip(self.rows, tokens_B.tolist(), strict=True):
                if row in ended:
                    continue
                if token in stop_ids:
                    ended[row] = True
                    continue
                new[row].append(token)
                if stop_when is not None and stop_when(new[row]):
                    ended[row] = True
                elif step == max_new_tokens - 1:
                    ended[row] = False
            if on_done is not None and len(ended) > before:
                on_done(len(ended) - before)
            if len(ended) == len(new):
                break
            self.tokens_computed += len(new) - len(ended)
            self._step(self._drop_ended(ended, tokens_B))
        return {row: (new[row], ended[row]) for row in new}

    def _drop_ended(self, ended: dict[int, bool], tokens_B: Tensor) -> Tensor:
        """Cut ended rows out of the batch once they are many; the tokens of the rows that stay."""
        running = [b for b, row in enumerate(self.rows) if row not in ended]
        if len(running) > _SHRINK_BELOW * len(self.rows):
            return tokens_B
        keep = torch.tensor(running, device=self.device)
        bounds, groups, start = [], [], 0
        for g, (first, end) in enumerate(self.state.bounds):
            left = sum(first <= b < end for b in running)
            if left:
                bounds.append((start, start + left))
                groups.append(g)
                start += left
        self.state.keep(keep, bounds, groups)
        self.rows = [self.rows[b] for b in running]
        self.slots = [self.slots[b] for b in running]
        return tokens_B[keep]


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, leaving an own token to each where there are several."""
    longest = min(len(ids) for ids in prompts) - 1
    same = 0
    while same < longest and all(ids[same] == prompts[0][same] for ids in prompts):
        same += 1
    return same
