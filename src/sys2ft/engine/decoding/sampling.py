"""Sampling a token from each row's distribution, with one uniform number per row and step.

The number depends on the row's own seed and step, so a text depends on its seed and not on its batch. A token is found
by inverting the cumulative distribution, without sorting the vocabulary; only top-k and top-p need ranks, and top-p
sorts no more of the vocabulary than its probability mass requires.

Shapes: B rows, V vocabulary, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sys2ft.errors import check_sampling

_BLOCK = 128  # tokens of the vocabulary that are summed or compared at once
_FIRST_LOOK = 128  # ranks tried before a whole row is sorted for top-p
_AT_ONCE = {"cpu": 2**20, "cuda": 2**27}  # logits of a block of rows, which stay in a CPU's cache


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
    """One token id per row (B,), from float32 logits and uniform numbers in [0, 1)."""
    if how.temperature == 0:
        return logits_BV.argmax(-1)
    rows = max(1, _AT_ONCE["cuda" if logits_BV.is_cuda else "cpu"] // logits_BV.shape[1])
    parts = zip(torch.split(logits_BV, rows), torch.split(uniforms_B, rows), strict=True)
    return torch.cat([_choose(logits, uniforms, how) for logits, uniforms in parts])


def _choose(logits_BV: Tensor, uniforms_B: Tensor, how: Sampling) -> Tensor:
    if how.top_k:
        values_BK, ids_BK = most_likely(logits_BV, min(how.top_k, logits_BV.shape[-1]))
        probs_BK = (values_BK / how.temperature).softmax(-1)
        return ids_BK.gather(1, _invert(_nucleus(probs_BK, how.top_p), uniforms_B)).squeeze(1)
    probs_BV = (logits_BV / how.temperature).softmax(-1)
    return _invert_blocks(probs_BV, uniforms_B) if how.top_p >= 1 else _choose_top_p(probs_BV, uniforms_B, how.top_p)


def most_likely(values_BV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values of each row, descending, and their indices: `topk` in a fifth of its time on a CPU.

    The largest values are in the blocks with the largest maxima, so only those blocks are ranked.
    """
    rows, size = values_BV.shape
    blocks = size // _BLOCK
    if blocks <= 2 * count:
        return values_BV.topk(count, dim=-1)
    whole = blocks * _BLOCK
    blocks_BNW = values_BV[:, :whole].view(rows, blocks, _BLOCK)
    best_BK = blocks_BNW.amax(-1).topk(count, dim=-1).indices
    candidates_BC = blocks_BNW.gather(1, best_BK[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    places_BC = (best_BK[:, :, None] * _BLOCK + torch.arange(_BLOCK, device=best_BK.device)).flatten(1)
    rest = torch.arange(whole, size, device=best_BK.device).expand(rows, -1)
    values_BK, at_BK = torch.cat([candidates_BC, values_BV[:, whole:]], dim=1).topk(count, dim=-1)
    return values_BK, torch.cat([places_BC, rest], dim=1).gather(1, at_BK)


def _choose_top_p(probs_BV: Tensor, uniforms_B: Tensor, top_p: float) -> Tensor:
    probs_BK, ids_BK = most_likely(probs_BV, min(_FIRST_LOOK, probs_BV.shape[-1]))
    tokens_B = ids_BK.gather(1, _invert(_nucleus(probs_BK, top_p), uniforms_B)).squeeze(1)
    wide = (probs_BK.sum(-1) < top_p).nonzero().squeeze(1)
    if wide.numel():
        probs, ids = probs_BV[wide].sort(dim=-1, descending=True)
        tokens_B[wide] = ids.gather(1, _invert(_nucleus(probs, top_p), uniforms_B[wide])).squeeze(1)
    return tokens_B


def _nucleus(sorted_BK: Tensor, top_p: float) -> Tensor:
    """Zero the probabilities (sorted, descending) after the mass `top_p` is reached; the first is kept."""
    if top_p >= 1:
        return sorted_BK
    before = sorted_BK.cumsum(-1) - sorted_BK
    return sorted_BK.masked_fill(before >= top_p, 0.0)


def _invert(weights_BK: Tensor, uniforms_B: Tensor) -> Tensor:
    """Index (B, 1) where the cumulative weight passes u times the total."""
    cumulative_BK = weights_BK.double().cumsum(-1)
    return _passes(cumulative_BK, uniforms_B[:, None] * cumulative_BK[:, -1:])


def _invert_blocks(weights_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """`_invert` for long rows, (B,): first the block, then the place in it, so that the row is summed in one pass."""
    if spare := -weights_BV.shape[1] % _BLOCK:
        weights_BV = nn.functional.pad(weights_BV, (0, spare))
    blocks_BNW = weights_BV.view(len(weights_BV), -1, _BLOCK)
    sums_BN = blocks_BNW.sum(-1).double()
    cumulative_BN = sums_BN.cumsum(-1)
    sought_B1 = uniforms_B[:, None] * cumulative_BN[:, -1:]
    block_B1 = _passes(cumulative_BN, sought_B1)
    within_BW = blocks_BNW.gather(1, block_B1[:, :, None].expand(-1, -1, _BLOCK))[:, 0].double().cumsum(-1)
    # The block was summed in single precision: the target is scaled to its sum, so that rounding cannot exceed it.
    sum_B1, end_B1 = sums_BN.gather(1, block_B1), cumulative_BN.gather(1, block_B1)
    share_B1 = ((sought_B1 - (end_B1 - sum_B1)) / sum_B1).clamp(0, 1)
    return (block_B1 * _BLOCK + _passes(within_BW, share_B1 * within_BW[:, -1:])).squeeze(1)


def _passes(cumulative_BK: Tensor, sought_B1: Tensor) -> Tensor:
    """First index (B, 1) at which the sum exceeds the target: never one of weight zero."""
    below_B1 = sought_B1.clamp(max=cumulative_BK[:, -1:] * (1 - 1e-12))
    return torch.searchsorted(cumulative_BK, below_B1, right=True).clamp(max=cumulative_BK.shape[-1] - 1)
