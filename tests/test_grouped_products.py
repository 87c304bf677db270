"""Low-rank products by one kernel for all parts: what the padded batch computes, forward and backward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.second_device import second_device
from sys2ft.engine import AdapterBank, Example, backward, prepare
from sys2ft.engine.adapters import grouped
from sys2ft.engine.adapters.low_rank import Batch
from sys2ft.engine.cpu.plan import plan_of, set_plan
from sys2ft.models import load_model

EXAMPLES = [
    Example([3, 4, *(5 + (7 * i + n) % 90 for n in range(3 + i % 4))], [False] * 3 + [True] * (2 + i % 4), slot)
    for i, slot in enumerate((0, 0, 0, 2, 3, 3, 3, 3))
]


def test_torch_multiplies_runs_of_any_length_as_it_is_called() -> None:
    assert grouped.agrees(torch.device("cpu"), torch.bfloat16)
    assert grouped.aligned(16, 896, 4864) and not grouped.aligned(16, 900)


def test_a_kernel_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with second_device():
        there = torch.device("cuda")
        assert grouped.grouped_works(there, torch.bfloat16)
        assert not grouped.grouped_works(there, torch.float32)
        right_one = torch._grouped_mm
        monkeypatch.setattr(torch, "_grouped_mm", lambda *args, **how: 2 * right_one(*args, **how))
        assert not grouped.grouped_works(there, torch.bfloat16)
        monkeypatch.delattr(torch, "_grouped_mm")
        assert not grouped.grouped_works(there, torch.bfloat16)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradients_are_those_of_the_padded_batch(family_dir: Path, dropout: float) -> None:
    """Slots of different lengths, one left out, and layers that share their input."""

    def gradients(grouped_products: bool) -> tuple[torch.Tensor, list[float]]:
        model = load_model(str(family_dir), dtype="bfloat16", device="cpu").model
        prepare(model)
        set_plan(model, replace(plan_of(model), separate_parts=False, grouped_products=grouped_products))
        bank = AdapterBank(model, 4, rank=8, alpha=8.0, dropout=dropout)
        assert bank._grouped == grouped_products
        bank.weights_KP.copy_(torch.randn(bank.weights_KP.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
        seeds = dict.fromkeys(range(4), 3)
        (part,) = backward(model, bank, EXAMPLES, tokens_at_once=4096, dropout_seeds=seeds)
        assert part.slots == [0, 2, 3]
        return part.gradient_SP, list(part.losses.values())

    padded, losses = gradients(False)
    ours, ours_losses = gradients(True)
    assert ours_losses == pytest.approx(losses, rel=0.01)
    assert float((ours - padded).norm() / padded.norm()) < 0.02
    assert all(float((a - b).norm() / b.norm()) < 0.05 for a, b in zip(ours, padded, strict=True))


@pytest.mark.parametrize(
    ("spans", "at_once"),
    [
        ([(0, 3), (2, 1), (1, 2)], True),
        ([(1, 2), (1, 3)], True),
        ([(0, 3), (-1, 1), (1, 2)], False),
        ([(0, 3), (1, 2), (0, 1)], False),
        ([(0, 3), (-1, 4)], False),
    ],
    ids=["any order", "joined", "the base between", "a slot twice", "the base behind"],
)
def test_only_runs_that_follow_one_another_are_multiplied_at_once(spans: Any, at_once: bool) -> None:
    batch = Batch(spans, torch.zeros(3, 8), grouped_products=True)
    assert batch.grouped is at_once
    if at_once:
        assert batch.ends_S(2).dtype == torch.int32
        assert batch.ends_S(2)[-1] == 2 * sum(units for _, units in spans)
