"""Batched sampling: shared prefixes are read once, and a row that ends is replaced by the next in the queue.

Requests of a group are neighbours in the queue; their common prefix is read and stored once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from sys2ft.engine.adapters.bank import BASE
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.decoding.decoder import Decoder, Row, decoding
from sys2ft.engine.decoding.prefix_attention import Group
from sys2ft.engine.decoding.sampling import Sampling, Uniforms

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
    rows = dict[int, Row]()
    for slot, places in _groups(requests):
        prefix = group_of(slot, [requests[place].prompt_ids for place in places])
        for place in places:
            one = requests[place]
            rows[place] = Row(one.prompt_ids, prefix, how, Uniforms(one.seed), max_new_tokens, stop_when)
    queue = list(rows.values())
    rows_at_once = min(rows_at_once, _rows_that_fit(model, queue, max_new_tokens))
    decoder = Decoder(model, bank, rows_at_once=rows_at_once, stop_ids=stop_ids)
    decoder.add(queue)
    with decoding(model):
        while decoder.busy:
            ended = sum(said.row.ended for said in decoder.step())
            if on_done is not None and ended:
                on_done(ended)
    decoded = [Decoded(rows[place].ids, rows[place].finished) for place in range(len(requests))]
    return DecodeResult(decoded, decoder.tokens_computed, decoder.tokens_generated)


def _groups(requests: Sequence[DecodeRequest]) -> Iterator[tuple[int, list[int]]]:
    """The slot and the places of the requests that share a prefix, in order of slot and group."""
    order = sorted(range(len(requests)), key=lambda i: (requests[i].slot, str(requests[i].group), i))
    members: dict[tuple[int, Hashable, int], list[int]] = {}
    for place in order:
        request = requests[place]
        members.setdefault((request.slot, request.group, request.prompt_ids[0]), []).append(place)
    for (slot, _, _), places in members.items():
        yield slot, places


def group_of(slot: int, prompts: Sequence[Sequence[int]]) -> Group:
    """The group of prompts that are read together by one slot: what they begin with is read once."""
    return Group(slot, _common_prefix(prompts))


def _rows_that_fit(model: torch.nn.Module, queue: Sequence[Row], max_new_tokens: int) -> int:
    """How many rows fit into `_STATE_BYTES` if all need as much as the largest.

    A row needs space for its own prompt, its new tokens, and its share of its group's prefix.
    """
    sharing = Counter(row.group for row in queue)
    own = max(
        (len(row.prompt_ids) - row.group.shared + row.group.shared / sharing[row.group] for row in queue),
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


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix of all prompts; each of several keeps at least one token of its own."""
    longest = min(len(ids) for ids in prompts) - 1
    same = 0
    while same < longest and all(ids[same] == prompts[0][same] for ids in prompts):
        same += 1
    return same
