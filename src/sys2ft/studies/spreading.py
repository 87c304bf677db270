"""The cells of a study on the workers of a pool: a few cells are a unit, whose result are the files of their parts.

This process alone writes into the study's folder. A worker has a folder of its own for as long as a unit takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from sys2ft import errors, files
from sys2ft.errors import Sys2ftError
from sys2ft.executors import Pool
from sys2ft.job.remote import Files, model_recipe, read_all, write_all, writing
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.runs import Executor, Unit
from sys2ft.studies.cells import Cell
from sys2ft.studies.costs import PARAPHRASE
from sys2ft.studies.running import Failure, Runner
from sys2ft.studies.store import Store

_TOGETHER = 8
"""Most cells of a unit: they are trained in one bank, and a lost worker loses them together."""
_CELL_PARTS = ("cells", "points", "adapters")


@dataclass
class PooledRunner(Runner):
    """Computes what is missing of the cells in the workers of a pool."""

    pool: Pool = field(kw_only=True)

    def executor(self, model: LoadedModel, cell: Cell) -> Executor | None:
        return writing(self.pool, model, cell.generate.rows_at_once)

    def learn(self, name: str, cells: Sequence[Cell]) -> None:
        """Ask the base, then train and ask the cells, some at a time."""
        model = self.model(name)
        by_key = {self.store.base_key(cell): cell for cell in reversed(cells)}
        bare = [cell for key, cell in by_key.items() if not self.store.has("base", key)]
        sharing = {self.store.base_key(one): [cell for cell in cells if self.store.base_key(cell) ==
                   self.store.base_key(one)] for one in bare}  # fmt: skip
        self._compute("ask_base", "base (sets of questions)", model, [[cell] for cell in bare], list(sharing.values()))
        left = [cell for cell in cells if not self.failed(cell)]
        size = min(_TOGETHER, ceil(len(left) / (2 * self.pool.workers))) or 1
        chunks = [left[start : start + size] for start in range(0, len(left), size)]
        self._compute("compute_cells", "train and ask (units of cells)", model, chunks, chunks)

    def _compute(
        self,
        function: str,
        title: str,
        model: LoadedModel,
        chunks: Sequence[Sequence[Cell]],
        concerned: Sequence[Sequence[Cell]],
    ) -> None:
        """Compute a unit of each chunk, and write what comes back. An error is one of the cells that it concerns."""
        units = (self._unit(function, chunk) for chunk in chunks)  # one at a time: they carry files
        with self.show.task(title, len(chunks)) as advance:
            outcomes = self.pool.outcomes(units, model_recipe(model))
            for chunk, cells, outcome in zip(chunks, concerned, outcomes, strict=True):
                if isinstance(outcome, Sys2ftError):
                    self.failures += [Failure(cell, outcome) for cell in cells]
                else:
                    write_all(self.store.path, outcome["files"])
                    for place, name, found, expected, fix in outcome["failures"]:
                        error: Sys2ftError = getattr(errors, name)(found, expected=expected, fix=fix)
                        failed = [chunk[place]] if chunks is concerned else cells
                        self.failures += [Failure(cell, error) for cell in failed]
                advance(1)

    def _unit(self, function: str, cells: Sequence[Cell]) -> Unit:
        store = self.store
        inputs = {
            "cells": tuple(cells),
            "numbers": store.numbers,
            "news": {(cell.options.news, cell.options.take): store.news(cell) for cell in cells},
            "models": {
                name: store.fingerprint(name) for cell in cells for name in (cell.options.model, cell.generator)
            },
            "parts": {name: content for cell in cells for name, content in self._parts(cell).items()},
        }
        return Unit(key=cells[0].title, function=f"{__name__}:{function}", inputs=inputs)

    def _parts(self, cell: Cell) -> dict[str, bytes]:
        """The files of the store that a worker needs for a cell: its elements, the base's answers, finished phases."""
        store, key = self.store, self.store.key(cell)
        names = [f"base/{store.base_key(cell)}.json"]
        wanted = [None] * (not cell.options.written) + [PARAPHRASE] * (cell.options.shown == PARAPHRASE)
        names += [f"elements/{store.elements_key(cell, one)}{end}" for one in wanted for end in (".json", ".jsonl")]
        found = {name: (store.path / name).read_bytes() for name in names if (store.path / name).is_file()}
        for kind in _CELL_PARTS:
            for place in (store.path / kind).glob(f"{key}*"):
                own = read_all(place) if place.is_dir() else {"": place.read_bytes()}
                found |= {f"{kind}/{place.name}/{name}".rstrip("/"): content for name, content in own.items()}
        return found


def _runner(
    folder: Path,
    model: LoadedModel,
    cells: Sequence[Cell],
    numbers: tuple[str, str],
    news: Mapping[tuple[str, int], list[News]],
    models: Mapping[str, str],
    parts: Files,
) -> Runner:
    write_all(folder, parts)
    store = Store(folder, *numbers, dict(news), dict(models))
    return Runner(store, cells, loaded=model)


def _found(runner: Runner, parts: Files, kinds: Sequence[str]) -> dict[str, Any]:
    """The new files of some kinds, and the failures: place of the cell, class and parts of the error."""
    folder = runner.store.path
    made = {f"{kind}/{name}": text for kind in kinds for name, text in read_all(folder / kind).items()}
    places = {id(cell): place for place, cell in enumerate(runner.cells)}
    return {
        "files": {name: content for name, content in made.items() if parts.get(name) != content},
        "failures": [
            (places[id(one.cell)], type(one.error).__name__, one.error.found, one.error.expected, one.error.fix)
            for one in runner.failures
        ],
    }


def ask_base(model: LoadedModel, cells: Sequence[Cell], **where: Any) -> dict[str, Any]:
    """Ask the base what the cells ask (in a worker)."""
    with tempfile.TemporaryDirectory(prefix="sys2ft-") as folder:
        runner = _runner(Path(folder), model, cells, **where)
        runner.ask_base(model, cells)
        return _found(runner, where["parts"], ["base"])


def compute_cells(model: LoadedModel, cells: Sequence[Cell], **where: Any) -> dict[str, Any]:
    """Train and ask cells whose elements are there (in a worker)."""
    with tempfile.TemporaryDirectory(prefix="sys2ft-") as folder:
        runner = _runner(Path(folder), model, cells, **where)
        with files.storage_errors(Path(folder)):
            runner.run()
        return _found(runner, where["parts"], ["cells", "adapters"])  # an unfinished cell continues from its adapters
