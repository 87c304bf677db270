"""Engine features for training: seeded dropout, early stopping, and fitting concurrent adapters in memory."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sys2ft
from displays import Interrupted, Notes, StopAt, StopWhen
from sys2ft import machine
from sys2ft.cli.main import call
from sys2ft.engine import AdapterBank, Example, backward, prepare, save_adapter, score
from sys2ft.engine.adapters import low_rank, memory
from sys2ft.engine.adapters.dropout import Dropout, node_keys
from sys2ft.engine.adapters.low_rank import Gradient
from sys2ft.engine.trees.tree import StepCost, pack, slot_trees
from sys2ft.errors import MemoryShortage, SettingsError
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.runs import read_json
from sys2ft.training import Training, TrainItem, TrainSettings, jobs_of, loop, train
from sys2ft.training.schedule import split
from test_adapters import some_examples

DROPOUT = 0.3


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LoadedModel:
    loaded = load_model(str(tiny_model_dir), dtype="float32", device="cpu")
    prepare(loaded.model)
    return loaded


@pytest.fixture(autouse=True)
def no_hooks_left(model: LoadedModel) -> Iterator[None]:
    yield
    for module in model.model.modules():
        module._forward_hooks.clear()


def item(adapter: str, asked: str, completion: str) -> TrainItem:
    return TrainItem(adapter=adapter, prompt=({"role": "user", "content": asked},), completion=completion)


def items(adapter: str, count: int) -> list[TrainItem]:
    return [item(adapter, f"What of {adapter} {n}?", f"The answer {n} of {adapter}.") for n in range(count)]


def weights(training: Training, name: str) -> torch.Tensor:
    return training.bank.weights_KP[training.names.index(name)]


def farthest(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


def rows(training: Training, name: str) -> list[dict[str, Any]]:
    return [row for row in training.curve if row["adapter"] == name]


# Dropout --------------------------------------------------------------------------------------------------------------


def test_what_is_kept_looks_drawn_at_random() -> None:
    names = np.random.default_rng(0).integers(0, 2**63, 400).astype(np.uint64)
    masks = [
        Dropout(DROPOUT, node_keys(names, [(0, 400)], [seed])).kept(layer, 500).double()
        for seed, layer in ((1, 0), (2, 0), (1, 1))
    ]
    n, sigma = masks[0].numel(), math.sqrt(DROPOUT * (1 - DROPOUT))
    for mask in masks:
        assert abs(mask.mean().item() - (1 - DROPOUT)) < 5 * sigma / math.sqrt(n)
        for dimension in (0, 1):  # every node and every feature is dropped equally often
            means = mask.mean(dimension)
            spread = (means - (1 - DROPOUT)).square().mean().sqrt().item()
            assert spread == pytest.approx(sigma / math.sqrt(mask.shape[dimension]), rel=0.25)

    def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
        return ((one - one.mean()) * (other - other.mean())).mean().item() / sigma**2

    pairs = [(masks[0], masks[1]), (masks[0], masks[2])]  # another step, another layer
    pairs += [(masks[0][:-k], masks[0][k:]) for k in (1, 2, 64)]  # another node
    pairs += [(masks[0][:, :-k], masks[0][:, k:]) for k in (1, 2, 64, 256)]  # another feature
    for one, other in pairs:
        assert abs(correlation(one, other)) < 5 / math.sqrt(one.numel())


def test_dropout_scales_what_it_keeps() -> None:
    dropout = Dropout(DROPOUT, node_keys(np.arange(50, dtype=np.uint64), [(0, 50)], [7]))
    values = torch.randn(50, 40)
    kept = dropout.kept(3, 40)
    assert torch.equal(dropout(values, 3), torch.where(kept, values * (1 / (1 - DROPOUT)), 0.0))
    assert 0 < kept.sum() < kept.numel()


class Headless(nn.Sequential):
    def get_output_embeddings(self) -> None:
        return None


@pytest.mark.parametrize("products", [1, 10**6], ids=["one by one", "padded"])
@pytest.mark.parametrize("rate", [0.0, DROPOUT])
def test_gradients_are_those_of_the_terms_written_out(
    products: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_rank, "_LONG", products)
    torch.manual_seed(0)
    layers = Headless(nn.Linear(6, 5), nn.Linear(5, 4)).requires_grad_(False)
    bank = AdapterBank(layers, 4, rank=2, alpha=3, dropout=rate)
    bank.weights_KP.normal_()
    spans = [(2, 3), (-1, 2), (0, 4), (3, 1)]
    x = torch.randn(1, 10, 6)
    dropout = Dropout(rate, node_keys(np.arange(10, dtype=np.uint64), spans, [5, 0, 6, 7])) if rate else None
    gradient = Gradient({0: 0, 2: 1, 3: 2}, torch.zeros(3, bank.size))
    with bank.parts(spans, gradient=gradient, dropout=dropout):
        got = layers(x)
        got.square().sum().backward()

    free = bank.weights_KP.clone().requires_grad_()
    h = x[0]
    for number, (layer, (a_start, b_start)) in enumerate(zip(layers, bank._starts.values(), strict=True)):
        kept = dropout(h, number) if dropout else h
        inputs, outputs = layer.in_features, layer.out_features
        a = free[:, a_start : a_start + 2 * inputs].view(4, 2, inputs)
        b = free[:, b_start : b_start + 2 * outputs].view(4, outputs, 2)
        terms, at = [], 0
        for slot, nodes in spans:
            own = kept[at : at + nodes]
            terms.append(own.new_zeros(nodes, outputs) if slot < 0 else own @ a[slot].T @ b[slot].T * bank.scaling)
            at += nodes
        h = layer(h) + torch.cat(terms)
    assert torch.allclose(got[0], h, atol=1e-5)
    h.square().sum().backward()
    assert free.grad is not None
    for slot, place in gradient.places.items():
        assert torch.allclose(gradient.total_SP[place], free.grad[slot], atol=1e-4)
        assert gradient.total_SP[place].abs().max() > 0.1
    assert not free.grad[1].any()


def test_dropout_does_not_depend_on_the_layout(model: LoadedModel) -> None:
    bank = AdapterBank(model.model, 3, rank=4, alpha=8, dropout=DROPOUT)
    bank.weights_KP.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.2)
    examples = some_examples([0, 1, 2], each=4)

    def gradient(chosen: list[Example], tokens: int, seeds: dict[int, int]) -> torch.Tensor:
        parts = backward(model.model, bank, chosen, tokens_at_once=tokens, dropout_seeds=seeds)
        found = {s: row.clone() for part in parts for s, row in zip(part.slots, part.gradient_SP, strict=True)}
        return found[1]

    seeds = {0: 5, 1: 6, 2: 7}
    together = gradient(examples, 4096, seeds)
    mine = [example for example in examples if example.slot == 1]
    assert farthest(together, gradient(mine, 4096, seeds)) < 1e-5
    assert farthest(together, gradient(mine[::-1], 20, seeds)) < 1e-5
    assert farthest(together, gradient(examples, 4096, {**seeds, 1: 8})) > 1e-2
    bank.dropout = 0.0
    assert farthest(together, gradient(examples, 4096, seeds)) > 1e-2


def test_dropout_is_off_outside_training(model: LoadedModel) -> None:
    examples = some_examples([0])
    totals = []
    for rate in (0.0, 0.9):
        bank = AdapterBank(model.model, 1, rank=4, alpha=8, dropout=rate)
        bank.weights_KP.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.2)
        totals.append([x.total for x in score(model.model, examples, bank).likelihoods])
        bank.close()
    assert totals[0] == totals[1]


@pytest.mark.slow
def test_an_adapter_in_company_is_the_one_trained_alone_with_dropout(model: LoadedModel) -> None:
    how = TrainSettings(
        epochs=10, rank=4, alpha=8, learning_rate=3e-3, batch_size=2, tokens_at_once=150, dropout=DROPOUT
    )
    mine, others = items("mine", 10), [*items("short", 3), *items("long", 14)]
    alone = train(model, jobs_of(mine, how, seed=5))
    alone.bank.close()
    assert len(rows(alone, "mine")) == 50
    together = train(model, jobs_of(others + mine, how, seed=5))
    together.bank.close()
    assert farthest(weights(alone, "mine"), weights(together, "mine")) < 1e-5
    without = train(model, jobs_of(mine, TrainSettings(**{**settings_of(how), "dropout": 0.0}), seed=5))
    assert farthest(weights(alone, "mine"), weights(without, "mine")) > 1e-2


def settings_of(how: TrainSettings) -> dict[str, Any]:
    return {name: getattr(how, name) for name in how.__dataclass_fields__}


def test_the_rate_is_written_to_peft(model: LoadedModel, tmp_path: Path) -> None:
    bank = AdapterBank(model.model, 1, rank=4, alpha=8, dropout=0.05)
    save_adapter(bank, 0, tmp_path / "adapter", base_name="base")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["lora_dropout"] == 0.05


# Early stop -----------------------------------------------------------------------------------------------------------

PATIENT = TrainSettings(
    epochs=12,
    rank=8,
    alpha=16,
    learning_rate=1e-2,
    batch_size=2,
    held_out=0.25,
    patience=2,
    tokens_at_once=200,
    strength=1,
)


def noise(adapter: str, count: int) -> list[TrainItem]:
    """Unrelated elements: learning some of them makes the others less likely."""
    words = ["Paris", "France", "town", "capital", "news", "system", "answer", "question", "people", "percent"]
    rng = np.random.default_rng(len(adapter))
    return [
        item(adapter, f"What of {n}?", " ".join(rng.choice(words, 6).tolist()) + f" {rng.integers(1000)}.")
        for n in range(count)
    ]


def held_out_loss(model: LoadedModel, training: Training, taught: list[TrainItem], name: str, seed: int) -> float:
    own = [one for one in taught if one.adapter == name]
    slot = training.names.index(name)
    _, held = split(name, len(own), 0.25, seed)
    examples = []
    for i in held:
        rendered = model.chat.render([Message("user", own[i].prompt[0]["content"])], own[i].completion)
        examples.append(Example(rendered.ids, rendered.loss_mask, slot))
    found = score(model.model, examples, training.bank).likelihoods
    return -sum(x.total for x in found) / sum(x.tokens for x in found)


def test_an_adapter_stops_at_its_best_and_leaves_the_others_alone(model: LoadedModel) -> None:
    taught = [*noise("noise", 8), *items("steady", 12)]
    notes = Notes()
    training = train(model, jobs_of(taught, PATIENT, seed=1), show=notes)
    ended = training.ended["noise"]
    assert ended["how"] == "stopped"
    assert training.totals["ended"] == training.ended
    assert training.diverged == []
    assert any("noise stopped after" in line and "back to epoch" in line for line in notes.lines)
    for name in ("noise", "steady"):
        measured = [row for row in rows(training, name) if "held_out_loss" in row]
        best = min(measured, key=lambda row: row["held_out_loss"])
        assert [int(row["epoch"]) for row in measured] == list(range(1, len(measured) + 1))
        assert held_out_loss(model, training, taught, name, 1) == pytest.approx(best["held_out_loss"], abs=1e-5)
        assert training.kept_epochs[name] == best["epoch"]
    stopped = [row for row in rows(training, "noise") if "held_out_loss" in row]
    assert ended["epoch"] == stopped[-1]["epoch"] == training.kept_epochs["noise"] + PATIENT.patience < 12
    assert rows(training, "noise")[-1]["step"] + 1 == ended["step"]
    assert len(rows(training, "steady")) == 12 * 9 // 2, "the other one takes all its steps"
    training.bank.close()
    alone = train(model, jobs_of(items("steady", 12), PATIENT, seed=1))
    assert farthest(weights(alone, "steady"), weights(training, "steady")) < 1e-5


def test_held_out_elements_are_not_trained_on(model: LoadedModel) -> None:
    taught = items("a", 8)
    one = TrainSettings(**{**settings_of(PATIENT), "epochs": 1})
    trained, held = split("a", 8, 0.25, 3)
    training = train(model, jobs_of(taught, one, seed=3))
    training.bank.close()
    assert (len(trained), len(held)) == (6, 2)
    assert sorted(trained + held) == list(range(8))
    changed = [
        item("a", "Something else?", "Quite another thing.") if i in held else old for i, old in enumerate(taught)
    ]
    again = train(model, jobs_of(changed, one, seed=3))
    assert torch.equal(weights(training, "a"), weights(again, "a"))
    assert rows(training, "a")[-1]["held_out_loss"] != rows(again, "a")[-1]["held_out_loss"]


def test_a_single_element_is_trained_on(model: LoadedModel) -> None:
    training = train(model, jobs_of([*items("one", 1), *items("two", 2)], PATIENT))
    assert len(rows(training, "one")) == 6
    assert not any("held_out_loss" in row for row in rows(training, "one"))
    assert "one" not in training.kept_epochs
    assert "two" in training.kept_epochs


@pytest.mark.parametrize("how", [{"held_out": 0.2}, {"patience": 2}], ids=str)
def test_both_or_neither(how: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"--held-out 0\.1 --patience 2"):
        TrainSettings(**how)


@pytest.mark.slow
def test_a_run_reports_how_adapters_ended(
    model: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    news = sys2ft.bundled_news("demo")[:2]
    generate = sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=4)
    wild = TrainSettings(adapters="per-news", learning_rate=1e20, epochs=30, batch_size=2, rank=4)
    evaluate = sys2ft.EvaluateSettings(scorings=("cloze",))
    result = sys2ft.run(news, model=model, out=tmp_path, generate=generate, train=wild, evaluate=evaluate)
    record = read_json(tmp_path / "training" / "naive.json")
    assert record["diverged"] == [one.id for one in news]
    assert record["names"] == []
    assert set(record["ended"]) == set(record["diverged"])
    for one in news:
        ended = record["ended"][one.id]
        assert (ended["how"], 0 < ended["step"] < 60) == ("diverged", True)
        line = f"naive: {one.id} diverged after {ended['step']} step"
        assert any(said.startswith(line) and ended["why"] in said for said in result.summary.ended)
        assert line in result.table().replace("\\", "")
        assert line in result.report.read_text(encoding="utf-8")
    again = [
        "--adapters",
        "per-news",
        "--learning-rate",
        "1e20",
        "--epochs",
        "30",
        "--batch-size",
        "2",
        "--rank",
        "4",
        "--quiet",
    ]
    assert call(["train", str(tmp_path), *again]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == list(result.summary.ended)


# Concurrent adapters limited by memory ------------------------------------------------------------------------------

MANY = TrainSettings(epochs=3, rank=4, alpha=8, learning_rate=3e-3, batch_size=2, tokens_at_once=150, dropout=0.1)


def several() -> list[TrainItem]:
    return [*items("a", 7), *items("b", 2), *items("c", 5), *items("d", 4), *items("e", 1)]


@pytest.mark.parametrize("at_once", [1, 2])
def test_results_do_not_depend_on_how_many_train_at_once(model: LoadedModel, at_once: int) -> None:
    whole = train(model, jobs_of(several(), MANY, seed=2))
    whole.bank.close()
    parted = train(
        model, jobs_of(several(), TrainSettings(**{**settings_of(MANY), "max_adapters_at_once": at_once}), seed=2)
    )
    assert whole.totals["adapters_at_once"] == 5
    assert parted.totals["adapters_at_once"] == at_once
    assert parted.names == whole.names == list("abcde")
    assert farthest(parted.bank.weights_KP, whole.bank.weights_KP) < 1e-5
    for one, other in zip(parted.curve, whole.curve, strict=True):
        assert (one["adapter"], one["step"], one["tokens"]) == (other["adapter"], other["step"], other["tokens"])
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
    for what in ("tokens_trained", "adapters", "diverged", "ended"):
        assert parted.totals[what] == whole.totals[what]


@pytest.mark.slow
def test_an_interrupted_training_in_turns_ends_with_the_same_bits(model: LoadedModel, tmp_path: Path) -> None:
    how = TrainSettings(**{**settings_of(PATIENT), "max_adapters_at_once": 2, "checkpoint_seconds": 0, "dropout": 0.1})
    taught = [*noise("noise", 8), *several()]
    whole = train(model, jobs_of(taught, how, seed=2))
    whole.bank.close()
    assert whole.ended
    folder = tmp_path / "checkpoint"
    # A resumed training shows the units that are done first. How many there are in all depends on where training ends
    # early, and so on the last bits of a processor's sums: stop it until three adapters have files of their own.
    for steps in (0, 9, *range(30, 200, 4)):
        with pytest.raises(Interrupted):
            train(model, jobs_of(taught, how, seed=2), checkpoint=folder, show=StopAt(steps))
        if len(list(folder.glob("*"))) > 3:
            break
    else:
        pytest.fail("adapters that are done have no files of their own")
    resumed = train(model, jobs_of(taught, how, seed=2), checkpoint=folder)
    assert torch.equal(whole.bank.weights_KP, resumed.bank.weights_KP)
    assert resumed.curve == whole.curve
    assert {**whole.totals, "seconds": 0} == {**resumed.totals, "seconds": 0}
    resumed.bank.close()
    with pytest.raises(SettingsError, match="checkpoint of another training"):
        train(model, jobs_of(taught[1:], how, seed=2), checkpoint=folder)


def test_an_interrupted_training_can_resume_with_fewer_at_once(model: LoadedModel, tmp_path: Path) -> None:
    def how(at_once: int) -> TrainSettings:
        return TrainSettings(**{**settings_of(MANY), "max_adapters_at_once": at_once, "checkpoint_seconds": 0})

    whole = train(model, jobs_of(several(), how(4), seed=2))
    whole.bank.close()
    with pytest.raises(Interrupted):
        train(model, jobs_of(several(), how(4), seed=2), checkpoint=tmp_path / "checkpoint", show=StopAt(10))
    resumed = train(model, jobs_of(several(), how(1), seed=2), checkpoint=tmp_path / "checkpoint")
    assert resumed.totals["adapters_at_once"] == 1
    assert farthest(resumed.bank.weights_KP, whole.bank.weights_KP) < 1e-5
    assert [(r["adapter"], r["step"]) for r in resumed.curve] == [(r["adapter"], r["step"]) for r in whole.curve]


@pytest.mark.slow
def test_moments_off_the_device_change_no_bit(model: LoadedModel, tmp_path: Path) -> None:
    def how(offload: bool) -> TrainSettings:
        changed = {"max_adapters_at_once": 2, "checkpoint_seconds": 0, "offload_moments": offload}
        return TrainSettings(**{**settings_of(PATIENT), **changed})

    taught = [*noise("noise", 8), *several()]
    whole = train(model, jobs_of(taught, how(False), seed=2))
    whole.bank.close()
    off = train(model, jobs_of(taught, how(True), seed=2))
    off.bank.close()
    folder = tmp_path / "checkpoint"
    for offload, steps in ((True, 9), (False, 20), (True, 30)):
        with pytest.raises(Interrupted):
            train(model, jobs_of(taught, how(offload), seed=2), checkpoint=folder, show=StopAt(steps)).bank.close()
    resumed = train(model, jobs_of(taught, how(True), seed=2), checkpoint=folder)
    resumed.bank.close()
    for other in (off, resumed):
        assert torch.equal(whole.bank.weights_KP, other.bank.weights_KP)
        assert other.curve == whole.curve
        assert {**whole.totals, "seconds": 0} == {**other.totals, "seconds": 0}


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: type[Exception], words: str) -> None:
    """Simulates running out of memory in the second pass of any step with more than `most` adapters."""

    def limited(bank_model: Any, bank: AdapterBank, examples: list[Example], **how: Any) -> Iterator[Any]:
        parts = backward(bank_model, bank, examples, **how)
        yield next(parts)
        if len({example.slot for example in examples}) > most:
            raise error(words)
        yield from parts

    monkeypatch.setattr(loop, "backward", limited)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (RuntimeError, "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        (MemoryError, ""),
    ],
    ids=["CUDA", "CPU", "Python"],
)
def test_out_of_memory_halves_and_continues(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: type[Exception], words: str
) -> None:
    whole = train(model, jobs_of(several(), MANY, seed=2))
    whole.bank.close()
    short_of_memory(monkeypatch, 1, error, words)
    notes = Notes()
    training = train(model, jobs_of(several(), MANY, seed=2), show=notes)
    assert farthest(training.bank.weights_KP, whole.bank.weights_KP) < 1e-5
    assert [(r["adapter"], r["step"]) for r in training.curve] == [(r["adapter"], r["step"]) for r in whole.curve]
    assert training.totals["halved"] == 2
    assert training.totals["adapters_at_once"] == 1
    assert ["memory ran out" in line for line in notes.lines] == [True, True]
    assert [re.findall(r"\d+ adapters", line) for line in notes.lines] == [["2 adapters"], ["1 adapters"]]


def test_out_of_memory_with_one_adapter_says_what_to_lower(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 0, MemoryError, "")
    with pytest.raises(MemoryShortage) as caught:
        train(model, jobs_of(several(), MANY, seed=2))
    assert "while one adapter was trained" in str(caught.value)
    assert "lower --tokens-at-once or --rank, or give --offload-moments" in str(caught.value)
    assert not any(module._forward_hooks for module in model.model.modules())


class Runs:
    """Records the passes of a training by slot; memory runs out once, before pass number `short` (from 0)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
        self.slots: list[int] = []
        self.short = short
        self.happened = False
        monkeypatch.setattr(loop, "backward", self._backward)

    def _backward(self, *args: Any, **how: Any) -> Iterator[Any]:
        for part in backward(*args, **how):
            if len(self.slots) == self.short and not self.happened:
                self.happened = True
                raise MemoryError
            self.slots += part.slots
            yield part


