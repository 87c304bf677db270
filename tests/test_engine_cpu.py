"""The CPU optimisations: same results as the plain path, and nothing of them left behind in the model."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sys2ft.engine import AdapterBank, DecodeRequest, Sampling, SlotAdamW, backward, decode, prepare, score
from sys2ft.engine.adapters.linears import LinearGroup
from sys2ft.engine.adapters.low_rank import Gradient
from sys2ft.engine.cpu.plan import Plan, base_pass, plan_of, set_plan
from sys2ft.engine.cpu.shared_inputs import (
    SharedInputLinears,
    adjacent_columns,
    groups_of,
    join,
    stacked_rows,
    watching,
)
from sys2ft.engine.cpu.shortcuts import find
from sys2ft.engine.patching import patched_forwards
from sys2ft.models.allocator import PLAIN, keep_freed_memory
from test_adapters import gradients, load, random_bank, some_examples

pytestmark = pytest.mark.slow


@pytest.fixture
def model(family_dir: Path) -> Any:
    made = load(family_dir, "sdpa")
    prepare(made)
    return made


def layers_of(model: nn.Module, names: Sequence[str]) -> list[nn.Linear]:
    return [model.get_submodule(name) for name in names]  # type: ignore[misc]


def data_bytes(model: nn.Module) -> int:
    """Bytes of the different storages behind a model's parameters."""
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    return sum(storages.values())


# The plain path -------------------------------------------------------------------------------------------------------


def results(model: Any) -> tuple[Any, ...]:
    """Losses and weights of two training steps; log-likelihoods, greedy and sampled texts of the adapters before it."""
    bank = random_bank(model, 3)
    examples, losses = some_examples([0, 2, 1, 0], each=6), []
    # Before the training: Adam makes of a rounding error in a gradient near 0 a step of the rate's size.
    scored = score(model, [*examples, *some_examples([-1], seed=2)], bank)
    requests = [DecodeRequest(e.ids[:6], seed=100 + i, group=i % 2, slot=e.slot) for i, e in enumerate(examples)]
    texts = [
        [one.ids for one in decode(model, requests, how, max_new_tokens=12, stop_ids=frozenset(), bank=bank).decoded]
        for how in (Sampling(temperature=0), Sampling(temperature=0.8))
    ]
    optimiser = SlotAdamW(bank.weights_KP)
    for _ in range(2):
        for part in backward(model, bank, examples, tokens_at_once=200):
            losses.append(part.losses)
            optimiser.step(part, dict.fromkeys(part.slots, 1e-3), 1.0)
    bank.close()
    return losses, bank.weights_KP, [x.total for x in scored.likelihoods], texts


