"""The rows that are being decoded: tokens are given out step by step, and rows join and leave while others run.

`decode` runs a list of requests through it; a server adds rows as they arrive. Every row has its own adapter slot,
sampling, limits and stream of random numbers, so that a text does not depend on the rows beside it (up to rounding).

Shapes: B rows running, D hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.adapters.bank import adapter_rows
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.cpu.plan import base_pass
from sys2ft.engine.decoding.prefill import read_prompts
from sys2ft.engine.decoding.prefix_attention import BUFFER_BLOCK, DecodeState, Group
from sys2ft.engine.decoding.sampling import Sampling, Uniforms, choose, most_likely
from sys2ft.engine.forward import decode_states, sliding_window
from sys2ft.engine.head import head, head_rows
from sys2ft.engine.transfer import send, send_integers

# Share of the batch that must be free before its rows are rearranged: rearranging copies all their keys and values, and
# new prompts are read faster in larger batches.
_REARRANGE_AT = 0.2


@dataclass(slots=True, eq=False)
class Row:
    """A prompt that is being continued, and its new ids. Rows with one `group` share the first tokens of their prompts.

    It ends at a stop token of the decoder, when `stop_when(ids)` holds, or with `max_new_tokens`; `finished` says
    whether a stop ended it. With `top_logprobs` (0 or more) log-probabilities come with each token, and with the most
    likely others.
    """

    prompt_ids: Sequence[int]
    group: Group
    how: Sampling
    uniforms: Uniforms
    max_new_tokens: int
    stop_when: Callable[[list[int]], bool] | None = None
    top_logprobs: int | None = None
    ids: list[int] = field(default_factory=list)
    ended: bool = False
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probability of a token under the model's own distribution, before temperature and top-p, and the best ones.

    `top`: (token, log-probability) of the most likely tokens, descending.
    """

    chosen: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A token that a row was given; None: a stop token, which is not part of its ids."""

    row: Row
    token: int | None
    logprobs: Logprobs | None = None


@contextlib.contextmanager
def decoding(model: torch.nn.Module) -> Iterator[None]:
    """Within the block this thread may call `Decoder.step`."""
    with torch.inference_mode(), base_pass(model):
        yield


class Decoder:
    """Up to `rows_at_once` running rows, the queue of those that wait, and the state of their keys and values.

    With `state_bytes` a row also waits until the keys and values of all rows, if each needs as much as the largest,
    take no more than that; a row that needs more by itself runs alone. `token_bytes`: those of one token.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        bank: Bank | None,
        *,
        rows_at_once: int,
        stop_ids: frozenset[int],
        state_bytes: int | None = None,
        token_bytes: int = 0,
    ) -> None:
        self.model, self.bank, self.rows_at_once, self.stop_ids = model, bank, rows_at_once, stop_ids
        self.most_tokens = None if state_bytes is None else state_bytes // token_bytes
        self.device = next(model.parameters()).device
        self.queue: deque[Row] = deque()
        self.rows: list[Row] = []
        self.state: DecodeState | None = None
        self.hidden_BD = torch.empty(0, device=self.device)
        self.tokens_B: Tensor | None = None  # chosen, and not read yet
        self.tokens_computed = self.tokens_generated = 0

    @property
    def busy(self) -> bool:
        """Whether a row runs or waits."""
        return bool(self.queue) or bool(self.rows)

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows to the queue; those of one group must be neighbours, and added together."""
        self.queue.extend(rows)

    def cancel(self, row: Row) -> None:
        """End a row; nothing more is said of it."""
        row.ended = True

    def step(self) -> list[Said]:
        """One more token for every running row, after those that wait have been admitted if there is room."""
        if self.tokens_B is not None:
            tokens_B = self._drop_ended(self.tokens_B)
            self.tokens_B = None
            if self.rows:
                self._read(tokens_B)
        if self.rows_at_once - len(self.rows) >= _REARRANGE_AT * self.rows_at_once:
            self._admit()
        said = self._choose() if self.rows else []
        if all(row.ended for row in self.rows):
            self.rows, self.state, self.tokens_B = [], None, None
        return said

    def _choose(self) -> list[Said]:
        """Choose a token for each row from its last hidden state."""
        uniforms = [row.uniforms[len(row.ids)] for row in self.rows]
        uniforms_B = send(torch.tensor(uniforms, dtype=torch.float64), self.device)
        tokens, logprobs = list[Tensor](), dict[int, Logprobs]()
        start = 0
        for hidden_BD in self.hidden_BD.chunk(math.ceil(len(self.rows) / head_rows(self.model))):
            rows = self.rows[start : start + len(hidden_BD)]
            logits_BV = head(self.model, hidden_BD)
            tokens_B = _choose_each(logits_BV, uniforms_B[start : start + len(rows)], rows)
            asking = {
                p: row.top_logprobs for p, row in enumerate(rows) if row.top_logprobs is not None and not row.ended
            }
            for place, own in _logprobs(logits_BV, tokens_B, asking).items():
                logprobs[start + place] = own
            tokens.append(tokens_B)
            start += len(rows)
        self.tokens_B = torch.cat(tokens)
        said = []
        for place, (row, token) in enumerate(zip(self.rows, self.tokens_B.tolist(), strict=True)):
            if not row.ended:
                said.append(Said(row, self._extend(row, token), logprobs.get(place)))
        return said

    def _extend(self, row: Row, token: int) -> int | None:
        """Append the token to its row, or end it at a stop token; returns what was appended."""
        self.tokens_generated += 1
        if token in self.stop_ids:
            row.ended = row.finished = True
            return None
        row.ids.append(token)
        if row.stop_when is not None and row.stop_when(row.ids):
            row.ended = row.finished = True
        elif len(row.ids) == row.max_new_tokens:
            row.ended = True
        return token

    def _read(self, tokens_B: Tensor) -> None:
        """Read one new token of each row."""
        assert self.state is not None
        self.state.begin()
        with adapter_rows(self.bank, [row.group.slot for row in self.rows]):
            hidden_B1D = decode_states(self.model, tokens_B[:, None], self.state.positions_B[:, None], self.state)
        self.state.end()
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
        (running_B,) = send_integers([running], self.device)
        return tokens_B[running_B]

    def _admit(self) -> None:
        """Fill free places from the queue; the new prompts are read in one batch."""
        new: list[Row] = []
        while self.queue and len(self.rows) + len(new) < self.rows_at_once:
            if not self.queue[0].ended and not self._fits([*self.rows, *new, self.queue[0]]):
                break
            row = self.queue.popleft()
            if not row.ended:
                new.append(row)
        if not new:
            return
        new.sort(key=lambda row: row.group.slot)  # prompts of one slot are read together
        spare = min(max(row.max_new_tokens for row in new), BUFFER_BLOCK)
        reading = read_prompts(self.model, self.bank, [(row.prompt_ids, row.group) for row in new], spare=spare)
        self.tokens_computed += reading.tokens_computed
        groups = [row.group for row in new]
        state = DecodeState(reading.own, groups, np.array(reading.lengths), sliding_window(self.model))
        if self.state is None:
            self.state, self.hidden_BD = state, reading.hidden_BD
        else:
            self.state.append(state)
            self.hidden_BD = torch.cat([self.hidden_BD, reading.hidden_BD])
        self.rows = self.rows + new

    def _fits(self, rows: Sequence[Row]) -> bool:
        if self.most_tokens is None or len(rows) == 1:
            return True
        # The buffers of own keys and values are as long as those of the longest row; a prefix is stored once.
        own = max(len(row.prompt_ids) - row.group.shared + row.max_new_tokens for row in rows)
        return len(rows) * own + sum(group.shared for group in {row.group for row in rows}) <= self.most_tokens


def _choose_each(logits_BV: Tensor, uniforms_B: Tensor, rows: Sequence[Row]) -> Tensor:
    """A token of each row, sampled as the row says."""
    places: dict[Sampling, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.how, []).append(place)
    if len(places) == 1:
        return choose(logits_BV, uniforms_B, rows[0].how)
    tokens_B = torch.empty(len(rows), dtype=torch.long, device=logits_BV.device)
    for how, own in places.items():
        (own_B,) = send_integers([own], logits_BV.device)
        tokens_B[own_B] = choose(logits_BV[own_B], uniforms_B[own_B], how)
    return tokens_B


def _logprobs(logits_BV: Tensor, tokens_B: Tensor, asking: Mapping[int, int]) -> dict[int, Logprobs]:
    """Of the rows in `asking`, by their places, with so many of the most likely tokens each."""
    if not asking:
        return {}
    (rows_b,) = send_integers([list(asking)], logits_BV.device)
    logprobs_bV = logits_BV[rows_b].log_softmax(-1)
    chosen = logprobs_bV.gather(1, tokens_B[rows_b][:, None])[:, 0].tolist()
    best: list[list[tuple[int, float]]] = [[] for _ in asking]
    if most := max(asking.values()):
        values_bK, ids_bK = most_likely(logprobs_bV, most)
        best = [
            list(zip(ids, values, strict=True)) for ids, values in zip(ids_bK.tolist(), values_bK.tolist(), strict=True)
        ]
    return {
        place: Logprobs(value, tuple(own[:top]))
        for (place, top), value, own in zip(asking.items(), chosen, best, strict=True)
    }
