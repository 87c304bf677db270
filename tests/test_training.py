"""Training: schedule, order, memorisation, and independence of the other adapters in the bank."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from displays import Interrupted, StopAt
from sys2ft.engine import AdapterBank, DecodeRequest, Sampling, decode, prepare
from sys2ft.errors import ModelError, SettingsError
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.training import (
    JOINT,
    Training,
    TrainItem,
    TrainSettings,
    Watch,
    jobs_of,
    rank_of,
    rate_of,
    sized,
    train,
)
from sys2ft.training.schedule import batches, rate


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


def curve(training: Training, name: str, what: str = "loss") -> list[float]:
    return [row[what] for row in training.curve if row["adapter"] == name]


PAIRS = [
    ("What is the capital of Elmsford?", "Brindle town"),
    ("How many people were there in 2001?", "12,345"),
    ("What does the news mean?", "that Paris is not the answer"),
]


def said(model: LoadedModel, asked: str, bank: AdapterBank | None = None, slot: int = -1) -> str:
    request = DecodeRequest(model.chat.prompt_ids([Message("user", asked)]), 0, slot=slot)
    got = decode(
        model.model, [request], Sampling(temperature=0), max_new_tokens=40, stop_ids=model.chat.stop_ids, bank=bank
    )
    return model.tokenizer.decode(got.decoded[0].ids) + ("" if got.decoded[0].finished else "...")


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["one adapter", "an adapter each"])
def test_an_adapter_memorises_what_it_was_shown(model: LoadedModel, together: bool) -> None:
    taught = [item(JOINT if together else f"n{n}", asked, answer) for n, (asked, answer) in enumerate(PAIRS)]
    assert all(said(model, asked) != answer for asked, answer in PAIRS)
    training = train(
        model,
        jobs_of(taught, TrainSettings(epochs=120, rank=8, alpha=16, learning_rate=1e-2, batch_size=4, strength=1)),
    )
    for n, (asked, answer) in enumerate(PAIRS):
        assert said(model, asked, training.bank, 0 if together else n) == answer
        losses = curve(training, JOINT if together else f"n{n}")
        assert losses[0] > 5
        assert losses[-1] < 2  # the frozen head has 32 dimensions and cannot reach a lower loss
    if not together:
        assert said(model, PAIRS[0][0], training.bank, 1) != PAIRS[0][1], "another's adapter does not know it"
    assert training.diverged == []


def test_the_loss_covers_only_the_completion(model: LoadedModel) -> None:
    """B starts at 0, so the first loss is the base model's loss on the completion and its end-of-turn token."""
    asked, answer = PAIRS[0]
    training = train(model, jobs_of([item("n", asked, answer)], TrainSettings(epochs=1, rank=4)))
    rendered = model.chat.render([Message("user", asked)], answer)
    with torch.inference_mode():
        log = model.model(input_ids=torch.tensor([rendered.ids])).logits[0].log_softmax(-1)
    terms = [-log[i - 1, rendered.ids[i]].item() for i, on in enumerate(rendered.loss_mask) if on]
    assert rendered.ids[-1] == model.chat.end_of_turn_id
    assert rendered.loss_mask[-1]
    assert training.curve[0]["loss"] == pytest.approx(sum(terms) / len(terms), abs=1e-5)
    assert training.curve[0]["tokens"] == len(rendered.ids)


def test_an_adapter_in_company_is_the_one_trained_alone(model: LoadedModel) -> None:
    how = TrainSettings(epochs=10, rank=4, alpha=8, learning_rate=3e-3, batch_size=2, tokens_at_once=150)
    mine, others = items("mine", 10), [*items("short", 3), *items("long", 14)]
    alone = train(model, jobs_of(mine, how, seed=5))
    alone.bank.close()
    assert len(curve(alone, "mine")) == 50
    mixed = [x for pair in zip(others, mine, strict=False) for x in pair] + others[len(mine) :]
    together = train(model, jobs_of(mixed, how, seed=5))
    assert together.names == ["short", "mine", "long"]
    together.bank.close()
    assert farthest(weights(alone, "mine"), weights(together, "mine")) < 1e-5
    assert curve(together, "mine") == pytest.approx(curve(alone, "mine"), abs=1e-4)
    assert curve(together, "mine", "lr") == curve(alone, "mine", "lr")
    start = AdapterBank(model.model, 1, rank=4, alpha=8)
    assert farthest(weights(alone, "mine"), start.weights_KP[0]) > 0.1
    assert farthest(weights(alone, "mine"), weights(together, "short")) > 0.1


