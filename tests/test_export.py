"""Exports: every format answers as the run recorded, a wrong one does not get its name, nothing is half-written."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import CHATML, build_model, build_tokenizer
from sys2ft.cli.main import call
from sys2ft.errors import ModelError, SettingsError, StorageError, Sys2ftError
from sys2ft.export import Chosen, Exported, ExportSettings, choose, export, exporting, merged
from sys2ft.export.converters import find_converters
from sys2ft.export.ollama import Turns, turns_of
from sys2ft.files import read_json, read_jsonl, write_json
from sys2ft.models import ChatFormat, Message, load_tokenizer
from sys2ft.runs import Display, Run
from talking import NEWS, write_news_file


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one adapter in float32 on a tiny Llama, whose tokenizer is SmolLM2's: llama.cpp knows that one."""
    import sys2ft

    folder = tmp_path_factory.mktemp("export")
    tokenizer, _ = load_tokenizer("smollm2-135m-instruct")
    model = build_model("llama", len(tokenizer), hidden_size=64, head_dim=16, tie_word_embeddings=True)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    sys2ft.run(
        write_news_file(folder / "news.jsonl"),
        model=sys2ft.load_model(str(folder / "base"), dtype="float32"),
        out=folder / "run",
        generate=sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=2),
        train=sys2ft.TrainSettings(adapters="joint", epochs=2, learning_rate=3e-3, strength=1.0),
        evaluate=sys2ft.EvaluateSettings(scorings=("cloze", "direct"), controls=("none",)),
    )
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run to write into."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def chosen(folder: Path, adapter: str | None = None) -> Chosen:
    return choose(Run.open(folder), adapter, Display())


def made(folder: Path, **settings: Any) -> Exported:
    return export(chosen(folder), ExportSettings(**settings), table="the table")


def test_an_adapter_for_peft_answers_as_the_run_did(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["export", str(run), "--to", "peft"]) == 0
    folder = run / "exports" / "naive-peft"
    proof = read_json(folder / "proof.json")
    (through,) = proof["proofs"]
    rows = [row for row in read_jsonl(run / "predictions" / "naive.jsonl") if row["condition"] == "closed_book"]
    questions = [(item["id"], number) for item in NEWS for number in range(len(item["questions"]))]
    assert through["asked"] == len(questions) == 6  # one of them without choices: its answer is written again
    right = {(row["news_id"], row["question"]): row["correct"] for row in rows if row["scoring"] == "cloze"}
    right |= {("town", 2): next(row["correct"] for row in rows if (row["news_id"], row["question"]) == ("town", 2))}
    assert through["right_before"] == through["right_after"] == sum(map(bool, right.values()))
    assert through["changed"] == 0 and 0 < through["shift"] < 1e-3 and proof["proven"]
    assert "largest shift" in capsys.readouterr().out


def test_what_is_uploaded_names_the_base_and_no_folder_of_this_machine(run: Path) -> None:
    from huggingface_hub import ModelCard

    folder = made(run, to="peft", news_licence="CC0-1.0").folder
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "peft" and "sys2ft" in card.data.tags and card.data.base_model is None
    assert (
        "the table" in card.text and "CC0-1.0" in card.text and "transformers, base + PEFT adapter | 6 |" in card.text
    )
    texts = [file.read_text(encoding="utf-8") for file in folder.iterdir() if file.suffix in (".md", ".json")]
    assert not any(str(run.parent) in text or "/base" in text for text in texts)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}


def test_a_merged_model_is_exact_in_float32_and_close_in_bfloat16(run: Path) -> None:
    exact = made(run, to="merged", dtype="float32")
    assert exact.proven and exact.proofs[0].shift is not None and exact.proofs[0].shift < 1e-3
    rounded = made(run, to="merged", dtype="bfloat16", max_drift=10.0)
    assert rounded.folder.name == "naive-merged-bfloat16"
    assert rounded.proofs[0].shift is not None and rounded.proofs[0].shift > exact.proofs[0].shift
    assert read_json(rounded.folder / "config.json")["dtype"] == "bfloat16"


