"""LoRA dropout by hashing: whether a feature of a node is kept is a function of names, not of a generator's state.

The key is the adapter's seed of this step, the node's tokens from the root on, the layer and the feature. An adapter
therefore gets the same dropout in any batch and layout, on every device, and again in the backward pass, which computes
the mask a second time instead of storing it.

Shapes: T nodes, I a layer's input size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Dropout:
    """The dropout of one batch: its rate and a key for each node."""

    rate: float
    key_T: Tensor

    def __call__(self, values_TI: Tensor, layer: int) -> Tensor:
        """`values_TI` with dropped entries 0 and kept ones scaled by 1 / (1 - rate). Linear, so its own gradient."""
        kept_TI = self.kept(layer, values_TI.shape[1])
        return (values_TI * (1 / (1 - self.rate))).masked_fill_(~kept_TI, 0.0)

    def kept(self, layer: int, features: int) -> Tensor:
        """Which entries are kept, boolean (T, I)."""
        bits_TI = self.key_T[:, None] ^ _feature_keys(layer, features, self.key_T.device)
        # Two rounds of multiply and fold in 32-bit integers that wrap: a sixth of the cost of a generator.
        bits_TI *= 0x2C1B3C6D
        bits_TI ^= bits_TI >> 15
        bits_TI *= 0x297A2D39
        return bits_TI >= int(self.rate * 2**32) - 2**31


@cache
def _feature_keys(layer: int, features: int, device: torch.device) -> Tensor:
    """A 32-bit key for each input of a layer."""
    return _as_keys(_mixed(np.arange(features, dtype=np.uint64) + np.uint64(layer << 32))).to(device)


def node_keys(names_T: np.ndarray, segments: Sequence[tuple[int, int]], seeds: Sequence[int]) -> Tensor:
    """A 32-bit key for each node: `names_T` are hashes of its tokens, `seeds[i]` belongs to segment i."""
    lengths = [nodes for _, nodes in segments]
    seed_T = np.repeat(np.array([seed & _MASK for seed in seeds], dtype=np.uint64), lengths)
    return _as_keys(_mixed(_mixed(seed_T) ^ names_T))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64's output function (Steele, Lea and Flood 2014): neighbouring numbers become unrelated."""
    z = numbers + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _as_keys(numbers: np.ndarray) -> Tensor:
    return torch.from_numpy((numbers >> np.uint64(32)).astype(np.uint32).view(np.int32))