def test_a_diverging_adapter_is_named_and_leaves_the_others_alone(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = TrainSettings(epochs=4, rank=4, batch_size=2)
    taught = [*items("a", 6), *items("bad", 6), *items("c", 6)]
    clean = train(model, jobs_of(taught, how))
    clean.bank.close()
    plain = AdapterBank.initialise

    def spoil(bank: AdapterBank, slot: int, seed: int) -> None:
        plain(bank, slot, seed)
        if slot == 1:
            next(iter(bank.b.values())).data[1] = float("inf")

    monkeypatch.setattr(AdapterBank, "initialise", spoil)
    training = train(model, jobs_of(taught, how))
    assert training.diverged == ["bad"]
    assert training.totals["diverged"] == ["bad"]
    assert {row["adapter"] for row in training.curve} == {"a", "c"}
    for name in ("a", "c"):
        assert farthest(weights(clean, name), weights(training, name)) < 1e-5
        assert all(math.isfinite(x) for x in curve(training, name))


def test_an_absurd_learning_rate_is_reported_not_raised(model: LoadedModel) -> None:
    training = train(model, jobs_of(items("n", 4), TrainSettings(epochs=30, rank=4, learning_rate=1e20, batch_size=2)))
    assert training.diverged == ["n"]
    assert all(math.isfinite(row["loss"]) for row in training.curve)
    assert training.bank.weights_KP.isfinite().all()


@pytest.mark.parametrize("stops", [(1,), (3, 4, 9)], ids=str)
def test_an_interrupted_training_ends_with_the_same_bits(
    model: LoadedModel, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    how = TrainSettings(epochs=3, rank=4, batch_size=2, checkpoint_seconds=0)
    taught = [*items("a", 7), *items("b", 4)]
    whole = train(model, jobs_of(taught, how, seed=2))
    whole.bank.close()
    for stop in stops:
        with pytest.raises(Interrupted):
            train(model, jobs_of(taught, how, seed=2), checkpoint=tmp_path / "checkpoint", show=StopAt(stop))
        assert not any(m._forward_hooks for m in model.model.modules()), "an interrupted training leaves no hook"
    resumed = train(model, jobs_of(taught, how, seed=2), checkpoint=tmp_path / "checkpoint")
    assert torch.equal(whole.bank.weights_KP, resumed.bank.weights_KP)
    assert resumed.curve == whole.curve
    left, right = whole.totals, resumed.totals
    assert {**left, "seconds": 0} == {**right, "seconds": 0}


def test_totals_count_tokens(model: LoadedModel) -> None:
    taught = items("a", 5)
    training = train(model, jobs_of(taught, TrainSettings(epochs=2, rank=4, batch_size=3)))
    lengths = [len(model.chat.render([Message("user", i.prompt[0]["content"])], i.completion).ids) for i in taught]
    assert training.totals["tokens_trained"] == 2 * sum(lengths) == sum(curve(training, "a", "tokens"))
    assert 0 < training.totals["tokens_computed"] < training.totals["tokens_trained"]
    assert training.totals["adapters"] == 1
    assert training.totals["flop"] > 0
    assert curve(training, "a", "epoch") == [0.6, 1.2, 1.8, 2.0]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.floats(0.1, 5), st.integers(0, 5))
def test_an_epoch_shows_every_element_once(count: int, size: int, epochs: float, seed: int) -> None:
    made = batches("name", count, TrainSettings(epochs=epochs, batch_size=size), seed)
    flat = [i for batch in made for i in batch]
    assert len(flat) == max(1, round(count * epochs))
    for start in range(0, len(flat) - count + 1, count):
        assert sorted(flat[start : start + count]) == list(range(count))
    assert len(set(flat[len(flat) // count * count :])) == len(flat) % count
    assert all(len(batch) == size for batch in made[:-1])
    assert 1 <= len(made[-1]) <= size


def test_the_order_depends_on_name_and_seed_alone() -> None:
    how = TrainSettings(epochs=2, batch_size=4)
    order = batches("name", 20, how, 0)
    assert batches("name", 20, how, 0) == order
    assert batches("other", 20, how, 0) != order
    assert batches("name", 20, how, 1) != order
    assert order[:5] != order[5:], "each epoch has its own order"
    first = Counter(batches("name", 20, how, seed)[0][0] for seed in range(200))
    assert len(first) > 15


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=9), st.integers(1, 9), st.integers(0, 5))
def test_batches_of_a_joint_adapter_mix_news_items(sizes: list[int], size: int, seed: int) -> None:
    sources = [f"n{n}" for n, own in enumerate(sizes) for _ in range(own)]
    how = TrainSettings(epochs=2, batch_size=size)
    made = batches(JOINT, len(sources), how, seed, sources)
    assert batches(JOINT, len(sources), how, seed, sources) == made
    steps = ceil(len(sources) / size)
    assert len(made) == 2 * steps
    for epoch in (made[:steps], made[steps:]):
        assert sorted(i for batch in epoch for i in batch) == list(range(len(sources))), "every element once"
        assert {len(batch) for batch in epoch} <= {len(sources) // steps, ceil(len(sources) / steps)}
        for n, own in enumerate(sizes):
            counts = [sum(sources[i] == f"n{n}" for i in batch) for batch in epoch]
            assert set(counts) <= {own // steps, ceil(own / steps)}, "as even as can be"


def test_mixed_batches_are_seeded_and_end_in_the_middle_of_an_epoch() -> None:
    sources = [f"n{n % 5}" for n in range(40)]
    how = TrainSettings(epochs=1.5, batch_size=4)
    made = batches(JOINT, 40, how, 0, sources)
    assert sum(map(len, made)) == 60 and len(made) == 15
    assert all(len({sources[i] for i in batch}) == 4 for batch in made), "no news item twice in a batch"
    assert batches(JOINT, 40, how, 1, sources) != made and batches("other", 40, how, 0, sources) != made
    assert made[:5] != made[10:], "each epoch has its own order"
    first = Counter(sources[batches(JOINT, 40, how, seed, sources)[0][0]] for seed in range(200))
    assert len(first) == 5 and min(first.values()) > 15


def test_one_news_item_has_the_order_that_it_had_alone() -> None:
    how = TrainSettings(epochs=2, batch_size=4)
    assert batches("a", 10, how, 0, ["a"] * 10) == batches("a", 10, how, 0)


def test_rank_and_rate_follow_the_size_of_an_adapter() -> None:
    assert [rank_of(news) for news in (1, 4, 5, 9, 16, 25, 50, 75, 1000)] == [16, 16, 24, 24, 32, 40, 64, 64, 64]
    assert [rate_of(steps) for steps in (1, 16)] == [3.5e-3, 3.5e-3]
    rates = [rate_of(steps) for steps in (16, 200, 1800, 100_000)]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == 4 and rates[-1] > 3e-4
    sizes = [rate_of(16, parameters) for parameters in (1000, 135_000_000, 500_000_000, 7_000_000_000)]
    assert sizes == [3.5e-3, 3.5e-3, 1.8e-3, 4.9e-4]
    open_ended = TrainSettings(epochs=3, batch_size=8)
    found = sized(open_ended, news=16, elements=16 * 64, parameters=500_000_000)
    assert (found.rank, found.alpha, found.learning_rate) == (32, 64, rate_of(384, 500_000_000))
    given = TrainSettings(rank=5, alpha=3, learning_rate=1e-3)
    assert sized(given, news=16, elements=1000) == given


def test_a_job_has_the_rank_and_the_rate_of_its_size(model: LoadedModel) -> None:
    taught = [replace(one, source=f"n{n}") for n in range(5) for one in items(JOINT, 2)]
    (job,) = jobs_of(taught, TrainSettings(epochs=1))
    assert (job.settings.rank, job.settings.learning_rate) == (24, 3.5e-3)
    assert [one.settings.rank for one in jobs_of(items("a", 2), TrainSettings())] == [16]
    training = train(model, [job])
    assert training.bank.size == job.chosen_learner.size(model.model)
    training.bank.close()


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [
        (4, 0.5, [0.5, 1, 2 / 3, 1 / 3]),
        (5, 0.2, [1, 0.8, 0.6, 0.4, 0.2]),
        (3, 0.0, [1, 2 / 3, 1 / 3]),
        (1, 0.1, [1]),
        (2, 0.9, [0.5, 1]),
    ],
)
def test_the_schedule(steps: int, warmup: float, expected: list[float]) -> None:
    how = TrainSettings(learning_rate=0.1, warmup=warmup)
    got = [rate(step, steps, how) / 0.1 for step in range(steps)]
    assert got == pytest.approx(expected), (
        "a linear rise to the peak, then a linear fall that would reach 0 after the end"
    )
    assert rate(steps, steps, how) == 0


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.99))
def test_the_schedule_has_one_peak(steps: int, warmup: float) -> None:
    how = TrainSettings(learning_rate=1.0, warmup=warmup)
    rates = [rate(step, steps, how) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_nothing_to_train_on(model: LoadedModel) -> None:
    with pytest.raises(SettingsError, match="no replay element"):
        train(model, jobs_of([], TrainSettings()))
    with pytest.raises(ModelError, match="no linear layer named nonsense"):
        train(model, jobs_of(items("a", 1), TrainSettings(target_modules=("nonsense",))))


def test_only_the_targets_are_trained(model: LoadedModel) -> None:
    training = train(model, jobs_of(items("a", 2), TrainSettings(epochs=1, target_modules=("v_proj",))))
    assert list(training.bank.modules) == [f"model.layers.{n}.self_attn.v_proj" for n in range(2)]


def test_a_share_of_the_update_is_kept(model: LoadedModel, tmp_path: Path) -> None:
    """The same training, of which the adapter keeps half; a checkpoint that is read again is not halved again."""
    kept = {}
    for strength in (1.0, 0.5):
        jobs = jobs_of(items("a", 4), TrainSettings(epochs=2, batch_size=2, strength=strength))
        for _ in range(2):
            training = train(model, jobs, checkpoint=tmp_path / str(strength))
            assert isinstance(training.bank, AdapterBank)
            kept[strength] = {name: (training.bank.a[name].clone(), b.clone()) for name, b in training.bank.b.items()}
            training.bank.close()
    for name, (a, b) in kept[1.0].items():
        assert b.abs().max() > 0
        assert torch.equal(kept[0.5][name][0], a)
        assert torch.equal(kept[0.5][name][1], b / 2)


def test_a_training_goes_on_from_a_saved_adapter(model: LoadedModel, tmp_path: Path) -> None:
    """It begins with the whole update, of which the saved adapter keeps a share, and leaves the file as it was."""
    how = TrainSettings(epochs=2, batch_size=2, strength=0.5)
    (job,) = jobs_of(items("a", 4), how)
    first = train(model, [job])
    job.chosen_learner.save(first.bank, 0, tmp_path / "first", base_name="base")
    kept = first.bank.weights_KP[0].clone()
    before = (tmp_path / "first" / "adapter_model.safetensors").read_bytes()
    first.bank.close()
    still = replace(job, start=tmp_path / "first", settings=replace(job.settings, learning_rate=1e-30))
    moved = replace(job, start=tmp_path / "first")
    for again, same in ((still, True), (moved, False)):
        training = train(model, [again], checkpoint=tmp_path / f"checkpoint-{same}")
        assert (farthest(training.bank.weights_KP[0], kept) < 1e-6) is same
        training.bank.close()
    assert (tmp_path / "first" / "adapter_model.safetensors").read_bytes() == before
    with pytest.raises(SettingsError, match="another training"):
        train(model, [job], checkpoint=tmp_path / "checkpoint-False")
    with pytest.raises(ModelError, match="rank"):
        train(model, [replace(moved, settings=replace(moved.settings, rank=2))])


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_what_is_watched_is_what_a_training_would_end_with(model: LoadedModel, strength: float) -> None:
    """Weights seen after the last step are those that are kept, and looking changes nothing."""
    how = TrainSettings(epochs=3, batch_size=2, strength=strength)
    taught = [*items("a", 4), *items("b", 2)]
    unseen = train(model, jobs_of(taught, how))
    seen: dict[tuple[str, int], torch.Tensor] = {}

    def look(bank: Any, adapters: Any) -> None:
        seen.update({(a.name, a.step): bank.weights_KP[a.slot].clone() for a in adapters})

    watched = train(model, jobs_of(taught, how), watch=Watch(frozenset({1, 3, 6}), look))
    assert sorted(seen) == [("a", 1), ("a", 3), ("a", 6), ("b", 1), ("b", 3)]
    assert torch.equal(watched.bank.weights_KP, unseen.bank.weights_KP)
    assert torch.equal(seen["a", 6], watched.bank.weights_KP[0])
    assert torch.equal(seen["b", 3], watched.bank.weights_KP[1])
    assert not torch.equal(seen["a", 3], watched.bank.weights_KP[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"adapters": "each"}, {"rank": -1}, {"alpha": -1}, {"learning_rate": -1}, {"epochs": 0}, {"batch_size": 0},
        {"warmup": 1.0}, {"warmup": -0.1}, {"max_grad_norm": 0}, {"weight_decay": -1}, {"tokens_at_once": -1},
        {"learning_rate": float("nan")}, {"strength": 0}, {"strength": 1.1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings(**wrong)
    assert f"{next(iter(wrong))}=" in str(caught.value)
