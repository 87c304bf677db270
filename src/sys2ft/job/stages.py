"""The stages generate, train and evaluate on a run folder; each reads the files written by the one before.

A stage can be repeated at any time: finished units are read, missing ones are computed. Settings that differ from those
of the folder raise SettingsError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sys2ft.engine import Bank, uncovered
from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings, Measurement, Route, evaluate, measurements
from sys2ft.evaluation.settings import FREE as EVALUATE_FREE
from sys2ft.executors import Pool
from sys2ft.generators import Generator
from sys2ft.job.card import write_card
from sys2ft.job.cell import Cell
from sys2ft.job.fits import require_elements_fit, require_fit
from sys2ft.job.refusals import require_drop, require_protocols, require_questions, require_training
from sys2ft.job.remote import answering_at, trained_at, writing
from sys2ft.job.schedules import require_schedule, schedule_of
from sys2ft.job.trained import (
    BASE_NAME,
    Answering,
    answering,
    answers_of,
    forget,
    is_trained,
    load_bank,
    put_aside,
    write_adapters,
    write_training,
)
from sys2ft.job.writing import described, require_generation_fits
from sys2ft.models import LoadedModel, Reader, position_limit
from sys2ft.news import News, news_from_dict, news_to_dict
from sys2ft.probing import Probes, ProbeSettings, probe
from sys2ft.replay import (
    GenerateSettings,
    Replay,
    ReplayElement,
    generate,
    leaks,
    require_unleaked,
    withheld,
)
from sys2ft.report import summarise
from sys2ft.retention import RetentionSet, require_items_fit, set_measurements
from sys2ft.runs import Display, Executor, Run, digest, read_json, read_jsonl, write_json, write_jsonl
from sys2ft.training import (
    FREE,
    Checkpoint,
    TrainSettings,
    banks,
    describe_end,
    learner_of,
    require_teacher,
    train,
)


def open_run(
    out: str | Path,
    model: LoadedModel,
    news: Sequence[News],
    *,
    seed: int,
    command: str = "",
    writer: Generator | None = None,
) -> Run:
    """Open or create the run folder at `out` for this model, these news items and this seed.

    `writer`: who writes the elements; None: the model. Raises SettingsError if the folder has others.
    """
    identity = identity_of(model, news, seed, writer)
    about = {
        "model": {"name": model.source.name, **identity["model"]},
        "dtype": identity["dtype"],
        "device": identity["device"],
        "seed": seed,
        "command": command,
        **({"generator": described(writer)} if writer else {}),
    }
    run = Run.open(out, identity, about)
    if not (run.path / "news.jsonl").is_file():
        with run.lock():
            write_card(run.path)
            write_jsonl(run.path / "news.jsonl", [news_to_dict(item) for item in news])
    return run


def identity_of(model: LoadedModel, news: Sequence[News], seed: int, writer: Generator | None = None) -> dict[str, Any]:
    """Everything that decides the results of a run besides its settings."""
    return {
        "model": model.described(),
        "news": digest([news_to_dict(item) for item in news]),
        "seed": seed,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        **({"generator": writer.identity} if writer else {}),
    }


def news_of(run: Run) -> list[News]:
    """The news items of the run."""
    return [news_from_dict(row) for row in read_jsonl(run.path / "news.jsonl")]


def generate_stage(
    run: Run,
    model: LoadedModel,
    settings: GenerateSettings,
    show: Display,
    *,
    train: TrainSettings | None = None,
    writer: Generator | None = None,
    pool: Pool | None = None,
) -> dict[str, Replay]:
    """Write `replay/<protocol>.jsonl` (elements kept and rejected), `<protocol>.yield.json` and `facts.json`.

    In this stage as in the others, `pool`'s workers compute; None: this process.

    A budget in FLOP depends on epochs and batch size of the training to come, which are in `train`. `writer`: who
    writes, as the run was opened for; None: the model.
    """
    require_protocols(settings)  # before an unknown protocol is recorded in the folder
    news = news_of(run)
    require_generation_fits(model, writer, news, settings)
    run.stage("generate", asdict(settings))
    replays = generate(
        writer or model,
        news,
        settings,
        seed=run.record["seed"],
        memo=run,
        executor=writing(pool, writer or model, settings.rows_at_once) if pool else None,
        show=show,
        learner=model,
        schedule=schedule_of(train),
    )
    if writer is not None:
        run.note("generator", described(writer))
    kept_out = {} if settings.keep_instructions else withheld(news)
    write_json(run.path / "replay" / "withheld.json", {name: asdict(found) for name, found in kept_out.items()})
    facts = {name: [fact.to_dict() for fact in own] for name, own in next(iter(replays.values())).facts.items()}
    write_json(run.path / "replay" / "facts.json", facts)
    for name, replay in replays.items():
        write_jsonl(run.path / "replay" / f"{name}.jsonl", (element.to_dict() for element in replay.elements))
        write_json(run.path / "replay" / f"{name}.yield.json", replay.counts.to_dict())
    found = {name: [asdict(one) for one in leaks(replay.elements, news)] for name, replay in replays.items()}
    write_json(run.path / "replay" / "leaks.json", found)
    return replays


def probe_stage(
    run: Run, model: LoadedModel, settings: ProbeSettings, show: Display, *, pool: Pool | None = None
) -> Probes:
    """Write `probes.jsonl`: every question drawn for news items without questions, with its status and reason."""
    require_fit(Reader.of(model), news_of(run), probe=settings)
    run.stage("probe", asdict(settings))
    executor = writing(pool, model, settings.rows_at_once) if pool else None
    probes = probe(model, news_of(run), settings, seed=run.record["seed"], memo=run, executor=executor, show=show)
    write_jsonl(run.path / "probes.jsonl", (candidate.to_dict() for candidate in probes.candidates))
    return probes


def protocols_of(run: Run) -> list[str]:
    """The run's generated protocols, in the order of its settings. Raises SettingsError if one is not finished."""
    made = list(run.record["settings"].get("generate", {}).get("protocols", []))
    missing = [name for name in made if not (run.path / "replay" / f"{name}.jsonl").is_file()]
    if not made or missing:
        raise SettingsError(
            f"{run.path} holds no finished replay elements" + (f" of {', '.join(missing)}" if missing else ""),
            expected="the files written by `sys2ft generate`",
            fix=f"generate them first: sys2ft generate NEWS --out {run.path}",
        )
    return made


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
    elements = {name: elements_of(run, name) for name in protocols}
    for name in protocols:
        require_unleaked(elements[name], news)
    own = {name: cell.jobs(elements[name], news) for name, cell in cells.items()}
    versions = {name: cell.version(own[name]) for name, cell in cells.items()}
    for name in protocols:
        if not is_trained(run, name, versions[name]) and forget(run, name):
            show.note(f"{name}: the replay elements are not those that its adapters were trained on; training again")
    jobs = [job for name in protocols for job in own[name]]
    require_elements_fit(Reader.of(model), jobs)
    numbered = enumerate(banks(model.model, jobs))
    places = [(bank_jobs, run.path / "training" / f"bank-{number}.checkpoint") for number, bank_jobs in numbered]
    left = [
        (bank_jobs, place)
        for bank_jobs, place in places
        if not all(is_trained(run, job.group, versions[job.group]) for job in bank_jobs)
    ]
    if left and (left_out := uncovered(model.model)):
        show.note(f"train: {left_out}")
    elsewhere = trained_at(pool, model, left, show) if pool else iter([])
    for bank_jobs, checkpoint in places:
        if (bank_jobs, checkpoint) in left:
            next(elsewhere, None)  # then the checkpoint holds the finished training, which is only read here
            trained = list(dict.fromkeys(job.group for job in bank_jobs))
            training = train(model, bank_jobs, checkpoint=checkpoint, show=show)
            try:
                for name in trained:
                    write_adapters(run.path / "adapters" / name, model.source.name, training.select(name))
                for name in trained:
                    write_training(run, cells[name], news, versions[name], training.select(name))
            finally:
                training.bank.close()
        Checkpoint.remove(checkpoint)  # not before every file is written: a full disk must not cost a training
    for name in protocols:
        if not (run.path / "training" / f"{name}.json").is_file():
            write_training(run, cells[name], news, versions[name], None)
    records = {name: read_json(run.path / "training" / f"{name}.json") for name in protocols}
    return [f"{name}: {describe_end(*ended)}" for name in protocols for ended in records[name].get("ended", {}).items()]