@pytest.mark.parametrize("every", [False, True], ids=["as decided", "all of it"])
def test_the_plain_path_computes_the_same(family_dir: Path, every: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fast, plain = load(family_dir, "sdpa"), load(family_dir, "sdpa")
    prepare(fast)
    with monkeypatch.context() as patched:
        patched.setenv(PLAIN, "1")
        prepare(plain)
    assert plan_of(plain) == Plan()
    assert plan_of(fast).shared_inputs and plan_of(fast).shortcuts and plan_of(fast).separate_parts
    if every:  # what is used in half precision only, where results differ too much to be compared
        set_plan(fast, replace(plan_of(fast), passes_at_once=2, float32_attention=True))
    (losses, weights, scores, texts), (plain_losses, plain_weights, plain_scores, plain_texts) = map(
        results, (fast, plain)
    )
    assert [list(x) for x in losses] == [list(x) for x in plain_losses]
    for one, other in zip(losses, plain_losses, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert torch.allclose(weights, plain_weights, atol=2e-5)
    assert scores == pytest.approx(plain_scores, abs=1e-4)
    assert texts == plain_texts


def test_nothing_is_patched_in_the_plain_path(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN, "1")
    model = load(tiny_model_dir, "sdpa")
    storages = {p.untyped_storage().data_ptr() for p in model.parameters()}
    prepare(model)
    assert {p.untyped_storage().data_ptr() for p in model.parameters()} == storages
    with base_pass(model):
        assert not any("forward" in module.__dict__ for module in model.modules())
    assert not keep_freed_memory()


# Shared inputs --------------------------------------------------------------------------------------------------------


def test_prepare_finds_what_reads_the_same_tensor(model: Any) -> None:
    expected = []
    for layer in range(2):
        expected.append([f"model.layers.{layer}.self_attn.{name}_proj" for name in "qkv"])
        expected.append([f"model.layers.{layer}.mlp.{name}_proj" for name in ("gate", "up")])
    assert plan_of(model).shared_inputs == expected


def test_their_weights_are_in_one_tensor_and_nowhere_else(family_dir: Path) -> None:
    model = load(family_dir, "sdpa")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parameters, held = dict(model.named_parameters()), data_bytes(model)
    prepare(model)
    assert data_bytes(model) == held
    assert dict(model.named_parameters()).keys() == parameters.keys()
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    bank = random_bank(model, 1)
    assert data_bytes(model) == held
    for names in plan_of(model).shared_inputs:
        layers = layers_of(model, names)
        whole = SharedInputLinears(layers).weight_OI
        assert whole is not None
        assert torch.equal(whole, torch.cat([layer.weight for layer in layers]))
        whole[-1, -1] += 1
        assert whole[-1, -1] == layers[-1].weight[-1, -1], "the same numbers, not a copy"
        assert len({layer.weight.untyped_storage().data_ptr() for layer in layers}) == 1
    bank.close()


def test_a_prepared_model_is_saved_as_it_was_loaded(family_dir: Path, tmp_path: Path) -> None:
    model = load(family_dir, "sdpa")
    prepare(model)
    model.save_pretrained(tmp_path / "again")
    expected, got = load(family_dir).state_dict(), load(tmp_path / "again").state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_what_does_not_fit_is_left_alone() -> None:
    fits = [nn.Linear(4, 3), nn.Linear(4, 5)]
    for layers in ([nn.Linear(4, 3), nn.Linear(5, 3)], [nn.Linear(4, 3), nn.Linear(4, 3, bias=False)]):
        before = [layer.weight.data_ptr() for layer in layers]
        join(layers)
        assert before == [layer.weight.data_ptr() for layer in layers]
    assert SharedInputLinears(fits).weight_OI is None
    join(fits)
    at = fits[0].weight.data_ptr()
    join(fits)
    assert fits[0].weight.data_ptr() == at, "weights that are stacked already stay in place"
    assert SharedInputLinears(fits).weight_OI is not None
    assert SharedInputLinears(fits[::-1]).weight_OI is None


class Shared(nn.Module):
    """Layers that are called twice, alone, on a copy, or never are in no group."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.twice, self.copied, self.never = (nn.Linear(4, 4) for _ in range(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.twice(x) + self.two(x) + self.copied(x.clone()) + self.twice(x)


def test_watching_finds_layers_that_share_an_input() -> None:
    model = nn.Sequential(Shared(), Shared())
    with watching(model) as groups:
        model(torch.randn(2, 4))
    assert groups == [["0.one", "0.two"], ["1.one", "1.two"]]
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert list(groups_of(groups, ["0.twice", "0.two", "1.one", "1.two"])) == [["0.twice"], groups[0], groups[1]]


@pytest.mark.parametrize("joined", [True, False], ids=["one product", "layer by layer"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_the_products_are_those_of_the_layers(joined: bool, bias: bool) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(6, width, bias=bias) for width in (5, 2, 3)]
    if joined:
        join(layers)
    linears = SharedInputLinears(layers)
    x_TI = torch.randn(7, 6, requires_grad=True)
    expected = [layer(x_TI) for layer in layers]
    for got, one in zip(linears.outputs(x_TI.detach()), expected, strict=True):
        assert torch.allclose(got, one, atol=1e-6)
    apart = [torch.randn_like(one) for one in expected]
    together = list(torch.cat(apart, dim=1).split([5, 2, 3], dim=1))
    assert adjacent_columns(apart) is None
    assert torch.equal(adjacent_columns(together), torch.cat(apart, dim=1))  # type: ignore[arg-type]
    assert adjacent_columns(together[::-1]) is None
    (expected_TI,) = torch.autograd.grad(expected, x_TI, apart)
    for given in (apart, together):
        assert torch.allclose(linears.gradient(given), expected_TI, atol=1e-5)


def test_rows_are_recognised_only_if_they_are_stacked() -> None:
    whole = torch.randn(6, 3)
    one, two = whole[:2], whole[2:]
    assert torch.equal(stacked_rows([one, two]), whole)  # type: ignore[arg-type]
    assert stacked_rows([two, one]) is None
    assert stacked_rows([one, two.clone()]) is None
    assert stacked_rows([whole[:, :2], whole[:, 2:]]) is None
    assert stacked_rows([]) is None


def test_outputs_are_computed_once_and_held_no_longer_than_needed() -> None:
    layers = [nn.Linear(4, 3).requires_grad_(False) for _ in range(2)]
    group = LinearGroup(SharedInputLinears(layers))
    calls = []
    product = group.base.outputs
    group.base.outputs = lambda x_TI: (calls.append(1), product(x_TI))[1]  # type: ignore[method-assign]
    x = torch.randn(1, 5, 4)
    first = group.output(0, x, None)
    second = group.output(1, x, None)
    assert len(calls) == 1
    assert torch.allclose(first, layers[0](x))
    assert torch.allclose(second, layers[1](x))
    assert (group._here.read, group._here.outputs) == (None, {})
    group.output(1, x, None)
    other = x.clone()
    assert torch.allclose(group.output(0, other, None), first)
    assert len(calls) == 3, "another tensor is computed anew, also where its numbers are the same"
    seen = weakref.ref(x)
    del x, first, second
    gc.collect()
    assert seen() is None
    group.forget()


# Adapters over shared inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["up_proj"], ["k_proj", "down_proj", "gate_proj"]], ids=str)
def test_layers_without_adapters_are_computed_beside_those_with(model: Any, targets: list[str]) -> None:
    """The gradient by the rule of three: what finite differences of the loss say."""
    bank = random_bank(model, 2, targets=targets)
    examples = some_examples([0, 1], each=2)
    _, got, _ = gradients(model, bank, examples)
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(bank.size, generator=generator)
    direction /= direction.norm()
    losses = []
    for step in (1e-2, -1e-2):
        bank.weights_KP[1] += step * direction
        losses.append(gradients(model, bank, examples)[0][1])
        bank.weights_KP[1] -= step * direction
    slope = (losses[0] - losses[1]) / 2e-2
    assert slope == pytest.approx((got[1] @ direction).item(), rel=2e-2, abs=2e-4)
    bank.close()


def test_layers_whose_weights_were_moved_train_the_same(family_dir: Path) -> None:
    """`model.to(...)` gives each weight its own storage again."""
    prepared, moved = load(family_dir, "sdpa"), load(family_dir, "sdpa")
    prepare(prepared)
    prepare(moved)
    for parameter in moved.parameters():
        parameter.data = parameter.data.clone()
    banks = [random_bank(each, 2) for each in (prepared, moved)]
    joined = [
        [g.base.weight_OI is not None for g in b._groups if isinstance(g.base, SharedInputLinears)] for b in banks
    ]
    assert joined == [[True] * 4, [False] * 4]
    examples = some_examples([0, 1], each=3)
    (_, one, _), (_, other, _) = (
        gradients(each, bank, examples) for each, bank in zip((prepared, moved), banks, strict=True)
    )
    assert all(torch.allclose(one[slot], other[slot], atol=1e-5) for slot in (0, 1))


def test_a_slot_s_weights_are_those_of_its_layers(model: Any) -> None:
    bank = AdapterBank(model, 2, rank=3, alpha=3)
    bank.weights_KP[1] = torch.arange(bank.size)
    parts = [tensor[1].flatten() for tensor in (*bank.a.values(), *bank.b.values())]
    assert torch.equal(torch.cat(parts).sort().values, bank.weights_KP[1]), "every weight once, and none left over"
    q, k, v = (f"model.layers.1.self_attn.{name}_proj" for name in "qkv")
    assert stacked_rows([bank.a[name][1] for name in (q, k, v)]) is not None
    bank.close()


def plain(model: nn.Module) -> bool:
    """Whether nothing of a training is left at the model."""
    return not any(
        "forward" in module.__dict__ or module._forward_hooks or module._forward_pre_hooks for module in model.modules()
    )


def test_a_closed_bank_leaves_the_model_as_it_was(model: Any, family_dir: Path) -> None:
    ids = torch.tensor([[5, 80, 200, 3, 90, 41]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
    expected = None
    for _ in range(3):
        bank = random_bank(model, 2)
        losses, got, _ = gradients(model, bank, some_examples([0, 1]))
        expected = expected or (losses, got)
        assert losses == expected[0]
        assert all(torch.equal(got[slot], expected[1][slot]) for slot in got), "bank after bank, the same bits"
        assert not any("forward" in module.__dict__ for module in model.modules())
        bank.close()
        assert plain(model)
        gone = weakref.ref(bank)
        del bank
        gc.collect()
        assert gone() is None
        with torch.inference_mode():
            assert torch.equal(model(input_ids=ids).logits, before)


def test_two_banks_over_one_model_do_not_meet(model: Any) -> None:
    one, other = random_bank(model, 1), random_bank(model, 1, seed=3, rank=2)
    examples = some_examples([0])
    _, together, _ = gradients(model, one, examples)
    _, others, _ = gradients(model, other, examples)
    other.close()
    _, alone, _ = gradients(model, one, examples)
    assert torch.equal(together[0], alone[0])
    assert others[0].numel() != alone[0].numel()


def test_an_error_in_a_pass_leaves_the_forwards_as_they_were(model: Any) -> None:
    bank = random_bank(model, 1)
    gradient = Gradient({0: 0}, torch.zeros(1, bank.size))
    with pytest.raises(KeyError), bank.parts([(0, 4)], gradient=gradient):
        group = next(group for group in bank._groups if len(group.places) == 3)
        layer = model.model.layers[0].self_attn.q_proj
        layer(torch.randn(1, 4, layer.in_features))
        assert group._here.read is not None
        raise KeyError
    assert group._here.read is None
    assert not any("forward" in module.__dict__ for module in model.modules())
    bank.close()
    assert plain(model)


def test_a_forward_that_was_replaced_before_is_put_back() -> None:
    layer = nn.Linear(2, 2)
    own = layer.forward
    layer.forward = own  # type: ignore[method-assign]
    with patched_forwards({layer: lambda x: x}):
        assert layer(torch.ones(1, 2)).tolist() == [[1, 1]]
    assert layer.__dict__["forward"] is own


# Shortcuts ------------------------------------------------------------------------------------------------------------


def test_every_norm_and_feed_forward_layer_has_a_shortcut(model: Any) -> None:
    found = {type(module).__name__ for module in plan_of(model).shortcuts}
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    layers = [module for module in model.modules() if type(module).__name__.endswith("MLP")]
    assert len(found) == 2
    assert set(plan_of(model).shortcuts) == {*norms, *layers}


def test_a_shortcut_computes_what_its_module_does(model: Any) -> None:
    torch.manual_seed(0)
    for module, forward in plan_of(model).shortcuts.items():
        features = module.weight.shape[0] if hasattr(module, "weight") else module.gate_proj.in_features
        for shape in ((1, 700, features), (1, 3, 9, features)):
            x = torch.randn(shape).requires_grad_()
            expected = module(x)
            gradient = torch.randn_like(expected)
            (expected_x,) = torch.autograd.grad(expected, x, gradient)
            got = forward(x)
            (got_x,) = torch.autograd.grad(got, x, gradient)
            assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5)
            assert torch.allclose(got_x, expected_x, rtol=1e-4, atol=1e-5)


def test_a_module_that_computes_something_else_has_none(model: Any) -> None:
    layer = model.model.layers[0]

    class Half(type(layer.mlp)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / 2

    layer.mlp.__class__ = Half
    norm = nn.LayerNorm(32, bias=False)
    assert layer.mlp not in find(model)
    assert model.model.layers[1].mlp in find(model)
    assert find(nn.Sequential(norm)) == {}
    assert find(model.to(torch.float16)) == {}


def test_a_bfloat16_shortcut_is_as_near_to_float32_as_its_module(model: Any) -> None:
    half = copy.deepcopy(model).to(torch.bfloat16)
    wide_of = dict(zip(half.modules(), model.modules(), strict=True))
    found = find(half)
    assert {wide_of[part] for part in found} == set(plan_of(model).shortcuts)
    torch.manual_seed(0)
    for module, forward in found.items():
        features = module.weight.shape[0] if hasattr(module, "weight") else module.gate_proj.in_features
        x = torch.randn(1, 700, features).bfloat16()
        gradient = torch.randn(1, 700, features)

        def both(call: Any, like: torch.Tensor, gradient: torch.Tensor = gradient) -> list[torch.Tensor]:
            like.requires_grad_()
            output = call(like)
            (slope,) = torch.autograd.grad(output, like, gradient.to(like.dtype))
            return [output.detach().float(), slope.float()]

        right = both(wide_of[module], x.detach().float())
        for exact, own, got in zip(right, both(module, x.detach()), both(forward, x.detach()), strict=True):
            assert (got - exact).norm() <= 1.05 * (own - exact).norm()


def test_a_bfloat16_model_has_shared_inputs_and_shortcuts(family_dir: Path) -> None:
    made = load(family_dir, "sdpa").to(torch.bfloat16)
    prepare(made)
    assert len(plan_of(made).shared_inputs) == 4
    assert plan_of(made).shortcuts


def test_a_model_that_could_not_be_prepared_can_be_tried_again(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_model_dir, "sdpa")

    def short(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    for place in ("join", "patched_forwards"):
        with monkeypatch.context() as patched:
            patched.setattr(f"sys2ft.engine.cpu.plan.{place}", short)
            with pytest.raises(torch.OutOfMemoryError):
                prepare(model)
        assert model.config._attn_implementation == "sdpa"
    prepare(model)
    assert plan_of(model).shared_inputs


def test_a_model_that_wants_an_output_by_itself_trains_layer_by_layer(family_dir: Path) -> None:
    model = load(family_dir, "sdpa")
    model.model.layers[1].self_attn.k_proj.register_forward_hook(lambda _, __, output: output.view(-1).view_as(output))
    with pytest.warns(UserWarning, match="layer by layer"):
        prepare(model)
    assert plan_of(model).shared_inputs == ()
    assert list(backward(model, random_bank(model, 1), some_examples([0]), tokens_at_once=99))
