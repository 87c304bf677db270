"""List the available models and describe one of them, for `sys2ft models`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft.errors import ModelError
from sys2ft.models.cache import Progress, models_dir
from sys2ft.models.convert import MANIFEST
from sys2ft.models.load import pick_device, pick_dtype, reading
from sys2ft.models.positions import position_limit
from sys2ft.models.registry import EMBEDDED, Kind, hub_cache_models, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One line of the list: a name that `resolve` accepts, and whether it is ready to load."""

    name: str
    kind: Kind
    path: Path | None  # of its files; None if they are not installed
    size_bytes: int
    ready: bool  # False: the first use converts it, or its wheel is not installed
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The facts about one model; `dtype` and `device` are what 'auto' chooses on this machine."""

    name: str
    kind: Kind
    architecture: str
    parameters: int  # tied weights counted once
    embedding_parameters: int  # the part of `parameters` in token embeddings and an untied head
    layers: int
    hidden_size: int
    vocab_size: int
    context_length: int | None
    has_chat_template: bool
    dtype: str
    device: str
    size_bytes: int
    sha256: str
    source: Path
    cached: Path  # the folder it is loaded from


def list_models() -> list[ModelEntry]:
    """Embedded models, converted GGUF files in the cache, and models in the local Hugging Face cache."""
    entries = [_embedded_entry(name) for name in EMBEDDED]
    shown = {e.path for e in entries}
    for folder in sorted(models_dir().glob("[!.]*")):
        if folder in shown or not (folder / MANIFEST).is_file():
            continue
        try:
            file = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["source"]["file"]
        except (ValueError, KeyError, TypeError):
            file = "an unreadable manifest"
        entries.append(
            ModelEntry(
                name=str(folder),
                kind="folder",
                path=folder,
                size_bytes=_size(folder),
                ready=True,
                note=f"converted from {file}",
            )
        )
    for name, folder in hub_cache_models():
        entries.append(ModelEntry(name=name, kind="hub", path=folder, size_bytes=_size(folder), ready=True))
    return entries


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Make a model ready (resolve, download, convert) and return the folder it loads from."""
    return resolve(name).folder(progress)


def info(name: str, *, progress: Progress | None = None) -> ModelInfo:
    """The facts about a model, from its configuration. Converts or downloads it if necessary; loads no weights."""
    import torch
    import transformers

    source = resolve(name)
    folder = source.folder(progress)
    with reading(folder):
        config = transformers.AutoConfig.from_pretrained(folder)
        # On the meta device a model has shapes but no memory, so its parameters can be counted exactly.
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = config.get_text_config()
    device = pick_device()
    return ModelInfo(
        name=name,
        kind=source.kind,
        architecture=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        embedding_parameters=_embedding_parameters(model),
        layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        vocab_size=text.vocab_size,
        context_length=position_limit(config),
        has_chat_template=bool(tokenizer.chat_template),
        dtype=str(pick_dtype("auto", device)).removeprefix("torch."),
        device=str(device),
        size_bytes=_size(folder),
        sha256=source.fingerprint(),
        source=source.path,
        cached=folder,
    )


def _embedded_entry(name: str) -> ModelEntry:
    try:
        source = resolve(name)
    except ModelError as error:
        return ModelEntry(
            name=name, kind="embedded", path=None, size_bytes=0, ready=False, note=error.fix or error.found
        )
    folder = source.ready_folder()
    path = folder or source.path
    note = "" if folder else "converted on first use"
    return ModelEntry(
        name=name, kind="embedded", path=path, size_bytes=_size(path), ready=folder is not None, note=note
    )


def _embedding_parameters(model: Any) -> int:
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(t.weight): t.weight.numel() for t in tables if t is not None}
    return sum(weights.values())


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)
