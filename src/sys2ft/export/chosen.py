"""The adapter of a run that is exported: its files, its base, and the run's record of what both answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.files import read_json, read_jsonl
from sys2ft.models import ChatFormat, Source, load_tokenizer, resolve
from sys2ft.news import News, news_from_dict
from sys2ft.runs import Display, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """One adapter of a run, with the base that it was trained on."""

    run: Run
    protocol: str
    name: str
    """The adapter's name: 'joint', or a news id."""
    source: Source
    base: Path
    """Folder of the base model in safetensors."""
    tokenizer: Any
    chat: ChatFormat

    @property
    def folder(self) -> Path:
        """The adapter in PEFT's format."""
        return self.run.path / "adapters" / self.protocol / self.name

    @property
    def label(self) -> str:
        """Its name as `ExportSettings.adapter` takes it, which is also a file name."""
        return self.protocol if self.name == "joint" else f"{self.protocol}-{self.name}"

    @property
    def parameters(self) -> int:
        """Number of parameters of the base."""
        return int(self.run.record["model"]["parameters"])

    @property
    def dtype(self) -> str:
        """Type of the weights in the base's files."""
        return stored_dtype(self.base)

    def news(self) -> dict[str, News]:
        """The run's news items, by id."""
        return {row["id"]: news_from_dict(row) for row in read_jsonl(self.run.path / "news.jsonl")}

    def answers(self, subject: str) -> list[Mapping[str, Any]]:
        """The recorded closed-book answers of the base or the protocol to the questions that this adapter answers."""
        file = self.run.path / "predictions" / f"{subject}.jsonl"
        own = self._answered()
        rows = read_jsonl(file) if file.is_file() else []
        return [row for row in rows if row["condition"] == "closed_book" and row["news_id"] in own]

    def _answered(self) -> set[str]:
        routes = read_json(self.run.path / "training" / f"{self.protocol}.json")["routes"]
        return {item for item, adapter in routes.items() if adapter == self.name}


def choose(run: Run, wanted: str | None, show: Display) -> Chosen:
    """The adapter `wanted` of a run (None: that of its best protocol), after comparing the base with the run's.

    Raises SettingsError if there is none, if there are several, or if the base is not the one that it was trained on.
    """
    protocol, name = _adapter(run, wanted)
    record = run.record["model"]
    source = resolve(record["name"])
    found = source.fingerprint()
    if found != record["sha256"]:
        raise SettingsError(
            f"the model {record['name']} is not the base of these adapters: its SHA-256 is {found[:12]}..., that of "
            f"the run {record['sha256'][:12]}...",
            expected="the weights that the adapter was trained on",
            fix="restore the old model, or train again on the new one",
        )
    tokenizer, chat = load_tokenizer(record["name"], progress=show.note)
    return Chosen(
        run=run, protocol=protocol, name=name, source=source, base=source.folder(), tokenizer=tokenizer, chat=chat
    )


def _adapter(run: Run, wanted: str | None) -> tuple[str, str]:
    folders = {
        f"{protocol.name}/{adapter.name}": adapter
        for protocol in sorted((run.path / "adapters").glob("*"))
        if (run.path / "training" / f"{protocol.name}.json").is_file()
        for adapter in sorted(protocol.glob("*"))
        if (adapter / "adapter_config.json").is_file()
    }
    if not folders:
        raise SettingsError(
            f"{run.path} has no adapters to export",
            expected="a run that has trained, and whose adapters were not all refused by --max-drop",
            fix=f"finish it: sys2ft train {run.path}, then sys2ft evaluate {run.path}",
        )
    if wanted is None:
        scores = run.path / "scores.json"
        wanted = read_json(scores).get("best") if scores.is_file() else None
        if wanted is None and len(folders) > 1:
            raise SettingsError(
                f"{run.path} does not say which of its protocols is best",
                expected=f"a choice among {_some(list(folders))}",
                fix="name one with --adapter, or evaluate the run first",
            )
        wanted = wanted or next(iter(folders)).partition("/")[0]
    fitting = [key for key in folders if key == wanted or key.partition("/")[0] == wanted]
    if len(fitting) != 1:
        raise SettingsError(
            f"{len(fitting)} adapters of {run.path} are called {wanted!r}"
            + (": each knows one news item" if len(fitting) > 1 else ""),
            expected=f"one of {_some(list(folders))}",
            fix="name one with --adapter"
            + ("; for one adapter that knows all, train with --adapters joint" if len(fitting) > 1 else ""),
        )
    protocol, _, name = fitting[0].partition("/")
    return protocol, name


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def stored_dtype(folder: Path) -> str:
    """The type of most weights in a model folder's safetensors: 'float32', 'bfloat16' or 'float16'."""
    config = read_json(folder / "config.json")
    named = config.get("dtype") or config.get("torch_dtype") or "float32"
    return named if named in ("float32", "bfloat16", "float16") else "float32"
