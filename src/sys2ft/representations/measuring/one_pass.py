"""One pass over the longest context measures every shorter one too, since attention is causal.

While the model reads, each layer's residual stream is summed by node and by stretch of words; a stretch is the interval
between two consecutive window boundaries. The means over the window at any requested length are then combined from its
stretches. For each layer, the squared distances between node means are kept, which is all that the analyses need (see
`geometry`), and the means at the full length.

Shapes: T tokens, W words of the context, N nodes, C context lengths, L layers, D hidden size, P pairs of nodes, S
stretches of words between window boundaries.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from sys2ft.engine.head import head
from sys2ft.engine.trace import Reader, read_text
from sys2ft.representations.graphs.prompts import Prompt

Singles = npt.NDArray[np.float32]

POSITIONS = 128  # per batch of predictions: the logits of a large vocabulary would exhaust memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of one pass over one context."""

    lengths: tuple[int, ...]
    layers: tuple[int, ...]
    distances_LCP: Singles
    """Squared distances between node means, pairs in the order of `numpy.triu_indices`; NaN if a node is absent."""
    means_LND: Singles
    """Node means at the last length; NaN for a node that is not in the window."""
    probability_WN: Singles
    """Probability of each node's word as the next token; NaN where no neighbour is asked for."""
    massive_L: tuple[int, ...]
    """Number of words in the windows that were left out of the means because of their norm."""
    past: DynamicCache
    """Keys and values of the whole context, for interventions."""


def measure(
    reader: Reader,
    prompt: Prompt,
    *,
    lengths: Sequence[int],
    layers: Sequence[int],
    window: int,
    skip: int = 3,
    massive: float = 3.0,
    every_word: bool = True,
) -> Measurement:
    """Read a prompt once. A representation is the mean over a node's words among the last `window` of the context.

    The means leave out the first `skip` words and, in each layer, words whose residual stream has a norm of more than
    `massive` times the median up to there (see `ordinary_words`); 0 keeps all words. Without `every_word`, predictions
    are made at the requested lengths only, which saves most of the head's work.
    """
    sums = WindowSums(
        prompt, lengths=lengths, layers=layers, window=window, skip=skip, massive=massive, device=reader.device
    )
    asked_W = prompt.asks_W.copy()
    if not every_word:
        asked_W &= np.isin(np.arange(len(asked_W)) + 1, lengths)
    predictions = _Predictions(reader, prompt, asked_W)
    past = read_text(reader, prompt.tokens, see_layer=sums.see, see_last=predictions.see)
    left_out = tuple(sums.left_out[layer] for layer in layers)
    distances, last = [], []
    for layer in layers:
        means_CND = sums.means(layer)
        distances.append(squared_distances(means_CND).cpu().numpy().astype(np.float32))
        last.append(means_CND[-1].cpu().numpy().astype(np.float32))
    return Measurement(
        lengths=tuple(lengths),
        layers=tuple(layers),
        distances_LCP=np.stack(distances),
        means_LND=np.stack(last),
        probability_WN=predictions.probability_WN,
        massive_L=left_out,
        past=past,
    )


class WindowSums:
    """Sums of the residual stream by node and stretch of words; every requested window is a union of stretches."""

    def __init__(
        self,
        prompt: Prompt,
        *,
        lengths: Sequence[int],
        layers: Sequence[int],
        window: int,
        skip: int,
        massive: float,
        device: torch.device,
    ) -> None:
        ends_C = np.asarray(lengths, dtype=np.int64)
        starts_C = np.minimum(np.maximum(ends_C - window, skip), ends_C)
        edges = np.unique(np.concatenate([starts_C, ends_C]))
        word_W = np.arange(len(prompt.nodes_W))
        stretch_W = np.searchsorted(edges, word_W, side="right") - 1
        inside_W = (stretch_W >= 0) & (stretch_W < len(edges) - 1)
        self.nodes, self.stretches = prompt.graph.nodes, max(1, len(edges) - 1)
        bucket_T = np.full(len(prompt.tokens), -1, dtype=np.int64)
        bucket_T[prompt.places_W[inside_W]] = (stretch_W * self.nodes + prompt.nodes_W)[inside_W]
        self._bucket_T = torch.from_numpy(bucket_T).to(device)
        first_C, last_C = np.searchsorted(edges, starts_C), np.searchsorted(edges, ends_C)
        inside_CS = (np.arange(self.stretches) >= first_C[:, None]) & (np.arange(self.stretches) < last_C[:, None])
        # Which stretches each window consists of. A product with this matrix, unlike a difference of cumulative sums,
        # loses no digits where the total is much larger than the window.
        self._inside_CS = torch.from_numpy(inside_CS).to(device, torch.float32)
        word_T = np.zeros(len(prompt.tokens), dtype=np.bool_)
        word_T[prompt.places_W] = True
        self._word_T = torch.from_numpy(word_T).to(device)
        self._massive = massive
        self._lengths: dict[int, list[float]] = {layer: [] for layer in layers}
        self._counts: dict[int, Tensor] = {}
        self._sums: dict[int, Tensor | None] = dict.fromkeys(layers)
        self.left_out = dict.fromkeys(layers, 0)
        """Number of words left out because of their norm, by layer."""

    def see(self, layer: int, start: int, stream_TD: Tensor) -> None:
        """Add a chunk of one layer's residual stream; layers that were not requested are ignored."""
        if layer not in self._sums:
            return
        bucket_T = self._bucket_T[start : start + len(stream_TD)]
        counted_T = bucket_T >= 0
        sums = self._sums[layer]
        if sums is None:
            shape = (self.stretches * self.nodes, stream_TD.shape[1])
            sums = self._sums[layer] = torch.zeros(shape, dtype=torch.float32, device=stream_TD.device)
            self._counts[layer] = torch.zeros(len(sums), dtype=torch.float32, device=stream_TD.device)
        if self._massive:
            ordinary_T = self._ordinary(layer, start, stream_TD)
            self.left_out[layer] += int((counted_T & ~ordinary_T).sum())
            counted_T = counted_T & ordinary_T
        kept = bucket_T[counted_T]
        sums.index_add_(0, kept, stream_TD[counted_T].float())
        self._counts[layer] += torch.bincount(kept, minlength=len(sums))

    def _ordinary(self, layer: int, start: int, stream_TD: Tensor) -> Tensor:
        """Which tokens (T) of a chunk are words of ordinary norm."""
        word_T = self._word_T[start : start + len(stream_TD)]
        lengths_M = torch.linalg.vector_norm(stream_TD[word_T].float(), dim=1).cpu().numpy()
        ordinary_T = torch.zeros_like(word_T)
        found = ordinary_words(lengths_M, self._massive, self._lengths[layer])
        ordinary_T[word_T] = torch.from_numpy(found).to(word_T.device)
        return ordinary_T

    def means(self, layer: int) -> Tensor:
        """Node means (C, N, D); NaN for a node that is not in the window. Frees the sums: call it once."""
        sums_SM = cast(Tensor, self._sums[layer]).view(self.stretches, -1)
        self._sums[layer] = None
        sums_CND = (self._inside_CS @ sums_SM).view(len(self._inside_CS), self.nodes, -1)
        counts_CN = self._inside_CS @ self._counts.pop(layer).view(self.stretches, self.nodes)
        return sums_CND / counts_CN[..., None]  # 0 / 0 is NaN: an absent node


