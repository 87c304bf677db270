"""Counts the remaining work of a run without doing it: units, tokens, FLOP, and estimates of time and memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence, Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sys2ft.engine import DecodeRequest, Example, Sampling, decode, flops, prepare, score
from sys2ft.evaluation import EvaluateSettings, Subject, routes_to
from sys2ft.generators import Generator, ServerSettings
from sys2ft.job.cell import Cell
from sys2ft.job.fits import require_fit
from sys2ft.job.given import probe_folder, stand_ins
from sys2ft.job.portions import jobs_by_portion, portions, to_train, training_version
from sys2ft.job.refusals import check_settings, require_protocols, require_questions
from sys2ft.job.schedules import schedule_of
from sys2ft.job.stages import (
    all_measurements,
    identity_of,
    news_of,
    require_layers,
    require_retention,
)
from sys2ft.job.trained import BASE_NAME, Answering, answering, is_trained
from sys2ft.job.writing import open_writer, require_generation_fits, require_writer
from sys2ft.models import LoadedModel, Message, Reader
from sys2ft.news import News
from sys2ft.probing import ProbeSettings, probe_needs
from sys2ft.replay import GenerateSettings, expected, parts_of, plan as replay_plan, protocols_for
from sys2ft.retention import RetentionSet, unit_needs
from sys2ft.runs import NO_MEMO, Display, Memo, Needs, Run, Unit, item_seed
from sys2ft.training import JOINT, AdapterJob, TrainSettings, banks, training_needs

Stage = Literal["probe", "generate", "train", "evaluate"]
_MEASURED_TOKENS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """Remaining work of one part of a stage: its units, what they need, and the time at the measured rate."""

    stage: Stage
    part: str
    """A protocol, a bank of adapters, or a subject."""
    units: int
    done: int
    needs: Needs
    seconds: float
    estimated: bool
    """Whether tokens and FLOP are estimates, because the model's output is not known yet."""
    elsewhere: bool = False
    """Whether a server does part of it, whose FLOP and time are not known and not in `needs` and `seconds`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured FLOP per second of a forward pass over many tokens, and of sampling."""

    forward: float
    sampling: float


def plan(
    news: Sequence[News],
    *,
    model: LoadedModel,
    out: str | Path,
    generate: GenerateSettings | None = None,
    train: TrainSettings | None = None,
    evaluate: EvaluateSettings | None = None,
    probe: ProbeSettings | None = None,
    seed: int = 0,
    generator: str | Generator | None = None,
    server: ServerSettings | None = None,
    show: Display | None = None,
) -> list[Left]:
    """The work that `run` with these arguments would still have to do. Writes nothing.

    Where questions are still to be written, the evaluation is estimated with `stand_ins`.

    Raises the errors of `run`: NewsError, ModelError, and SettingsError if the folder has other settings.
    """
    generate, train, evaluate = generate or GenerateSettings(), train or TrainSettings(), evaluate or EvaluateSettings()
    require_protocols(generate)
    bare, asking = news, probe if not any(item.questions for item in news) else None
    if asking is not None:
        news = news_of(Run.open(out)) if Run.begun(out) else stand_ins(news, asking)
    require_questions(news, evaluate)
    require_layers(model, train)
    require_fit(Reader.of(model), bare, generate=None if generator else generate, evaluate=evaluate, probe=asking)
    sets = require_retention(model, news, evaluate, seed=seed)
    require_writer(generator, generate)
    writer = open_writer(generator, model, generate, out=out, server=server, show=show)
    if generator:
        require_generation_fits(model, writer, news, generate)
    planner = _Planner(news, model, out, generate, train, evaluate, seed, writer)
    left: list[Left] = []
    parts = itertools.chain(planner.generation(), planner.training(), planner.evaluation(evaluate, sets))
    if asking is not None:
        parts = itertools.chain(planner.probing(bare, asking), parts)
    once = len(parts_of(protocols_for(generate))) + len(generate.protocols) + 2
    stages = len(portions(news)) * once + (asking is not None)
    with (show or Display()).task("plan", stages) as advance:
        for part in parts:
            left.append(part)
            advance(1)
    return _joined(left)


