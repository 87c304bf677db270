"""Rounds of one protocol: draw replies stage by stage, judge them, and build elements from what is left."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators import Context, Generator, Pair, Usage
from sys2ft.news import News
from sys2ft.replay.aiming import Aims
from sys2ft.replay.budget import Account, Cost, Drawn, divided
from sys2ft.replay.coverage import Coverage
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.judging import build, judge, judge_element, without_target
from sys2ft.replay.screening import Screened, Screening
from sys2ft.replay.stages import last_said
from sys2ft.replay.truth import hold
from sys2ft.replay.units import Sample, UnitMaker
from sys2ft.runs import Advance, Display, Executor, LocalExecutor, Memo, Unit, compute_units, item_seed


@dataclass(slots=True)
class Worker:
    """Computes units and adds up what they cost."""

    generator: Generator
    memo: Memo
    executor: Executor | None
    """None: this process computes the units with `generator` and `judge`."""
    judge: Generator | None = None
    """Computes log-likelihoods, where `generator` does not."""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    seconds_checking: float = 0.0
    """Of these, those of the checks of truth."""

    @property
    def cost(self) -> Cost:
        """What the units computed so far have cost."""
        return Cost(self.usage.tokens_generated, self.usage.flop, self.seconds, self.seconds_checking)

    def rows(self, units: Sequence[Unit], advance: Advance) -> Iterator[list[dict[str, Any]]]:
        """The rows of each unit's result. `advance` counts them, where possible while they are computed."""
        counted = 0

        def count(units: int = 1) -> None:
            nonlocal counted
            counted += units
            advance(units)

        executor = self.executor or LocalExecutor(Context(self.generator, count, self.judge))
        for unit, (result, _) in zip(units, compute_units(units, executor, self.memo), strict=True):
            if result.keys() < {"rows", "seconds", *asdict(self.usage)}:
                raise SettingsError(
                    f"the unit {unit.key} was written by an earlier version: it has {', '.join(sorted(result))}",
                    expected="a run folder of this version; one of an earlier version can be reported, not resumed",
                    fix="finish it with the version that made it, or choose another folder with --out",
                )
            self.usage += Usage(**{name: result[name] for name in asdict(self.usage)})
            self.seconds += result["seconds"]
            advance(len(result["rows"]) - counted)
            counted = 0
            yield result["rows"]


_FRUITLESS = 64  # samples in a row without an element, after which a protocol without stages gives up