def ordinary_words(
    lengths_W: npt.NDArray[np.floating[Any]], massive: float, before: list[float] | None = None
) -> npt.NDArray[np.bool_]:
    """Whether each word's norm is at most `massive` times the median norm of the words up to it.

    Some words become attention sinks: a few dimensions of their residual stream hold activations that dwarf all others
    (Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762). A single such word in a window would
    dominate the first component of the node means, regardless of the graph. The median is over earlier words only, so
    that a longer context changes nothing. `before` holds the sorted norms of the earlier words; these are added to it.
    """
    seen = [] if before is None else before
    found = np.ones(len(lengths_W), dtype=np.bool_)
    for word, length in enumerate(lengths_W.tolist()):
        insort(seen, length)
        found[word] = length <= massive * seen[(len(seen) - 1) // 2]
    return found


class _Predictions:
    """Probabilities of the nodes' words after each word, from the last hidden states."""

    def __init__(self, reader: Reader, prompt: Prompt, asked_W: npt.NDArray[np.bool_]) -> None:
        self._model: Any = reader.model
        self._word_ids = torch.tensor(prompt.word_ids, device=reader.device)
        self._asked = {int(prompt.places_W[word]): int(word) for word in np.flatnonzero(asked_W)}
        self.probability_WN = np.full((len(prompt.nodes_W), len(prompt.word_ids)), np.nan, dtype=np.float32)

    def see(self, start: int, hidden_TD: Tensor) -> None:
        rows = [row for row in range(len(hidden_TD)) if start + row in self._asked]
        for first in range(0, len(rows), POSITIONS):
            part = rows[first : first + POSITIONS]
            words = [self._asked[start + row] for row in part]
            self.probability_WN[words] = next_words(self._model, hidden_TD[part], self._word_ids)


def next_words(model: Any, hidden_MD: Tensor, word_ids_N: Tensor) -> Singles:
    """Probability (M, N) of each word as the next token, over the whole vocabulary."""
    with torch.inference_mode():
        logits_MV = head(model, hidden_MD)
        log_MN = logits_MV[:, word_ids_N] - logits_MV.logsumexp(dim=1, keepdim=True)
    return cast(Singles, log_MN.exp().cpu().numpy())


def squared_distances(means_CND: Tensor) -> Tensor:
    """Squared distances (C, P) between node means; NaN where one of the two is absent."""
    absent_CN = means_CND[:, :, 0].isnan()
    filled_CND = means_CND.nan_to_num(0.0)
    middle_C1D = filled_CND.sum(dim=1, keepdim=True) / (~absent_CN).sum(dim=1).clamp_min(1)[:, None, None]
    centred_CND = filled_CND - middle_C1D  # otherwise digits are lost where all are far from 0
    products_CNN = centred_CND @ centred_CND.mT
    squares_CN = products_CNN.diagonal(dim1=1, dim2=2)
    distances_CNN = squares_CN[:, :, None] + squares_CN[:, None, :] - 2 * products_CNN
    distances_CNN.masked_fill_(absent_CN[:, :, None] | absent_CN[:, None, :], torch.nan)
    i, j = np.triu_indices(means_CND.shape[1], k=1)
    return distances_CNN[:, i, j].clamp_min(0.0)