def _joined(left: Sequence[Left]) -> list[Left]:
    """The work of several portions, added up part by part."""
    found: dict[tuple[str, str], Left] = {}
    for one in left:
        if (same := found.get((one.stage, one.part))) is not None:
            one = replace(
                one,
                units=same.units + one.units,
                done=same.done + one.done,
                needs=same.needs + one.needs,
                seconds=same.seconds + one.seconds,
                estimated=same.estimated or one.estimated,
                elsewhere=same.elsewhere or one.elsewhere,
            )
        found[one.stage, one.part] = one
    return sorted(found.values(), key=lambda one: get_args(Stage).index(one.stage))


class _Counting:
    """A memo that counts the results found in another."""

    def __init__(self, memo: Memo) -> None:
        self.memo, self.keys = memo, list[str]()

    def found(self, prefix: str) -> int:
        """How many results with keys that begin so were found."""
        return sum(key.startswith(prefix) for key in self.keys)

    def get(self, key: str) -> dict[str, Any] | None:
        result = self.memo.get(key)
        self.keys += [key] if result is not None else []
        return result

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        return self.memo.put(key, result)


class _Planner:
    def __init__(
        self,
        news: Sequence[News],
        model: LoadedModel,
        out: str | Path,
        generate: GenerateSettings,
        train: TrainSettings,
        evaluate: EvaluateSettings,
        seed: int,
        writer: Generator | None,
    ) -> None:
        self.news, self.model, self.generate, self.train, self.seed = news, model, generate, train, seed
        self.folder, self.writer = Path(out), writer
        self.identity = identity_of(model, news, seed, writer)
        self.run: Run | None = None
        if (self.folder / "run.json").is_file():
            self.run = Run.open(self.folder, self.identity)
            check_settings(self.run, generate, train, evaluate)
        self.memo: Memo = self.run or NO_MEMO
        self.rates = measure_rates(model, news)

    def probing(self, bare: Sequence[News], settings: ProbeSettings) -> Iterator[Left]:
        """Writing questions: the first round as a whole, since what the model has written so far decides the rest."""
        folder = probe_folder(self.folder)
        if Run.begun(folder):
            Run.open(folder, identity_of(self.model, bare, self.seed)).check("probe", asdict(settings))
        finished = self.run is not None or (folder / "probes.jsonl").is_file()
        needs = Needs() if finished else probe_needs(self.model, bare, settings, seed=self.seed)
        yield Left(
            stage="probe",
            part="questions",
            units=0 if finished else len(bare),
            done=len(bare) if finished else 0,
            needs=needs,
            seconds=needs.flop / self.rates.sampling,
            estimated=not finished,
        )

    def generation(self) -> Iterator[Left]:
        for own in portions(self.news):
            yield from self._generation(own)

    def _generation(self, news: Sequence[News]) -> Iterator[Left]:
        memo = _Counting(self.memo)
        units = replay_plan(
            self.writer or self.model,
            news,
            self.generate,
            seed=self.seed,
            memo=memo,
            learner=self.model,
            schedule=schedule_of(self.train),
        )
        for one in parts_of(protocols_for(self.generate)):
            own = [unit for unit in units if unit.key.startswith(f"replay/{one.name}.units/")]
            needs = sum((unit.needs for unit in own), Needs())
            yield Left(
                stage="generate",
                part=one.name,
                units=len(own),
                done=memo.found(f"replay/{one.name}.units/"),
                needs=needs,
                seconds=needs.flop / self.rates.sampling,
                estimated=bool(own),
                elsewhere=any(unit.needs.tokens and not unit.needs.flop for unit in own),
            )

    def training(self) -> Iterator[Left]:
        names = self.generate.protocols
        known = {name for name in names if (self.folder / "replay" / f"{name}.jsonl").is_file()}
        done = {name for name in known if self.run and self._trained(self.run, name)}
        streams = [self._jobs(name, name in known) for name in names]
        for by_protocol in zip(*streams, strict=True):
            yield from self._training([job for jobs in by_protocol for job in jobs], len(known) == len(names), done)

    def _jobs(self, name: str, known: bool) -> Iterator[list[AdapterJob]]:
        """The jobs of each portion, of the elements in the folder or of those that are expected."""
        cell = self._cell(name)
        if known and self.run is not None:
            yield from jobs_by_portion(self.run, cell, self.news)
            return
        for own in to_train(cell, self.news):
            yield cell.jobs(expected(name, own, self.generate, self.model, schedule_of(self.train)), own)

    def _training(self, jobs: Sequence[AdapterJob], known: bool, trained: AbstractSet[str]) -> Iterator[Left]:
        for bank_jobs in banks(self.model.model, jobs):
            groups = list(dict.fromkeys(job.group for job in bank_jobs))
            finished = known and trained >= set(groups)
            needs = Needs() if finished else training_needs(self.model, bank_jobs)
            yield Left(
                stage="train",
                part=", ".join(groups),
                units=0 if finished else len(bank_jobs),
                done=len(bank_jobs) if finished else 0,
                needs=needs,
                seconds=needs.flop / self.rates.forward,
                estimated=not known,
            )

    def _cell(self, protocol_name: str) -> Cell:
        return Cell.of(self.identity, protocol_name, self.generate, self.train)

    def evaluation(self, settings: EvaluateSettings, sets: Sequence[RetentionSet]) -> Iterator[Left]:
        for number, news in enumerate(portions(self.news)):
            yield from self._evaluation(settings, sets if number == 0 else (), news)

    def _evaluation(
        self, settings: EvaluateSettings, sets: Sequence[RetentionSet], news: Sequence[News]
    ) -> Iterator[Left]:
        for name in (BASE_NAME, *self.generate.protocols):
            who = Answering(name, {}, "") if name == BASE_NAME else self._answering(name, news)
            left, done = self._left(
                [
                    unit
                    for one in all_measurements(self.model, settings, sets, news, who.routes)
                    for unit in one.probe.units(
                        Subject(name=name, routes=one.routes, version=who.version), one.news, self.seed
                    )
                ]
            )
            needs = [unit_needs(self.model, unit) for unit in left]
            seconds = sum(
                need.flop / (self.rates.sampling if "settings" in unit.inputs else self.rates.forward)
                for unit, need in zip(left, needs, strict=True)
            )
            yield Left(
                stage="evaluate",
                part=name,
                units=len(left),
                done=done,
                needs=sum(needs, Needs()),
                seconds=seconds,
                estimated=any("settings" in unit.inputs for unit in left),
            )

    def _trained(self, run: Run, name: str) -> bool:
        return is_trained(run, name, training_version(run, self._cell(name), self.news))

    def _answering(self, name: str, news: Sequence[News]) -> Answering:
        """Who answers after the training of a protocol; before it, one adapter for each news item or for all."""
        if self.run is not None and (self.folder / "training" / f"{name}.json").is_file():
            return answering(self.run, name, news)
        adapters = self._cell(name).routes([*(item.id for item in news), JOINT], news)
        slots = {adapter: slot for slot, adapter in enumerate(filter(None, dict.fromkeys(adapters.values())))}
        return Answering(name, routes_to(adapters, slots), "not trained yet")

    def _left(self, units: Sequence[Unit]) -> tuple[list[Unit], int]:
        left = [unit for unit in units if self.memo.get(unit.path) is None]
        return left, len(units) - len(left)


