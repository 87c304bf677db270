"""The ragged form of attention: the kernel, by its documentation, gives what the blocks give, gradients included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings, strategies as st

from benchmarks.gpu import flash
from benchmarks.gpu.second_device import second_device
from sys2ft.engine import AdapterBank, Example, SlotGradients, backward, prepare, score
from sys2ft.engine.cpu.plan import plan_of
from sys2ft.engine.trees import ragged_attention
from sys2ft.engine.trees.path_attention import lay_paths
from sys2ft.engine.trees.ragged_attention import RaggedPaths, flash_backward, flash_forward, lay_ragged
from sys2ft.engine.trees.tree import pack, slot_trees
from sys2ft.models import load_model


@pytest.fixture
def kernel() -> Iterator[None]:
    """The kernel by its documentation."""
    with (
        mock.patch.object(ragged_attention, "flash_forward", flash.forward),
        mock.patch.object(ragged_attention, "flash_backward", flash.backward),
    ):
        yield


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=8),
    window=st.none() | st.integers(1, 5),
    few=st.sampled_from([1, 2, 4]),
)
def test_both_forms_attend_alike_in_any_trees(rows: list[list[int]], window: int | None, few: int) -> None:
    examples = [Example([9, *row, 1], [False] * (len(row) + 1) + [True], slot=i % 2) for i, row in enumerate(rows)]
    trees = slot_trees(examples, 10**6)
    nodes = sum(map(len, trees))
    generator = torch.Generator().manual_seed(len(rows))
    query, key, value, error = (torch.randn(1, heads, nodes, 8, generator=generator) for heads in (4, few, few, 4))
    found = []
    with (
        mock.patch.object(ragged_attention, "flash_forward", flash.forward),
        mock.patch.object(ragged_attention, "flash_backward", flash.backward),
    ):
        for ragged in (False, True):
            packed = pack(examples, trees, window=window, ragged=ragged)
            inputs = [one.clone().requires_grad_() for one in (query, key, value)]
            output = packed.paths.attend(0, *inputs, scaling=0.3, sliding=window is not None)
            found.append([output.detach(), *torch.autograd.grad(output, inputs, error.transpose(1, 2))])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert packed.padded == 0


def test_the_check_notices_a_kernel_that_masks_otherwise(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ragged_attention._agrees(torch.device("cpu"), torch.bfloat16, 4, 2, 8)

    def off_by_one(query: Any, key: Any, value: Any, paths: Any, scaling: float, window: int | None) -> Any:
        return flash.forward(query, key, value, paths, scaling, window and window + 1)

    monkeypatch.setattr(ragged_attention, "flash_forward", off_by_one)
    assert not ragged_attention._agrees(torch.device("cpu"), torch.bfloat16, 4, 2, 8)


@pytest.mark.parametrize("window", [None, 4])
def test_torch_has_the_kernel_as_it_is_called(window: int | None) -> None:
    """By tensors without data: names and order of arguments, and the shapes of what comes back."""
    ends = torch.empty(3, dtype=torch.int32, device="meta")
    query, key = (torch.empty(n, heads, 64, device="meta", dtype=torch.bfloat16) for n, heads in ((4, 4), (6, 2)))
    paths = RaggedPaths(ends, ends, ends, ends, ends, 3, 3, window)
    output, state = flash_forward(query, key, key, paths, 0.1, window)
    assert output.shape == query.shape
    gradients = flash_backward(output, query, key, key, output, state, paths, 0.1, window)
    assert [one.shape for one in gradients] == [query.shape, key.shape, key.shape]


def test_a_cpu_has_no_such_kernel_and_computes_in_blocks(tiny_model_dir: Any) -> None:
    model = load_model(str(tiny_model_dir), dtype="bfloat16", device="cpu").model
    prepare(model)
    assert not plan_of(model).ragged_attention
    assert not ragged_attention.ragged_works(model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernel is that of the pretended device")
def test_a_gpu_in_half_precision_uses_it_and_computes_the_same(family_dir: Any) -> None:
    """Losses and gradients of several slots, and log-likelihoods, beside those of the blocks on a CPU."""
    examples = [
        Example([3, 4, *(5 + (7 * i + n) % 90 for n in range(3 + i % 4))], [False] * 3 + [True] * (2 + i % 4), i % 3)
        for i in range(12)
    ]

    def results(device: str) -> tuple[Any, ...]:
        model = load_model(str(family_dir), dtype="bfloat16", device=device).model
        prepare(model)
        assert plan_of(model).ragged_attention == (device == "cuda")
        bank = AdapterBank(model, 3, rank=4, alpha=8.0)
        drawn = torch.randn(bank.weights_KP.shape, generator=torch.Generator().manual_seed(1)) * 0.05
        bank.weights_KP.copy_(drawn)
        parts: list[SlotGradients] = list(backward(model, bank, examples, tokens_at_once=4096))
        scored = [one.total for one in score(model, examples, bank).likelihoods]
        return parts[0].gradient_SP.cpu(), list(parts[0].losses.values()), scored

    gradient, losses, scored = results("cpu")
    with second_device() as traffic:
        gradient_there, losses_there, scored_there = results("cuda")
        assert traffic.kernels["flash_forward"] > 0 and traffic.kernels["flash_backward"] > 0
        assert not traffic.kernels["_scaled_dot_product_efficient_attention"]
    assert losses_there == pytest.approx(losses, rel=0.02)
    assert scored_there == pytest.approx(scored, rel=0.02)
    assert float((gradient_there - gradient).norm() / gradient.norm()) < 0.05


def test_examples_that_add_no_node_have_no_branch() -> None:
    paths = lay_ragged([[0, 1, 2], [0, 1], [0, 3]], [3, 0, 1], "cpu")
    assert paths.own.tolist() == [0, 1, 2, 3] and paths.path.tolist() == [0, 1, 2, 0, 3]
    assert paths.own_ends.tolist() == [0, 3, 4] and paths.path_ends.tolist() == [0, 3, 5]
    assert len(lay_paths([[0, 1, 2], [0, 1], [0, 3]], [3, 0, 1], "cpu").own) >= 4
