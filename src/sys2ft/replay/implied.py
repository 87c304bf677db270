"""Implied facts: what follows from a news item, stated by the model and checked against the text.

The statements are written by the prompts of the protocol `implication`. A statement counts as a fact if it builds on a
span of the text, invents no name, says more than the text does, and is likely with the news in context (`gain`).
What is rejected is counted. Small models write few that pass; the text's own spans are always there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.news import News
from sys2ft.replay.budget import Cost
from sys2ft.replay.coverage import Coverage
from sys2ft.replay.facts import Fact, facts_in, implied_fact
from sys2ft.replay.filters import Reason, content_words, names_span, normal, unknown_names
from sys2ft.replay.judging import build, judge
from sys2ft.replay.parsers import one_paragraph
from sys2ft.replay.prompts import templates
from sys2ft.replay.protocols.implication import implication
from sys2ft.replay.rounds import Worker
from sys2ft.replay.settings import GenerateSettings
from sys2ft.replay.stages import Protocol, Stage
from sys2ft.replay.truth import hold
from sys2ft.replay.units import Sample, UnitMaker
from sys2ft.runs import Display


@dataclass(frozen=True, slots=True)
class FactList:
    """The facts of each news item by its id, the stated ones first; and why implied ones were rejected."""

    coverage: Mapping[str, Coverage]
    rejected: Counter[Reason] = field(default_factory=Counter)
    asked: int = 0
    """Number of implied facts that the model was asked for."""

    def to_dict(self, cost: Cost) -> dict[str, Any]:
        """What was asked for and rejected, and what it cost, as plain JSON data; empty if nothing was asked for."""
        if not self.asked:
            return {}
        return {
            "asked": self.asked,
            "rejected": dict(sorted(self.rejected.items())),
            "tokens_generated": round(cost.tokens),
            "flop": float(round(cost.flop)),
            "seconds": round(cost.seconds, 3),
        }


def _listing() -> Protocol:
    """The stage that lists implied facts; its name is part of seeds and of unit names."""
    base = implication()
    stage = Stage(
        name="state",
        template=templates("implication"),
        parser=one_paragraph,
        filters=base.stages[0].filters,
    )
    return Protocol(name="implied-facts", version=1, stages=(stage,), cues=base.cues)


def list_facts(news: Sequence[News], settings: GenerateSettings, seed: int, worker: Worker, show: Display) -> FactList:
    """The facts of all news items: what their texts state and, if the settings ask for it, what follows from them."""
    scorer = worker.judge or worker.generator
    maker = UnitMaker(_listing(), settings, seed, worker.generator.identity, scorer.identity)
    stated = {item.id: facts_in(item.text, maker.language(item).code) for item in news}
    if not settings.implied_facts:
        return FactList(_coverage(stated, maker, news))
    if scorer.loglik(()) is None:
        raise SettingsError(
            f"implied facts are checked by log-likelihood, which {scorer.identity!r} does not compute",
            expected="a generator whose `loglik` gives values, or the model to train, which then judges",
            fix="give the loaded model as `learner`, or leave out --implied-facts",
        )
    (stage,) = maker.protocol.stages
    samples = [Sample(item, index) for item in news for index in range(settings.implied_facts)]
    with show.task("list implied facts", len(samples)) as advance:
        rows = [row for part in worker.rows(maker.replies(samples, stage, 0), advance) for row in part]
    for sample, row in zip(samples, rows, strict=True):
        said, sample.reason = judge(maker, sample, stage, row["text"], row["finished"])
        sample.said[stage.name] = said
        code = maker.language(sample.news).code
        sample.reason = sample.reason or _against(said, sample.news, stated[sample.news.id], code)
    alive = [sample for sample in samples if sample.alive]
    for sample in alive:
        sample.built = build(maker, sample)
    hold(replace(maker, settings=replace(settings, checks=("gain",))), alive, 0, worker, show)
    for sample in alive:
        sample.reason = sample.verdicts[0].reason
    found = {name: list(facts) for name, facts in stated.items()}
    said_before: set[tuple[str, str]] = set()
    for sample in alive:
        key = (sample.news.id, normal(sample.said[stage.name]))
        if sample.alive and key in said_before:
            sample.reason = "repeat"
        elif sample.alive:
            said_before.add(key)
            found[sample.news.id].append(implied_fact(sample.said[stage.name]))
    rejected = Counter(sample.reason for sample in samples if sample.reason is not None)
    return FactList(_coverage(found, maker, news), rejected, len(samples))


def _coverage(facts: Mapping[str, Sequence[Fact]], maker: UnitMaker, news: Sequence[News]) -> dict[str, Coverage]:
    return {item.id: Coverage(facts[item.id], maker.language(item).code) for item in news}


def _against(said: str, news: News, stated: Sequence[Fact], code: str) -> Reason | None:
    """The reason against an implied fact by its text, or None."""
    if not any(names_span(said, fact.text, code) for fact in stated if fact.answer):
        return "off_topic"
    if unknown_names(said, news.text, code):
        return "invented"
    return "repeat" if content_words(said, code) <= content_words(news.text, code) else None