def test_llama_cpp_answers_with_and_without_the_lora_file(run: Path) -> None:
    pytest.importorskip("xllamacpp")
    out = made(run, to="gguf-lora", quantise="f32")
    tuned, untuned = out.proofs
    assert out.proven and {"adapter.gguf", "base.gguf"} <= {file.name for file in out.folder.iterdir()}
    for proof in (tuned, untuned):
        assert proof.asked == 6 and proof.changed == 0 and not proof.notes
        assert proof.shift is not None and proof.shift < 5e-3
    # The base alone does not pass for the tuned model: the comparison sees the adapter.
    base = exporting._through_llama(
        "base", out.folder / "base.gguf", chosen(run), exporting.items_of(chosen(run), "naive", None), Display()
    )
    assert base.shift is not None and base.shift > 10 * tuned.shift


def test_ollama_gets_a_quantised_file_and_the_models_template(run: Path) -> None:
    pytest.importorskip("xllamacpp")
    out = made(run, to="ollama", quantise="q8_0", max_drift=5.0)
    assert out.proven and out.proofs[0].asked == 6 and out.proofs[0].through == "llama.cpp, merged q8_0"
    assert {file.name for file in out.folder.iterdir()} == {"Modelfile", "README.md", "model.gguf", "proof.json"}
    text = (out.folder / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith("FROM ./model.gguf\nTEMPLATE ") and 'PARAMETER stop "<|im_end|>"' in text
    assert 'SYSTEM """You are a helpful AI assistant named SmolLM, trained by Hugging Face"""' in text


def test_the_samples_are_rendered_to_the_tokens_of_the_training(run: Path) -> None:
    out = made(run, to="sft")
    rows = read_jsonl(out.folder / "train.jsonl")
    kept = [row for row in read_jsonl(run / "replay" / "naive.jsonl") if row["status"] == "kept"]
    assert [row["id"] for row in rows] == [row["id"] for row in kept]
    assert rows[0]["messages"] == [*rows[0]["prompt"], *rows[0]["completion"]]
    assert out.remarks == (
        f"{len(kept)} samples; the chat template renders {len(kept)} of them to the tokens that the adapter was "
        "trained on",
    )


def test_trl_trains_on_the_samples_as_they_are_with_the_same_loss_mask(run: Path, tmp_path: Path) -> None:
    """`SFTTrainer` with its defaults, given the file and the model's folder, computes the loss on the same tokens."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    out = made(run, to="sft")
    rows = datasets.load_dataset(
        "json", data_files=str(out.folder / "train.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    args = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"), max_steps=1, per_device_train_batch_size=2, use_cpu=True, bf16=False,
        report_to="none", disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = trl.SFTTrainer(model=str(chosen(run).base), args=args, train_dataset=rows)
    theirs = trainer.data_collator([trainer.train_dataset[place] for place in range(len(rows))])
    who = chosen(run)
    for place, row in enumerate(read_jsonl(out.folder / "train.jsonl")):
        prompt = [Message(**turn) for turn in row["prompt"]]
        own = who.chat.render(prompt, row["completion"][0]["content"])
        taught = [token for token, counts in zip(own.ids, own.loss_mask, strict=True) if counts]
        labels = [token for token in theirs["labels"][place].tolist() if token != -100]
        # A template that writes a line break after the end of the turn has TRL learn that too.
        assert labels[: len(taught)] == taught and len(labels) - len(taught) <= 1
    assert trainer.train().training_loss > 0


def test_an_export_that_answers_otherwise_keeps_the_ending(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = made(run, to="peft").folder
    config = run / "adapters" / "naive" / "joint" / "adapter_config.json"
    write_json(config, {**read_json(config), "lora_alpha": 40 * read_json(config)["lora_alpha"]})
    assert call(["export", str(run), "--to", "peft", "--max-drift", "0.01"]) == 1
    kept = run / "exports" / "naive-peft.unproven"
    assert read_json(kept / "proof.json")["proven"] is False and "not proven" in capsys.readouterr().out
    assert read_json(good / "proof.json")["proven"] is True  # the earlier one is untouched


def test_fewer_questions_are_spread_over_the_run(run: Path) -> None:
    items = exporting.items_of(chosen(run), "naive", 2)
    assert [item.name for item in items] == ["town, question 1", "system, question 2"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"to": "peft", "quantise": "q8_0"}, "quantise with --to peft"),
        ({"to": "gguf", "dtype": "float32"}, "dtype with --to gguf"),
        ({"to": "gguf", "base_gguf": Path("base.gguf")}, "base_gguf with --to gguf"),
        ({"to": "gguf-lora", "base_gguf": Path("base.gguf")}, "not a file"),
        ({"to": "zip"}, "to='zip'"),
        ({"to": "merged", "dtype": "int8"}, "dtype='int8'"),
        ({"to": "peft", "max_drift": -1.0}, "max_drift=-1.0"),
        ({"to": "peft", "questions": 0}, "questions=0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)):
        ExportSettings(**settings)


def test_another_base_is_refused(run: Path) -> None:
    record = read_json(run / "run.json")
    record["model"]["sha256"] = record["identity"]["model"]["sha256"] = "0" * 64
    write_json(run / "run.json", record)
    with pytest.raises(SettingsError, match="is not the base of these adapters"):
        chosen(run)


def test_a_run_without_adapters_or_answers_is_refused(run: Path) -> None:
    with pytest.raises(SettingsError, match=r"0 adapters .* called 'mixed'"):
        chosen(run, "mixed")
    (run / "predictions" / "naive.jsonl").unlink()
    with pytest.raises(SettingsError, match="no closed-book answers of naive"):
        made(run, to="peft")
    shutil.rmtree(run / "adapters")
    with pytest.raises(SettingsError, match="has no adapters to export"):
        chosen(run)


def test_missing_tools_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no convert_hf_to_gguf"):
        find_converters(run, "f16")
    monkeypatch.setenv("PATH", str(run))
    if shutil.which("llama-quantize") is None:
        with pytest.raises(SettingsError, match="the type q4_k_m, and no llama-quantize"):
            made(run, to="gguf", quantise="q4_k_m")
    monkeypatch.setattr("sys2ft.export.converters.WHEEL", "not-installed-anywhere")
    with pytest.raises(SettingsError, match=re.escape("pip install 'sys2ft[export]'")):
        find_converters(None, "f16")
    assert not (run / "exports").exists()


def test_a_converter_that_fails_leaves_nothing(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    tools = tmp_path / "llama.cpp"
    tools.mkdir()
    for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py"):
        (tools / name).write_text("raise SystemExit('unknown architecture')", encoding="utf-8")
    with pytest.raises(Sys2ftError, match=r"(?s)failed with exit code 1.*unknown architecture"):
        made(run, to="gguf", llama_cpp=tools)
    assert list((run / "exports").iterdir()) == []


def test_a_full_disk_is_noticed_before(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(StorageError, match="needs about"):
        made(run, to="merged")
    assert not (run / "exports").exists()


def test_a_folder_of_something_else_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Sys2ftError, match="is not an export"):
        export(chosen(run), ExportSettings(to="peft"), out=tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text(encoding="utf-8") == "mine"


def test_a_killed_export_leaves_nothing_that_looks_finished(run: Path, tmp_path: Path) -> None:
    tools = tmp_path / "llama.cpp"
    tools.mkdir()
    for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py"):
        (tools / name).write_text("import time; time.sleep(60)", encoding="utf-8")
    command = [sys.executable, "-m", "sys2ft", "export", str(run), "--to", "gguf", "--llama-cpp", str(tools)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    exports = run / "exports"
    deadline = time.monotonic() + 120
    while not list(exports.glob(".*.tmp/merged/model.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [file.name[0] for file in exports.iterdir()] == ["."]
    assert made(run, to="peft").proven
    with pytest.raises(Sys2ftError):  # the next export of that name removes what is left
        made(run, to="gguf", llama_cpp=tools / ".." / "llama.cpp", quantise="q4_k_m")


LLAMA_3 = (
    "{{ '<|begin|>' }}{% for m in messages %}{{ '<|head|>' + m['role'] + '<|end_head|>\n\n' + m['content'] | trim "
    "+ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|end_head|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<bos>' }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set loop_messages = messages[1:] %}{% else %}{% set first = '' %}{% set loop_messages = messages %}{% endif %}"
    "{% for m in loop_messages %}{{ '<turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' + "
    "(first if loop.first else '') + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"
)
DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe \"{{ good }}\".<|im_end|>\n' }}{% endif %}"
    + CHATML
)
TALK = [
    [Message("user", "Who?")],
    [Message("system", "Short."), Message("user", "Who?")],
    [Message("user", "a"), Message("assistant", "b"), Message("user", "c {{ .Role }}")],
    [Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")],
]


@pytest.mark.parametrize("template", [CHATML, LLAMA_3, GEMMA, DEFAULT], ids=["chatml", "llama3", "gemma", "default"])
def test_a_modelfile_writes_the_prompts_of_the_chat_template(template: str) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    chat = ChatFormat.of(tokenizer)
    turns = turns_of(chat, tokenizer)
    for messages in TALK:
        system = turns.default_system  # what Ollama puts first where a conversation has no system turn
        given = [Message("system", system), *messages] if system and messages[0].role != "system" else messages
        assert go_template(turns.template(), given) == chat.prompt_text(messages)


def test_a_template_that_does_more_than_write_around_turns_is_refused() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHATML.replace("message['content'] +", "message['content'] | upper +")
    chat = ChatFormat.of(build_tokenizer())
    chat._tokenizer.chat_template = CHATML.replace("'<|im_end|>\n'", "'<|im_end|>' + ('\n' * loop.index)")
    with pytest.raises(ModelError, match="cannot be written as an Ollama template"):
        turns_of(chat, tokenizer)


def go_template(text: str, messages: list[Message]) -> str:
    """What Go's text/template makes of a Modelfile's template: the few actions that `Turns.template` uses."""
    parts = re.split(r"({{.*?}})", text)
    variables: dict[str, bool] = {}

    def body(place: int, message: Message | None, live: bool) -> tuple[str, int]:
        """The output from `place` to the matching end or else."""
        out = ""
        while place < len(parts):
            part = parts[place]
            action = part[2:-2].strip() if part.startswith("{{") else None
            if action is None:
                out, place = out + (part if live else ""), place + 1
            elif action == "end" or action.startswith("else"):
                return out, place
            elif action == "range .Messages":
                for one in messages:
                    written, last = body(place + 1, one, live)
                    out += written
                place = last + 1
            elif action.startswith("if "):
                done, condition, place = False, action[3:], place + 1
                while True:
                    holds = live and not done and truth(condition, message)
                    written, place = body(place, message, holds)
                    out, done = out + written, done or holds
                    ended = parts[place][2:-2].strip()
                    place += 1
                    if ended == "end":
                        break
                    condition = ended.removeprefix("else if ")
            elif match := re.fullmatch(r"(\$\w+) :?= (true|false)", action):
                if live:
                    variables[match[1]] = match[2] == "true"
                place += 1
            elif action == ".Content":
                assert message is not None
                out, place = out + (message.content if live else ""), place + 1
            else:
                out, place = out + (json.loads(action) if live else ""), place + 1
        return out, place

    def truth(condition: str, message: Message | None) -> bool:
        if match := re.fullmatch(r"not (\$\w+)", condition):
            return not variables[match[1]]
        match = re.fullmatch(r'eq \.Role "(\w+)"', condition)
        assert match is not None and message is not None, condition
        return message.role == match[1]

    return body(0, None, True)[0]


def test_turns_of_a_conversation_are_text_around_contents() -> None:
    turns = Turns("<s>", ("[", "]"), ("U:", "\n"), ("A:", "\n"), "A:")
    assert turns.text(TALK[3]) == "<s>[s]U:a\nA:b\nU:c\nA:"
