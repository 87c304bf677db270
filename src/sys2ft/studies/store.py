"""The folder of a study: what is finished of its cells, found again by everything that decides it.

Cells of any study can be in one folder: a cell is stored under a digest of its definition, of the files of its models
and news items, and of its protocol. A changed study therefore keeps the cells that it still has.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.evaluation.records import can_ask
from sys2ft.files import damage_named, digest, read_json, read_jsonl, write_json, write_jsonl
from sys2ft.models import pick_device, pick_dtype, resolve
from sys2ft.news import News, load_news, news_to_dict
from sys2ft.replay import ReplayElement, parts_of, protocols_for
from sys2ft.runs import FolderMemo, Memo
from sys2ft.studies.cells import Cell, spread
from sys2ft.studies.measures import VERSIONS, Outcome, is_set, set_of
from sys2ft.studies.samples import written_text
from sys2ft.training import JOINT, files_named

Record = dict[str, Any]
RECORD = "study.json"
KINDS = ("cells", "base", "elements", "generation", "training", "points", "adapters")
"""Folders of the parts."""
_FIELDS = {
    "cells": ("rows", "points", "curve", "counts", "samples", "left_out", "totals", "update"),
    "base": ("rows",),
    "points": ("step", "rows"),
    "training": ("cells",),
}
_AGAIN = "and give the same command again: it is computed anew"


@dataclass(frozen=True)
class Store:
    """The folder `path`, for models that are loaded as `dtype` on `device`."""

    path: Path
    dtype: str = "auto"
    device: str = "auto"
    _news: dict[tuple[str, int], list[News]] = field(default_factory=dict)
    _models: dict[str, str] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> tuple[str, str]:
        """Number format and device that models are loaded with."""
        place = pick_device(self.device)
        return str(pick_dtype(self.dtype, place)).removeprefix("torch."), place.type

    @property
    def memo(self) -> Memo:
        """Where the units of generation are stored."""
        return FolderMemo(self.path / "generation")

    def news(self, cell: Cell) -> list[News]:
        """The news items of a cell. Raises NewsError for a file that cannot be read."""
        key = (cell.options.news, cell.options.take)
        if key not in self._news:
            self._news[key] = spread(load_news(key[0]), key[1])
        return self._news[key]

    def question_counts(self, cell: Cell) -> list[int]:
        """The number of questions of each news item that the cell's scoring can ask."""
        return [sum(can_ask(cell.evaluate.headline, q.choices) for q in item.questions) for item in self.news(cell)]

    def fingerprint(self, model: str) -> str:
        """Digest of a model's files. Raises ModelError if it cannot be found."""
        if model not in self._models:
            self._models[model] = resolve(model).fingerprint()
        return self._models[model]

    def elements_key(self, cell: Cell, protocol: str | None = None) -> str:
        """A digest of everything that decides the elements of a cell, or those by another protocol about its news."""
        generate = cell.generate_by(protocol)
        learner: Any = None
        if generate.budget[0] != "samples_per_news":
            learner = [self.fingerprint(cell.options.model), cell.train.epochs, cell.train.batch_size]
        return digest(
            [
                self.fingerprint(cell.generator),
                self.numbers,
                [news_to_dict(item) for item in self.news(cell)],
                asdict(generate),
                [one.digest for one in parts_of(protocols_for(generate))],
                cell.options.seed,
                learner,
            ]
        )[:16]

    def key(self, cell: Cell) -> str:
        """A digest of everything that decides the results of a cell."""
        written = written_text(cell.options.written) if cell.options.written else ""
        protocols = [one.digest for one in parts_of(protocols_for(cell.generate))]
        return digest(
            [
                cell.definition,
                self.fingerprint(cell.options.model),
                self.fingerprint(cell.generator),
                self.numbers,
                [news_to_dict(item) for item in self.news(cell)],
                protocols,
                written,
                files_named(cell.train),
                *self._asked(cell),
            ]
        )[:16]

    def base_key(self, cell: Cell) -> str:
        """A digest of everything that decides what the base answers to a cell's measures."""
        news = [news_to_dict(item) for item in self.news(cell)]
        model = self.fingerprint(cell.options.model)
        asked = [cell.definition["evaluate"], sorted(cell.measures), *self._asked(cell)]
        return digest([model, self.numbers, news, *asked])[:16]

    def _asked(self, cell: Cell) -> list[str]:
        """Digests of the items of the sets that the cell is asked besides its news items; versions of the measures."""
        sets = [digest([item.id for item in set_of(name).items]) for name in cell.measures if is_set(name)]
        return [*sets, *(f"{name} {VERSIONS[name]}" for name in cell.measures if name in VERSIONS)]

    def _elements_file(self, key: str) -> Path:
        return self.path / "elements" / f"{key}.jsonl"

    def has_elements(self, key: str) -> bool:
        """Whether the elements with this key are generated."""
        return self._elements_file(key).is_file()

    def elements(self, key: str) -> list[ReplayElement]:
        """The elements stored under a key, kept and rejected."""
        file = self._elements_file(key)
        with damage_named(file, f"delete it {_AGAIN}"):
            return [ReplayElement.from_dict(row) for row in read_jsonl(file)]

    def write_elements(self, key: str, elements: Sequence[ReplayElement], counts: Mapping[str, Any]) -> None:
        """Store elements and their count; the elements last, since their presence means that both are there."""
        write_json(self.path / "elements" / f"{key}.json", dict(counts))
        write_jsonl(self._elements_file(key), (one.to_dict() for one in elements))

    def counts(self, key: str) -> Record:
        """How many elements were asked for and kept, and what they cost."""
        file = self.path / "elements" / f"{key}.json"
        with damage_named(file, f"delete it and {self._elements_file(key)}, {_AGAIN}"):
            return dict(read_json(file))

    def _part_file(self, kind: str, key: str) -> Path:
        return self.path / kind / f"{key}.json"

    def has(self, kind: str, key: str) -> bool:
        """Whether there is a record of `kind` ('base', 'cells', 'points')."""
        return self._part_file(kind, key).is_file()

    def part(self, kind: str, key: str) -> Record | None:
        """A record, if there is one. Raises SettingsError if its file is damaged."""
        return self._read(self._part_file(kind, key)) if self.has(kind, key) else None

    def _read(self, file: Path) -> Record:
        kind = file.relative_to(self.path).parts[0]
        all_of_it = {
            "cells": f"delete {file.parent / file.stem.rpartition('-')[0]}-*.json {_AGAIN}",
            "points": f"delete {self.path / 'training'}, so that the training is done again, and {file}",
            "training": f"delete {file.parent} {_AGAIN}",
        }
        with damage_named(file, all_of_it.get(kind, f"delete it {_AGAIN}")):
            record = read_json(file)
            if not isinstance(record, dict) or not record.keys() >= set(_FIELDS[kind]):
                missing = [name for name in _FIELDS[kind] if not isinstance(record, dict) or name not in record]
                raise ValueError(f"no {', '.join(missing)}")
            outcomes_of(record.get("rows", []))
            return record

    def require_sound(self, cell: Cell) -> None:
        """Raise SettingsError if what is stored of a cell is damaged."""
        key = self.key(cell)
        for number in range(len(cell.groups(self.news(cell)))):
            self.part("cells", f"{key}-{number}")
            self.points(key, number)
        self.part("base", self.base_key(cell))
        if not cell.options.written and self.has_elements(elements := self.elements_key(cell)):
            self.elements(elements)
            self.counts(elements)

    def record_name(self) -> str | None:
        """The name of the study whose folder this is; None if it has no study.json."""
        file = self.path / RECORD
        if not file.is_file():
            return None
        with damage_named(file, "delete it, if this is the folder of the study"):
            return str(read_json(file)["name"])

    def unfinished_banks(self) -> dict[Path, list[str]]:
        """The folders of trainings that are not asked yet, each with the keys of the phases of its bank."""
        files = sorted((self.path / "training").glob("*/cells.json"))
        return {file.parent: list(self._read(file)["cells"]) for file in files}

    def write_part(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Store a record."""
        write_json(self._part_file(kind, key), dict(record))

    def points(self, cell_key: str, phase: int) -> list[Record]:
        """What was asked along a training, by number of steps."""
        files = sorted((self.path / "points").glob(f"{cell_key}-{phase}-*.json"))
        return sorted((self._read(file) for file in files), key=lambda record: int(record["step"]))

    def phase(self, cell: Cell, number: int) -> Record | None:
        """The record of a finished phase of a cell."""
        return self.part("cells", f"{self.key(cell)}-{number}")

    def finished(self, cell: Cell) -> bool:
        """Whether all phases of the cell are finished."""
        key, phases = self.key(cell), range(len(cell.groups(self.news(cell))))
        return all(self.has("cells", f"{key}-{number}") for number in phases)

    def adapter(self, cell_key: str, phase: int) -> Path:
        """Folder of the adapter that an update ended with, as long as a later one needs it."""
        return self.path / "adapters" / cell_key / f"{phase}" / JOINT

    def adapters(self, cell: Cell, before: int) -> list[Path]:
        """The folders of the adapters that the finished updates before this one ended with, in order.

        Updates without samples, and those whose training diverged, have none. Raises SettingsError if one is gone.
        """
        key, found = self.key(cell), []
        for number in range(before):
            record = self.part("cells", f"{key}-{number}")
            if record is None or not record["samples"] or record["totals"].get("diverged"):
                continue
            found.append(self.adapter(key, number))
            if not found[-1].is_dir():
                raise SettingsError(
                    f"{found[-1]}, which update {before + 1} of {cell.title} starts from, is gone",
                    expected="the adapters of its earlier updates",
                    fix=f"delete {self.path / 'cells' / key}-*.json: the cell is then computed from its first update",
                )
        return found

    def forget_adapters(self, cell_key: str) -> None:
        shutil.rmtree(self.path / "adapters" / cell_key, ignore_errors=True)


def rows_of(found: Sequence[Outcome]) -> list[list[Any]]:
    """Outcomes as JSON data, with few digits."""
    return [[one.measure, one.news_id, one.item, _few(one.value), _few(one.beside)] for one in found]


def _few(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def outcomes_of(rows: Sequence[Sequence[Any]]) -> list[Outcome]:
    """The outcomes in stored rows."""
    return [Outcome(*row) for row in rows]
