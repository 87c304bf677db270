"""The same code on CUDA: on a GPU where there is one, else on tensors that are held to its rules about placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sys2ft
from benchmarks.gpu.second_device import second_device
from displays import Interrupted, StopAt
from sys2ft.engine import (
    AdapterBank,
    DecodeRequest,
    Example,
    Sampling,
    backward,
    decode,
    load_adapter,
    prepare,
    save_adapter,
    score,
)
from sys2ft.engine.adapters import dropout
from sys2ft.engine.decoding.sampling import choose
from sys2ft.engine.trace import Reader
from sys2ft.models import LoadedModel, load_model
from sys2ft.representations import measure
from sys2ft.representations.measuring import probes
from sys2ft.training import TrainItem, TrainSettings, jobs_of, train
from talking import write_news_file
from test_one_pass import LENGTHS, WINDOW, a_prompt

pytestmark = pytest.mark.slow

PRETENDED = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, which keeps its own rules")
TEXTS = [[5 + (7 * i + n * n) % 90 for n in range(6 + i % 4)] for i in range(12)]
EXAMPLES = [
    Example([3, 4, *ids], [False] * 4 + [True] * (len(ids) - 2), slot=(-1, 0, 2)[i % 3]) for i, ids in enumerate(TEXTS)
]
TRAINED = [example for example in EXAMPLES if example.slot >= 0]
ADAPTED = [
    TrainItem(adapter=name, prompt=({"role": "user", "content": f"What of {name} {n}?"},), completion=f"It is {n}.")
    for name, count in (("a", 5), ("b", 8), ("c", 3))
    for n in range(count)
]
HOWS = (
    Sampling(temperature=0),
    Sampling(temperature=0.8),
    Sampling(temperature=0.8, top_p=0.9),
    Sampling(temperature=1, top_k=5),
)


@pytest.fixture(autouse=True)
def nothing_kept_of_a_device_that_is_gone() -> Iterator[None]:
    yield
    dropout._feature_keys.cache_clear()


def loaded(folder: Path, device: str) -> LoadedModel:
    return load_model(str(folder), dtype="float32", device=device)


def spread(bank: AdapterBank) -> AdapterBank:
    """Weights in every slot, none of them 0."""
    drawn = torch.randn(bank.weights_KP.shape, generator=torch.Generator().manual_seed(1)) * 0.05
    bank.weights_KP.copy_(drawn)
    return bank


@PRETENDED
def test_the_pretended_device_keeps_the_rules() -> None:
    with second_device():
        there, here = torch.ones(2, 3, device="cuda"), torch.ones(2, 3)
        assert there.is_cuda and there[0].device.type == (there * 2.0).device.type == "cuda"
        assert not here.is_cuda and there.cpu().device.type == there.to("cpu").device.type == "cpu"
        assert here.to(there).is_cuda and here.cuda().is_cuda and there.new_tensor([1.0]).is_cuda
        assert torch.zeros_like(there).is_cuda and torch.tensor([1], device="cuda").is_cuda
        assert not torch.empty(2, pin_memory=True).is_cuda
        assert (there * torch.tensor(2.0)).is_cuda, "a number of the host's may take part"
        assert there[torch.tensor([1])].is_cuda, "and its indices"
        here.copy_(there)
        assert not here.is_cuda
        for mixed in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: there @ here.T,
            lambda: here[torch.tensor([0], device="cuda")],
            lambda: torch.mm(there, there.T, out=torch.empty(2, 2)),
            lambda: there.index_select(0, torch.tensor([0])),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        weight = torch.ones(3, requires_grad=True, device="cuda")
        (gradient,) = torch.autograd.grad((there * weight)[:, :2].sum(), weight)
        assert gradient.is_cuda and gradient.tolist() == [2, 2, 0]
        with pytest.raises(RuntimeError, match="same device"):
            _Mixing.apply(weight).sum().backward()  # type: ignore[no-untyped-call]
    assert not torch.cuda.is_available()


class _Mixing(torch.autograd.Function):
    """Its gradient uses a tensor of the host."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.ones(3)


