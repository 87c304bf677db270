"""Trained protocols of a run folder: their adapters, the records of their training, and the files of answers."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sys2ft.engine import Bank, uncovered
from sys2ft.evaluation import Route, routes_to
from sys2ft.evaluation.controls import QUESTIONS
from sys2ft.job.cell import Cell
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.runs import Run, iterate_jsonl, read_json, write_json, write_jsonl
from sys2ft.training import Checkpoint, Training, TrainSettings, learner_of

BASE_NAME = "base"
"""The subject without an adapter."""
REFUSED = ".refused"
"""End of the name of a folder of refused adapters, beside where they were."""


def write_adapters(folder: Path, base_name: str, training: Training) -> None:
    """Write the adapters that did not diverge, in PEFT's format, each into a folder of its name."""
    for adapter in training.adapters:
        if not adapter.diverged:
            learner = adapter.job.chosen_learner
            learner.save(training.bank, adapter.slot, folder / adapter.name, base_name=base_name)


def is_trained(run: Run, name: str, version: str) -> bool:
    """Whether the protocol's adapters are complete, and were trained on these elements."""
    file = run.path / "training" / f"{name}.json"
    return file.is_file() and read_json(file).get("version") == version


def _parts(run: Run, name: str) -> Path:
    """Folder of the records of the portions whose adapters are written, until those of all are."""
    return run.path / "training" / f"{name}.parts"


def has_part(run: Run, name: str, number: int, version: str) -> bool:
    """Whether the adapters of a portion are written, and were trained on these elements."""
    file = _parts(run, name) / f"{number:05d}.json"
    return file.is_file() and read_json(file).get("version") == version


def forget(run: Run, name: str, versions: Sequence[str]) -> bool:
    """Delete the adapters of a protocol whose elements have changed, their answers and their record.

    `versions`: those of the portions now. False if there is nothing of other elements. The record goes last, so that a
    process killed before that begins again.
    """
    file = run.path / "training" / f"{name}.json"
    stale = [part for part in _parts(run, name).glob("*.json") if read_json(part).get("version") not in versions]
    if not file.is_file() and not stale:
        return False
    for answers in answers_of(run, name):
        answers.unlink()
    for adapters in (run.path / "adapters" / name, refused_folder(run, name), _parts(run, name)):
        shutil.rmtree(adapters, ignore_errors=True)
    for checkpoint in (run.path / "training").glob("bank-*.checkpoint"):
        Checkpoint.remove(checkpoint)
    file.unlink(missing_ok=True)
    return True


def write_part(run: Run, cell: Cell, number: int, version: str, training: Training | None) -> None:
    """Write the loss curve and the record of a portion's training (None: none of its elements was kept)."""
    curve: list[dict[str, Any]] = []
    totals: dict[str, Any] = {
        "adapters": 0, "tokens_trained": 0, "tokens_computed": 0, "flop": 0.0, "seconds": 0.0, "diverged": [],
        "ended": {},
    }  # fmt: skip
    names: list[str] = []
    elements = 0
    if training is not None:
        curve, totals = training.curve, training.totals
        names = [adapter.name for adapter in training.adapters if not adapter.diverged]
        elements = sum(len(job.items) for job in training.jobs)
        used = [job.settings for job in training.jobs]
        totals |= {"rank": used[0].rank, "learning_rates": sorted({settings.learning_rate for settings in used})}
        left_out = uncovered(training.bank.model)
        totals["uncovered"] = asdict(left_out) if left_out else None
    place = _parts(run, cell.protocol)
    write_jsonl(place / f"{number:05d}.jsonl", curve)
    # Written last: its presence means that the portion's adapters are complete.
    write_json(place / f"{number:05d}.json", {"version": version, "elements": elements, "names": names, **totals})


