"""The stage that trains: the adapters of all protocols of a run, portion by portion, in as few banks as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sys2ft.engine import uncovered
from sys2ft.executors import Pool
from sys2ft.job.cell import Cell
from sys2ft.job.fits import require_elements_fit
from sys2ft.job.portions import elements_by_portion, jobs_by_portion, to_train, version_of
from sys2ft.job.remote import trained_at
from sys2ft.job.schedules import require_schedule
from sys2ft.job.stages import cell_of, news_of, protocols_of, require_layers
from sys2ft.job.trained import forget, gather, has_part, is_trained, write_adapters, write_part
from sys2ft.models import LoadedModel, Reader
from sys2ft.news import News
from sys2ft.replay import require_unleaked
from sys2ft.runs import Display, Run, read_json
from sys2ft.training import FREE, AdapterJob, Checkpoint, TrainSettings, banks, describe_end, train


def train_stage(
    run: Run, model: LoadedModel, settings: TrainSettings, show: Display, *, pool: Pool | None = None
) -> list[str]:
    """Write `adapters/<protocol>/<news id or joint>/` in PEFT's format, and the loss curves in `training/`.

    Returns one line for each adapter that stopped before its last step.
    """
    protocols, news = protocols_of(run), news_of(run)
    require_layers(model, settings)  # before unusable settings are recorded in the folder
    require_schedule(run, protocols, settings)
    run.stage("train", asdict(settings), free=FREE)
    cells = {name: cell_of(run, name, settings) for name in protocols}
    versions = {name: _checked(run, model, cell, news) for name, cell in cells.items()}
    for name, own in versions.items():
        if not is_trained(run, name, version_of(own)) and forget(run, name, own):
            show.note(f"{name}: the replay elements are not those that its adapters were trained on; training again")
    left = {name for name, own in versions.items() if not is_trained(run, name, version_of(own))}
    if left and (left_out := uncovered(model.model)):
        show.note(f"train: {left_out}")
    coming = _banks_left(run, model, {name: cells[name] for name in protocols if name in left}, versions, news)
    for bank_jobs, checkpoint, number in trained_at(pool, model, coming, show) if pool else coming:
        training = train(model, bank_jobs, checkpoint=checkpoint, show=show)
        trained = list(dict.fromkeys(job.group for job in bank_jobs))
        try:
            for name in trained:
                write_adapters(run.path / "adapters" / name, model.source.name, training.select(name))
            for name in trained:
                write_part(run, cells[name], number, versions[name][number], training.select(name))
        finally:
            training.bank.close()
        Checkpoint.remove(checkpoint)  # not before every file is written: a full disk must not cost a training
    for name in protocols:
        if name in left:
            gather(run, cells[name], news, version_of(versions[name]))
    for checkpoint in (run.path / "training").glob("bank-*.checkpoint"):
        Checkpoint.remove(checkpoint)  # of a process that was killed after its files were written
    records = {name: read_json(run.path / "training" / f"{name}.json") for name in protocols}
    return [f"{name}: {describe_end(*ended)}" for name in protocols for ended in records[name].get("ended", {}).items()]


def _checked(run: Run, model: LoadedModel, cell: Cell, news: Sequence[News]) -> list[str]:
    """The version of each portion of a cell's training. Raises NewsError for elements that cannot be trained on."""
    divided, reader, versions = to_train(cell, news), Reader.of(model), []
    checked = (elements_by_portion(run, cell.protocol, divided), jobs_by_portion(run, cell, news))
    for own, elements, jobs in zip(divided, *checked, strict=True):
        require_unleaked(elements, own)
        require_elements_fit(reader, jobs)
        versions.append(cell.version(jobs))
    return versions


def _banks_left(
    run: Run,
    model: LoadedModel,
    cells: Mapping[str, Cell],
    versions: Mapping[str, Sequence[str]],
    news: Sequence[News],
) -> Iterator[tuple[list[AdapterJob], Path, int]]:
    """The banks that are not trained: the jobs of each, the place of its checkpoint, and the number of its portion.

    A portion without a kept element of a protocol has its record written.
    """
    count = 0
    streams = [jobs_by_portion(run, cell, news) for cell in cells.values()]
    for number, by_cell in enumerate(zip(*streams, strict=True)):
        missing: list[AdapterJob] = []
        for (name, cell), jobs in zip(cells.items(), by_cell, strict=True):
            if not jobs and not has_part(run, name, number, versions[name][number]):
                write_part(run, cell, number, versions[name][number], None)
            missing += jobs
        for jobs in banks(model.model, missing) if missing else []:
            if not all(has_part(run, job.group, number, versions[job.group][number]) for job in jobs):
                yield jobs, run.path / "training" / f"bank-{count}.checkpoint", number
            count += 1