def test_the_engine_computes_the_same_there(family_dir: Path, tmp_path: Path) -> None:
    def results(device: str) -> tuple[Any, ...]:
        model = loaded(family_dir, device).model
        prepare(model)
        bank = spread(AdapterBank(model, 3, rank=4, alpha=8.0, dropout=0.1))
        parts = list(backward(model, bank, TRAINED, tokens_at_once=48, dropout_seeds={0: 7, 2: 8}))
        save_adapter(bank, 2, tmp_path / device, base_name="tiny")
        load_adapter(bank, 1, tmp_path / device)
        requests = [DecodeRequest([3, 4, *ids], seed=i, group="g", slot=(-1, 1)[i % 2]) for i, ids in enumerate(TEXTS)]
        return (
            {slot: loss for part in parts for slot, loss in part.losses.items()},
            [(part.slots, part.gradient_SP.cpu()) for part in parts],
            [likelihood.total for likelihood in score(model, EXAMPLES, bank, tokens_at_once=48).likelihoods],
            [
                decode(
                    model, requests, how, max_new_tokens=5, stop_ids=frozenset([2]), bank=bank, rows_at_once=5
                ).decoded
                for how in HOWS
            ],
        )

    losses, gradients, likelihoods, texts = results("cpu")
    with second_device():
        losses_there, gradients_there, likelihoods_there, texts_there = results("cuda")
    assert losses_there == pytest.approx(losses, rel=1e-4)
    for (slots, gradient), (slots_there, there) in zip(gradients, gradients_there, strict=True):
        assert slots == slots_there
        torch.testing.assert_close(there, gradient, rtol=1e-3, atol=1e-5)
    assert likelihoods_there == pytest.approx(likelihoods, rel=1e-4)
    assert texts_there == texts


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_tokens_of_a_large_vocabulary_are_chosen_there(how: Sampling) -> None:
    generator = torch.Generator().manual_seed(3)
    logits_BV = 3 * torch.randn(7, 5000, generator=generator)
    uniforms_B = torch.rand(7, dtype=torch.float64, generator=generator)
    here_B = choose(logits_BV, uniforms_B, how)
    with second_device():
        there_B = choose(logits_BV.to("cuda"), uniforms_B.to("cuda"), how)
        assert there_B.is_cuda
        assert there_B.tolist() == here_B.tolist()


@pytest.mark.parametrize("offload", [False, True], ids=["", "offloaded"])
def test_training_goes_on_there_and_ends_alike(tiny_model_dir: Path, tmp_path: Path, offload: bool) -> None:
    how = TrainSettings(
        rank=4, epochs=3, batch_size=2, dropout=0.1, held_out=0.2, patience=2, offload_moments=offload,
        checkpoint_seconds=0,
    )  # fmt: skip
    here = train(loaded(tiny_model_dir, "cpu"), jobs_of(ADAPTED, how, seed=2))
    weights = here.bank.weights_KP.clone()
    here.bank.close()
    with second_device():
        model = loaded(tiny_model_dir, "cuda")
        with pytest.raises(Interrupted):
            train(model, jobs_of(ADAPTED, how, seed=2), checkpoint=tmp_path / "checkpoint", show=StopAt(4))
        there = train(model, jobs_of(ADAPTED, how, seed=2), checkpoint=tmp_path / "checkpoint")
        assert there.bank.weights_KP.is_cuda
        weights_there = there.bank.weights_KP.cpu()
        there.bank.close()
    torch.testing.assert_close(weights_there, weights, rtol=1e-3, atol=1e-4)
    assert there.kept_epochs == here.kept_epochs


def test_the_main_job_runs_there(talking_model_dir: Path, tmp_path: Path) -> None:
    news = write_news_file(tmp_path / "news.jsonl")
    with second_device():
        done = sys2ft.run(
            news,
            model=loaded(talking_model_dir, "cuda"),
            out=tmp_path / "run",
            generate=sys2ft.GenerateSettings(
                protocols=("naive", "self_qa"), samples_per_news=4, max_new_tokens=24, rounds=1, rows_at_once=8
            ),
            train=TrainSettings(epochs=1, batch_size=2, rank=4, alpha=8),
            evaluate=sys2ft.EvaluateSettings(direct_tokens=4, reasoned_tokens=4),
        )
    assert (done.folder / "report.html").is_file()


def test_representations_are_measured_there(tracing_model_dir: Callable[[str], Path]) -> None:
    def results(device: str) -> tuple[Any, Any]:
        model = loaded(tracing_model_dir("llama"), device)
        prompt = a_prompt(model)
        reader = Reader(model=model.model, tokens_at_once=32)
        measured = measure(reader, prompt, lengths=LENGTHS, layers=(0, 1, 2), window=WINDOW)
        return measured, probes.move_representations(
            reader, prompt, measured, layers=(1,), dimensions=2, moves=4, seed=0
        )

    measured, moved = results("cpu")
    with second_device():
        measured_there, moved_there = results("cuda")
    np.testing.assert_allclose(measured_there.distances_LCP, measured.distances_LCP, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(measured_there.probability_WN, measured.probability_WN, rtol=1e-2, atol=1e-5)
    assert [r["target_after"] for r in moved_there] == pytest.approx([r["target_after"] for r in moved], rel=1e-2)
