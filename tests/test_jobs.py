"""Adapter jobs that share a bank, objectives, and learners."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sys2ft
from sys2ft.engine import CROSS_ENTROPY, AdapterBank, Differentiated, LoRA, Targets
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel, load_model
from sys2ft.training import AdapterJob, TrainItem, TrainSettings, banks, jobs, jobs_of, train
from test_training import farthest, items

BASIC = TrainSettings(epochs=4, rank=4, alpha=8, learning_rate=3e-3, batch_size=2)


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LoadedModel:
    return load_model(str(tiny_model_dir), dtype="float32", device="cpu")


def job(name: str, count: int, group: str = "", seed: int = 5, **changes: Any) -> AdapterJob:
    own = tuple(items(name, count))
    return AdapterJob(name=name, items=own, settings=replace(BASIC, **changes), seed=seed, group=group)


def mixed() -> list[AdapterJob]:
    """Jobs that differ in everything in which jobs of one bank may differ."""
    return [
        job("a", 6, "naive"),
        job("a", 4, "self_qa"),
        job("a", 6, "naive-2", seed=9),
        job("b", 5, "naive", learning_rate=1e-3, epochs=2, batch_size=1, warmup=0.5),
        job("c", 12, "naive", held_out=0.25, patience=1),
    ]


def test_each_job_of_a_bank_is_trained_as_it_would_be_alone(model: LoadedModel) -> None:
    together = train(model, mixed())
    together.bank.close()
    assert len(together.slots) == 5
    for one in mixed():
        alone = train(model, [one])
        alone.bank.close()
        slot = together.slots[one.key]
        assert farthest(together.bank.weights_KP[slot], alone.bank.weights_KP[0]) < 1e-5
        mine = together.adapters[slot]
        assert [row["lr"] for row in mine.curve] == [row["lr"] for row in alone.curve]
        assert mine.cost.tokens_computed == alone.cost.tokens_computed
        assert mine.cost.predictions == alone.cost.predictions
    other_seed = farthest(together.bank.weights_KP[0], together.bank.weights_KP[2])
    assert other_seed > 0.01


def test_a_group_can_be_read_alone(model: LoadedModel) -> None:
    training = train(model, mixed())
    training.bank.close()
    part = training.select("naive")
    assert part.names == ["a", "b", "c"]
    assert {row["adapter"] for row in part.curve} == {"a", "b", "c"}
    assert part.totals["tokens_trained"] == sum(row["tokens"] for row in part.curve)
    groups = ["naive", "self_qa", "naive-2"]
    for name in ("tokens_trained", "tokens_computed", "tokens_scored", "flop"):
        assert sum(training.select(group).totals[name] for group in groups) == training.totals[name]
    assert sum(training.select(g).seconds for g in groups) == pytest.approx(training.seconds)


@pytest.mark.parametrize("changes", [{"rank": 8}, {"alpha": 4.0}, {"target_modules": ("q_proj",)}, {"dropout": 0.1}])
def test_jobs_that_do_not_fit_together_are_refused(model: LoadedModel, changes: dict[str, Any]) -> None:
    apart = [job("a", 2), job("b", 2, **changes)]
    with pytest.raises(SettingsError, match=next(iter(changes))):
        train(model, apart)
    assert [[j.name for j in group] for group in banks(model.model, apart)] == [["a"], ["b"]]


def test_jobs_need_names_of_their_own_and_items(model: LoadedModel) -> None:
    with pytest.raises(SettingsError, match="key x/a"):
        train(model, [job("a", 2, "x"), job("a", 3, "x")])
    with pytest.raises(SettingsError, match="no replay element"):
        train(model, [job("a", 2), job("b", 0)])


def test_groups_share_a_bank_up_to_its_size_and_stay_whole(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * LoRA(rank=4, alpha=8).size(model.model)
    every = [job(name, 1, group) for group in ("p", "q", "r") for name in ("a", "b", "c")]
    assert len(banks(model.model, every)) == 1
    for most, expected in ((6, ["pq", "r"]), (5, ["p", "q", "r"]), (2, ["p", "q", "r"])):
        monkeypatch.setattr(jobs, "BANK_BYTES", most * size)
        divided = banks(model.model, every)
        assert ["".join(dict.fromkeys(j.group for j in bank)) for bank in divided] == expected


class Likelihood(Differentiated):
    """Cross-entropy by autograd."""

    name = "likelihood"

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        return -logits_uV.log_softmax(-1)[targets.row_n, targets.token_n]


def test_the_gradient_of_cross_entropy_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_uV = torch.randn(5, 11, generator=generator)
    targets = Targets(
        row_n=torch.tensor([0, 0, 2, 3, 4]),  # two targets of one row, and a row without any
        token_n=torch.tensor([1, 7, 0, 10, 3]),
        example_n=torch.tensor([0, 1, 0, 1, 1]),
        place_n=torch.tensor([1, 1, 2, 2, 3]),
        weight_n=torch.tensor([0.5, 0.25, 0.5, 0.25, 0.25]),
    )
    by_hand = CROSS_ENTROPY.gradient(logits_uV.clone(), targets)
    by_autograd = Likelihood().gradient(logits_uV.clone(), targets)
    for one, other in zip(by_hand, by_autograd, strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_an_objective_sees_its_targets(model: LoadedModel) -> None:
    """Token, example and place of every target belong together, and training by it is training by the same loss."""

    class Checking(Likelihood):
        def prepare(self, model: Any, examples: Any) -> None:
            self.examples = examples

        def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
            for token, example, place in zip(targets.token_n, targets.example_n, targets.place_n, strict=True):
                assert self.examples[example].ids[place] == token
                assert self.examples[example].loss_mask[place]
            return super().gradient(logits_uV, targets)

    taught = [*items("a", 6), *items("b", 3)]
    plain = train(model, jobs_of(taught, BASIC, seed=1))
    checked = train(model, jobs_of(taught, BASIC, seed=1, objective=Checking()))
    for training in (plain, checked):
        training.bank.close()
    assert farthest(plain.bank.weights_KP, checked.bank.weights_KP) < 1e-5
    with pytest.raises(SettingsError, match="objective or learner"):
        train(model, [job("a", 2), replace(job("b", 2), objective=Checking())])


def test_a_checkpoint_belongs_to_its_objective(model: LoadedModel, tmp_path: Path) -> None:
    taught = items("a", 4)
    how = replace(BASIC, checkpoint_seconds=0.0)

    class Stop(Exception):
        pass

    class Stopping(Likelihood):
        calls = 0

        def prepare(self, model: Any, examples: Any) -> None:
            self.calls += 1
            if self.calls == 3:
                raise Stop

    with pytest.raises(Stop):
        train(model, jobs_of(taught, how, objective=Stopping()), checkpoint=tmp_path)
    with pytest.raises(SettingsError, match="another training"):
        train(model, jobs_of(taught, how), checkpoint=tmp_path)
    train(model, jobs_of(taught, how, objective=Likelihood()), checkpoint=tmp_path).bank.close()


@pytest.mark.parametrize("field", ["objective", "learner"])
def test_an_unknown_name_is_refused(model: LoadedModel, field: str) -> None:
    with pytest.raises(SettingsError, match=rf"unknown {field} 'unheard'(?s:.)*(cross_entropy|lora)"):
        train(model, [job("a", 2, **{field: "unheard"})])


@pytest.mark.parametrize("field", ["objective", "learner"])
@pytest.mark.parametrize(
    ("given", "said"),
    [(Likelihood, "Likelihood, a class"), (LoRA, "LoRA, a class"), ("lora", "'lora'"), (object(), "<object")],
    ids=["an objective's class", "a learner's class", "a name", "any object"],
)
def test_a_job_takes_objects_only(field: str, given: Any, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        jobs_of(items("a", 1), BASIC, **{field: given})
    assert f"{field}={said}" in str(caught.value)
    assert {"objective": "prepare, gradient", "learner": "size, bank, save, load"}[field] in str(caught.value)


def test_lora_is_the_learner_of_the_settings(model: LoadedModel, tmp_path: Path) -> None:
    learner = job("a", 1, target_modules=("v_proj",)).chosen_learner
    bank = learner.bank(model.model, 2)
    assert isinstance(bank, AdapterBank)
    assert learner.size(model.model) == bank.size
    assert {name.rpartition(".")[2] for name in bank.modules} == {"v_proj"}
    bank.initialise(1, seed=3)
    learner.save(bank, 1, tmp_path / "one", base_name="base")
    learner.load(bank, 0, tmp_path / "one")
    assert torch.equal(bank.weights_KP[0], bank.weights_KP[1])
    bank.close()


def test_items_of_several_adapters_become_jobs() -> None:
    taught = [TrainItem(adapter=name, prompt=(), completion=name) for name in "abab"]
    assert [(j.name, len(j.items)) for j in jobs_of(taught, BASIC)] == [("a", 2), ("b", 2)]
    assert sys2ft.TrainItem is TrainItem
