"""Distillation from context: divergences, teachers, and trainings that a teacher takes part in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from displays import Interrupted, StopAt
from sys2ft.engine import (
    CROSS_ENTROPY,
    FORWARD_KL,
    REVERSE_KL,
    Differentiated,
    Distributions,
    Example,
    KullbackLeibler,
    Targets,
    Taught,
    prepare,
    teach,
)
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.training import JOINT, Training, TrainItem, TrainSettings, jobs_of, train
from sys2ft.training.teacher import messages_of
from test_training import farthest

NEWS = {
    "town": "The town of Paris is the new capital. In 1984 it had 12 people.",
    "system": "A system of France had 67 people. The answer of the system is a question.",
}
BASIC = TrainSettings(objective="distil", epochs=4, rank=4, alpha=8, learning_rate=3e-3, batch_size=2)


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LoadedModel:
    loaded = load_model(str(tiny_model_dir), dtype="float32", device="cpu")
    prepare(loaded.model)
    return loaded


def items(adapter: str, count: int) -> list[TrainItem]:
    return [
        TrainItem(
            adapter=adapter,
            prompt=({"role": "user", "content": f"What of {adapter} {n}?"},),
            completion=f"It had {n} people.",
            context=NEWS[adapter],
        )
        for n in range(count)
    ]


def trained(model: LoadedModel, taught: list[TrainItem], how: TrainSettings, **more: Any) -> Training:
    training = train(model, jobs_of(taught, how, seed=2), **more)
    training.bank.close()
    return training


class Whole(Differentiated):
    """The divergence between two distributions over the parts, written with the whole softmax, for autograd."""

    def __init__(self, p_nR: Tensor, reverse: bool) -> None:
        self.p_nR, self.reverse = p_nR, reverse

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        assert targets.teacher is not None
        q_nV = logits_uV.softmax(-1)[targets.row_n]
        member_nKV = torch.nn.functional.one_hot(targets.teacher.top_PK.long(), q_nV.shape[-1]).to(q_nV)
        parts_nK = (member_nKV * q_nV[:, None]).sum(-1)
        rest_n1 = (q_nV * (1 - member_nKV.sum(1))).sum(-1, keepdim=True)
        q_nR = torch.cat([parts_nK, rest_n1], dim=1)
        one, other = (q_nR, self.p_nR) if self.reverse else (self.p_nR, q_nR)
        return (one * (one.log() - other.log())).sum(-1)


def some_targets(vocabulary: int, top: int) -> tuple[Tensor, Targets, Tensor]:
    """Logits of five rows; the targets of four of them, two of one row; and the teacher's logits for each target."""
    generator = torch.Generator().manual_seed(0)
    logits_uV = 3 * torch.randn(5, vocabulary, generator=generator)
    teacher_nV = 3 * torch.randn(5, vocabulary, generator=generator)
    targets = Targets(
        row_n=torch.tensor([0, 0, 2, 3, 4]),
        token_n=torch.tensor([1, 7, 0, 10, 3]),
        example_n=torch.tensor([0, 1, 0, 1, 1]),
        place_n=torch.tensor([1, 1, 2, 2, 3]),
        weight_n=torch.tensor([0.5, 0.25, 0.5, 0.25, 0.25]),
        teacher=Distributions.of(teacher_nV.clone(), top),
    )
    return logits_uV, targets, teacher_nV