def measure_rates(model: LoadedModel, news: Sequence[News]) -> Rates:
    """Time a forward pass over some hundred tokens of the news, and the sampling of a few."""
    prepare(model.model)
    ids = [token for item in news for token in model.chat.plain_ids(item.text)]
    ids = (ids * (1 + _MEASURED_TOKENS // max(1, len(ids))))[:_MEASURED_TOKENS]
    pieces = [ids[start : start + 64] for start in range(0, _MEASURED_TOKENS, 64)]
    examples = [Example(piece, [False] + [True] * (len(piece) - 1)) for piece in pieces]
    score(model.model, examples[:1])  # warm-up: the first pass also allocates buffers
    begun = time.perf_counter()
    scored = score(model.model, examples)
    forward = flops.forward(model.model, scored.tokens_computed, scored.predictions) / (time.perf_counter() - begun)
    prompt = model.chat.prompt_ids([Message("user", news[0].text)])
    requests = [DecodeRequest(prompt_ids=prompt, seed=item_seed(0, n), group=0) for n in range(16)]
    begun = time.perf_counter()
    said = decode(
        model.model, requests, Sampling(temperature=1.0), max_new_tokens=16, stop_ids=frozenset(), stop_when=None
    )
    sampling = flops.forward(model.model, said.tokens_computed, said.tokens_generated) / (time.perf_counter() - begun)
    return Rates(forward, sampling)
