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
from sys2ft.runs import Run, read_json, write_json, write_jsonl
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


def forget(run: Run, name: str) -> bool:
    """Delete the adapters of a protocol whose elements have changed, their answers and their record.

    False if there is none. The record goes last, so that a process killed before that begins again.
    """
    file = run.path / "training" / f"{name}.json"
    if not file.is_file():
        return False
    for answers in answers_of(run, name):
        answers.unlink()
    for adapters in (run.path / "adapters" / name, refused_folder(run, name)):
        shutil.rmtree(adapters, ignore_errors=True)
    for checkpoint in (run.path / "training").glob("bank-*.checkpoint"):
        Checkpoint.remove(checkpoint)
    file.unlink()
    return True


def write_training(run: Run, cell: Cell, news: Sequence[News], version: str, training: Training | None) -> None:
    """Write the loss curve and the record of one protocol's training (None: none of its elements was kept)."""
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
        totals |= _chosen(training)
        run.note("trained", {**run.record.get("trained", {}), cell.protocol: _chosen(training)})
        left_out = uncovered(training.bank.model)
        totals["uncovered"] = asdict(left_out) if left_out else None
    name = cell.protocol
    write_jsonl(run.path / "training" / f"{name}.jsonl", curve)
    # Written last: its presence means that the protocol's adapters are complete.
    record = {
        "protocol": name,
        "version": version,
        "elements": elements,
        "names": names,
        "routes": cell.routes(names, news),
    }
    write_json(run.path / "training" / f"{name}.json", {**record, **totals})


def _chosen(training: Training) -> dict[str, Any]:
    """Rank and peak learning rates that the adapters were trained with, given or chosen by size."""
    used = [job.settings for job in training.jobs]
    return {"rank": used[0].rank, "learning_rates": sorted({settings.learning_rate for settings in used})}


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
    """Who answers in an evaluation: a name, the route of each news item, and the version of the adapters."""

    name: str
    routes: Mapping[str, Route]
    version: str


def answering(run: Run, name: str) -> Answering:
    """The routes of a trained protocol, as its training recorded them."""
    record = read_json(run.path / "training" / f"{name}.json")
    slots = {adapter: slot for slot, adapter in enumerate(record["names"])}
    return Answering(name, routes_to(record["routes"], slots), record["version"])


def saved_adapters(run: Run, name: str) -> tuple[list[str], TrainSettings]:
    """The adapters of a trained protocol in the order of its record, and the settings that they are loaded with."""
    record = read_json(run.path / "training" / f"{name}.json")
    settings = run.settings("train", TrainSettings)
    return record["names"], replace(settings, rank=record["rank"]) if record["names"] else settings


def load_bank(run: Run, model: LoadedModel, name: str) -> Bank | None:
    """A bank with one protocol's saved adapters in the order of its training record; None if it has none."""
    adapters, settings = saved_adapters(run, name)
    if not adapters:
        return None
    learner = learner_of(settings)
    folder = adapter_folders(run, name)
    bank = learner.bank(model.model, len(adapters))
    for slot, adapter in enumerate(adapters):
        learner.load(bank, slot, folder / adapter)
    return bank
