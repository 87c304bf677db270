"""Sampling a token from each row's distribution, by one uniform number a row and step.

The number comes from the row's own seed and step, so a text depends on its seed and not on its batch. The vocabulary
is not sorted: a token is found by inverting the cumulative distribution; only top-k and top-p look at ranks, and
top-p sorts no more of the vocabulary than its mass needs.

Shapes: B rows, V vocabulary, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sys2ft.errors import check_sampling

_FIRST_LOOK = 128  # ranks tried before a whole row is sorted for top-p


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Sample from the smallest set of tokens whose probability reaches this."""
    top_k: int = 0
    """Sample from this many most likely tokens; 0: all."""

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.top_p, self.top_k)


class Uniforms:
    """A row's stream of uniform numbers: number n depends on the seed and n alone (Philox counter)."""

    __slots__ = ("_numbers", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: np.ndarray = np.empty(0)

    def __getitem__(self, step: int) -> float:
        if step >= len(self._numbers):
            generator = np.random.Generator(np.random.Philox(key=self._seed))
            self._numbers = generator.random(max(64, 2 * step))
        return float(self._numbers[step])


def choose(logits_BV: Tensor, uniforms_B: Tensor, how: Sampling) -> Tensor:
    """One token id a row (B,), from float32 logits and uniform numbers in [0, 1)."""
    if how.temperature == 0:
        return logits_BV.argmax(-1)
    scaled_BV = logits_BV / how.temperature
    if how.top_k:
        values_BK, ids_BK = scaled_BV.topk(min(how.top_k, scaled_BV.shape[-1]), dim=-1)
        probs_BK = values_BK.softmax(-1)
        return ids_BK.gather(1, _invert(_nucleus(probs_BK, how.top_p), uniforms_B)).squeeze(1)
    probs_BV = scaled_BV.softmax(-1)
    if how.top_p >= 1:
        return _invert(probs_BV, uniforms_B).squeeze(1)
    return _choose_top_p(probs_BV, uniforms_B, how.top_p)


def _choose_top_p(probs_BV: Tensor, uniforms_B: Tensor, top_p: float) -> Tensor:
    probs_BK, ids_BK = probs_BV.topk(min(_FIRST_LOOK, probs_BV.shape[-1]), dim=-1)
    tokens_B = ids_BK.gather(1, _invert(_nucleus(probs_BK, top_p), uniforms_B)).squeeze(1)
    wide = (probs_BK.sum(-1) < top_p).nonzero().squeeze(1)
    if wide.numel():
        probs, ids = probs_BV[wide].sort(dim=-1, descending=True)
        tokens_B[wide] = ids.gather(1, _invert(_nucleus(probs, top_p), uniforms_B[wide])).squeeze(1)
    return tokens_B


def _nucleus(sorted_BK: Tensor, top_p: float) -> Tensor:
    """Zero the probabilities (sorted, falling) that come after the mass `top_p` is reached; the first stays."""
    if top_p >= 1:
        return sorted_BK
    before = sorted_BK.cumsum(-1) - sorted_BK
    return sorted_BK.masked_fill(before >= top_p, 0.0)


def _invert(weights_BK: Tensor, uniforms_B: Tensor) -> Tensor:
    """Index (B, 1) where the cumulative weight passes u times the total."""
    cumulative = weights_BK.double().cumsum(-1) if weights_BK.shape[-1] <= _FIRST_LOOK else weights_BK.cumsum(-1)
    total = cumulative[:, -1:]
    sought = (uniforms_B.to(cumulative.dtype)[:, None] * total).clamp(max=total * (1 - 1e-7))
    return torch.searchsorted(cumulative, sought, right=True).clamp(max=weights_BK.shape[-1] - 1)