def gather(run: Run, cell: Cell, news: Sequence[News], version: str) -> None:
    """Write the loss curve and the record of a protocol's training from those of its portions, and delete these."""
    name, place = cell.protocol, _parts(run, cell.protocol)
    parts = [read_json(file) for file in sorted(place.glob("*.json"))]
    write_jsonl(
        run.path / "training" / f"{name}.jsonl",
        (row for file in sorted(place.glob("*.jsonl")) for row in iterate_jsonl(file)),
    )
    record = {**_joined(parts), "version": version}
    chosen = {key: record[key] for key in ("rank", "learning_rates") if key in record}
    if chosen:
        run.note("trained", {**run.record.get("trained", {}), name: chosen})
    names = record["names"]
    head = {"protocol": name, "version": version, "elements": record["elements"], "names": names}
    # Written last: its presence means that the protocol's adapters are complete.
    write_json(
        run.path / "training" / f"{name}.json", {**head, "routes": cell.routes(names, news), **record, "names": names}
    )
    shutil.rmtree(place, ignore_errors=True)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The records of several portions as one: counts are added, lists and tables joined."""
    trained = [part for part in parts if "rank" in part] or list(parts[:1])
    if len(parts) == 1:
        return dict(parts[0])
    joined: dict[str, Any] = {}
    for key, value in trained[0].items():
        values = [part[key] for part in trained]
        if key in ("rank", "uncovered", "version"):
            joined[key] = value
        elif key == "adapters_at_once":
            joined[key] = max(values)
        elif key == "padding":
            computed = [part["tokens_computed"] / (1 - part["padding"]) for part in trained]
            padded = sum(share * nodes for share, nodes in zip(values, computed, strict=True))
            joined[key] = round(padded / sum(computed), 4) if sum(computed) else 0.0
        elif key == "learning_rates":
            joined[key] = sorted({rate for own in values for rate in own})
        elif isinstance(value, list):
            joined[key] = [one for own in values for one in own]
        elif isinstance(value, dict):
            joined[key] = {name: one for own in values for name, one in own.items()}
        else:
            joined[key] = round(sum(values), 3) if isinstance(value, float) else sum(values)
    return joined


def write_training(run: Run, cell: Cell, news: Sequence[News], version: str, training: Training | None) -> None:
    """Write the loss curve and the record of one protocol's training, all of it trained together."""
    write_part(run, cell, 0, version, training)
    gather(run, cell, news, version)


def refused_folder(run: Run, name: str) -> Path:
    """Where the adapters of a protocol are that an evaluation has refused (`EvaluateSettings.max_drop`)."""
    return run.path / "adapters" / f"{name}{REFUSED}"


def adapter_folders(run: Run, name: str) -> Path:
    """The folder that holds those of a protocol's adapters, refused or not."""
    folder = run.path / "adapters" / name
    return folder if folder.is_dir() else refused_folder(run, name)


def put_aside(run: Run, refused: Collection[str], protocols: Sequence[str]) -> None:
    """Move the adapters of the refused protocols aside, and those of the others back. Nothing is deleted."""
    for name in protocols:
        kept, aside = run.path / "adapters" / name, refused_folder(run, name)
        source, target = (kept, aside) if name in refused else (aside, kept)
        if source.is_dir() and not target.exists():
            source.rename(target)


def answers_of(run: Run, subject: str) -> list[Path]:
    """The files with a subject's answers to the questions and the controls."""
    return [*(run.path / QUESTIONS).glob(f"{subject}.jsonl"), *(run.path / "controls").glob(f"*/{subject}.jsonl")]


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers in an evaluation: a name, the route of each news item, the version and the names of the adapters."""

    name: str
    routes: Mapping[str, Route]
    version: str
    adapters: Sequence[str] = ()
    """In the order of the slots."""


def answering(run: Run, name: str, news: Sequence[News] | None = None) -> Answering:
    """The routes of a trained protocol, as its training recorded them; of some news items: with their adapters only."""
    record = read_json(run.path / "training" / f"{name}.json")
    routes: dict[str, str | None] = record["routes"]
    adapters: list[str] = record["names"]
    if news is not None:
        routes = {item.id: routes[item.id] for item in news}
        used = set(routes.values())
        adapters = [adapter for adapter in adapters if adapter in used]
    slots = {adapter: slot for slot, adapter in enumerate(adapters)}
    return Answering(name, routes_to(routes, slots), record["version"], adapters)


def load_bank(run: Run, model: LoadedModel, name: str, adapters: Sequence[str] | None = None) -> Bank | None:
    """A bank with saved adapters of one protocol, given or all of its training record; None if there are none."""
    record = read_json(run.path / "training" / f"{name}.json")
    adapters = record["names"] if adapters is None else adapters
    if not adapters:
        return None
    learner = learner_of(trained_settings(run, name))
    folder = adapter_folders(run, name)
    bank = learner.bank(model.model, len(adapters))
    for slot, adapter in enumerate(adapters):
        learner.load(bank, slot, folder / adapter)
    return bank


def trained_settings(run: Run, name: str) -> TrainSettings:
    """The settings that a protocol's adapters are loaded with."""
    record = read_json(run.path / "training" / f"{name}.json")
    settings = run.settings("train", TrainSettings)
    return replace(settings, rank=record["rank"]) if "rank" in record else settings