def elements_of(run: Run, protocol_name: str) -> list[ReplayElement]:
    """The elements of one of the run's protocols, kept and rejected."""
    return [ReplayElement.from_dict(row) for row in read_jsonl(run.path / "replay" / f"{protocol_name}.jsonl")]


def cell_of(run: Run, protocol_name: str, train: TrainSettings) -> Cell:
    """The cell of one of the run's protocols."""
    generate = run.settings("generate", GenerateSettings)
    return Cell.of(run.record["identity"], protocol_name, generate, train)


def require_layers(model: LoadedModel, settings: TrainSettings) -> None:
    """Raise SettingsError for an unknown objective or learner, another model's teacher or an anchor file without text.

    Raises ModelError if the model lacks a target layer.
    """
    require_training(settings)
    require_teacher(model, settings)
    learner_of(settings).size(model.model)


def evaluate_stage(
    run: Run, model: LoadedModel, settings: EvaluateSettings, show: Display, *, pool: Pool | None = None
) -> None:
    """Write `predictions/<subject>.jsonl` for the base model and every trained protocol, and `controls/*/` likewise.

    The controls may differ from those of an earlier evaluation: `controls/` then holds those of `settings`. Adapters of
    protocols that `settings.max_drop` refuses are put aside, and those refused before are judged again. Raises
    SettingsError if the replay elements are not those that the adapters were trained on.
    """
    trained = [name for name in protocols_of(run) if (run.path / "training" / f"{name}.json").is_file()]
    news = news_of(run)
    require_questions(news, settings)
    require_fit(Reader.of(model), news, evaluate=settings)
    sets = require_retention(model, news, settings, seed=run.record["seed"])
    require_current(run, trained, news)
    run.stage("evaluate", asdict(settings), free=EVALUATE_FREE)
    _measure(run, model, settings, sets, Answering(BASE_NAME, {}, ""), show, pool=pool)
    for name in trained:
        bank = None if pool else load_bank(run, model, name)
        try:
            _measure(run, model, settings, sets, answering(run, name), show, bank, pool=pool)
        finally:
            if bank is not None:
                bank.close()
    put_aside(run, summarise(run.path).refused if settings.max_drop is not None else (), trained)