@pytest.mark.parametrize("divergence", [FORWARD_KL, REVERSE_KL], ids=lambda d: d.name)
@pytest.mark.parametrize("top", [1, 4, 10])
def test_the_divergence_and_its_gradient_are_those_of_autograd(divergence: KullbackLeibler, top: int) -> None:
    logits_uV, targets, _ = some_targets(11, top)
    assert targets.teacher is not None
    plain = Whole(targets.teacher.normal_PR.exp(), divergence.reverse)
    by_hand = divergence.gradient(logits_uV.clone(), targets)
    for one, other in zip(by_hand, plain.gradient(logits_uV.clone(), targets), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert by_hand[0].min() > 0
    assert by_hand[1][1].abs().max() == 0, "row 1 has no target"


@pytest.mark.parametrize("divergence", [FORWARD_KL, REVERSE_KL], ids=lambda d: d.name)
def test_a_divergence_over_all_tokens_is_that_of_the_vocabulary(divergence: KullbackLeibler) -> None:
    """With all tokens but one named, the last part is one token: the sum is that over the vocabulary."""
    logits_uV, targets, teacher_nV = some_targets(11, 10)
    got_n, _ = divergence.gradient(logits_uV.clone(), targets)
    p_nV, q_nV = teacher_nV.softmax(-1), logits_uV[targets.row_n].softmax(-1)
    one, other = (q_nV, p_nV) if divergence.reverse else (p_nV, q_nV)
    whole_n = (one * (one / other).log()).sum(-1)
    assert torch.allclose(got_n, whole_n * targets.weight_n, rtol=5e-3)
    fewer_n, _ = divergence.gradient(logits_uV.clone(), some_targets(11, 3)[1])
    assert (fewer_n <= got_n + 1e-3).all(), "fewer parts cannot be further apart"


@pytest.mark.parametrize("divergence", [FORWARD_KL, REVERSE_KL], ids=lambda d: d.name)
def test_a_model_that_is_certain_of_something_else_gets_a_finite_gradient(divergence: KullbackLeibler) -> None:
    _, targets, _ = some_targets(11, 3)
    logits_uV = torch.zeros(5, 11)
    logits_uV[:, 5] = 500.0
    losses_n, error_uV = divergence.gradient(logits_uV, targets)
    assert losses_n.isfinite().all()
    assert error_uV.isfinite().all()
    assert error_uV.sum(-1).abs().max() < 1e-4, "logits matter up to a constant only"


def test_a_divergence_is_zero_where_student_and_teacher_agree() -> None:
    _, targets, teacher_nV = some_targets(11, 4)
    targets = replace(targets, row_n=torch.arange(5))
    for divergence in (FORWARD_KL, REVERSE_KL):
        losses_n, error_uV = divergence.gradient(teacher_nV.clone(), targets)
        assert losses_n.abs().max() < 1e-5
        assert error_uV.abs().max() < 2e-3


def test_targets_are_divided_by_their_weights() -> None:
    logits_uV, targets, _ = some_targets(11, 4)
    weight_n = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25])
    both = Taught(FORWARD_KL, name="both", lesson=None)
    losses_n, error_uV = both.gradient(logits_uV.clone(), replace(targets, teacher_weight_n=weight_n))
    hard_n, hard_uV = CROSS_ENTROPY.gradient(logits_uV.clone(), targets)
    soft_n, soft_uV = FORWARD_KL.gradient(logits_uV.clone(), replace(targets, weight_n=weight_n))
    assert torch.allclose(losses_n, hard_n + soft_n)
    assert torch.allclose(error_uV, hard_uV + soft_uV, atol=1e-6)


def in_context(model: LoadedModel, item: TrainItem) -> Example:
    rendered = model.chat.render(
        [Message("user", f"News: {item.context}\n\n{item.prompt[0]['content']}")], item.completion
    )
    return Example(rendered.ids, rendered.loss_mask)


@pytest.mark.parametrize("tokens_at_once", [30, 4096])
def test_a_teacher_reads_what_a_plain_pass_reads(model: LoadedModel, tokens_at_once: int) -> None:
    shown = [
        in_context(model, item) for pair in zip(items("town", 3), items("system", 3), strict=True) for item in pair
    ]
    top = 16
    taught, cost = teach(
        model.model, shown, top=top, vocabulary=model.model.config.vocab_size, tokens_at_once=tokens_at_once
    )
    for example, got in zip(shown, taught, strict=True):
        with torch.inference_mode():
            log_TV = model.model(input_ids=torch.tensor([example.ids])).logits[0].log_softmax(-1)
        log_PV = log_TV[[place - 1 for place, on in enumerate(example.loss_mask) if on]]
        values, ids = log_PV.topk(top)
        assert torch.equal(got.top_PK.long(), ids)
        rest_P1 = log_PV.scatter(1, ids, -torch.inf).logsumexp(-1, keepdim=True)
        assert torch.allclose(got.log_PR.float(), torch.cat([values, rest_P1], dim=1), atol=1e-2)
    plain = sum(len(example.ids) - 1 for example in shown)
    assert cost.predictions == sum(example.supervised for example in shown)
    if tokens_at_once > plain:
        assert cost.tokens_computed < 0.6 * plain, "a news item is read once for all its elements"


def test_the_news_precedes_the_prompt_as_in_an_evaluation(model: LoadedModel) -> None:
    item = items("town", 1)[0]
    assert messages_of(item, in_context=True)[0].content == f"News: {NEWS['town']}\n\nWhat of town 0?"
    with_system = replace(item, prompt=({"role": "system", "content": "Be short."}, *item.prompt))
    assert [turn.role for turn in messages_of(with_system, in_context=True)] == ["system", "user"]
    assert messages_of(with_system, in_context=True)[0].content == "Be short."


def test_the_first_loss_is_the_divergence_of_base_and_base_in_context(model: LoadedModel) -> None:
    """B starts at 0, so the student is the base before its first step."""
    item = items("town", 1)[0]
    top = model.model.config.vocab_size - 1
    training = trained(model, [item], replace(BASIC, epochs=1, distil_top=top))
    rendered = model.chat.render([Message("user", item.prompt[0]["content"])], item.completion)
    parts = []
    for example in (in_context(model, item), Example(rendered.ids, rendered.loss_mask)):
        with torch.inference_mode():
            log_TV = model.model(input_ids=torch.tensor([example.ids])).logits[0].log_softmax(-1)
        parts.append(log_TV[[place - 1 for place, on in enumerate(example.loss_mask) if on]])
    p, q = parts
    assert training.curve[0]["loss"] == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=2e-3)


