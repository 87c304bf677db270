"""Batched sampling: shared prefixes are read once, and a row that ends is replaced by the next in the queue.

Requests of a group are neighbours in the queue; their common prefix is read and stored once. Every row has its own
adapter slot and its own stream of random numbers.

Shapes: B rows running, D hidden size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from sys2ft.engine.adapters.bank import BASE, adapter_rows
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.cpu.plan import base_pass
from sys2ft.engine.decoding.prefill import read_prompts
from sys2ft.engine.decoding.prefix_attention import BUFFER_BLOCK, DecodeState, Group
from sys2ft.engine.decoding.sampling import Sampling, Uniforms, choose
from sys2ft.engine.forward import decode_states, sliding_window
from sys2ft.engine.head import head, head_rows

# Share of the batch that must be free before its rows are rearranged: rearranging copies all their keys and values, and
# new prompts are read faster in larger batches.
_REARRANGE_AT = 0.2
# Of the own keys and values of all rows. Not the memory that is free: a text's rounding would depend on it.
_STATE_BYTES = 2**31


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """A prompt to continue. Requests of one `group` and slot should have a common prefix, which is computed once."""

    prompt_ids: Sequence[int]
    seed: int
    group: Hashable = None
    slot: int = BASE


@dataclass(frozen=True, slots=True)
class Decoded:
    """New token ids without the stop token, and whether a stop was reached (if not, `max_new_tokens` was)."""

    ids: list[int]
    finished: bool


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """One Decoded per request, in order, and the cost: tokens read, and tokens sampled (stop tokens included)."""

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
    bank: Bank | None = None,
    rows_at_once: int = 512,
    on_done: Callable[[int], None] | None = None,
) -> DecodeResult:
    """Sample a continuation of each request's prompt, up to `rows_at_once` at a time.

    Fewer rows run at a time if the keys and values of so many, each with `max_new_tokens` and its share of its group's
    prefix, would exceed 2 GiB. A row ends at one of `stop_ids`, when `stop_when(new ids)` holds (see StopStrings), or
    after `max_new_tokens`; the next request takes its place. `on_done` is called with the number of rows that have just
    ended. With temperature 0 this is the model's own greedy decoding.
    """
    if max_new_tokens < 1 or rows_at_once < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens}, rows_at_once={rows_at_once}: both must be at least 1")
    empty = [place for place, request in enumerate(requests) if not request.prompt_ids]
    if empty:
        raise ValueError(f"request {empty[0]} has no token in its prompt: a prompt needs at least one token")
    queue = list(_queue(requests))
    rows = min(rows_at_once, _rows_that_fit(model, queue, max_new_tokens))
    loop = _Loop(model, how, bank, rows, queue, max_new_tokens)
    with torch.inference_mode(), base_pass(model):
        loop.run(stop_ids, stop_when, on_done)
    decoded = [loop.decoded[place] for place in range(len(requests))]
    return DecodeResult(decoded, loop.tokens_computed, loop.tokens_generated)


@dataclass(slots=True, eq=False)
class _Row:
    """A request that is being decoded: its index among the requests, its group, and its new ids."""

    place: int
    request: DecodeRequest
    group: Group
    uniforms: Uniforms
    ids: list[int]
    ended: bool = False


def _queue(requests: Sequence[DecodeRequest]) -> Iterator[_Row]:
    """Rows in order of slot and group."""
    order = sorted(range(len(requests)), key=lambda i: (requests[i].slot, str(requests[i].group), i))
    members: dict[tuple[int, Hashable, int], list[int]] = {}
    for place in order:
        request = requests[place]
        members.setdefault((request.slot, request.group, request.prompt_ids[0]), []).append(place)
    for (slot, _, _), places in members.items():
        shared = _common_prefix([requests[place].prompt_ids for place in places])
        group = Group(slot, shared)
        for place in places:
            yield _Row(place, requests[place], group, Uniforms(requests[place].seed), [])


def _rows_that_fit(model: torch.nn.Module, queue: Sequence[_Row], max_new_tokens: int) -> int:
    """How many rows fit into `_STATE_BYTES` if all need as much as the largest.

    A row needs space for its own prompt, its new tokens, and its share of its group's prefix.
    """
    sharing = Counter(row.group for row in queue)
    own = max(
        (len(row.request.prompt_ids) - row.group.shared + row.group.shared / sharing[row.group] for row in queue),
        default=0.0,
    )
    return max(1, int(_STATE_BYTES / (key_value_bytes(model) * (own + max_new_tokens))))


def key_value_bytes(model: torch.nn.Module) -> int:
    """Bytes of one token's keys and values in all layers."""
    config = cast(Any, model).config
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers: int = config.num_hidden_layers
    return 2 * layers * heads * size * next(model.parameters()).element_size()