@pytest.mark.slow
def test_a_held_out_loss_delayed_by_memory_is_measured_after_resuming(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # One slot per pass; 6 of 8 elements are trained on, so the third step of each adapter ends an epoch.
    how = TrainSettings(**{**settings_of(PATIENT), "epochs": 2, "tokens_at_once": 1, "checkpoint_seconds": 0})
    taught = [*items("a", 8), *items("b", 8)]
    whole = train(model, jobs_of(taught, how, seed=2))
    whole.bank.close()
    for passes in (2 * 2, 5 * 2):  # in the round that ends the first epoch, and in the last
        folder = tmp_path / str(passes)
        runs = Runs(monkeypatch, passes + 1)
        with pytest.raises(Interrupted):
            train(
                model,
                jobs_of(taught, how, seed=2),
                checkpoint=folder,
                show=StopWhen(lambda _, runs=runs: runs.happened),
            )
        resumed = train(model, jobs_of(taught, how, seed=2), checkpoint=folder)
        resumed.bank.close()
        assert farthest(resumed.bank.weights_KP, whole.bank.weights_KP) < 1e-5
        assert resumed.kept_epochs == whole.kept_epochs
        assert ["held_out_loss" in row for row in resumed.curve] == ["held_out_loss" in row for row in whole.curve]


def test_an_adapter_that_was_done_when_memory_ran_out_stays_done(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = TrainSettings(epochs=1, rank=4, batch_size=2, tokens_at_once=1)
    taught = [*items("a", 6), *items("b", 6), *items("short", 2), *items("d", 6)]
    whole = train(model, jobs_of(taught, how, seed=2))
    whole.bank.close()
    runs = Runs(monkeypatch, 3)
    training = train(model, jobs_of(taught, how, seed=2))
    assert (training.totals["halved"], training.totals["adapters_at_once"]) == (1, 2)
    assert runs.slots.count(2) == 1, "its only step is taken once"
    assert farthest(training.bank.weights_KP, whole.bank.weights_KP) < 1e-5


def test_what_was_trained_when_memory_ran_out_is_kept(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def how(**changes: Any) -> TrainSettings:
        return TrainSettings(epochs=1, rank=4, batch_size=2, max_adapters_at_once=1, **changes)

    taught = [*items("a", 4), *items("b", 4), *items("c", 4)]
    whole = train(model, jobs_of(taught, how(), seed=2))
    whole.bank.close()
    Runs(monkeypatch, 5)
    with pytest.raises(MemoryShortage, match="resumes from its checkpoint") as caught:
        train(model, jobs_of(taught, how(), seed=2), checkpoint=tmp_path / "checkpoint")
    assert "--rank" not in str(caught.value), "a training with another rank could not resume"
    runs = Runs(monkeypatch, -1)
    resumed = train(model, jobs_of(taught, how(offload_moments=True), seed=2), checkpoint=tmp_path / "checkpoint")
    assert runs.slots == [2], "one step of the last adapter was left"
    assert farthest(resumed.bank.weights_KP, whole.bank.weights_KP) < 1e-5


@pytest.mark.slow
def test_a_checkpoint_belongs_to_its_elements_settings_and_seed(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(settings: TrainSettings) -> None:
        Runs(monkeypatch, 20)  # after the 12 steps of the first adapter
        with pytest.raises(MemoryShortage):  # a checkpoint remains
            train(model, jobs_of(several(), settings, seed=2), checkpoint=folder)
        assert [file.name for file in folder.glob("done-00000*")]

    folder, how = tmp_path / "checkpoint", TrainSettings(**{**settings_of(MANY), "max_adapters_at_once": 1})
    interrupted(how)
    first, *rest = several()
    other_text = [item(first.adapter, "What else?", first.completion), *rest]
    faster = TrainSettings(**{**settings_of(how), "learning_rate": 2 * how.learning_rate})
    for taught, settings, seed in ((rest, how, 2), (other_text, how, 2), (several(), faster, 2), (several(), how, 3)):
        with pytest.raises(SettingsError, match="checkpoint of another training"):
            train(model, jobs_of(taught, settings, seed=seed), checkpoint=folder)
    (folder / "state.safetensors").unlink()  # leaves an adapter's file without a state
    interrupted(faster)
    again = train(model, jobs_of(several(), faster, seed=2), checkpoint=folder)
    again.bank.close()
    fresh = train(model, jobs_of(several(), faster, seed=2))
    assert torch.equal(again.bank.weights_KP, fresh.bank.weights_KP)


def test_other_errors_are_not_mistaken_for_it(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 0, RuntimeError, "shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(model, jobs_of(several(), MANY, seed=2))


# Run in a separate process, to limit its memory and measure its peak.
_PROGRAM = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
from sys2ft.engine.adapters import memory
from sys2ft.engine.adapters.bank import linear_layers, weights_a_slot
from sys2ft.models import load_model
from sys2ft.runs import Display
from sys2ft.training import TrainItem, TrainSettings, jobs_of, train

folder, mode = Path(sys.argv[1]), sys.argv[2]
def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024

class Notes(Display):
    lines = []
    def note(self, text):
        self.lines.append(text)

model = load_model(str(folder), dtype="float32", device="cpu")
def taught(adapters, each):
    return [TrainItem(adapter=f"n{k}", prompt=({"role": "user", "content": f"What of {k} and {n}?"},),
            completion=f"The answer {n} of {k}.") for k in range(adapters) for n in range(each)]
how = dict(epochs=2, batch_size=4, max_adapters_at_once=16)
# Warm-up: one-off allocations for libraries, buffers and threads.
train(model, jobs_of(taught(2, 4), TrainSettings(**how, rank=2))).bank.close()
show = Notes()
if mode == "limit":
    # Enough memory for all weights and for the moments of half of the adapters.
    slot = 4 * weights_a_slot(linear_layers(model.model).values(), 256)
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (16 + 2 * 8 + 4) * slot + 2**26,) * 2)
    result = train(model, jobs_of(taught(16, 4), TrainSettings(**how, rank=256, tokens_at_once=256)), show=show)
    print(json.dumps({"totals": result.totals, "notes": show.lines, "rows": len(result.curve)}))
else:
    before = status("VmHWM")
    rank, tokens = (2, 4096) if mode == "activations" else (256, 256)
    how |= {"batch_size": 32, "rank": rank, "tokens_at_once": tokens, "offload_moments": mode == "offloaded"}
    result = train(model, jobs_of(taught(8, 32), TrainSettings(**how)))
    nodes = result.cost.tokens_computed // 16
    need = memory.need(
        result.bank, tokens_at_once=tokens, tokens_a_step=nodes, best=False, offload=mode == "offloaded"
    )
    weights = result.bank.weights_KP.numel() * 4
    measured = status("VmHWM") - before
    print(json.dumps({"estimate": need.total(8) + weights, "measured": measured, "weights": weights}))
"""


@pytest.fixture(scope="module")
def wide_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose adapters are large enough to be visible in the memory of a process."""
    from conftest import build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("wide")
    tokenizer = build_tokenizer()
    wide = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "head_dim": 48}
    build_model("llama", len(tokenizer), **wide).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def in_a_process(folder: Path, mode: str) -> dict[str, Any]:
    tests = str(Path(__file__).parent)
    source = str(Path(sys2ft.__file__).parent.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{source}{os.pathsep}{tests}"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder), mode], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as Linux does")
def test_a_process_that_may_not_have_the_memory_halves(wide_model_dir: Path) -> None:
    found = in_a_process(wide_model_dir, "limit")
    assert found["totals"]["halved"] >= 1
    assert 1 <= found["totals"]["adapters_at_once"] < 16
    assert any("memory ran out" in line for line in found["notes"])
    assert found["rows"] == 16 * 2
    assert found["totals"]["diverged"] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as Linux does")
@pytest.mark.parametrize("mode", ["adapters", "offloaded", "activations"])
def test_the_estimate_is_near_the_peak(wide_model_dir: Path, mode: str) -> None:
    found = in_a_process(wide_model_dir, mode)
    assert found["measured"] > 50 * 2**20
    assert 0.8 < found["estimate"] / found["measured"] < 1.6, found
    if mode != "activations":
        # Moments are twice as large as the weights; gradients exist for two of eight adapters.
        assert (found["measured"] < 2.5 * found["weights"]) == (mode == "offloaded"), found


def test_the_estimate_decides_how_many_train(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = AdapterBank(model.model, 5, rank=4, alpha=8)
    need = memory.need(bank, tokens_at_once=MANY.tokens_at_once, tokens_a_step=50, best=False, offload=False)
    bank.close()
    assert need.state == 2 * need.gradient == 2 * 4 * bank.size
    monkeypatch.setattr(memory, "need", lambda *args, **how: need)
    monkeypatch.setattr(memory, "free_memory", lambda device: int((need.total(3) + need.total(4)) / 2 / 0.9))
    notes = Notes()
    training = train(model, jobs_of(several(), MANY), show=notes)
    assert training.totals["adapters_at_once"] == 3
    (line,) = notes.lines
    assert line.startswith("train: ") and re.findall(r"\d+", line) == ["3", "5"]
    training.bank.close()
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert train(model, jobs_of(several(), MANY)).totals["adapters_at_once"] == 1


def test_a_released_training_leaves_nothing(model: LoadedModel) -> None:
    """Neither the passes nor the estimate keep the bank's weights, gradients or activations alive."""
    training = train(model, jobs_of(several(), MANY))
    assert len(training.names) > 1, "one adapter would need no estimate"
    held = weakref.ref(training.bank.weights_KP)
    training.bank.close()
    del training
    gc.collect()
    assert held() is None


def test_free_memory_knows_the_limits_around_it(tmp_path: Path) -> None:
    """Control groups of both versions; the innermost limit is not always the lowest."""

    def write(path: str, **files: object) -> None:
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_dot_", ".")).write_text(f"{text}\n")

    def left(line: str) -> list[int]:
        (tmp_path / "cgroup").write_text(f"{line}\n")
        return sorted(machine._container(tmp_path / "cgroup", tmp_path / "fs"))

    write("fs/a/b", memory_dot_max=1000, memory_dot_current=400, memory_dot_stat="anon 7\ninactive_file 50")
    write("fs/a", memory_dot_max=500, memory_dot_current=450)
    write("fs", memory_dot_max="max", memory_dot_current=9)
    assert left("0::/a/b") == [50, 650]
    write("fs/memory/c", memory_dot_limit_in_bytes=300, memory_dot_usage_in_bytes=100)
    assert left("4:memory:/c") == [200]
    assert left("7:cpu:/c") == []
    assert left("0::/elsewhere") == []
    free = memory.free_memory(torch.device("cpu"))
    assert 2**20 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# Padding, and low precision -------------------------------------------------------------------------------------------


def test_padding_is_under_five_percent_on_short_pairs(model: LoadedModel) -> None:
    """Sixteen adapters with batches of eight question-answer pairs from the bundled news items."""
    news = sys2ft.bundled_news()
    examples = []
    for slot in range(16):
        one = news[slot % len(news)]
        pairs = [(q.text, q.answer) for q in one.questions]
        pairs += [(f"What is said of {one.domain}?", sentence) for sentence in one.text.split(". ")]
        for asked, answer in (pairs * 3)[:8]:
            rendered = model.chat.render([Message("user", asked)], answer)
            examples.append(Example(rendered.ids, rendered.loss_mask, slot))
    bank = AdapterBank(model.model, 16, rank=4, alpha=8)
    lengths = [len(example.ids) for example in examples]
    assert max(lengths) > 2 * min(lengths), "lengths that a rectangle would pad"
    cost = sum((part.cost for part in backward(model.model, bank, examples, tokens_at_once=1024)), start=StepCost())
    assert cost.tokens_computed < sum(lengths)
    assert cost.padded / (cost.tokens_computed + cost.padded) < 0.05
    packed = pack(examples, slot_trees(examples, 10**6))
    assert packed.padded > 0, "it is counted"


def test_a_bfloat16_model_trains_float32_adapters(tiny_model_dir: Path, tmp_path: Path) -> None:
    loaded = load_model(str(tiny_model_dir), dtype="bfloat16", device="cpu")
    how = TrainSettings(epochs=20, rank=8, alpha=16, learning_rate=1e-2, batch_size=4, dropout=0.1)
    training = train(loaded, jobs_of([*items("a", 4), *items("b", 4)], how))
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}
    assert training.bank.weights_KP.dtype == torch.float32
    assert training.diverged == []
    for name in "ab":
        losses = [row["loss"] for row in rows(training, name)]
        assert losses[-1] < losses[0] - 1
    # Weights that bfloat16 cannot represent: updates are not rounded to the model's precision.
    own = weights(training, "a")
    assert (own != own.bfloat16().float()).float().mean() > 0.9
    save_adapter(training.bank, 0, tmp_path / "adapter", base_name="base")
    training.bank.close()
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
