"""AdapterBank, loss, optimiser, checkpoints and PEFT files: K adapters in one batch equal K separate adapters."""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sys2ft.engine import (
    BASE,
    AdapterBank,
    DecodeRequest,
    Example,
    Sampling,
    SlotAdamW,
    SlotGradients,
    StepCost,
    backward,
    decode,
    flops,
    load_adapter,
    prepare,
    save_adapter,
    score,
)
from sys2ft.engine.adapters import low_rank, moments
from sys2ft.engine.adapters.bank import linear_layers
from sys2ft.engine.adapters.checkpoint import Part, State, write_state
from sys2ft.engine.adapters.moments import InFile, InHostMemory
from sys2ft.engine.cpu.parallel import run_in_parallel
from sys2ft.engine.cpu.plan import plan_of, set_plan
from sys2ft.engine.forward import hidden_states
from sys2ft.engine.trees import loss
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.errors import ModelError, SettingsError, StorageError


def load(folder: Path, attention: str = "eager") -> Any:
    """A new float32 model, run by transformers."""
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    ).eval()


@pytest.fixture
def model(tiny_model_dir: Path) -> Any:
    made = load(tiny_model_dir, "sdpa")
    prepare(made)
    return made


def random_bank(model: Any, slots: int, *, rank: int = 4, seed: int = 0, **how: Any) -> AdapterBank:
    """A bank in which every adapter changes the model's output."""
    bank = AdapterBank(model, slots, rank=rank, alpha=2 * rank, **how)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        bank.weights_KP.copy_(torch.randn(bank.weights_KP.shape, generator=generator) * 0.2)
    return bank


def some_examples(slots: Sequence[int], *, seed: int = 0, each: int = 3) -> list[Example]:
    rng = random.Random(seed)
    examples = []
    for slot in slots:
        prompt = [rng.randrange(3, 370) for _ in range(rng.choice([2, 9, 25]))]
        for _ in range(each):
            answer = [rng.randrange(3, 370) for _ in range(rng.randrange(1, 8))]
            examples.append(Example(prompt + answer, [False] * len(prompt) + [True] * len(answer), slot))
    return examples


def mean_cross_entropy(model: Any, examples: Sequence[Example]) -> torch.Tensor:
    """Reference loss: one forward pass per sequence, mean over all supervised tokens."""
    terms = []
    for example in examples:
        log = model(input_ids=torch.tensor([list(example.ids)])).logits[0].log_softmax(-1)
        terms += [-log[i - 1, example.ids[i]] for i, on in enumerate(example.loss_mask) if on]
    return torch.stack(terms).mean()