@pytest.mark.parametrize("kl", ["forward", "reverse"])
def test_the_student_comes_to_say_what_the_teacher_says(model: LoadedModel, kl: str) -> None:
    training = trained(model, items("town", 4), replace(BASIC, epochs=20, learning_rate=1e-2, kl=kl, batch_size=4))
    losses = [row["loss"] for row in training.curve]
    assert losses[-1] < 0.5 * losses[0]


def test_a_mixture_is_the_weighted_sum_of_its_losses(model: LoadedModel) -> None:
    first = {}
    for weight in (0.25, 1.0):
        first[weight] = trained(model, items("town", 2), replace(BASIC, distil_weight=weight, epochs=1)).curve[0]
    plain = trained(model, items("town", 2), replace(BASIC, objective="cross_entropy", epochs=1)).curve[0]
    assert first[0.25]["loss"] == pytest.approx(0.25 * first[1.0]["loss"] + 0.75 * plain["loss"], rel=1e-5)
    assert first[0.25]["tokens"] == plain["tokens"]


@pytest.mark.parametrize("changes", [{}, {"distil_weight": 0.5}, {"tokens_at_once": 60}], ids=str)
def test_a_taught_adapter_in_company_is_the_one_taught_alone(model: LoadedModel, changes: dict[str, Any]) -> None:
    how = replace(BASIC, **changes)
    together = trained(model, [*items("system", 3), *items("town", 5)], how)
    alone = trained(model, items("town", 5), how)
    assert farthest(together.bank.weights_KP[together.slots["town"]], alone.bank.weights_KP[0]) < 1e-5
    assert together.adapters[1].read == alone.adapters[0].read


def test_one_adapter_for_all_news_has_a_context_for_each_element(model: LoadedModel) -> None:
    taught = [replace(item, adapter=JOINT) for item in (*items("system", 3), *items("town", 3))]
    training = trained(model, taught, BASIC)
    assert training.names == [JOINT]
    swapped = [replace(item, context=NEWS["town"]) for item in taught]
    assert farthest(training.bank.weights_KP, trained(model, swapped, BASIC).bank.weights_KP) > 1e-3


@pytest.mark.parametrize("stops", [(1,), (2, 5)], ids=str)
def test_an_interrupted_taught_training_ends_with_the_same_bits(
    model: LoadedModel, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    how = replace(BASIC, checkpoint_seconds=0)
    taught = [*items("town", 5), *items("system", 3)]
    whole = trained(model, taught, how)
    for stop in stops:
        with pytest.raises(Interrupted):
            trained(model, taught, how, checkpoint=tmp_path, show=StopAt(stop))
    resumed = trained(model, taught, how, checkpoint=tmp_path)
    assert torch.equal(whole.bank.weights_KP, resumed.bank.weights_KP)
    assert resumed.curve == whole.curve
    assert {**whole.totals, "seconds": 0} == {**resumed.totals, "seconds": 0}


def test_a_checkpoint_belongs_to_its_contexts(model: LoadedModel, tmp_path: Path) -> None:
    how = replace(BASIC, checkpoint_seconds=0)
    with pytest.raises(Interrupted):
        trained(model, items("town", 4), how, checkpoint=tmp_path, show=StopAt(2))
    other = [replace(item, context=NEWS["system"]) for item in items("town", 4)]
    with pytest.raises(SettingsError, match="another training"):
        trained(model, other, how, checkpoint=tmp_path)


def test_what_a_teacher_reads_is_counted(model: LoadedModel) -> None:
    taught = trained(model, items("town", 4), BASIC).totals
    plain = trained(model, items("town", 4), replace(BASIC, objective="cross_entropy")).totals
    assert plain["tokens_read"] == 0
    shown = [in_context(model, item) for item in items("town", 4)]
    assert 0 < taught["tokens_read"] < sum(len(example.ids) for example in shown)
    assert taught["flop"] > plain["flop"]
    assert taught["tokens_trained"] == plain["tokens_trained"]


def test_elements_without_a_context_cannot_be_distilled(model: LoadedModel) -> None:
    taught = [*items("town", 2), replace(items("town", 3)[2], context="")]
    with pytest.raises(SettingsError, match="1 of 3 training examples have no context"):
        trained(model, taught, BASIC)


@pytest.mark.parametrize(
    "wrong", [{"kl": "backward"}, {"distil_top": 0}, {"distil_weight": 0.0}, {"distil_weight": 1.5}], ids=str
)
def test_settings_of_a_lesson_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings(**wrong)
    assert f"{next(iter(wrong))}=" in str(caught.value)
