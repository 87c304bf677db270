"""Convert a GGUF file into a folder of bfloat16 safetensors in the user's cache.

transformers reads GGUF by dequantising it to float32, which takes half a minute or more; the converted folder loads in
a second or two. It appears under its final name only when it is complete, its manifest lists the SHA-256 of every
file, and a lock ensures that one process at a time converts a model.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sys2ft.errors import ModelError
from sys2ft.files import TEMPORARY, atomic_folder, digest_file, locked, make_folder, storage_errors
from sys2ft.models.cache import CACHE, Progress, file_sha256, models_dir, remember_sha256
from sys2ft.terminal import print

MANIFEST = "manifest.json"
LAYOUT = 1  # increase it when folders of an older version must be converted again

# Vocabularies that split numbers into single digits. llama.cpp does so for these values of `tokenizer.ggml.pre`;
# transformers (5.23) does not, and would encode "\n\n1" as other ids than the model was trained on.
DIGIT_SPLITTING = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})

# Texts that a tokenizer must encode identically before and after it is saved.
PROBES = ("In 12345, it's 3.14\n\n1. a  b", "  caf\u00e9 \u65e5\u672c\n", "<|im_start|>user\n<end_of_turn>")

Writer = Callable[[Path, Path], None]  # (GGUF file, empty folder to fill)


def converted_folder(gguf: Path) -> Path:
    """The folder of the converted file, whether or not it exists yet."""
    stem = "".join(c if c.isalnum() or c in "._-" else "_" for c in gguf.stem)
    return models_dir() / f"{file_sha256(gguf)[:16]}-{stem}"


def convert(gguf: Path, *, progress: Progress | None = None, writer: Writer | None = None) -> Path:
    """The folder that holds `gguf` as safetensors; converts it if it is not in the cache yet.

    `writer` fills an empty folder from the file; tests pass their own. Raises ModelError for a file that is no
    usable GGUF and StorageError when the cache cannot be written.
    """
    _check_magic(gguf)
    target = converted_folder(gguf)
    say = progress or (lambda _: None)
    if fault(target) is None:
        return target

    def waiting() -> None:
        say("another process is converting this model; waiting for it")

    make_folder(models_dir(), CACHE)
    with storage_errors(models_dir(), CACHE), locked(_lock_file(target.name), waiting=waiting):
        _remove_stale(target.name)
        why = fault(target)  # another process may have converted it while this one waited
        if why is None:
            return target
        if target.exists():
            print(f"sys2ft: {target} is corrupt ({why}); making it again", file=sys.stderr)
            shutil.rmtree(target)
        say(f"converting {gguf.name} to bfloat16 safetensors")
        _make(gguf, target, writer or write_safetensors)
        say(f"converted to {target}")
    return target


def fault(folder: Path) -> str | None:
    """The fault of a converted folder, or None if every file agrees with the manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["layout"] != LAYOUT:
            return f"layout {manifest['layout']}, now {LAYOUT}"
        for name, entry in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["size"]:
                return f"{name} has {path.stat().st_size} bytes, not {entry['size']}"
            if file_sha256(path) != entry["sha256"]:
                return f"{name} does not have the SHA-256 that the manifest lists"
    except FileNotFoundError:
        return f"no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"unreadable {MANIFEST}: {error}"
    return None


