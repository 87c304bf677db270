"""What a study would still cost, before any work: cells, tokens, FLOP, time, memory, and what it could see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sys2ft.errors import Sys2ftError, UserError
from sys2ft.job.plan import Rates, measure_rates
from sys2ft.job.schedules import schedule_of
from sys2ft.models import LoadedModel, load_model
from sys2ft.replay import ReplayElement, expected, plan as replay_plan
from sys2ft.report import power_line
from sys2ft.runs import Below, Display, Needs
from sys2ft.studies.cells import Cell
from sys2ft.studies.labels import short
from sys2ft.studies.measures import Subject, asking_needs, of_training
from sys2ft.studies.opening import late_steps, opened
from sys2ft.studies.phases import phase_of
from sys2ft.studies.samples import written_elements
from sys2ft.studies.spec import Study
from sys2ft.studies.store import Store
from sys2ft.training import AdapterJob, banks, train, training_needs

_STEPS = 3  # of a training that are timed


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What one part of the work of one model needs."""

    model: str
    part: str
    """generate, train or ask."""
    left: int
    """Sets of elements to write, cells to train, or times that all measures are asked."""
    done: int
    needs: Needs
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """The estimates, the smallest difference that the study could see, and what it cannot compute."""

    cells: int
    finished: int
    estimates: tuple[Estimate, ...]
    power: str
    unusable: Sequence[tuple[str, str]]
    """Cells that cannot be computed, and why."""
    late: Sequence[int]
    """Steps at which nothing can be asked, because every training ends before."""


def outlook(
    study: Study,
    out: str | Path,
    *,
    dtype: str = "auto",
    device: str = "auto",
    only: Mapping[str, str] | None = None,
    show: Display | None = None,
) -> Outlook:
    """What `run_study` with the same arguments would still have to do. Writes nothing.

    Tokens and FLOP are exact for training on elements that are there, and for asking; else elements are taken to be as
    long as their news item. Times assume the speed, and the load of the machine, of a few passes, steps of training and
    texts sampled now.
    """
    store, cells = opened(study, out, dtype=dtype, device=device, only=only)
    show = show or Display()
    why: dict[str, str] = {}
    for cell in cells:
        try:
            store.require_sound(cell)
        except UserError as error:
            why[cell.title] = error.found
    usable = [cell for cell in cells if cell.title not in why]
    found: list[Estimate] = []
    names = dict.fromkeys(name for cell in usable for name in (cell.generator, cell.options.model))
    finished = 0
    with show.task("estimate", len(names)) as advance:
        for name in names:
            try:
                finished += _of_model(store, name, usable, found, show)
            except Sys2ftError as error:
                own = [cell.title for cell in usable if name in (cell.generator, cell.options.model)]
                why = {**dict.fromkeys(own, error.found), **why}
            advance()
    counts = store.question_counts(usable[0]) if usable else []
    seeds = len({cell.options.seed for cell in cells})
    return Outlook(
        cells=len(cells),
        finished=finished,
        estimates=tuple(found),
        power=power_line(counts, protocols=study.compared, seeds=seeds, compared="comparisons"),
        unusable=[(cell.title, why[cell.title]) for cell in cells if cell.title in why],
        late=late_steps(store, usable) if usable else [],
    )


def _of_model(store: Store, name: str, cells: Sequence[Cell], found: list[Estimate], show: Display) -> int:
    """Add what is left of one model; returns the number of its finished cells. The model is released at the end."""
    model = load_model(name, dtype=store.dtype, device=store.device, progress=show.note)
    writes = [cell for cell in cells if cell.generator == name and not cell.options.written]
    learns = [cell for cell in cells if cell.options.model == name]
    own = _Estimating(store, model, measure_rates(model, store.news((writes or learns)[0])))
    found += [*own.writing(writes), *own.learning(learns)]
    return sum(store.finished(cell) for cell in learns)


