"""The phases of a cell: what an adapter is trained on in each of the updates in which the news items arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sys2ft.evaluation import Route, routes_to
from sys2ft.job.cell import Cell as TrainedCell
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import ReplayElement, rehearse
from sys2ft.studies.cells import Cell
from sys2ft.studies.samples import samples_of
from sys2ft.training import JOINT, AdapterJob, Training, rank_of
from sys2ft.training.schedule import split


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One phase of a cell: the jobs to train, and the news items to ask about."""

    cell: Cell
    number: int
    key: str
    """Name of its record, and group of its jobs."""
    jobs: Sequence[AdapterJob]
    samples: Sequence[ReplayElement]
    """The samples in the order of the jobs' items."""
    news: Sequence[News]
    trained: TrainedCell
    counts: Mapping[str, Any]
    left_out: Sequence[str]
    """News items of this phase without a sample: the base answers for them, if no other adapter does."""
    arrived: Mapping[str, int]
    """News item -> number of the update in which it arrives."""

    def routes(self, slots: Mapping[str, int], news: Sequence[News] | None = None) -> dict[str, Route]:
        """The routes of the news items (None: of all) by the slots of the adapters; empty if there is none."""
        return routes_to(self.trained.routes(list(slots), self.news if news is None else news), slots) if slots else {}

    def reached(self, slots: Mapping[str, int]) -> list[News]:
        """The news items for which one of these adapters answers."""
        joint = self.trained.train.adapters == JOINT
        return [item for item in self.news if joint or item.id in slots]


def phase_of(
    cell: Cell,
    number: int,
    model: LoadedModel,
    news: Sequence[News],
    elements: Sequence[ReplayElement],
    *,
    key: str,
    before: Mapping[str, str],
    counts: Mapping[str, Any],
    start: Path | None,
) -> Phase:
    """The phase `number` of a cell.

    `before` are the paraphrases that prompts show, `start` is the folder of the adapter to go on from.
    """
    samples = samples_of(cell.options, elements, news, before)
    groups = cell.groups(news)
    new = [one for item in groups[number] for one in samples[item.id]]
    train = cell.train
    if train.adapters == JOINT:
        # As for a run: by the news items that elements were drawn for, kept or not; one size for all updates.
        train = replace(train, rank=train.rank or rank_of(len({one.news_id for one in elements})))
    earlier = [[one for item in group for one in samples[item.id]] for group in groups[:number]]
    again = rehearse(earlier, len(new), cell.rehearsal, seed=cell.options.seed) if cell.options.updates > 1 else []
    merging = cell.options.updating == "merging"
    trained_on = new if merging else [*new, *_apart(again)]
    described = model.described()
    trained = TrainedCell(
        model=described["sha256"], news="", protocol="study", generate=cell.generate, train=train,
        seed=cell.options.seed, parameters=described["parameters"],
    )  # fmt: skip
    made = trained.jobs(trained_on, news)
    jobs = [replace(job, group=key, start=None if merging or not number else start) for job in made]
    return Phase(
        cell=cell,
        number=number,
        key=key,
        jobs=jobs,
        samples=trained_on,
        news=news,
        trained=trained,
        counts=counts,
        left_out=[item.id for item in groups[number] if not samples[item.id]],
        arrived={item.id: place for place, group in enumerate(groups) for item in group},
    )


def _apart(elements: Sequence[ReplayElement]) -> list[ReplayElement]:
    """Rehearsed elements with ids of their own: one may be there twice."""
    return [replace(one, id=f"{one.id}/again-{place}") for place, one in enumerate(elements)]


def order_of_training(phase: Phase, training: Training | None) -> list[ReplayElement]:
    """The samples in the order in which training last saw them, one adapter after another.

    Samples that were held out, or that an adapter which ended early did not come to, are not among them.
    """
    by_adapter: dict[str, list[ReplayElement]] = {}
    for one in phase.samples:
        name = JOINT if phase.trained.train.adapters == JOINT else one.news_id
        by_adapter.setdefault(name, []).append(one)
    found = []
    for adapter in training.adapters if training else ():
        own, job = by_adapter[adapter.name], adapter.job
        trained_on, _ = split(job.name, len(own), job.settings.held_out, job.seed)
        places = [place for batch in adapter.batches[: adapter.step] for place in batch]
        found += [own[trained_on[place]] for place in list(dict.fromkeys(reversed(places)))[::-1]]
    return found
