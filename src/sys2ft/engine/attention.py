"""The attention of a pass: the forms of scaled dot-product attention, and the function that picks one.

The engine registers `attention` with transformers under the name 'sys2ft'. A pass hands over its data by `attending`,
since not every model passes unknown keyword arguments on to its attention. `form` picks the form of attention: None, or
an object of a class below.

| form | class | used for | what a token sees |
|---|---|---|---|
| masked | none | reading prompts and long texts | what a boolean mask of tokens by keys says |
| path | `trees.path_attention.Paths` | token trees: training loss and scoring | its path from the root |
| ragged | `trees.ragged_attention.RaggedPaths` | the same in half precision on a GPU | the same |
| prefix | `decoding.prefix_attention.DecodeState` | decode steps | its group's prefix and its row's own tokens |

Masked is the plain form, transformers' own SDPA function. The others compute the same values where a mask would be
wasteful. In a batch of trees it would be mostly empty: path attention computes the trees' branches as a few padded
batches, and has a gradient. In decoding the keys of a shared prefix would be repeated for every row: prefix attention
stores them once for each group of rows, and has no gradient. All get the same queries, keys, values and scaling;
the two share `as_bias`. The model's own eager attention is used in one place only, where the attention weights of a
short text are wanted (`trace.attention_weights`).

Shapes: R rows, H query heads, h key-value heads, T tokens, P tokens of a prefix, K keys, d head size.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "sys2ft"
KeysValues = tuple[Tensor, Tensor]
"""Of one layer. Stored ones are keys (h, d, K), as the product with a query needs them, and values (h, K, d)."""

# What a model may add to scaled products under a mask. At small scores such a term changes logits by less than
# `prepare` checks for, and not every transformers release refuses what its SDPA function leaves out (5.17: a soft cap).
_UNKNOWN_TERMS = ("softcap", "s_aux", "sinks", "position_bias", "block_indices")


class UnknownTerm(ValueError):
    """The model's attention adds a term that the engine does not compute."""


class Form(Protocol):
    """A form of attention with the data of one pass."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, sliding: bool) -> Tensor:
        """Attention output (R, T, H, d), or (R, T, H*d). `sliding`: the layer looks back no further than its window."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What the attention of one pass needs besides queries, keys, values and mask.

    `all_slide`: every layer looks back no further than the window (not every model says so to its attention function).
    Of the masked form only: `prefix` are each layer's keys and values of tokens before all rows, and `heads_off` the
    heads, by layer, whose output is zero. `keep_kv` receives the key and value of each layer.
    """

    form: Form | None = None
    all_slide: bool = False
    prefix: list[KeysValues] | None = None
    keep_kv: list[KeysValues] | None = None
    heads_off: Mapping[int, Tensor] | None = None


class _Here(threading.local):
    """The pass of each thread."""

    def __init__(self) -> None:
        self.now = Pass()


_HERE = _Here()


@contextlib.contextmanager
def attending(now: Pass) -> Iterator[None]:
    """Within the block, the attention of this thread's passes is that of `now`."""
    before, _HERE.now = _HERE.now, now
    try:
        yield
    finally:
        _HERE.now = before


def as_bias(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """What is added to scores: 0 where a key is visible, -inf elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -math.inf)


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention output (R, T, H, d). query (R, H, T, d); key and value (R, h, T, d), rotary positions applied."""
    now = _HERE.now
    for term in _UNKNOWN_TERMS:
        if kwargs.get(term) is not None:
            raise UnknownTerm(f"its attention has the term {term}")
    if now.keep_kv is not None:
        now.keep_kv.append((key, value))
    if now.form is not None:
        sliding, scaling = now.all_slide or kwargs.get("sliding_window") is not None, kwargs.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        return now.form.attend(_layer(module), query, key, value, scaling=scaling, sliding=sliding), None
    if now.prefix is not None:
        before_keys, before_values = now.prefix[_layer(module)]
        rows = key.shape[0]
        key = torch.cat([before_keys.transpose(1, 2).expand(rows, -1, -1, -1), key], dim=2)
        value = torch.cat([before_values.expand(rows, -1, -1, -1), value], dim=2)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    off = now.heads_off.get(_layer(module)) if now.heads_off else None
    return (output if off is None else output.index_fill(2, off, 0.0)), None


def _layer(module: nn.Module) -> int:
    return int(cast(Any, module).layer_idx)
