"""Merges the adapters of a bank into one, by the functions that PEFT's `add_weighted_adapter` calls.

The updates W_k = (alpha / r) B_k A_k of each layer are merged, not their factors: every adapter has its own random A,
so a sum of factors would mix the A of one with the B of another. The merged update is cut to the wanted rank by a
singular value decomposition. `cat` concatenates the factors instead: the exact weighted sum, with the sum of the ranks.

| method | combination type of PEFT | source | weight |
|---|---|---|---|
| `cat` | `cat` | | 1 |
| `task_arithmetic` | `svd` | arXiv 2212.04089, equation 1 and section 4 | 0.3 |
| `ties` | `ties_svd` | arXiv 2306.01708, section 3.2 | 1 |
| `dare` | `dare_linear_svd` | arXiv 2311.03099, section 3 | 0.3 |
| `dare_ties` | `dare_ties_svd` | both | 1 |
| `adamerging` | none | arXiv 2310.02575 (see `adaptive`) | learnt |

PEFT's functions are called for one layer after another on the bank's own tensors: PEFT's model would hold every adapter
a second time, and would wrap the layers whose forwards the bank replaces. Memory: about four times the K updates of
the largest layer.

Shapes: K adapters, r rank of each, R rank of the merged one, I and O a layer's input and output size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sys2ft.combining.settings import Merge
from sys2ft.engine import AdapterBank, Bank, Learner
from sys2ft.errors import SettingsError
from sys2ft.runs import current_stop, item_seed

WEIGHTS: Mapping[Merge, float] = {"cat": 1.0, "task_arithmetic": 0.3, "ties": 1.0, "dare": 0.3, "dare_ties": 1.0}
"""The weight of every adapter in the method's paper."""

Weights = Mapping[str, Sequence[float]]
"""Layer -> the weight of each adapter."""


def merge(
    bank: Bank, method: Merge, *, weights: Weights, rank: int = 0, density: float = 0.2, seed: int = 0
) -> AdapterBank:
    """A bank of one slot with all slots of `bank` merged by `method`; the caller closes it.

    `weights` are those of each layer (`even_weights`). `rank` is ignored by `cat`, `density` by methods that prune
    nothing. `seed` decides what `dare` drops. Raises SettingsError for adapters that are not LoRA.
    """
    bank = require_lora(bank)
    size = bank.slots * bank.rank if method == "cat" else rank
    merged = AdapterBank(bank.model, 1, rank=size, alpha=size, targets=bank.targets)
    with torch.no_grad():
        for name in bank.modules:
            current_stop().check()
            own = torch.tensor(weights[name], device=bank.weights_KP.device)
            if method == "cat":
                a, b = concatenated(bank, name, own)
            else:
                a, b = _factors(_merged_update(bank, name, method, own, density, seed), size)
            merged.a[name][0, : len(a)].copy_(a)
            merged.b[name][0, :, : len(a)].copy_(b)
    return merged


def add_update(
    model: nn.Module, learner: Learner, before: Path, alone: Path, folder: Path, *, weight: float = 1.0, base_name: str
) -> None:
    """Write into `folder` the adapter in `before` with `weight` times the update of that in `alone` added to its own.

    By task arithmetic. The sum is cut to the rank of the learner's adapters and saved with their alpha, so that a
    training can go on from it, and the next update can be added. Raises SettingsError for adapters that are not LoRA.
    """
    both = learner.bank(model, 2)
    try:
        lora = require_lora(both)
        learner.load(both, 0, before)
        learner.load(both, 1, alone)
        merged = merge(both, "task_arithmetic", weights={name: [1.0, weight] for name in lora.modules}, rank=lora.rank)
    finally:
        both.close()
    merged.close()  # its tensors are still there
    whole = learner.bank(model, 1)
    try:
        lora = require_lora(whole)
        with torch.no_grad():
            for name in lora.modules:
                lora.a[name][0].copy_(merged.a[name][0])
                lora.b[name][0].copy_(merged.b[name][0] * (merged.scaling / lora.scaling))
        learner.save(whole, 0, folder, base_name=base_name)
    finally:
        whole.close()


def even_weights(bank: Bank, weight: float) -> dict[str, list[float]]:
    """One weight for every adapter in every layer."""
    return {name: [weight] * bank.slots for name in require_lora(bank).modules}


def require_lora(bank: Bank) -> AdapterBank:
    """The bank, if its adapters are LoRA. Raises SettingsError otherwise."""
    if not isinstance(bank, AdapterBank):
        raise SettingsError(
            f"adapters of a {type(bank).__name__} cannot be merged",
            expected="LoRA adapters, which are sums of low-rank updates",
            fix="leave the merges out of --ways, or train with --learner lora",
        )
    return bank


def concatenated(bank: AdapterBank, name: str, weights_K: Tensor) -> tuple[Tensor, Tensor]:
    """Factors (K r, I) and (O, K r) of a layer's weighted sum of updates, in order of the slots."""
    scaled_KrI = bank.a[name] * (bank.scaling * weights_K)[:, None, None]
    return scaled_KrI.flatten(0, 1), bank.b[name].permute(1, 0, 2).flatten(1)


def _merged_update(bank: AdapterBank, name: str, method: Merge, weights_K: Tensor, density: float, seed: int) -> Tensor:
    from peft.utils import merge_utils

    updates = [bank.scaling * (b @ a) for a, b in zip(bank.a[name], bank.b[name], strict=True)]
    merged: Tensor
    if method in ("task_arithmetic", "adamerging"):
        merged = merge_utils.task_arithmetic(updates, weights_K)
        return merged
    combine = {"ties": merge_utils.ties, "dare": merge_utils.dare_linear, "dare_ties": merge_utils.dare_ties}[method]
    device = bank.weights_KP.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(item_seed(seed, "merge", method, name))
        merged = combine(updates, weights_K, density)
    return merged


def _factors(update_OI: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of a rank, as A (rank, I) and B (O, rank); of fewer components if it has no more."""
    u, s, v = torch.linalg.svd(update_OI, full_matrices=False)
    return v[:rank], u[:, :rank] * s[:rank]
