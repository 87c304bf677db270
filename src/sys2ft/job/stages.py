"""The stages generate, train and evaluate on a run folder; each reads the files written by the one before.

A stage can be repeated at any time: finished units are read, missing ones are computed. Settings that differ from those
of the folder raise SettingsError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sys2ft.engine import Bank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings, Measurement, Prediction, Route, evaluate, measurements
from sys2ft.evaluation.settings import FREE as EVALUATE_FREE
from sys2ft.executors import Pool
from sys2ft.generators import Generator
from sys2ft.job.card import write_card
from sys2ft.job.cell import Cell
from sys2ft.job.fits import require_fit
from sys2ft.job.portions import (
    portions,
    training_version,
)
from sys2ft.job.refusals import require_drop, require_protocols, require_questions, require_training
from sys2ft.job.remote import answering_at, writing
from sys2ft.job.schedules import schedule_of
from sys2ft.job.trained import (
    BASE_NAME,
    Answering,
    answering,
    answers_of,
    is_trained,
    load_bank,
    put_aside,
)
from sys2ft.job.writing import described, require_generation_fits
from sys2ft.models import LoadedModel, Reader, position_limit
from sys2ft.news import News, news_from_dict, news_to_dict
from sys2ft.probing import Probes, ProbeSettings, probe
from sys2ft.replay import (
    GenerateSettings,
    Yield,
    generate,
    joined_yield,
    leaks,
    withheld,
)
from sys2ft.report import summarise
from sys2ft.retention import RetentionSet, require_items_fit, set_measurements
from sys2ft.runs import Display, Executor, Run, digest, growing, read_jsonl, write_json, write_jsonl
from sys2ft.training import (
    TrainSettings,
    learner_of,
    require_teacher,
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
) -> dict[str, Yield]:
    """Write `replay/<protocol>.jsonl` (elements kept and rejected), `<protocol>.yield.json` and `facts.jsonl`.

    In this stage as in the others, `pool`'s workers compute; None: this process.

    A budget in FLOP depends on epochs and batch size of the training to come, which are in `train`. `writer`: who
    writes, as the run was opened for; None: the model.
    """
    require_protocols(settings)  # before an unknown protocol is recorded in the folder
    news = news_of(run)
    require_generation_fits(model, writer, news, settings)
    run.stage("generate", asdict(settings))
    kept_out = {} if settings.keep_instructions else withheld(news)
    divided = [own for own in portions(news) if any(item.id not in kept_out for item in own)] or [news]
    executor = writing(pool, writer or model, settings.rows_at_once) if pool else None
    yields: dict[str, list[Yield]] = {name: [] for name in settings.protocols}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.protocols}
    with contextlib.ExitStack() as stack:
        add_facts = stack.enter_context(growing(run.path / "facts.jsonl"))
        add = {name: stack.enter_context(growing(run.path / "replay" / f"{name}.jsonl")) for name in yields}
        advance = stack.enter_context(show.task("generate (news items)", len(news))) if len(divided) > 1 else None
        for own in divided:
            replays = generate(
                writer or model,
                own,
                settings,
                seed=run.record["seed"],
                memo=run,
                executor=executor,
                show=show,
                learner=model,
                schedule=schedule_of(train),
            )
            facts = next(iter(replays.values())).facts
            add_facts({"news_id": name, "facts": [fact.to_dict() for fact in every]} for name, every in facts.items())
            for name, replay in replays.items():
                add[name](element.to_dict() for element in replay.elements)
                yields[name].append(replay.counts)
                found[name] += [asdict(one) for one in leaks(replay.elements, own)]
            if advance is not None:
                advance(len(own))
    if writer is not None:
        run.note("generator", described(writer))
    write_json(run.path / "replay" / "withheld.json", {name: asdict(one) for name, one in kept_out.items()})
    counts = {name: joined_yield(parts) for name, parts in yields.items()}
    for name, count in counts.items():
        write_json(run.path / "replay" / f"{name}.yield.json", count.to_dict())
    write_json(run.path / "replay" / "leaks.json", found)
    return counts


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
    for name in (BASE_NAME, *trained):
        _measure(run, model, settings, sets, name, show, pool)
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
        if not is_trained(run, name, training_version(run, cell, news)):
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
    name: str,
    show: Display,
    pool: Pool | None,
) -> None:
    """Write what one subject answers to the questions and the controls; delete what it answered to other controls.

    The retention sets are asked of the adapters of the first portion.
    """
    with contextlib.ExitStack() as stack:
        asked: dict[Path, Callable[[Iterable[Mapping[str, Any]]], None]] = {}
        for number, news in enumerate(portions(news_of(run))):
            who = Answering(name, {}, "") if name == BASE_NAME else answering(run, name, news)
            executor = answering_at(pool, run, model, who) if pool else None
            bank = load_bank(run, model, name, who.adapters) if who.adapters and not pool else None
            try:
                for one in all_measurements(model, settings, sets if number == 0 else (), news, who.routes):
                    predictions = answers(run, model, who, one, settings, show, bank, executor)
                    file = run.path / one.folder / f"{name}.jsonl"
                    if file not in asked:
                        asked[file] = stack.enter_context(growing(file))
                    asked[file](row.to_dict() for row in predictions)
            finally:
                if bank is not None:
                    bank.close()
    for file in answers_of(run, name):
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
) -> list[Path]:
    """Write what one subject answers in some measurements, `<folder>/<subject>.jsonl` each; return these files."""
    asked = []
    for one in what:
        predictions = answers(run, model, who, one, settings, show, bank, None)
        asked.append(run.path / one.folder / f"{who.name}.jsonl")
        write_jsonl(asked[-1], (row.to_dict() for row in predictions))
    return asked


def answers(
    run: Run,
    model: LoadedModel,
    who: Answering,
    one: Measurement,
    settings: EvaluateSettings,
    show: Display,
    bank: Bank | None,
    executor: Executor | None,
) -> list[Prediction]:
    """What one subject answers in one measurement."""
    return evaluate(
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
