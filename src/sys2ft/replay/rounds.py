"""Rounds of one protocol: draw replies stage by stage, judge them, and build elements from what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators import Context, Generator, Pair, Usage
from sys2ft.news import News
from sys2ft.replay import filters
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.filters import Reason
from sys2ft.replay.judging import build, judge
from sys2ft.replay.stages import Stage, last_said
from sys2ft.replay.truth import hold
from sys2ft.replay.units import Sample, UnitMaker
from sys2ft.runs import Advance, Display, Executor, LocalExecutor, Memo, Unit, compute_units


@dataclass(slots=True)
class Worker:
    """Computes units and adds up what they cost."""

    generator: Generator
    memo: Memo
    executor: Executor | None
    """None: this process computes the units with `generator`."""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    seconds_checking: float = 0.0
    """Of these, those of the checks of truth."""

    def rows(self, units: Sequence[Unit], advance: Advance) -> Iterator[list[dict[str, Any]]]:
        """The rows of each unit's result. `advance` counts them, where possible while they are computed."""
        counted = 0

        def count(units: int = 1) -> None:
            nonlocal counted
            counted += units
            advance(units)

        executor = self.executor or LocalExecutor(Context(self.generator, count))
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


class Rounds:
    """One protocol over all news items."""

    def __init__(self, maker: UnitMaker, news: Sequence[News], worker: Worker, show: Display) -> None:
        self.maker, self.news, self.worker, self.show = maker, news, worker, show
        self.protocol, self.settings = maker.protocol, maker.settings
        self.elements: dict[str, list[ReplayElement]] = {item.id: [] for item in news}
        self._kept = dict.fromkeys(self.elements, 0)
        self._drawn = dict.fromkeys(self.elements, 0)
        self._words: dict[str, set[str]] = {news_id: set() for news_id in self.elements}

    def run(self) -> list[ReplayElement]:
        """All elements, kept and rejected, in the order of news items and samples."""
        wanted = self.settings.samples_per_news
        if not self.protocol.stages:
            for item in self.news:
                for index in range(wanted):
                    self._add(Sample(item, index))
        else:
            with self.show.task(f"generate {self.protocol.name}", wanted * len(self.news)) as advance:
                for number in range(self.settings.rounds):
                    samples = self._missing()
                    if not samples:
                        break
                    self._draw(samples, number)
                    hold(self.maker, samples, number, self.worker, self.show)
                    for sample in samples:
                        advance(self._add(sample))
        return [element for item in self.news for element in self.elements[item.id]]

    def _missing(self) -> list[Sample]:
        """The samples of the next round: what is missing, with a margin for what will be rejected."""
        wanted, drawn = self.settings.samples_per_news, sum(self._drawn.values())
        # As many as should suffice at the rate seen so far: small batches are slow, so there should be few rounds.
        rate = max(1.0, drawn / max(1, sum(self._kept.values()))) if drawn else 1.0
        margin = self.settings.margin * rate
        samples = []
        for item in self.news:
            count = min(math.ceil((wanted - self._kept[item.id]) * margin), 4 * wanted)
            samples += [Sample(item, self._drawn[item.id] + i) for i in range(count)]
        return samples

    def _draw(self, samples: Sequence[Sample], number: int) -> None:
        """Take the samples of a round through all stages, or to the one that rejects them."""
        for stage in self.protocol.stages:
            alive = [sample for sample in samples if sample.alive]
            units = self.maker.replies(alive, stage, number)
            with self.show.task(f"  round {number + 1}: {stage.name}", len(alive), passing=True) as advance:
                rows = [row for part in self.worker.rows(units, advance) for row in part]
            for sample, row in zip(alive, rows, strict=True):
                said, sample.reason = judge(self.maker, sample, stage, row["text"], row["finished"])
                sample.said[stage.name] = said
            if stage.supported:
                self._judge_support([sample for sample in alive if sample.alive], stage, number)

    def _judge_support(self, samples: Sequence[Sample], stage: Stage, number: int) -> None:
        """Reject replies that the news in context does not support, by the generator's log-likelihood."""
        units = self.maker.support(samples, stage, number)
        with self.show.task(f"  round {number + 1}: support", len(samples), passing=True) as advance:
            rows = [row for part in self.worker.rows(units, advance) for row in part]
        for sample, row in zip(samples, rows, strict=True):
            sample.support = row
            gain = row["with_news"] - row["without_news"]
            if row["with_news"] < self.settings.min_support or gain <= self.settings.min_gain:
                sample.reason = "unsupported"

    def _add(self, sample: Sample) -> int:
        """Turn a sample into elements; how many of them are kept."""
        news_id = sample.news.id
        built = build(self.maker, sample) if sample.alive else []
        if not built:
            sample.reason = sample.reason or "empty"
            built = last_said(self.maker.trail(sample))
        kept = 0
        for place, pair in enumerate(built):
            verdict = sample.verdicts[place] if sample.alive and sample.verdicts else None
            reason = sample.reason or self._reason(sample.news, pair, verdict.reason if verdict else None)
            kept += reason is None
            self._kept[news_id] += reason is None
            element = self._element(sample, pair, place, reason)
            if verdict:
                element.provenance["truth"] = verdict.scores
            self.elements[news_id].append(element)
        self._drawn[news_id] += 1
        return kept

    def _reason(self, news: News, pair: Pair, untrue: Reason | None) -> Reason | None:
        """The reason against an element of a sample that passed all stages; `untrue`: that of the checks."""
        if not self.protocol.stages:
            return None
        prompt = pair.messages[-1].content
        shown = "" if prompt in self.protocol.cues_in(self.maker.language(news).code) else prompt
        words, before = filters.normal(f"{shown} {pair.text}"), self._words[news.id]
        if not pair.text.strip():
            return "empty"
        if words in before:
            return "repeat"
        before.add(words)
        if untrue:
            return untrue
        return "surplus" if self._kept[news.id] == self.settings.samples_per_news else None

    def _element(self, sample: Sample, pair: Pair, place: int, reason: Reason | None) -> ReplayElement:
        stages = self.protocol.stages
        name = self.protocol.sample_id(sample.news, sample.index)
        return ReplayElement(
            id=f"{name}-{place}" if place else name,
            news_id=sample.news.id,
            protocol=self.protocol.name,
            prompt=tuple(asdict(message) for message in pair.messages),
            completion=pair.text,
            status="rejected" if reason else "kept",
            reason=reason,
            seed=self.maker.sample_seed(sample, stages[0].name if stages else "ask"),
            provenance=self._provenance(sample),
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
        for place, stage in enumerate(protocol.stages):
            sampling = maker.sampling(stage)
            if place == 0:
                found |= {
                    "asked": stage.template_in(code).messages(sample.index)[-1].content,
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
            if stage.supported:
                found["support"] = sample.support
        return found