class _Loop:
    """The running rows, the queue of those that wait, and the state of their keys and values."""

    def __init__(
        self,
        model: torch.nn.Module,
        how: Sampling,
        bank: Bank | None,
        rows_at_once: int,
        queue: list[_Row],
        max_new_tokens: int,
    ) -> None:
        self.model, self.how, self.bank, self.rows_at_once = model, how, bank, rows_at_once
        self.max_new_tokens = max_new_tokens
        self.device = next(model.parameters()).device
        self.queue = queue[::-1]  # the next row is the last of the list
        self.rows: list[_Row] = []
        self.state: DecodeState | None = None
        self.hidden_BD = torch.empty(0, device=self.device)
        self.decoded: dict[int, Decoded] = {}
        self.tokens_computed = self.tokens_generated = 0

    def run(
        self,
        stop_ids: frozenset[int],
        stop_when: Callable[[list[int]], bool] | None,
        on_done: Callable[[int], None] | None,
    ) -> None:
        self._admit()
        while self.rows:
            uniforms = [row.uniforms[len(row.ids)] for row in self.rows]
            uniforms_B = torch.tensor(uniforms, dtype=torch.float64, device=self.device)
            parts = math.ceil(len(self.rows) / head_rows(self.model))
            tokens_B = torch.cat(
                [
                    choose(head(self.model, hidden_BD), own_B, self.how)
                    for hidden_BD, own_B in zip(self.hidden_BD.chunk(parts), uniforms_B.chunk(parts), strict=True)
                ]
            )
            before = len(self.decoded)
            for row, token in zip(self.rows, tokens_B.tolist(), strict=True):
                if row.ended:
                    continue
                self.tokens_generated += 1
                if token in stop_ids:
                    self._end(row, True)
                    continue
                row.ids.append(token)
                if stop_when is not None and stop_when(row.ids):
                    self._end(row, True)
                elif len(row.ids) == self.max_new_tokens:
                    self._end(row, False)
            if on_done is not None and len(self.decoded) > before:
                on_done(len(self.decoded) - before)
            tokens_B = self._drop_ended(tokens_B)
            if self.rows:
                self._step(tokens_B)
            if self.rows_at_once - len(self.rows) >= _REARRANGE_AT * self.rows_at_once:
                self._admit()

    def _end(self, row: _Row, finished: bool) -> None:
        row.ended = True
        self.decoded[row.place] = Decoded(row.ids, finished)

    def _step(self, tokens_B: Tensor) -> None:
        """Read one new token of each row."""
        assert self.state is not None
        self.state.begin()
        with adapter_rows(self.bank, [row.request.slot for row in self.rows]):
            hidden_B1D = decode_states(self.model, tokens_B[:, None], self.state.positions_B[:, None], self.state)
        self.state.lengths_B = self.state.lengths_B + 1
        self.hidden_BD = hidden_B1D[:, 0]
        self.tokens_computed += sum(not row.ended for row in self.rows)

    def _drop_ended(self, tokens_B: Tensor) -> Tensor:
        """Remove ended rows from the batch if there are many; returns the tokens of the remaining rows."""
        running = [b for b, row in enumerate(self.rows) if not row.ended]
        if len(self.rows) - len(running) < _REARRANGE_AT * len(self.rows) and running:
            return tokens_B
        self.rows = [self.rows[b] for b in running]
        if not running:
            self.state = None
            return tokens_B
        assert self.state is not None
        self.state.keep(running)
        return tokens_B[torch.tensor(running, device=self.device)]

    def _admit(self) -> None:
        """Fill free places from the queue; the new prompts are read in one batch."""
        new = [self.queue.pop() for _ in range(min(self.rows_at_once - len(self.rows), len(self.queue)))]
        if not new:
            return
        prompts = [(row.request.prompt_ids, row.group) for row in new]
        reading = read_prompts(self.model, self.bank, prompts, spare=min(self.max_new_tokens, BUFFER_BLOCK))
        self.tokens_computed += reading.tokens_computed
        lengths_B = torch.tensor(reading.lengths, dtype=torch.long, device=self.device)
        state = DecodeState(reading.own, [row.group for row in new], lengths_B, sliding_window(self.model))
        if self.state is None:
            self.state, self.hidden_BD = state, reading.hidden_BD
        else:
            self.state.append(state)
            self.hidden_BD = torch.cat([self.hidden_BD, reading.hidden_BD])
        self.rows = self.rows + new


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix of all prompts; each of several keeps at least one token of its own."""
    longest = min(len(ids) for ids in prompts) - 1
    same = 0
    while same < longest and all(ids[same] == prompts[0][same] for ids in prompts):
        same += 1
    return same
