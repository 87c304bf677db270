"""Runs the cells of a study: elements first, then one model after another, its cells together where they can be.

What is finished is stored at once (`store`), so a killed study continues where it was. A cell that cannot be computed
is reported at the end; the others are computed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from sys2ft.combining.merging import add_update
from sys2ft.engine import Bank
from sys2ft.errors import LostUnit, MemoryShortage, StorageError, Sys2ftError, UserError
from sys2ft.evaluation import Route
from sys2ft.files import digest
from sys2ft.job.schedules import schedule_of
from sys2ft.models import LoadedModel, load_model
from sys2ft.news import News
from sys2ft.replay import ReplayElement, generate
from sys2ft.runs import Below, Display, Executor, current_stop
from sys2ft.studies.cells import Cell
from sys2ft.studies.costs import PARAPHRASE, SHOWN
from sys2ft.studies.measures import Outcome, Subject, of_training, outcomes
from sys2ft.studies.phases import Phase, order_of_training, phase_of
from sys2ft.studies.samples import written_elements
from sys2ft.studies.store import Store, rows_of
from sys2ft.training import JOINT, Checkpoint, Training, Watch, banks, learner_of, sized, train


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that could not be computed, and why."""

    cell: Cell
    error: Sys2ftError


@dataclass
class Runner:
    """Computes what is missing of the cells."""

    store: Store
    cells: Sequence[Cell]
    show: Display = field(default_factory=Display)
    loaded: LoadedModel | None = None
    """The model in use, of which there is one at a time."""
    failures: list[Failure] = field(default_factory=list)
    _held: frozenset[str] = frozenset()
    """The phases of banks whose training is not lost, and not all of whose phases are written."""

    def run(self) -> None:
        """Compute every cell that is not finished. Raises StorageError, if the disk is full, and Stopped."""
        self._held = self._unfinished_banks()
        missing = [cell for cell in self.cells if self._missing(cell)]
        for name in dict.fromkeys(cell.generator for cell in missing):
            own = [cell for cell in missing if cell.generator == name]
            with self.failing(own):
                self._generate(name, own)
        for name in dict.fromkeys(cell.options.model for cell in missing):
            own = [cell for cell in missing if cell.options.model == name and not self.failed(cell)]
            if own:
                with self.failing(own):
                    self.learn(name, own)
        self._held = self._unfinished_banks()
        for cell in self.cells:
            if not self.failed(cell) and self.store.finished(cell) and not self._is_held(cell):
                self.store.forget_adapters(self.store.key(cell))
        if not self.failures:  # a training that ran out of memory continues from there
            shutil.rmtree(self.store.path / "training", ignore_errors=True)

    def _missing(self, cell: Cell) -> bool:
        with self.failing([cell]):
            self.store.require_sound(cell)
            finished = self.store.finished(cell) and self.store.has("base", self.store.base_key(cell))
            return not finished or self._is_held(cell)
        return False

    def failed(self, cell: Cell) -> bool:
        return any(failure.cell is cell for failure in self.failures)

    def _is_held(self, cell: Cell) -> bool:
        key = self.store.key(cell)
        return any(one.rpartition("-")[0] == key for one in self._held)

    @contextlib.contextmanager
    def failing(self, cells: Sequence[Cell] | Callable[[], Sequence[Cell]]) -> Iterator[None]:
        """Record an error of some cells, or of those that `cells` finds after it, and compute the others.

        A full disk is an error of all.
        """
        try:
            yield
        except StorageError:
            raise
        except (UserError, MemoryShortage, LostUnit) as error:
            # Without what it was raised from: the frames there hold the model and the bank.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            failed = cells() if callable(cells) else cells
            self.failures += [Failure(cell, error) for cell in failed]
            if not failed:
                self.show.note(str(error))

    def executor(self, model: LoadedModel, cell: Cell) -> Executor | None:
        """Computes the units of generation; None: this process."""
        return None

    def model(self, name: str) -> LoadedModel:
        if self.loaded is None or self.loaded.fingerprint != self.store.fingerprint(name):
            self.loaded = None  # before the next is loaded: two may not fit
            self.loaded = load_model(name, dtype=self.store.dtype, device=self.store.device, progress=self.show.note)
        return self.loaded

    def _generate(self, name: str, cells: Sequence[Cell]) -> None:
        """Write the elements of the cells that this model writes."""
        users: dict[tuple[str, str | None], list[Cell]] = {}
        for cell in cells:
            if not cell.options.written:
                users.setdefault((self.store.elements_key(cell), None), []).append(cell)
            if cell.options.shown == PARAPHRASE:
                users.setdefault((self.store.elements_key(cell, PARAPHRASE), PARAPHRASE), []).append(cell)
        for (key, protocol), own in users.items():
            if self.store.has_elements(key):
                continue
            cell = own[0]
            with self.failing(own):
                model = self.model(name)
                settings = cell.generate_by(protocol)
                (replay,) = generate(
                    model,
                    self.store.news(cell),
                    settings,
                    seed=cell.options.seed,
                    memo=Below(self.store.memo, model.fingerprint[:16]),
                    executor=self.executor(model, cell),
                    show=self.show,
                    schedule=schedule_of(cell.train),
                ).values()
                self.store.write_elements(key, replay.elements, asdict(replay.counts))

    def learn(self, name: str, cells: Sequence[Cell]) -> None:
        """Ask the base, then train and ask the cells of one model, phase by phase."""
        model = self.model(name)
        self.ask_base(model, cells)
        longest = max(len(cell.groups(self.store.news(cell))) for cell in cells)
        for number in range(longest):
            self._phase(model, number, cells)

    def ask_base(self, model: LoadedModel, cells: Sequence[Cell]) -> None:
        """Ask the base what the cells ask, where it was not."""
        by_key: dict[str, list[Cell]] = {}
        for cell in cells:
            by_key.setdefault(self.store.base_key(cell), []).append(cell)
        for key, (cell, *others) in by_key.items():
            if self.store.has("base", key):
                continue
            with self.failing([cell, *others]):
                who = Subject(model=model, news=self.store.news(cell), settings=cell.evaluate, seed=0, show=self.show)
                found = outcomes([name for name in cell.measures if not of_training(name)], who)
                self.store.write_part("base", key, {"model": model.described(), "rows": rows_of(found)})

    def _phase(self, model: LoadedModel, number: int, cells: Sequence[Cell]) -> None:
        """One phase of all cells that have it."""
        phases = []
        for cell in cells:
            has = number < len(cell.groups(self.store.news(cell)))
            key = f"{self.store.key(cell)}-{number}" if has else ""
            if has and not self.failed(cell) and (not self.store.has("cells", key) or key in self._held):
                with self.failing([cell]):
                    phases.append(self._planned(model, cell, number))
        jobs = [job for phase in phases for job in phase.jobs]
        by_key = {phase.key: phase for phase in phases}
        for bank_jobs in banks(model.model, jobs) if jobs else []:
            own = [by_key[key] for key in dict.fromkeys(job.group for job in bank_jobs)]
            with self.failing(partial(self._unwritten, own)):
                self._train(model, bank_jobs, own)
        for phase in phases:
            if not phase.jobs and not self.store.has("cells", phase.key):
                with self.failing([phase.cell]):
                    self._write(model, phase, None)

    def _unwritten(self, phases: Sequence[Phase]) -> list[Cell]:
        return [phase.cell for phase in phases if not self.store.has("cells", phase.key)]

    def _planned(self, model: LoadedModel, cell: Cell, number: int) -> Phase:
        store = self.store
        news = store.news(cell)
        if cell.options.written:
            elements: Sequence[ReplayElement] = written_elements(cell.options.written, news)
            counts: dict[str, Any] = {"kept": len(elements)}
        else:
            key = store.elements_key(cell)
            elements, counts = store.elements(key), store.counts(key)
        before = {}
        if cell.options.shown == PARAPHRASE:
            key = store.elements_key(cell, PARAPHRASE)
            texts, counts = store.elements(key), {**counts, SHOWN: store.counts(key)}
            before = {one.news_id: one.completion for one in texts if one.status == "kept"}
        return phase_of(
            cell, number, model, news, elements, key=f"{store.key(cell)}-{number}", before=before, counts=counts,
            start=next(reversed(store.adapters(cell, number)), None),
        )  # fmt: skip

    def _unfinished_banks(self) -> frozenset[str]:
        """The phases of banks not all of whose phases are asked and written; the other banks are removed.

        They are planned again as they were, so that a training that was finished is only read.
        """
        held: set[str] = set()
        for folder, keys in self.store.unfinished_banks().items():
            if all(self.store.has("cells", key) for key in keys):
                Checkpoint.remove(folder)
            else:
                held.update(keys)
        return frozenset(held)

    def _train(self, model: LoadedModel, jobs: Sequence[Any], phases: Sequence[Phase]) -> None:
        """Train the jobs of one bank; ask and write its phases."""
        name = digest([phase.key for phase in phases])[:16]
        place = self.store.path / "training" / name
        self.store.write_part("training", f"{name}/cells", {"cells": [phase.key for phase in phases]})
        label = (
            f"train {len(phases)} of {len(self.cells)} cells" if len(phases) > 1 else f"train {phases[0].cell.title}"
        )
        training = train(
            model, jobs, checkpoint=place / "checkpoint", show=self.show, label=label, watch=self._watch(model, phases)
        )
        try:
            for phase in phases:
                current_stop().check()
                if not self.store.has("cells", phase.key):
                    self._write(model, phase, training.select(phase.key))
        finally:
            training.bank.close()
        Checkpoint.remove(place)

    def _watch(self, model: LoadedModel, phases: Sequence[Phase]) -> Watch | None:
        steps = frozenset(step for phase in phases for step in phase.cell.steps)
        if not steps:
            return None
        by_key = {phase.key: phase for phase in phases}

        def look(bank: Bank, adapters: Sequence[Any]) -> None:
            for key, step in dict.fromkeys((adapter.job.group, adapter.step) for adapter in adapters):
                own = [one for one in adapters if (one.job.group, one.step) == (key, step)]
                if step in by_key[key].cell.steps:
                    self._look(model, by_key[key], step, bank, {adapter.name: adapter.slot for adapter in own})

        return Watch(steps, look)

    def _look(self, model: LoadedModel, phase: Phase, step: int, bank: Bank, slots: dict[str, int]) -> None:
        name = f"{phase.key}-{step:06d}-{digest(sorted(slots))[:8]}"
        if self.store.has("points", name):
            return
        news = phase.reached(slots)
        who = self._subject(model, phase, bank, phase.routes(slots, news), news)
        asked = [measure for measure in phase.cell.measures if not of_training(measure)]
        self.store.write_part("points", name, {"step": step, "rows": rows_of(outcomes(asked, who))})

    def _subject(
        self, model: LoadedModel, phase: Phase, bank: Bank | None, routes: dict[str, Route], news: Sequence[News]
    ) -> Subject:
        return Subject(
            model=model, news=news, settings=phase.cell.evaluate, seed=0, bank=bank if routes else None, routes=routes,
            show=self.show,
        )  # fmt: skip

    def _write(self, model: LoadedModel, phase: Phase, training: Training | None) -> None:
        """Ask the adapters of a phase, and store the answers with what they cost."""
        store, cell, cell_key = self.store, phase.cell, self.store.key(phase.cell)
        record: dict[str, Any] = {
            "cell": cell.definition, "at": dict(cell.at), "phase": phase.number, "model": model.described(),
            "generator": store.fingerprint(cell.generator), "counts": phase.counts, "left_out": phase.left_out,
            "samples": sum(len(job.items) for job in phase.jobs), "totals": training.totals if training else {},
            "curve": curve_of(training), "update": phase.arrived,
        }  # fmt: skip
        with self._answering(model, phase, training) as (bank, slots):
            who = self._subject(model, phase, bank, phase.routes(slots), phase.news)
            found = outcomes(cell.measures, replace(who, samples=order_of_training(phase, training)))
        points = [*store.points(cell_key, phase.number)]
        record |= {"rows": rows_of([*found, *losses(training)]), "points": joined(points)}
        store.write_part("cells", phase.key, record)
        for file in (store.path / "points").glob(f"{phase.key}-*.json"):
            file.unlink()

    @contextlib.contextmanager
    def _answering(
        self, model: LoadedModel, phase: Phase, training: Training | None
    ) -> Iterator[tuple[Bank | None, dict[str, int]]]:
        """The bank that answers after a phase, and its slots by the adapters' names; no slots: the base answers.

        An update without samples, or whose training diverged, leaves the adapter as it was.
        """
        bank = training.bank if training else None
        slots = {a.name: a.slot for a in training.adapters if not a.diverged} if training else {}
        cell = phase.cell
        if cell.options.updates == 1:
            yield bank, slots
            return
        learner, merging = learner_of(sized(phase.trained.train)), cell.options.updating == "merging"
        folders = self.store.adapters(cell, phase.number)
        merges = merging and bool(folders)  # the first has nothing to be merged with
        if bank is not None and slots:
            folder = self.store.adapter(self.store.key(cell), phase.number)
            alone = folder.with_name("alone") if merges else folder
            learner.save(bank, slots[JOINT], alone, base_name=model.source.name)
            if merges:
                add_update(model.model, learner, folders[-1], alone, folder, base_name=model.source.name)
            folders.append(folder)
        if not folders or (slots and not merges):
            yield bank, slots
            return
        own = learner.bank(model.model, 1)
        try:
            learner.load(own, 0, folders[-1])
            yield own, {JOINT: 0}
        finally:
            own.close()


def joined(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of a training, those of one step as one: adapters may come to a step at different times."""
    steps: dict[int, list[Any]] = {}
    for point in points:
        steps.setdefault(point["step"], []).extend(point["rows"])
    return [{"step": step, "rows": rows} for step, rows in sorted(steps.items())]


def curve_of(training: Training | None) -> list[list[float]]:
    """(step, mean loss, tokens so far) over the adapters, at the steps that all of them took."""
    if training is None:
        return []
    steps: dict[int, list[dict[str, Any]]] = {}
    for row in training.curve:
        steps.setdefault(row["step"] + 1, []).append(row)
    so_far, found = 0, []
    for step, rows in sorted(steps.items()):
        so_far += sum(row["tokens"] for row in rows)
        found.append([step, round(sum(row["loss"] for row in rows) / len(rows), 5), so_far])
    return found


def losses(training: Training | None) -> list[Outcome]:
    """The mean loss of each adapter over the last quarter of its steps."""
    found = []
    for adapter in training.adapters if training else []:
        tail = adapter.curve[-max(1, len(adapter.curve) // 4) :]
        if tail:
            found.append(Outcome("loss", adapter.name, 0, sum(row["loss"] for row in tail) / len(tail)))
    return found
