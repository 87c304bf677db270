"""Batched sampling: shared prefixes are read once, rows that finish leave the batch.

A batch's prompts are grouped; what a group's prompts have in common at their start is prefilled once and kept once.
Every row has its own adapter slot and its own stream of random numbers.

Shapes: B rows of the batch, T own prompt tokens (padded to the longest), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.bank import BASE, AdapterBank, adapter_rows
from sys2ft.engine.forward import decode_states, head, hidden_states
from sys2ft.engine.prefix_attention import DecodeState
from sys2ft.engine.sampling import Sampling, Uniforms, choose

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
    """One Decoded a request, in order, and what it cost."""

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
                generated += len(ids) + finished
            computed += batch.tokens_computed
    return DecodeResult([d for d in decoded if d is not None], computed, generated)


class _Batch:
    """One batch of rows, sorted by slot and group, from prefill to the last row's end."""

    def __init__(
        self, model: torch.nn.Module, requests: Sequence[DecodeRequest], how: Sampling, bank: AdapterBank | None
    ) -> None:
        self.model, self.requests, self.how, self.bank = model, requests, how, bank
        self.device = next(model.parameters()).device
        self.uniforms = [Uniforms(request.seed) for request in requests]
        self.rows = list(range(len(requests)))  # requests still running, in batch order
        self.members: list[list[int]] = []  # requests of each group
        self.tokens_computed = 0
        keys: dict[tuple[int, Hashable, int], list[int]] = {}
        for row, request in enumerate(requests):
            if len(request.prompt_ids) < 2:
                raise ValueError("a prompt needs at least two tokens")
            keys.setdefault((request.slot, request.group, request.prompt_ids[0]), []).append(row)
        self.members = list(keys.values())
        self.prefixes = [_common_prefix([requests[row].prompt_ids for row in members]) for members in self.members]
        self.state = self._prefill()

    def _prefill(self) -> DecodeState:
        lengths = [len(prefix) for prefix in self.prefixes]
        size = max(lengths)
        tokens = np.zeros((len(lengths), size), dtype=np.int64)
        for g, prefix in enumerate(self.prefixes):
            tokens[g, : len(prefix)] = prefix
        tokens_GP = torch.from_numpy(tokens).to(self.device)
        # Padding stands at the right: the causal mask keeps it out of sight of what is kept.
        mask_GPP = torch.ones(size, size, dtype=torch.bool, device=self.device).tril().expand(len(lengths), -1, -1)
        kept: list[tuple[Tensor, Tensor]] = []
        slots = [self.requests[members[0]].slot for members in self.members]
        with adapter_rows(self.bank, slots):
            hidden_states(
                self.model,
                tokens_GP,
                torch.arange(size, device=self.device).expand(len(lengths), -1),
                mask_GPP,
                keep_kv=kept,
            )
        self.tokens_computed += sum(lengths)
        layers = [
            [(keys[g, :, :n].contiguous(), values[g, :, :n].contiguous()) for g, n in enumerate(lengths)]
            for keys, values in kept
        ]
        rows = len(self.requests)
        own = [(k.new_zeros(rows, k.shape[1], 0, k.shape[3]), v.new_zeros(rows, v.shape[1], 0, v.shape[3])) for k, v in kept]
        starts = np.cumsum([0] + [len(members) for members in self.members]).tolist()
        per_row = [lengths[g] for g, members in enumerate(self.members) for _ in members]
        return DecodeState(
            prefix=layers,
            own=own,
            bounds=list(zip(starts[:-1], starts[1:], strict=True)),
            prefix_lengths_B=torch.tensor(per_row, device=self.device),
            lengths_B=torch.zeros(rows, dtype=torch.long, device=self.device),
            window=_window(self.model),
        )

    def _step(self, tokens_BT: Tensor, steps_B: Tensor) -> Tensor:
        """Read new tokens (padded at the right) and return the logits (B, V) after each row's last real one."""
        state = self.state
        state.begin(steps_B, tokens_BT.shape[1])
        positions_BT = state.prefix_lengths_B[:, None] + state.places_BT
        with adapter_rows(self.bank, [self.requests[row].slot for row in self.rows]):
            hidden_BTD = decode_states(self.model, tokens_BT, positions_BT, state)
        state.lengths_B = state.lengths_B + steps_B
        last_BD = hidden_BTD[torch.arange(len(steps_B), device=self.device), steps_B - 1]
        return head(self.model, last_BD)

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
        tokens_BT, steps_B = self._own_prompts()
        for step in range(max_new_tokens):
            logits_BV = self._step(tokens_BT, steps_B)
            self.tokens_computed += len([row for row in self.rows if row not in ended]) if step else int(steps_B.sum())
            uniforms = [self.uniforms[row][step] for row in self.rows]
            uniforms_B = torch.tensor(uniforms, dtype=torch.float64, device=self.device)
            chosen = choose(logits_BV, uniforms_B, self.how)
            before = len(ended)
            for row, token in zip(self.rows, chosen.tolist(), strict=True):
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
            tokens_BT, steps_B = chosen[:, None], torch.ones_like(chosen)
            tokens_BT, steps_B = self._drop_ended(ended, tokens_BT, steps_B)
        return {row: (new[row], ended[row]) for row in new}

    def _own_prompts(self) -> tuple[Tensor, Tensor]:
        own = []
        for prefix, members in zip(self.prefixes, self.members, strict=True):
            own.extend(list(self.requests[row].prompt_ids[len(prefix) :]) for row in members)
        # Batch order is group order from here on.
        self.rows = [row for members in self.members for row in members]
        tokens = np.zeros((len(own), max(len(ids) for ids in own)), dtype=np.int64)
        for b, ids in enumerate(own):
            tokens[b, : len(ids)] = ids
        steps = torch.tensor([len(ids) for ids in own], device=self.device)
        return torch.from_numpy(tokens).to(self.device), steps

    def _drop_ended(self, ended: dict[int, bool], tokens_BT: Tensor, steps_B: Tensor) -> tuple[Tensor, Tensor]:
        running = [b for b, row in enumerate(self.rows) if row not in ended]
        if len(running) > _SHRINK_BELOW * len(self.rows):
            return tokens_BT, steps_B
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
        return tokens_BT[keep], steps_B[keep]


def _common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """What all prompts begin with, leaving at least one own token to each."""
    longest = min(len(ids) for ids in prompts) - 1
    same = 1
    while same < longest and all(ids[same] == prompts[0][same] for ids in prompts):
        same += 1
    return list(prompts[0][:same])


def _window(model: torch.nn.Module) -> int | None:
    if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
        return getattr(model.config, "sliding_window", None)
    return None
