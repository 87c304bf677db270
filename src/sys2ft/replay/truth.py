"""Truth: replay elements are held against their news items by the checks that the settings name, cheapest first.

A check asks the model about every element that no earlier check rejected, in batches of which each reads a news item's
text once. What it found is stored with the element, and what it rejects is counted by its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sys2ft.generators import Generator, Pair, Request, SamplingParams, as_generator
from sys2ft.models import LoadedModel
from sys2ft.replay.checks.agreement import AGREEMENT
from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.checks.entailment import ENTAILMENT
from sys2ft.replay.checks.gain import GAIN
from sys2ft.replay.checks.names import NAMES
from sys2ft.replay.filters import Reason
from sys2ft.replay.settings import GenerateSettings
from sys2ft.runs import Display, Unit

if TYPE_CHECKING:
    from sys2ft.replay.rounds import Worker
    from sys2ft.replay.units import Sample, UnitMaker

CHECKS: dict[str, Check] = {check.name: check for check in (NAMES, GAIN, ENTAILMENT, AGREEMENT)}
"""By name, in the order in which they are made: cheap ones first, so that less is left for the others."""


@dataclass(slots=True)
class Verdict:
    """What the checks found about one element."""

    claim: Claim
    scores: Scores = field(default_factory=dict)
    reason: Reason | None = None


Answer = Callable[[Check, Sequence[Pair | Request]], Sequence[Row]]
"""The model's rows for what a check asks, in the order given, in which texts that begin alike are neighbours."""


def judge_of(writer: Generator, learner: LoadedModel | None) -> Generator | None:
    """Who computes log-likelihoods: the generator that writes if it can, else the model to train; None: nobody."""
    if writer.loglik(()) is not None:
        return writer
    return None if learner is None else as_generator(learner)


def checks_for(settings: GenerateSettings, judge: Generator | None) -> tuple[list[Check], list[str]]:
    """The checks that the settings name, and the names of those that nobody can make.

    A check by likelihood needs a `judge`, which computes log-likelihoods.
    """
    named = [check for name, check in CHECKS.items() if name in settings.checks]
    scored = judge is not None and judge.loglik(()) is not None
    able = [check for check in named if scored or check.by != "likelihood"]
    return able, [check.name for check in named if check not in able]


def examine(
    claims: Sequence[Claim],
    checks: Sequence[Check],
    answer: Answer,
    settings: GenerateSettings | None,
    seed: int = 0,
) -> list[Verdict]:
    """A verdict on each claim. Without settings nothing is rejected, and every check is made on every claim."""
    verdicts = [Verdict(claim) for claim in claims]
    for check in checks:
        left = [one for one in verdicts if one.reason is None and check.applies(one.claim)]
        asked = [(place, question) for place, one in enumerate(left) for question in check.asks(one.claim, seed)]
        # Texts that begin alike share their beginnings if they are neighbours.
        order = sorted(range(len(asked)), key=lambda i: _text(asked[i][1]))
        found = dict(zip(order, answer(check, [asked[i][1] for i in order]), strict=True))
        rows: list[list[Row]] = [[] for _ in left]
        for i, (place, _) in enumerate(asked):
            rows[place].append(found[i])
        for one, own in zip(left, rows, strict=True):
            scores = check.read(one.claim, own)
            one.scores |= scores
            if settings and check.fails(one.claim, scores, settings):
                one.reason = check.reason
    return verdicts


def hold(maker: UnitMaker, samples: Sequence[Sample], number: int, worker: Worker, show: Display) -> None:
    """Hold the elements of the samples that passed all stages in round `number` against their news items.

    The verdicts, one for each element, are kept in `Sample.verdicts`.
    """
    settings = maker.settings
    checks, _ = checks_for(settings, worker.judge or worker.generator)
    alive = [sample for sample in samples if sample.alive]
    if not checks or not maker.protocol.stages:
        return
    built = [claims(maker, sample) for sample in alive]

    def answer(check: Check, asked: Sequence[Pair | Request]) -> list[Row]:
        with show.task(f"  round {number + 1}: {check.name}", len(asked), passing=True) as advance:
            made = worker.rows(list(units(maker, check, asked, number)), advance)
            return [row for part in made for row in part]

    before = worker.seconds
    verdicts = iter(examine([claim for own in built for claim in own], checks, answer, settings, maker.seed))
    worker.seconds_checking += worker.seconds - before
    for sample, own in zip(alive, built, strict=True):
        sample.verdicts = [next(verdicts) for _ in own]


def claims(maker: UnitMaker, sample: Sample) -> list[Claim]:
    """What the elements of a sample that passed all stages say."""
    code = maker.language(sample.news).code
    name = maker.protocol.sample_id(sample.news, sample.index)
    trail, brings = maker.trail(sample), maker.protocol.brings_names
    return [
        Claim(
            name=f"{name}-{place}" if place else name,
            news=sample.news,
            question="" if trail.is_cue(pair.messages[-1].content) else pair.messages[-1].content,
            said=pair.text,
            brings_names=brings is not None and brings(sample.index),
            index=sample.index,
            code=code,
        )
        for place, pair in enumerate(sample.built)
    ]


def units(maker: UnitMaker, check: Check, asked: Sequence[Pair | Request], number: int) -> Iterator[Unit]:
    """The units of a check in round `number`. What begins alike should be next to each other."""
    for start, chunk in maker.chunks(asked):
        rows = [one.to_dict() for one in chunk]
        inputs: dict[str, Any] = {"pairs": rows}
        if check.by == "reply":
            inputs = {"requests": rows, "sampling": sampling(maker.settings).to_dict()}
        yield Unit(
            key=maker.key(number, f"check_{check.name}", start),
            function=check.function,
            inputs=inputs,
            decided_by=maker.judged_by if check.by == "likelihood" else maker.decided_by,
        )


def sampling(settings: GenerateSettings) -> SamplingParams:
    """How the second answers are sampled."""
    return SamplingParams(
        temperature=settings.agreement_temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        max_new_tokens=settings.max_new_tokens,
        stops=("\n",),
    )


def _text(asked: Pair | Request) -> tuple[str, ...]:
    return (*(message.content for message in asked.messages), asked.text if isinstance(asked, Pair) else "")