def test_each_saved_slot_is_a_peft_adapter(family_dir: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    ours = load(family_dir, "sdpa")
    prepare(ours)
    bank = random_bank(ours, 3)
    ids = torch.tensor([[5, 80, 200, 3, 90, 41, 17, 300, 9, 12] * 3])
    mask = torch.ones(1, 30, 30, dtype=torch.bool).tril()
    for slot in range(3):
        folder = tmp_path / str(slot)
        save_adapter(bank, slot, folder, base_name=str(family_dir))
        assert sorted(p.name for p in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
        assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(family_dir)
        plain = load(family_dir)
        with torch.inference_mode():
            before = plain(input_ids=ids).logits
            theirs = PeftModel.from_pretrained(plain, folder).eval()(input_ids=ids).logits
            with bank.rows([slot]):
                got = ours.get_output_embeddings()(hidden_states(ours, ids, torch.arange(30)[None], mask))
        # Relative to the logits: the largest exceed 1, where float32 itself is coarser than an absolute 1e-5.
        assert (got - theirs).abs().max() < 1e-5 * max(1.0, theirs.abs().max().item())
        assert (theirs - before).abs().max() > 0.1

    again = random_bank(ours, 2, seed=5)
    load_adapter(again, 0, tmp_path / "1")
    for name in bank.modules:
        assert torch.equal(again.a[name][0], bank.a[name][1])
        assert torch.equal(again.b[name][0], bank.b[name][1])
        assert not torch.equal(again.a[name][1], bank.a[name][1])


def changed(folder: Path, **settings: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize(
    "settings", [{"use_rslora": True}, {"alpha_pattern": {"q_proj": 3}}, {"rank_pattern": {"q_proj": 3}}], ids=str
)
def test_an_adapter_that_is_scaled_in_another_way_is_refused(
    tiny_model_dir: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    bank = random_bank(load(tiny_model_dir, "sdpa"), 1)
    save_adapter(bank, 0, tmp_path / "adapter", base_name="base")
    changed(tmp_path / "adapter", **settings)
    with pytest.raises(ModelError, match=f"in another way: {next(iter(settings))}"):
        load_adapter(bank, 0, tmp_path / "adapter")


def test_an_adapter_of_a_model_of_another_width_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    from conftest import build_model

    bank = random_bank(load(tiny_model_dir, "sdpa"), 1)
    save_adapter(bank, 0, tmp_path / "adapter", base_name="base")
    wide = random_bank(build_model("llama", 450, intermediate_size=96), 1)
    before = wide.weights_KP.clone()
    with pytest.raises(ModelError, match=r"lora_B of model.layers.0.mlp.gate_proj is \(64, 4\)"):
        load_adapter(wide, 0, tmp_path / "adapter")
    assert torch.equal(wide.weights_KP, before)


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"rank": 8}, "rank 4, alpha 8"),
        ({"targets": ["q_proj"]}, "layers that differ"),
    ],
    ids=["rank", "layers"],
)
def test_an_adapter_that_does_not_fit_is_refused(model: Any, tmp_path: Path, how: dict[str, Any], found: str) -> None:
    save_adapter(random_bank(model, 1), 0, tmp_path / "adapter", base_name="base")
    other = random_bank(model, 1, **how)
    before = other.weights_KP.clone()
    with pytest.raises(ModelError, match=found):
        load_adapter(other, 0, tmp_path / "adapter")
    assert torch.equal(before, other.weights_KP)


def test_a_folder_without_an_adapter_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a PEFT LoRA folder"):
        load_adapter(random_bank(model, 1), 0, tmp_path)
    save_adapter(random_bank(model, 1), 0, tmp_path / "adapter", base_name="base")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read as an adapter"):
        load_adapter(random_bank(model, 1), 0, tmp_path / "adapter")