class Rounds:
    """One protocol over all news items: a stream of samples for each, drawn as far as an account needs them."""

    def __init__(
        self,
        maker: UnitMaker,
        news: Sequence[News],
        coverage: Mapping[str, Coverage],
        worker: Worker,
        show: Display,
    ) -> None:
        """`coverage`: that of each news item's facts, by its id."""
        self.maker, self.news, self.worker, self.show = maker, news, worker, show
        self.protocol, self.settings = maker.protocol, maker.settings
        self.elements: dict[str, list[list[ReplayElement]]] = {item.id: [] for item in news}
        """Of each sample of a news item, in the order of the samples."""
        self.drawn: dict[str, list[Drawn]] = {item.id: [] for item in news}
        self._number = 0
        self._screen = Screening(lambda item: maker.language(item).code, generated=bool(self.protocol.stages))
        self._aims = {item.id: self._aims_of(item, coverage[item.id]) for item in news}

    def fill(self, account: Account, *, strict: bool = True) -> None:
        """Let the account read the samples drawn so far; then draw more while it lacks something and rounds are left.

        Strict: raises SettingsError where the first element of a news item needs more than the whole budget.
        """
        for item in self.news:
            for drawn in self.drawn[item.id]:
                account.add(item.id, drawn)
        if not self.protocol.stages:
            self._repeat(account)
        title, whole = f"generate {self.protocol.name}", round(sum(map(account.room, account.goals)))
        if self.protocol.stages and whole:
            with self.show.task(title, whole) as advance:
                while self._number < self.settings.rounds and (samples := self._missing(account)):
                    before = self.worker.cost
                    self._draw(samples, self._number)
                    hold(self.maker, samples, self._number, self.worker, self.show)
                    self._charge(samples, self.worker.cost - before)
                    self._number += 1
                    for sample in samples:
                        self._add(sample, account)
                    self._tell_yield()
                    left = round(sum(map(account.room, account.goals)))
                    advance(whole - left)
                    whole = left
                    if strict:
                        account.require_room(self.protocol.name)
        if strict:
            account.require_room(self.protocol.name)

    def _tell_yield(self) -> None:
        """Hand on how many elements were drawn so far and how many of them pass."""
        every = [one for samples in self.elements.values() for elements in samples for one in elements]
        passed = sum(one.reason is None for one in every)
        share = passed / len(every)
        values = {"asked": len(every), "kept": passed, "yield": share}
        self.show.measured(f"generate/{self.protocol.name}", self._number, values)
        self.show.live(f"yield {share:.0%}")

    def outcome(self, account: Account, *, whole: bool = True) -> list[ReplayElement]:
        """The elements in the order of news items and samples; "surplus" are those that the account had no room for.

        `whole` False: of the samples only that the account has read.
        """
        found = []
        for item in self.news:
            taken, end = set(account.taken[item.id]), None if whole else account.read[item.id]
            for element in (one for sample in self.elements[item.id][:end] for one in sample):
                kept = element.reason is not None or element.id in taken
                found.append(element if kept else replace(element, status="rejected", reason="surplus"))
        return found

    def _repeat(self, account: Account) -> None:
        """Build elements without a model, which has nothing to draw in rounds."""
        for item in self.news:
            fruitless = 0
            while item.id not in account.closed and fruitless < _FRUITLESS:
                sample = Sample(item, len(self.drawn[item.id]))
                sample.built = build(self.maker, sample)
                fruitless = 0 if self._add(sample, account) else fruitless + 1

    def _aims_of(self, item: News, coverage: Coverage) -> Aims:
        """What the samples of a news item aim at."""
        seed = item_seed(self.maker.seed, self.protocol.name, "aim", item.id)
        can = {answer: self.settings.aim and self.protocol.aims_at(answer=answer) for answer in (True, False)}
        return Aims(coverage, [can[bool(fact.answer)] for fact in coverage.facts], seed)

    def _missing(self, account: Account) -> list[Sample]:
        """The samples of the next round: what is missing, with a margin for what will be rejected.

        Where samples aim at facts, the first round asks for half, so that later ones aim at what it left uncovered.
        """
        drawn, kept = (sum(map(len, one.values())) for one in (self.drawn, account.taken))
        # As many as should suffice at the rate seen so far: small batches are slow, so there should be few rounds.
        least = 1 / self.protocol.per_sample
        rate = max(least, drawn / max(1, kept)) if drawn else least
        half = self.settings.aim and self.protocol.aims and not drawn and self.settings.rounds > 1
        samples = []
        for item in self.news:
            count, start = account.samples(item, rate), len(self.drawn[item.id])
            facts = self._aims[item.id].next(math.ceil(count / 2) if half else count)
            samples += [Sample(item, start + i, fact=fact) for i, fact in enumerate(facts)]
        return samples

    def _charge(self, samples: Sequence[Sample], cost: Cost) -> None:
        """Divide the cost of a round among its samples, by the characters that were read and written for each."""
        counts = Counter(sample.news.id for sample in samples)  # a text is read once for all samples of its news item
        weights = [1 + len(one.news.text) / counts[one.news.id] + sum(map(len, one.said.values())) for one in samples]
        for sample, part in zip(samples, divided(cost, weights), strict=True):
            sample.cost = part

    def _draw(self, samples: Sequence[Sample], number: int) -> None:
        """Take the samples of a round through all stages, or to the one that rejects them, and build their elements."""
        for stage in self.protocol.stages:
            for sample in samples:
                if sample.alive and without_target(self.maker, sample, stage):
                    sample.said[stage.name], sample.reason = "", "no_target"
            alive = [sample for sample in samples if sample.alive]
            units = self.maker.replies(alive, stage, number)
            with self.show.task(f"  round {number + 1}: {stage.name}", len(alive), passing=True) as advance:
                rows = [row for part in self.worker.rows(units, advance) for row in part]
            for sample, row in zip(alive, rows, strict=True):
                said, sample.reason = judge(self.maker, sample, stage, row["text"], row["finished"])
                sample.said[stage.name] = said
        for sample in samples:
            if sample.alive:
                sample.built = build(self.maker, sample)

    def _add(self, sample: Sample, account: Account) -> int:
        """Turn a sample into elements; how many of them pass."""
        news_id, built = sample.news.id, sample.built
        if not built:
            sample.reason = sample.reason or "empty"
            built = last_said(self.maker.trail(sample))
        screened = [self._screened(sample, pair, place) for place, pair in enumerate(built)]
        elements = [self._element(sample, one, place) for place, one in enumerate(screened)]
        passed = [(one.id, done.pair) for one, done in zip(elements, screened, strict=True) if one.reason is None]
        self.elements[news_id].append(elements)
        self._aims[news_id].add(elements)
        self.drawn[news_id].append(Drawn(sample.cost, passed))
        account.add(news_id, self.drawn[news_id][-1])
        return len(passed)

    def _screened(self, sample: Sample, pair: Pair, place: int) -> Screened:
        """The element as it will be learnt, judged by its protocol's filters, the checks, and what all must be."""
        cue = self.maker.trail(sample).is_cue(pair.messages[-1].content)
        screened = self.protocol.stages or self.protocol.elements  # else the text itself, again and again
        if not (sample.alive and screened):
            return Screened(pair, sample.reason, cue)
        if self.protocol.stages and pair.text.strip() and (reason := judge_element(self.maker, sample, pair)):
            return Screened(pair, reason, cue)
        if sample.verdicts and (untrue := sample.verdicts[place].reason):
            return Screened(pair, untrue, cue)
        return self._screen(sample.news, pair, cue)

    def _element(self, sample: Sample, screened: Screened, place: int) -> ReplayElement:
        stages, pair = self.protocol.stages, screened.pair
        name = self.protocol.sample_id(sample.news, sample.index)
        return ReplayElement(
            id=f"{name}-{place}" if place else name,
            news_id=sample.news.id,
            protocol=self.protocol.name,
            prompt=tuple(asdict(message) for message in pair.messages),
            completion=pair.text,
            status="rejected" if screened.reason else "kept",
            reason=screened.reason,
            seed=self.maker.sample_seed(sample, stages[0].name if stages else "ask"),
            provenance=self._provenance(sample)
            | ({"truth": dict(sample.verdicts[place].scores)} if sample.alive and sample.verdicts else {})
            | ({"cue": True} if screened.cue else {})
            | ({"rewritten": screened.was} if screened.was else {}),
        )

    def _provenance(self, sample: Sample) -> dict[str, Any]:
        protocol, maker = self.protocol, self.maker
        code = maker.language(sample.news).code
        found: dict[str, Any] = {
            "model": self.worker.generator.identity,
            "protocol_version": protocol.version,
            "language": code,
        }
        found["protocol_digest"] = maker.decided_by["protocol"]
        if sample.fact is not None:
            found["aim"] = sample.fact.text
        for place, stage in enumerate(protocol.stages):
            sampling = maker.sampling(stage)
            if place == 0:
                found |= {
                    "asked": maker.messages(sample, stage, "{news}")[-1].content,
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "top_k": sampling.top_k,
                    "max_new_tokens": sampling.max_new_tokens,
                }
            else:
                found |= {
                    f"{stage.name}_temperature": sampling.temperature,
                    f"{stage.name}_seed": maker.sample_seed(sample, stage.name),
                }
        return found | ({"cut": list(sample.cut)} if sample.cut else {})