def write_safetensors(gguf: Path, folder: Path) -> None:
    """Load a GGUF file through transformers and save model and tokenizer into `folder`."""
    import torch
    import transformers

    where, name = str(gguf.parent), gguf.name
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_bars())
        try:
            field = stack.enter_context(_shared_reader(gguf))
            ends = [field(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")]
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, gguf_file=name)
            model = read_model(where, gguf_file=name, dtype=torch.float32)
        except Exception as error:  # a faulty file raises exceptions of many types
            raise ModelError(
                f"{gguf} could not be read as a GGUF model: {type(error).__name__}: {error}",
                expected="a causal language model of an architecture whose GGUF files transformers can read",
                fix="check the file's SHA-256 against its source, or use the same model in safetensors",
            ) from error
        _drop_quantiser(model)
        # Parameters only: the rotary frequencies are buffers, and lose too much in bfloat16.
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
        model.config.dtype = torch.bfloat16
        # transformers keeps only the end-of-text id; chat models may also end a turn or a message.
        model.generation_config.eos_token_id = sorted({i for i in ends if i is not None}) or None
        _set_named_tokens(tokenizer, field)
        if field("tokenizer.ggml.pre") in DIGIT_SPLITTING:
            _split_digits(tokenizer)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _check_saved_tokenizer(tokenizer, folder, gguf)


def read_model(place: Path | str, **settings: Any) -> Any:
    """`from_pretrained` that rejects missing weights, which transformers would initialise randomly."""
    import transformers

    model, found = transformers.AutoModelForCausalLM.from_pretrained(place, output_loading_info=True, **settings)
    if absent := sorted(found["missing_keys"]):
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise ValueError(f"the weights lack {', '.join(absent[:3])}{more}")
    return model


def _make(gguf: Path, target: Path, writer: Writer) -> None:
    """Fill `target`, with a manifest of its files, or leave nothing."""
    with atomic_folder(target, CACHE) as temporary:
        writer(gguf, temporary)
        names = sorted(str(p.relative_to(temporary)) for p in temporary.rglob("*") if p.is_file())
        digests = {name: digest_file(temporary / name) for name in names}
        manifest = {
            "layout": LAYOUT,
            "source": {"file": gguf.name, "size": gguf.stat().st_size, "sha256": file_sha256(gguf)},
            "files": {n: {"size": (temporary / n).stat().st_size, "sha256": digest} for n, digest in digests.items()},
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    remember_sha256({target / name: digest for name, digest in digests.items()})


def _lock_file(name: str) -> Path:
    return models_dir() / f".{name}.lock"


def _remove_stale(mine: str) -> None:
    """Remove temporary folders whose process is gone: a live one holds the lock of its model."""
    for folder in models_dir().glob(TEMPORARY):
        name = folder.name[1:].rsplit(".", 2)[0]
        with locked(_lock_file(name)) if name != mine else contextlib.nullcontext(True) as abandoned:
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)


def _check_magic(gguf: Path) -> None:
    with gguf.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ModelError(
            f"{gguf} is not a GGUF file: it begins with {magic!r}",
            expected="a file that begins with b'GGUF'",
            fix="download it again; a page or a Git LFS pointer may have been saved in its place",
        )


@contextlib.contextmanager
def _shared_reader(gguf: Path) -> Iterator[Callable[[str], Any]]:
    """Parse the file's metadata a single time for the whole conversion; yields a look-up of one metadata field.

    transformers opens the file separately for the configuration, the tokenizer and the weights, and gguf takes 4 s to
    18 s each time to parse the vocabulary. It also rebuilds the table of tensor names for every module.
    """
    library: Any = importlib.import_module("gguf")
    reader = library.GGUFReader(gguf)
    names = functools.cache(library.get_tensor_name_map)

    def field(key: str) -> Any:
        found = reader.get_field(key)
        return None if found is None else found.contents()

    with _replaced(library, GGUFReader=lambda *_: reader, get_tensor_name_map=names):
        yield field


@contextlib.contextmanager
def _replaced(module: Any, **names: Any) -> Iterator[None]:
    """Temporarily replace functions of a library's module; names that it does not have are ignored."""
    before = {name: getattr(module, name) for name in names if hasattr(module, name)}
    try:
        for name in before:
            setattr(module, name, names[name])
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


@contextlib.contextmanager
def quiet_bars() -> Iterator[None]:
    """Hide the progress bars of transformers: this package shows its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    # This module, which not every version has, uses tqdm directly and ignores transformers' switch.
    module: Any = None
    with contextlib.suppress(ImportError):
        module = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    try:
        with _replaced(module, tqdm=lambda items, **_: items):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _drop_quantiser(model: Any) -> None:
    """Remove the marks that make `save_pretrained` refuse a model whose weights are plain again."""
    for holder, name in [
        (model.config, "quantization_config"),
        (model, "hf_quantizer"),
        (model, "is_quantized"),
        (model, "quantization_method"),
    ]:
        if name in vars(holder):
            delattr(holder, name)


def _set_named_tokens(tokenizer: Any, field: Callable[[str], Any]) -> None:
    """Set the special tokens that the file names: some versions of transformers keep the tokenizer class's defaults."""
    for key, name in [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")]:
        token_id = field(f"tokenizer.ggml.{key}_token_id")
        if token_id is not None and getattr(tokenizer, f"{name}_id") != token_id:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token_id))


def _split_digits(tokenizer: Any) -> None:
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _check_saved_tokenizer(tokenizer: Any, folder: Path, gguf: Path) -> None:
    """Check that the saved tokenizer encodes as before: some classes rebuild themselves when they are loaded."""
    import transformers

    saved = transformers.AutoTokenizer.from_pretrained(folder)
    same = all(saved(text)["input_ids"] == tokenizer(text)["input_ids"] for text in PROBES)
    if not same or saved.chat_template != tokenizer.chat_template or saved.eos_token_id != tokenizer.eos_token_id:
        raise ModelError(
            f"the tokenizer of {gguf} changes when it is saved and loaded",
            expected="the same ids, chat template and end-of-text token from both",
            fix="upgrade transformers (before 5.23 it reads the vocabularies of some families, such as Gemma, "
            "differently), or use the same model in safetensors with its own tokenizer files",
        )