class Headless(nn.Sequential):
    """Layers without a head."""

    def get_output_embeddings(self) -> None:
        return None


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=9))
def test_each_row_goes_through_its_own_slot(row_slots: list[int]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    bank = random_bank(Headless(layer), 4, rank=2)
    x_RTI = torch.randn(len(row_slots), 3, 6)
    a, b = bank.a["0"], bank.b["0"]
    with torch.inference_mode():
        plain = layer(x_RTI)
        with bank.rows(row_slots):
            got = layer(x_RTI)
        expected = [
            plain[r] + (0 if slot == BASE else bank.scaling * x_RTI[r] @ a[slot].T @ b[slot].T)
            for r, slot in enumerate(row_slots)
        ]
        assert torch.allclose(got, torch.stack(expected), atol=1e-5)
        assert torch.equal(layer(x_RTI), plain), "outside the block the base answers"


def test_mixed_slots_in_one_batch_equal_separate_passes(family_dir: Path) -> None:
    model = load(family_dir, "sdpa")
    prepare(model)
    base = load(family_dir)
    bank = random_bank(model, 3)
    examples = some_examples([2, BASE, 0, 2, 1, BASE], each=2)
    together = [x.total for x in score(model, examples, bank).likelihoods]
    alone = [score(model, [example], bank).likelihoods[0].total for example in examples]
    assert together == pytest.approx(alone, abs=1e-4)
    for example, total in zip(examples, together, strict=True):
        plain = -mean_cross_entropy(base, [example]).item() * sum(example.loss_mask)
        assert (abs(total - plain) < 1e-4) == (example.slot == BASE)

    requests = [DecodeRequest(e.ids, n, n % 2, slot=e.slot) for n, e in enumerate(examples)]
    how = {"max_new_tokens": 10, "stop_ids": frozenset(range(3, 30)), "bank": bank}
    greedy = Sampling(temperature=0)
    said = [d.ids for d in decode(model, requests, greedy, **how).decoded]
    assert said == [decode(model, [r], greedy, **how).decoded[0].ids for r in requests]
    assert said != [d.ids for d in decode(model, [DecodeRequest(e.ids, 0) for e in examples], greedy, **how).decoded]


def test_slots_are_checked(model: Any) -> None:
    bank = random_bank(model, 2)
    with pytest.raises(ValueError, match="slots 0 to 1"), bank.rows([0, 2]):
        pass
    with pytest.raises(ValueError, match="there is no bank"):
        score(model, some_examples([0]))
    with pytest.raises(SettingsError, match="at least 1"):
        AdapterBank(model, 0, rank=4, alpha=8)
    bank.close()
    ids = torch.tensor([[4, 5, 6]])
    with bank.rows([0]):
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
        closed = score(model, some_examples([0]), bank).likelihoods
    assert [x.total for x in closed] == [x.total for x in score(model, some_examples([BASE])).likelihoods]


def test_targets_choose_layers(model: Any) -> None:
    names = linear_layers(model)
    assert len(names) == 2 * 7
    assert not any("lm_head" in name for name in names)
    assert {name.rpartition(".")[2] for name in linear_layers(model, ["q_proj", "down_proj"])} == {
        "q_proj",
        "down_proj",
    }
    with pytest.raises(ModelError, match="no linear layer named wrong") as caught:
        linear_layers(model, ["q_proj", "wrong"])
    assert "down_proj" in str(caught.value)


def test_initialisation_depends_on_the_seed_alone(model: Any) -> None:
    one, many = AdapterBank(model, 1, rank=4, alpha=8), random_bank(model, 3)
    one.initialise(0, 7)
    many.initialise(2, 7)
    many.initialise(1, 8)
    for name, layer in one.modules.items():
        assert torch.equal(one.a[name][0], many.a[name][2])
        assert not torch.equal(one.a[name][0], many.a[name][1])
        assert one.a[name].abs().max() <= layer.in_features**-0.5
        assert one.a[name].abs().max() > 0.8 * layer.in_features**-0.5
        assert not one.b[name].any()
        assert not many.b[name][2].any()


def gradients(model: Any, bank: AdapterBank, examples: Sequence[Example], **how: Any) -> Gradients:
    """Losses by slot, the gradient of each slot (P,), and the cost."""
    losses: dict[int, float] = {}
    by_slot: dict[int, torch.Tensor] = {}
    cost = StepCost()
    for part in backward(model, bank, examples, **{"tokens_at_once": 512, **how}):
        assert not by_slot.keys() & set(part.slots), "a slot's gradient comes whole"
        losses |= part.losses
        by_slot |= {slot: row.clone() for slot, row in zip(part.slots, part.gradient_SP, strict=True)}
        cost += part.cost
    return losses, by_slot, cost


Gradients = tuple[dict[int, float], dict[int, torch.Tensor], StepCost]


def layer_of(bank: AdapterBank, vector_P: torch.Tensor, name: str, part: str) -> torch.Tensor:
    """A or B of one layer, from a slot's vector."""
    like = (bank.a if part == "A" else bank.b)[name][0]
    start = like.storage_offset()
    return vector_P[start : start + like.numel()].view(like.shape)


@pytest.mark.slow
@pytest.mark.parametrize("products", [1, 10**6], ids=["one by one", "padded"])
@pytest.mark.parametrize("sizes", [{}, {"tokens_at_once": 30}, {"tokens_at_once": 60}], ids=str)
def test_the_gradient_is_that_of_each_slots_mean_loss(
    family_dir: Path, tmp_path: Path, sizes: dict[str, int], products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr(low_rank, "_LONG", products)
    model = load(family_dir, "sdpa")
    prepare(model)
    bank = random_bank(model, 4)
    examples = some_examples([0, 2, 0], each=3) + some_examples([2, 3], seed=4, each=1)
    losses, got, cost = gradients(model, bank, examples, **sizes)
    assert set(losses) == set(got) == {0, 2, 3}, "a slot without examples gets no gradient"
    assert cost.tokens_shown == sum(len(e.ids) for e in examples)
    assert cost.tokens_computed < cost.tokens_shown
    for slot in (0, 2, 3):
        save_adapter(bank, slot, tmp_path / str(slot), base_name="base")
        theirs = PeftModel.from_pretrained(load(family_dir), tmp_path / str(slot), is_trainable=True).eval()
        loss = mean_cross_entropy(theirs, [e for e in examples if e.slot == slot])
        loss.backward()
        assert losses[slot] == pytest.approx(loss.item(), abs=1e-5)
        parts = dict(theirs.named_parameters())
        for name in bank.modules:
            for part in "AB":
                expected = parts[f"base_model.model.{name}.lora_{part}.default.weight"].grad
                assert expected is not None
                assert torch.allclose(layer_of(bank, got[slot], name, part), expected, atol=1e-5, rtol=1e-4), name
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2], ids=["one pass", "two at once"])
@pytest.mark.parametrize("products", [1, 10**6], ids=["one by one", "padded"])
def test_the_gradient_in_bfloat16_is_near_that_in_float32(
    family_dir: Path, threads: int, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    monkeypatch.setattr(low_rank, "_LONG", products)
    half = transformers.AutoModelForCausalLM.from_pretrained(family_dir, dtype=torch.bfloat16).eval()
    full = load(family_dir, "sdpa")
    with torch.no_grad():
        for parameter, rounded in zip(full.parameters(), half.parameters(), strict=True):
            parameter.copy_(rounded)
    examples = some_examples([0, 2, 0], each=3) + some_examples([2, 3], seed=4, each=1)
    found = []
    for model in (full, half):
        prepare(model)
        set_plan(model, replace(plan_of(model), passes_at_once=threads))
        bank = random_bank(model, 4)
        found.append((bank, *gradients(model, bank, examples, tokens_at_once=400)))
    (bank, losses, exact, _), (_, half_losses, rounded_off, _) = found
    assert half_losses == pytest.approx(losses, rel=0.02)
    off = {}
    for slot in (0, 2, 3):
        for name in bank.modules:
            for part in "AB":
                right, got = (layer_of(bank, one[slot], name, part) for one in (exact, rounded_off))
                off[slot, name, part] = ((got - right).norm() / right.norm()).item()
    assert max(off.values()) < 0.15, off
    assert sum(off.values()) / len(off) < 0.05


def test_slots_do_not_dilute_one_another(model: Any) -> None:
    bank = random_bank(model, 2)
    mine = some_examples([0])
    _, alone, _ = gradients(model, bank, mine)
    _, together, _ = gradients(model, bank, [*mine, *some_examples([1] * 10)])
    assert (alone[0] - together[0]).abs().max() < 1e-5
    assert alone[0].abs().max() > 1e-2


def adam_by_torch(start: torch.Tensor, gradients: list[torch.Tensor], rates: list[float], decay: float) -> torch.Tensor:
    parameter = nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([parameter], lr=1.0, weight_decay=decay)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        nn.utils.clip_grad_norm_([parameter], 1.0)
        optimiser.step()
    return parameter.detach()


def of_step(gradient_KP: torch.Tensor) -> SlotGradients:
    return SlotGradients(list(range(len(gradient_KP))), gradient_KP.clone(), {}, StepCost())


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_optimiser_is_torchs_adamw_slot_by_slot(decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 20, generator=generator)
    weights_KP = start.clone()
    optimiser = SlotAdamW(weights_KP, weight_decay=decay)
    drawn = [torch.randn(3, 20, generator=generator) * 10**n for n in range(-3, 3)]
    active = [[True, step % 2 == 0, step < 4] for step in range(6)]
    rates = [[0.1, 0.01 * (step + 1), 0.3] for step in range(6)]
    for gradient, on, rate in zip(drawn, active, rates, strict=True):
        norms = optimiser.step(of_step(gradient), {s: rate[s] for s in range(3) if on[s]}, 1.0)
        assert list(norms.values()) == pytest.approx(gradient.norm(dim=1).tolist(), rel=1e-5)
    for slot in range(3):
        own = [step for step in range(6) if active[step][slot]]
        expected = adam_by_torch(start[slot], [drawn[s][slot] for s in own], [rates[s][slot] for s in own], decay)
        assert torch.allclose(weights_KP[slot], expected, atol=1e-5), slot


@pytest.mark.parametrize("kind", ["file", "file in pieces", "host"])
def test_moments_off_the_device_change_no_bit(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots begin, step and end in any order; new slots reuse the space of finished ones."""
    if kind == "file in pieces":
        monkeypatch.setattr(moments, "_PIECE", 64)
    weights_KP = torch.randn(5, 150, generator=torch.Generator().manual_seed(0))
    off = InHostMemory(150, torch.device("cpu")) if kind == "host" else InFile(150, tmp_path)
    near, far = SlotAdamW(weights_KP.clone()), SlotAdamW(weights_KP.clone(), moments=off)
    generator = torch.Generator().manual_seed(1)
    for slots, done in [([0, 2], []), ([2, 0, 4], [0]), ([1, 4, 2], [4, 2]), ([3, 1], []), ([2, 3, 0, 1], [])]:
        drawn = torch.randn(len(slots), 150, generator=generator)
        for optimiser in (near, far):
            optimiser.step(SlotGradients(slots, drawn.clone(), {}, StepCost()), dict.fromkeys(slots, 0.1), 1.0)
            for slot in done:
                optimiser.forget(slot)
    assert torch.equal(near.weights_KP, far.weights_KP)
    assert near.steps == far.steps == {1: 3, 3: 2, 2: 1, 0: 1}
    for slot in near.steps:
        assert torch.equal(near.moments.read(slot), far.moments.read(slot))
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    off.close()


@pytest.mark.skipif(sys.platform != "linux", reason="a file's size is limited as Linux does")
def test_a_disk_that_does_not_hold_the_moments_is_one_clear_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    off = InFile(1000, tmp_path)
    optimiser = SlotAdamW(torch.zeros(3, 1000), moments=off)
    optimiser.begin(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=f"disk is full: {tmp_path}"):
            optimiser.begin(1)
        off.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_slot_with_a_gradient_that_is_not_finite_is_unchanged(bad: float) -> None:
    weights_KP = torch.ones(3, 4)
    optimiser = SlotAdamW(weights_KP)
    gradient = torch.ones(3, 4)
    gradient[1, 2] = bad
    norms = optimiser.step(of_step(gradient), dict.fromkeys(range(3), 0.1), 1.0)
    assert not norms[1] < float("inf")
    assert torch.equal(weights_KP[1], torch.ones(4))
    assert torch.equal(weights_KP[0], weights_KP[2])
    assert (weights_KP[0] < 1).all()
    assert optimiser.steps == {0: 1, 2: 1}
    optimiser.forget(0)
    assert optimiser.steps == {2: 1}


def run_passes_concurrently(model: Any) -> None:
    """The code path of half precision, but in float32, so that results can be compared closely."""
    set_plan(model, replace(plan_of(model), passes_at_once=2))


@pytest.mark.parametrize("tokens_at_once", [60, 200, 4096])
@pytest.mark.parametrize("slots", [[0], [0, 1], [2, 0, 1, 1]], ids=str)
def test_concurrent_passes_have_the_same_gradient(model: Any, slots: list[int], tokens_at_once: int) -> None:
    examples = some_examples(slots, each=20)
    bank = random_bank(model, 3)
    losses, expected, cost = gradients(model, bank, examples, tokens_at_once=tokens_at_once)
    run_passes_concurrently(model)
    threads = torch.get_num_threads()
    got = gradients(model, bank, examples, tokens_at_once=tokens_at_once)
    again = gradients(model, bank, examples, tokens_at_once=tokens_at_once)
    assert torch.get_num_threads() == threads
    assert got[0] == again[0] == pytest.approx(losses, rel=1e-5)
    for slot in expected:
        assert torch.equal(got[1][slot], again[1][slot]), "whichever thread is first"
        assert torch.allclose(got[1][slot], expected[slot], atol=2e-6)
    for name in ("tokens_computed", "predictions", "tokens_shown"):
        assert getattr(got[2], name) == getattr(cost, name)
    assert got[2].padded >= cost.padded


def test_at_once_each_call_has_its_share_of_the_cores() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    ended = []
    together = threading.Barrier(2, timeout=60)

    def call(fails: bool) -> int:
        together.wait()  # both calls run concurrently
        if fails:
            raise MemoryError
        time.sleep(0.05)
        ended.append(True)
        return torch.get_num_threads()

    try:
        assert run_in_parallel([partial(call, False)] * 2) == [2, 2]
        assert torch.get_num_threads() == 4
        ended.clear()
        with pytest.raises(MemoryError):
            run_in_parallel([partial(call, True), partial(call, False)])
        assert ended == [True], "the others have ended by then"
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([5], [[5]]),
        ([5, 5], [[5], [5]]),
        ([1, 9], [[9], [1]]),
        ([9, 1, 1], [[9], [1, 1]]),
        ([3, 3, 3, 3], [[3, 3], [3, 3]]),
        ([9, 8, 2, 1], [[9, 1], [8, 2]]),
    ],
)
def test_slots_are_distributed_whole_and_evenly(sizes: list[int], shares: list[list[int]]) -> None:
    examples = [
        Example(range(10 * slot, 10 * slot + n + 1), [False] * n + [True], slot) for slot, n in enumerate(sizes)
    ]
    assert [[len(tree) for tree in share] for share in loss._shares(slot_trees(examples, 100), 2)] == shares


@pytest.mark.parametrize("slots", [[0, 1, 2, 0, 0, 2], [0, 1, 2, 1, 1, 0]], ids=["fewest examples", "most examples"])
@pytest.mark.parametrize("part", ["a", "b"])
@pytest.mark.parametrize("products", [1, 10**6], ids=["one by one", "padded"])
@pytest.mark.parametrize("concurrently", [False, True], ids=["", "concurrent"])
def test_a_non_finite_slot_does_not_affect_the_others(
    model: Any,
    part: str,
    slots: list[int],
    products: int,
    concurrently: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slots of different sizes are padded in one batch; non-finite values stay in their slot."""
    monkeypatch.setattr(low_rank, "_LONG", products)
    if concurrently:
        run_passes_concurrently(model)
    examples = some_examples(slots, each=9)
    clean = random_bank(model, 3)
    expected, sound, _ = gradients(model, clean, examples, tokens_at_once=4096)
    clean.close()
    spoilt = random_bank(model, 3)
    next(iter(getattr(spoilt, part).values()))[1] = float("nan")
    losses, got, _ = gradients(model, spoilt, examples, tokens_at_once=4096)
    assert losses[1] != losses[1]
    for slot in (0, 2):
        assert losses[slot] == pytest.approx(expected[slot], abs=1e-6)
        assert torch.allclose(got[slot], sound[slot], atol=1e-6)


def test_a_state_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    stacked = torch.randn(3, 7, generator=generator)
    tensors = {"a": stacked[1], "b": torch.tensor([float("inf"), -0.0, 1e-45]), "c": torch.randn(2, 3).T}
    shown = torch.empty(3)

    def in_turn() -> torch.Tensor:
        return shown.copy_(tensors["b"])

    parts: dict[str, Part] = {name: (tensor.shape, tensor.detach) for name, tensor in tensors.items()}
    parts["b"] = (3,), in_turn
    write_state(tmp_path / "there" / "state", parts, {"loss": 0.1 + 0.2, "names": ["x", "ü"]})
    state = State(tmp_path / "there" / "state")
    assert state.record == {"loss": 0.1 + 0.2, "names": ["x", "ü"]}
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert torch.signbit(state["b"]).tolist() == [False, True, False]
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["state"]


def test_flop_are_those_that_torch_counts(model: Any) -> None:
    body, head = flops.weights(model)
    config = model.config
    assert head == config.vocab_size * config.hidden_size
    ids = torch.arange(3, 23)[None]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False)
    products = counter.get_flop_counts()["Global"]
    linear = sum(n for operation, n in products.items() if operation in (torch.ops.aten.mm, torch.ops.aten.addmm))
    assert flops.forward(model, 20, 20) == linear
    assert flops.forward(model, 10, 3) == 2 * (10 * body + 3 * head)
    assert flops.training(model, 10, 3) == 2 * flops.forward(model, 10, 3)


def test_training_leaves_the_base_alone(model: Any) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    bank = random_bank(model, 2)
    start = bank.weights_KP.clone()
    optimiser = SlotAdamW(bank.weights_KP)
    for step in range(5):
        for part in backward(model, bank, some_examples([0, 1], seed=step), tokens_at_once=256):
            optimiser.step(part, {0: 1e-2, 1: 1e-3}, 1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert (start != bank.weights_KP).float().mean() > 0.99
    bank.close()
    assert not list(itertools.chain.from_iterable(m._forward_hooks for m in model.modules()))
