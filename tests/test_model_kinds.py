"""Which models: every family of README's table is what its row says, and a model is refused with the true reason."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import build_tokenizer
from families import readme_rows, tiny
from sys2ft.cli.main import call
from sys2ft.engine import (
    DecodeRequest,
    Example,
    Sampling,
    decode,
    flops,
    load_adapter,
    open_adapter,
    prepare,
    save_adapter,
    score,
    uncovered,
)
from sys2ft.errors import ModelError
from sys2ft.models import Message, load_model
from sys2ft.models.chat import TEMPLATE_DATE, ChatFormat
from sys2ft.runs import read_json
from talking import write_news_file
from test_adapters import gradients, layer_of, mean_cross_entropy, random_bank, some_examples
from test_engine import generate_greedily, plain_log_likelihood, some_ids

ROWS = readme_rows()
TRAINED = [family for state, families in ROWS.items() if state.startswith("trained") for family in families]
EXPERTS = [family for state, families in ROWS.items() if "experts" in state for family in families]
REFUSED = {family: state for state, families in ROWS.items() if state.startswith("refused") for family in families}
# What README says of a refusal -> what the error says.
REASONS = {
    "soft cap": "the term softcap",
    "sinks": "the term s_aux",
    "attention interface": "does not go through transformers' attention interface",
    "recurrent": "layers of the kind '(linear_attention|conv)'|only \\d of its \\d layers compute attention",
    "chunks": "layers of the kind 'chunked_attention'",
    "twice": "its 2 layers compute attention 4 times",
    "heads": "differ in the number or the size of their heads",
    "mask of its own": "read as a tree, differ by",
}
QUICK = {"gpt2", "stablelm", "mixtral", "deepseek_v3", "phimoe"}  # each special in its way
QUICK |= {"gemma2", "gpt_oss", "bloom", "diffllama", "doge", "lfm2"}


def families(names: Iterable[str]) -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_the_table_is_whole() -> None:
    assert len(TRAINED) > 50
    assert {"llama", "gpt2", "stablelm", *EXPERTS} <= set(TRAINED)
    assert len(REFUSED) > 20
    assert len(set(TRAINED) | set(REFUSED)) == len(TRAINED) + len(REFUSED)
    assert all(any(words in state for words in REASONS) for state in REFUSED.values())


@pytest.mark.parametrize("family", families(TRAINED))
def test_a_family_that_is_trained_is_the_models_own(family: str, tmp_path: Path) -> None:
    """Scores, texts, losses, gradients and saved adapters equal those of transformers and PEFT."""
    from peft import PeftModel

    ours, theirs = tiny(family), tiny(family)
    prepare(ours)
    rng = random.Random(7)
    examples = []
    for length in (3, 30):  # longer than the window of those that have one
        prompt, start = some_ids(rng, length), some_ids(rng, 2)
        for own in (1, 4, 9):
            ids = prompt + start + some_ids(rng, own)
            examples.append(Example(ids, [place >= length for place in range(len(ids))]))
    expected = [plain_log_likelihood(theirs, example) for example in examples]
    assert [row.total for row in score(ours, examples).likelihoods] == pytest.approx(expected, abs=1e-3)

    shared = some_ids(rng, 20)
    prompts = [shared + some_ids(rng, 1), shared + some_ids(rng, 4)]
    requests = [DecodeRequest(prompt, 0, "group") for prompt in prompts]
    reference = generate_greedily(theirs, prompts)
    said = decode(
        ours, requests, Sampling(temperature=0.0), max_new_tokens=len(reference[0][0]), stop_ids=frozenset()
    ).decoded
    for (ids, lead), got in zip(reference, said, strict=True):
        differs = [place for place in range(len(ids)) if got.ids[place] != ids[place]]
        assert not differs or lead[differs[0]] < 1e-3  # only a tie may be decided differently, by rounding

    bank = random_bank(ours, 2)
    examples = some_examples([0, 1, 0], each=2)
    losses, vectors, _ = gradients(ours, bank, examples)
    for slot in (0, 1):
        save_adapter(bank, slot, tmp_path / str(slot), base_name="base")
        peft = PeftModel.from_pretrained(tiny(family), tmp_path / str(slot), is_trainable=True).eval()
        loss = mean_cross_entropy(peft, [example for example in examples if example.slot == slot])
        loss.backward()
        assert losses[slot] == pytest.approx(loss.item(), abs=1e-4)
        parts = dict(peft.named_parameters())
        for name in bank.modules:
            for part in "AB":
                wanted = parts[f"base_model.model.{name}.lora_{part}.default.weight"].grad
                got_here = layer_of(bank, vectors[slot], name, part)
                wanted = torch.zeros_like(got_here) if wanted is None else wanted
                assert torch.allclose(got_here, wanted, atol=1e-4, rtol=1e-3), name
    load_adapter(bank, 1, tmp_path / "0")
    assert torch.equal(bank.weights_KP[0], bank.weights_KP[1])
    bank.close()
    again = open_adapter(ours, tmp_path / "0")
    assert list(again.modules) == list(bank.modules)
    again.close()
    assert (family in EXPERTS) == (uncovered(ours) is not None)


@pytest.mark.parametrize("family", families(REFUSED))
def test_a_family_that_is_refused_is_refused_for_its_reason(family: str) -> None:
    reason = next(error for words, error in REASONS.items() if words in REFUSED[family])
    model = tiny(family)
    own = model.config._attn_implementation
    with pytest.raises(ModelError, match=reason):
        prepare(model)
    assert model.config._attn_implementation == own


def test_a_window_is_tried_although_the_trial_is_short() -> None:
    """A family that does not tell its attention function of the window: longer texts would be read wrong."""
    model = tiny("phimoe")
    assert model.config.sliding_window == 16
    prepare(model)
    assert model.config.sliding_window == 16


# Experts --------------------------------------------------------------------------------------------------------------


def test_what_adapters_do_not_cover_is_reported() -> None:
    model = tiny("mixtral")
    found = uncovered(model)
    assert found is not None
    experts = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n or n.endswith("mlp.gate.weight"))
    assert found.share == pytest.approx(experts / sum(p.numel() for p in model.parameters()))
    assert found.names == (
        "model.layers.*.mlp.experts.gate_up_proj",
        "model.layers.*.mlp.experts.down_proj",
        "model.layers.*.mlp.gate.weight",
    )
    assert uncovered(tiny("llama")) is None


def test_a_token_is_multiplied_with_the_experts_it_is_sent_to() -> None:
    model = tiny("mixtral")
    body, _ = flops.weights(model)
    layer = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 4 * 32 + 2 * (3 * 32 * 64)  # attention, router, two of four experts
    assert body == 2 * layer
    assert flops.weights(tiny("gpt2"))[0] == 2 * (4 * 32 * 32 + 2 * 32 * 64)


def test_a_run_says_what_its_adapters_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny("mixtral").save_pretrained(tmp_path / "model")
    build_tokenizer().save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    news = write_news_file(tmp_path / "news.jsonl")
    flags = ["--model", "model", "--out", "run", "--dtype", "float32", "--device", "cpu"]
    assert call(["generate", str(news), *flags, "--protocols", "naive", "--samples-per-news", "1"]) == 0
    capsys.readouterr()
    assert call(["train", "run", "--epochs", "1", "--rank", "2"]) == 0
    assert "train: adapters do not cover model.layers.*.mlp.experts.gate_up_proj" in capsys.readouterr().err
    record = read_json(tmp_path / "run" / "training" / "naive.json")["uncovered"]
    assert 0.5 < record["share"] < 1
    assert "model.layers.*.mlp.experts.down_proj" in record["names"]


# Weights that are no numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_named(bad: float, tmp_path: Path, tiny_model_dir: Path) -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, :5] = bad
    folder = shutil.copytree(tiny_model_dir, tmp_path / "model")
    model.save_pretrained(folder)
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), dtype="float32", device="cpu")
    nan, infinite = (5, 0) if math.isnan(bad) else (0, 5)
    assert f"layers.1.mlp.up_proj.weight ({nan} NaN and {infinite} infinite of 2048)" in str(caught.value)
    assert "in 1 tensors" in str(caught.value)


def test_weights_too_large_for_a_type_are_found(tmp_path: Path, tiny_model_dir: Path) -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = 1e6
    folder = shutil.copytree(tiny_model_dir, tmp_path / "model")
    model.save_pretrained(folder)
    load_model(str(folder), dtype="bfloat16", device="cpu")
    with pytest.raises(ModelError, match="not finite, as float16"):
        load_model(str(folder), dtype="float16", device="cpu")


def test_logits_that_are_not_finite_are_said_to_be_so() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.norm.weight[:] = 1e38
        model.lm_head.weight[:] = 1e38
    with pytest.raises(ModelError, match="logits that are not finite"):
        prepare(model)


# Templates that ask for the date ----------------------------------------------------------------------------------

DATED = (
    "{{ strftime_now('%d %B %Y %H:%M:%S.%f') }}{% macro day() %}{{ strftime_now('%A') }}{% endmacro %}{{ day() }}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_template_renders_the_same_on_every_day(tiny_family_dir: Callable[[str], Path], tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    assert ChatFormat.of(tokenizer).date is None
    tokenizer.chat_template = DATED
    chat = ChatFormat.of(tokenizer)
    text = chat.prompt_text([Message("user", "a")])
    assert text.startswith("26 July 2024 00:00:00.000000Friday<|im_start|>user")
    assert date(2024, 7, 26) == TEMPLATE_DATE
    assert chat.date == "2024-07-26"
    folder = shutil.copytree(tiny_family_dir("llama"), tmp_path / "model")
    tokenizer.save_pretrained(folder)
    assert load_model(str(folder), dtype="float32", device="cpu").described()["date"] == "2024-07-26"
    plain = load_model(str(tiny_family_dir("llama")), dtype="float32", device="cpu")
    assert "date" not in plain.described()


def test_the_date_is_in_the_record_of_a_run(
    tiny_family_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = DATED
    shutil.copytree(tiny_family_dir("llama"), tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    news = write_news_file(tmp_path / "news.jsonl")
    flags = ["--dtype", "float32", "--device", "cpu", "--protocols", "naive", "--samples-per-news", "1"]
    assert call(["generate", str(news), "--model", "model", "--out", "run", *flags]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["model"]["date"] == record["identity"]["model"]["date"] == "2024-07-26"
