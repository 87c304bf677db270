"""Distillation from context: divergences, teachers, and trainings that a teacher takes part in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sys2ft
from conftest import build_model, build_tokenizer
from displays import Interrupted, Notes, StopAt
from sys2ft.engine import (
    CROSS_ENTROPY,
    FORWARD_KL,
    REVERSE_KL,
    DecodeRequest,
    Differentiated,
    Distributions,
    Example,
    KullbackLeibler,
    Sampling,
    Targets,
    Taught,
    decode,
    prepare,
    teach,
)
from sys2ft.errors import SettingsError
from sys2ft.job.stages import cell_of
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.news import load_news
from sys2ft.replay import ReplayElement
from sys2ft.runs import Run, item_seed, read_jsonl
from sys2ft.training import (
    JOINT,
    Training,
    TrainItem,
    TrainSettings,
    jobs_of,
    objective_of,
    teaching,
    train,
    training_needs,
)
from sys2ft.training.choices import BUNDLED
from sys2ft.training.teacher import messages_of
from talking import NEWS as NEWS_ROWS, write_news_file
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


# on-policy samples

ON_POLICY = replace(BASIC, objective="on_policy", sample_tokens=6)


def test_samples_are_what_the_adapter_says_when_it_is_decoded_alone(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sys2ft.training.teaching import Teaching

    seen: list[dict[int, list[int]]] = []
    plain = Teaching._sample

    def sample(self: Teaching, due: Any, bank: Any) -> None:
        plain(self, due, bank)
        for adapter in due:
            places = sorted(adapter.samples)
            requests = [
                DecodeRequest(
                    adapter.examples[i].ids[: -adapter.examples[i].supervised],
                    item_seed(2, "on policy", adapter.name, adapter.refresh, i),
                    slot=adapter.slot,
                )
                for i in places
            ]
            said = decode(model.model, requests, Sampling(), max_new_tokens=6, stop_ids=model.chat.stop_ids, bank=bank)
            for i, one in zip(places, said.decoded, strict=True):
                assert adapter.samples[i] == [*one.ids, *([model.chat.end_of_turn_id] if one.finished else [])]
            seen.append(adapter.samples)

    monkeypatch.setattr(Teaching, "_sample", sample)
    training = trained(model, [*items("town", 4), *items("system", 3)], ON_POLICY)
    assert len(seen) == 8, "each of two adapters in each of four epochs"
    assert len({str(samples) for samples in seen}) == 8
    generated = sum(len(ids) for samples in seen for ids in samples.values())
    assert training.totals["tokens_sampled"] == generated
    assert sum(a.sampled.tokens_computed for a in training.adapters) > generated


@pytest.mark.parametrize(("refresh", "most"), [(1.0, 3), (2.0, 6), (100.0, 9)])
def test_samples_are_drawn_as_often_as_wanted(model: LoadedModel, refresh: float, most: int) -> None:
    """Six elements in steps of two are three steps an epoch: no more than one refresh a step."""
    from sys2ft.training.loop import adapter_of

    (job,) = jobs_of(items("town", 6), replace(ON_POLICY, refresh=refresh, epochs=3))
    adapter = adapter_of(model, 0, job)
    used, refreshes = [], set()
    while adapter.places:
        assert set(adapter.places) <= set(adapter.refreshed_places())
        used.append(adapter.refreshed_places())
        refreshes.add(adapter.refresh)
        adapter.step += 1
    assert len(refreshes) == most
    assert used[0] == (list(range(6)) if refresh == 1 else used[0])


def test_an_adapter_on_its_own_samples_is_the_one_trained_alone(model: LoadedModel) -> None:
    together = trained(model, [*items("system", 3), *items("town", 5)], ON_POLICY)
    alone = trained(model, items("town", 5), ON_POLICY)
    assert farthest(together.bank.weights_KP[1], alone.bank.weights_KP[0]) < 1e-5


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_an_interrupted_training_on_samples_ends_with_the_same_bits(
    model: LoadedModel, tmp_path: Path, weight: float
) -> None:
    how = replace(ON_POLICY, checkpoint_seconds=0, distil_weight=weight, anchor="own", sample_tokens=4)
    taught = [*items("town", 5), *items("system", 3)]
    whole = trained(model, taught, how)
    for stop in (2, 4):
        with pytest.raises(Interrupted):
            trained(model, taught, how, checkpoint=tmp_path, show=StopAt(stop))
    resumed = trained(model, taught, how, checkpoint=tmp_path)
    assert torch.equal(whole.bank.weights_KP, resumed.bank.weights_KP)
    assert resumed.curve == whole.curve
    assert {**whole.totals, "seconds": 0} == {**resumed.totals, "seconds": 0}


def test_a_mixture_with_samples_has_both_at_their_weights(model: LoadedModel) -> None:
    first = {
        weight: trained(model, items("town", 2), replace(ON_POLICY, distil_weight=weight, epochs=1)).curve[0]["loss"]
        for weight in (0.25, 1.0)
    }
    plain = trained(model, items("town", 2), replace(BASIC, objective="cross_entropy", epochs=1)).curve[0]["loss"]
    assert first[0.25] == pytest.approx(0.25 * first[1.0] + 0.75 * plain, rel=1e-5)


# anchors


def divergence_from_base(model: LoadedModel, training: Training) -> float:
    """Mean forward divergence of the adapter from the base, on texts that no training sees."""
    texts = ["In 2001 there were 67 people in France.", "Explain what the system means."]
    examples = [Example(ids, [False] + [True] * (len(ids) - 1)) for ids in map(model.chat.plain_ids, texts)]
    total = 0.0
    for example in examples:
        ids = torch.tensor([example.ids])
        with torch.inference_mode():
            base = model.model(input_ids=ids).logits[0].log_softmax(-1)
            with training.bank.rows([0]):  # type: ignore[attr-defined]
                own = model.model(input_ids=ids).logits[0].log_softmax(-1)
        total += (base.exp() * (base - own)).sum(-1).mean().item()
    return total / len(examples)


@pytest.mark.parametrize("objective", ["cross_entropy", "distil"])
def test_an_anchor_keeps_the_model_near_the_base(model: LoadedModel, tmp_path: Path, objective: str) -> None:
    file = tmp_path / "anchor.jsonl"
    lines = [
        "In 1984 the town had 12 people, and France had many more.",
        json.dumps({"text": "The system of the town is not that of the capital."}),
        json.dumps({"prompt": "What is the capital?"}),
        json.dumps({"prompt": [{"role": "user", "content": "Explain."}], "completion": "The system means the town."}),
        json.dumps({"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Paris."}]}),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    how = replace(BASIC, objective=objective, epochs=8, learning_rate=1e-2)
    apart = {}
    for anchor in ("", str(file), "own"):
        training = train(model, jobs_of(items("town", 4), replace(how, anchor=anchor, anchor_share=0.5), seed=2))
        apart[anchor] = divergence_from_base(model, training)
        training.bank.close()
    assert apart[str(file)] < 0.85 * apart[""]
    assert apart["own"] < 0.9 * apart[""]


def test_anchors_that_are_not_used_as_given_are_reported(model: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "anchor.txt"
    file.write_text("\n".join(["The town is the capital."] * 256 + ["The town is new. " * 99] * 256) + "\n", "utf-8")
    notes = Notes()
    how = replace(BASIC, epochs=1, anchor=str(file))
    train(model, jobs_of(items("town", 2), how, seed=2), show=notes)
    dropped, cut = (said for said in notes.lines if "anchors of" in said)
    assert ": 256 are left out, since 256 are used at most" in dropped and "are cut after 128 tokens" in cut


def test_anchors_are_their_share_of_the_loss(model: LoadedModel, tmp_path: Path) -> None:
    """The adapter is the base before its first step, so the divergence of the anchors is 0 there."""
    file = tmp_path / "anchor.txt"
    file.write_text("The town had 12 people in 1984.\n", encoding="utf-8")
    how = replace(BASIC, objective="cross_entropy", epochs=1)
    plain = trained(model, items("town", 2), how).curve[0]
    anchored = trained(model, items("town", 2), replace(how, anchor=str(file), anchor_share=0.25)).curve[0]
    assert anchored["loss"] == pytest.approx(0.75 * plain["loss"], rel=1e-3)
    assert anchored["tokens"] > plain["tokens"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"), ("", "is empty"), (" \n\n", "is empty"), ('{"words": "a"}', "line 1"),
        ("Fine.\n{broken", "line 2"), (b"\xff\xfe\x00", "is not UTF-8"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "line 1"),
    ],
)  # fmt: skip
def test_an_unusable_anchor_file_is_refused(model: LoadedModel, tmp_path: Path, text: Any, said: str) -> None:
    file = tmp_path / "anchor.jsonl"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=said) as caught:
        trained(model, items("town", 2), replace(BASIC, anchor=str(file)))
    assert "anchor.jsonl" in str(caught.value)


# other teachers


def other_model(folder: Path, **changes: Any) -> Path:
    """A model of the same family with other weights, or with another tokenizer."""
    tokenizer = build_tokenizer()
    if changes.pop("tokens", None):
        tokenizer.add_tokens(["Elmsford"])
    if eos := changes.pop("eos", None):
        tokenizer.eos_token = eos
        tokenizer.chat_template = None
    build_model("llama", len(tokenizer) + changes.pop("spare", 0), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_another_model_teaches(model: LoadedModel, tmp_path: Path) -> None:
    teacher = other_model(tmp_path / "teacher", spread=0.5, spare=14, initializer_range=0.3)
    how = replace(BASIC, epochs=1, distil_top=200)
    own = trained(model, items("town", 2), how)
    other = trained(model, items("town", 2), replace(how, teacher=str(teacher)))
    assert other.curve[0]["loss"] != pytest.approx(own.curve[0]["loss"], rel=0.1)
    assert other.totals["tokens_read"] == own.totals["tokens_read"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"tokens": True}, "another tokenizer"), ({"eos": "<|endoftext|>"}, "ends its turns with")],
    ids=["another tokenizer", "another end of turn"],
)
def test_a_teacher_with_other_tokens_is_refused(
    model: LoadedModel, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    teacher = other_model(tmp_path / "teacher", **changes)
    with pytest.raises(SettingsError, match=said):
        trained(model, items("town", 2), replace(BASIC, teacher=str(teacher)))


def test_a_teacher_needs_an_objective_that_listens(model: LoadedModel, tiny_model_dir: Path) -> None:
    with pytest.raises(SettingsError, match="no use for one"):
        trained(model, items("town", 2), replace(BASIC, objective="cross_entropy", teacher=str(tiny_model_dir)))


# stopping by the loss in context

PROBED = replace(
    BASIC, objective="cross_entropy", epochs=12, learning_rate=2e-2, held_out=0.4, patience=1, stop_on="in_context"
)


def test_an_adapter_that_unlearns_to_read_stops(model: LoadedModel) -> None:
    taught = [
        replace(item, completion="12345 67 8 9 2001" if n < 5 else "a") for n, item in enumerate(items("town", 5))
    ]
    for tolerance, stops in ((0.0, True), (1e3, False)):
        training = trained(model, taught, replace(PROBED, tolerance=tolerance))
        rows = [row for row in training.curve if "in_context_loss" in row]
        (adapter,) = training.adapters
        within = [row["in_context_loss"] <= adapter.base_loss + tolerance for row in rows]  # type: ignore[operator]
        if stops and not all(within):
            assert training.ended["town"]["how"] == "stopped"
            assert "in context" in training.ended["town"]["why"]
            assert within[-1] is False
        if not stops:
            assert not training.ended
            assert training.kept_epochs["town"] == 12


def test_an_adapter_that_is_never_as_good_in_context_stays_the_base(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = replace(PROBED, tolerance=0.0, learning_rate=0.5, max_grad_norm=1e9)
    training = train(model, jobs_of(items("town", 5), how, seed=2))
    assert training.ended["town"]["how"] == "stopped"
    assert training.ended["town"]["epoch"] < 2, "after the first epoch"
    assert training.kept_epochs["town"] == 0
    assert divergence_from_base(model, training) == pytest.approx(0, abs=1e-6)
    training.bank.close()


def test_stopping_in_context_resumes_with_the_same_bits(model: LoadedModel, tmp_path: Path) -> None:
    how = replace(PROBED, tolerance=0.05, checkpoint_seconds=0, learning_rate=5e-3)
    taught = [*items("town", 5), *items("system", 6)]
    whole = trained(model, taught, how)
    with pytest.raises(Interrupted):
        trained(model, taught, how, checkpoint=tmp_path, show=StopAt(5))
    resumed = trained(model, taught, how, checkpoint=tmp_path)
    assert torch.equal(whole.bank.weights_KP, resumed.bank.weights_KP)
    assert {**whole.totals, "seconds": 0} == {**resumed.totals, "seconds": 0}


def test_the_bundled_objectives_are_entry_points_too() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition('[project.entry-points."sys2ft.objectives"]')[2].partition("[project")[0]
    assert [line.split(" = ")[0] for line in table.strip().splitlines()] == list(BUNDLED)
    for name, make in BUNDLED.items():
        assert f'{name} = "sys2ft.training.choices:{make.__name__}"' in table
        assert objective_of(TrainSettings(objective=name)).name == name


# needs, memory, other number types, and the run folder


def test_needs_are_what_the_training_computes(model: LoadedModel) -> None:
    jobs = jobs_of([*items("town", 4), *items("system", 3)], BASIC, seed=2)
    needs, totals = training_needs(model, jobs), trained(model, [*items("town", 4), *items("system", 3)], BASIC).totals
    assert needs.tokens == totals["tokens_computed"] + totals["tokens_read"]
    assert needs.flop == pytest.approx(totals["flop"])
    sampled = training_needs(model, jobs_of(items("town", 4), replace(ON_POLICY, anchor="own")))
    assert sampled.flop > needs.flop / 2
    assert sampled.memory > 0


@pytest.mark.parametrize("how", [BASIC, ON_POLICY], ids=["distil", "on_policy"])
def test_memory_that_runs_out_changes_nothing_but_the_company(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, how: TrainSettings
) -> None:
    taught = [*items("town", 3), *items("system", 3)]
    whole = trained(model, taught, how)
    plain, calls = teaching.Teaching._read, []

    def read(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError
        plain(*arguments)

    monkeypatch.setattr(teaching.Teaching, "_read", read)
    parted = trained(model, taught, how)
    assert parted.totals["halved"] == 1
    assert farthest(parted.bank.weights_KP, whole.bank.weights_KP) < 1e-5


@pytest.mark.parametrize("objective", ["distil", "on_policy"])
def test_teaching_in_half_precision(tiny_model_dir: Path, objective: str) -> None:
    half = load_model(str(tiny_model_dir), dtype="bfloat16", device="cpu")
    training = trained(half, items("town", 4), replace(ON_POLICY, objective=objective, anchor="own"))
    assert not training.ended
    assert training.bank.weights_KP.isfinite().all()


@pytest.mark.parametrize("adapters", ["per-news", "joint"])
def test_the_elements_of_a_run_are_taught_with_their_news(
    talking_model_dir: Path, tmp_path: Path, adapters: str
) -> None:
    news = tmp_path / "news.jsonl"
    write_news_file(news)
    anchor = tmp_path / "anchor.txt"
    anchor.write_text("The town is the capital.\n", encoding="utf-8")
    train_settings = TrainSettings(
        objective="distil", adapters=adapters, anchor=str(anchor), rank=2, epochs=1, held_out=0.3, patience=1,
        stop_on="in_context",
    )  # fmt: skip
    generate = sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=4)
    how: dict[str, Any] = {"model": str(talking_model_dir), "generate": generate, "train": train_settings}
    result = sys2ft.run(news, out=tmp_path / "run", evaluate=sys2ft.EvaluateSettings(scorings=("cloze",)), **how)
    record = json.loads((result.folder / "training" / "naive.json").read_text(encoding="utf-8"))
    assert record["tokens_read"] > 0
    assert record["elements"] == 12
    anchor.write_text("Another text.\n", encoding="utf-8")
    cell = cell_of(Run.open(result.folder), "naive", train_settings)
    elements = [ReplayElement.from_dict(row) for row in read_jsonl(result.folder / "replay" / "naive.jsonl")]
    jobs = cell.jobs(elements, load_news(news))
    assert {item.context for job in jobs for item in job.items} == {row["news"] for row in NEWS_ROWS}
    assert cell.version(jobs) != record["version"], "the anchor's contents decide the adapters"