@dataclass(frozen=True, slots=True)
class _Estimating:
    store: Store
    model: LoadedModel
    rates: Rates
    measured: dict[str, float] = field(default_factory=dict)
    """FLOP per second of training, by objective and learner."""

    def _estimate(self, part: str, left: int, done: int, needs: Needs, seconds: float) -> list[Estimate]:
        name = short(self.model.source.name)
        return [Estimate(model=name, part=part, left=left, done=done, needs=needs, seconds=seconds)]

    def writing(self, cells: Sequence[Cell]) -> list[Estimate]:
        """The generation of every set of elements; further rounds and stages are not counted."""
        by_key = {self.store.elements_key(cell): cell for cell in cells}
        left = {key: cell for key, cell in by_key.items() if not self.store.has_elements(key)}
        needs = Needs()
        for cell in left.values():
            units = replay_plan(
                self.model,
                self.store.news(cell),
                cell.generate,
                seed=cell.options.seed,
                memo=Below(self.store.memo, self.model.fingerprint[:16]),
                schedule=schedule_of(cell.train),
            )
            needs += sum((unit.needs for unit in units), Needs())
        seconds = needs.flop / self.rates.sampling
        return self._estimate("generate", len(left), len(by_key) - len(left), needs, seconds) if by_key else []

    def learning(self, cells: Sequence[Cell]) -> list[Estimate]:
        """The training of every phase that is not finished, and the asking after it and on the way."""
        left = [cell for cell in cells if not self.store.finished(cell)]
        training, asking, asked, seconds = Needs(), Needs(), 0, 0.0
        for number in range(max((len(cell.groups(self.store.news(cell))) for cell in left), default=0)):
            jobs = [job for cell in left for job in self._jobs(cell, number)]
            for bank_jobs in banks(self.model.model, jobs) if jobs else []:
                needs = training_needs(self.model, bank_jobs)
                training, seconds = training + needs, seconds + needs.flop / self._training_rate(bank_jobs[0])
        for cell in left:
            news = self.store.news(cell)
            measures = [name for name in cell.measures if not of_training(name)]
            subject = Subject(model=self.model, news=news, settings=cell.evaluate)
            times = len(cell.groups(news)) * (1 + len(cell.steps))
            once = asking_needs(measures, subject)
            asking += Needs(tokens=times * once.tokens, flop=times * once.flop, memory=once.memory)
            asked += times
        done = len(cells) - len(left)
        return [
            *self._estimate("train", len(left), done, training, seconds),
            *self._estimate("ask", asked, done, asking, asking.flop / self.rates.forward),
        ]

    def _training_rate(self, job: AdapterJob) -> float:
        """FLOP per second of a training like this one: passes with gradients and updates are slower than those without.

        Measured once for each objective and learner, on a few steps.
        """
        kind = f"{job.chosen_objective.name}, {job.chosen_learner.name}"
        if kind not in self.measured:
            settings = replace(job.settings, epochs=1.0, teacher="")  # the base as teacher is about as fast
            few = replace(job, items=job.items[: _STEPS * settings.batch_size], settings=settings, start=None)
            for _ in range(2):  # the first also allocates
                training = train(self.model, [few])
                training.bank.close()
            self.measured[kind] = training.totals["flop"] / training.totals["seconds"]
        return self.measured[kind]

    def _jobs(self, cell: Cell, number: int) -> list[AdapterJob]:
        news = self.store.news(cell)
        if number >= len(cell.groups(news)):
            return []
        phase = phase_of(
            cell, number, self.model, news, self._elements(cell), key=f"{cell.key[:16]}-{number}",
            before={item.id: item.text for item in news}, counts={}, start=None,
        )  # fmt: skip
        return list(phase.jobs)

    def _elements(self, cell: Cell) -> Sequence[ReplayElement]:
        if cell.options.written:
            return written_elements(cell.options.written, self.store.news(cell))
        key = self.store.elements_key(cell)
        if self.store.has_elements(key):
            return self.store.elements(key)
        found = expected(
            cell.options.protocol, self.store.news(cell), cell.generate, self.model, schedule_of(cell.train)
        )
        return [replace(one, protocol=cell.options.protocol) for one in found]