def require_retention(
    model: LoadedModel, news: Sequence[News], settings: EvaluateSettings, *, seed: int
) -> list[RetentionSet]:
    """The retention sets. Raises SettingsError for a bad set, and for a greatest drop that nothing would measure."""
    sets = require_drop(settings, news, seed=seed)
    require_items_fit(Reader.of(model), sets, tokens=settings.retention_tokens)
    return sets


def require_current(run: Run, trained: Sequence[str], news: Sequence[News]) -> None:
    """Raise SettingsError for protocols whose adapters were trained on other elements than the folder has now."""
    for name in trained:
        cell = cell_of(run, name, run.settings("train", TrainSettings))
        if not is_trained(run, name, cell.version(cell.jobs(elements_of(run, name), news))):
            raise SettingsError(
                f"{run.path}: the replay elements of {name} are not those that its adapters were trained on",
                expected="adapters of the elements in the folder",
                fix=f"train again: sys2ft train {run.path}, with the same settings",
            )


def all_measurements(
    model: LoadedModel,
    settings: EvaluateSettings,
    sets: Sequence[RetentionSet],
    news: Sequence[News],
    routes: Mapping[str, Route],
) -> Iterator[Measurement]:
    """What a run measures of one subject: the news items' questions, the controls, the retention sets."""
    yield from measurements(settings, news, routes)
    positions = position_limit(model.model.config)
    yield from set_measurements(sets, routes, tokens=settings.retention_tokens, positions=positions)


def _measure(
    run: Run,
    model: LoadedModel,
    settings: EvaluateSettings,
    sets: Sequence[RetentionSet],
    who: Answering,
    show: Display,
    bank: Bank | None = None,
    pool: Pool | None = None,
) -> None:
    """Write what one subject answers to the questions and the controls; delete what it answered to other controls."""
    what = all_measurements(model, settings, sets, news_of(run), who.routes)
    executor = answering_at(pool, run, model, who.name) if pool else None
    asked = ask(run, model, who, what, settings, show, bank, executor)
    for file in answers_of(run, who.name):
        if file not in asked:
            file.unlink()


def ask(
    run: Run,
    model: LoadedModel,
    who: Answering,
    what: Iterable[Measurement],
    settings: EvaluateSettings,
    show: Display,
    bank: Bank | None = None,
    executor: Executor | None = None,
) -> list[Path]:
    """Write what one subject answers in some measurements, `<folder>/<subject>.jsonl` each; return these files.

    `executor` answers with adapters of its own, in the order of `who`'s slots; None: this process, with `bank`.
    """
    asked = []
    for one in what:
        predictions = evaluate(
            model,
            one.news,
            settings,
            subject=who.name,
            bank=bank,
            routes=one.routes,
            version=who.version,
            probe=one.probe,
            seed=run.record["seed"],
            memo=run,
            executor=executor,
            show=show,
        )
        asked.append(run.path / one.folder / f"{who.name}.jsonl")
        write_jsonl(asked[-1], (row.to_dict() for row in predictions))
    return asked
