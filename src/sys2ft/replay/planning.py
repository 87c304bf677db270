"""What is left of replay generation: its next units exactly, and an estimate of those that depend on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sys2ft.generators import EngineGenerator, Generator, Pair, Request, SamplingParams, as_generator
from sys2ft.languages import ENGLISH
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News
from sys2ft.replay.budget import Account, Budget, Cost, Drawn, Schedule
from sys2ft.replay.checks.claim import Check, Claim
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.generation import Drawing, parts_of, protocols_for, without_instructions
from sys2ft.replay.implied import list_facts
from sys2ft.replay.mixed import MIXED, Mix
from sys2ft.replay.rounds import Rounds, Worker
from sys2ft.replay.settings import GenerateSettings
from sys2ft.replay.stages import Protocol
from sys2ft.replay.truth import checks_for, judge_of
from sys2ft.replay.units import Sample, UnitMaker
from sys2ft.runs import NO_MEMO, Display, Memo, Needs, Unit

_CHARACTERS_PER_TOKEN = 4  # for generators whose tokenizer is not known
_CHARACTERS_THAT_TELL = 60


class _Missing(Exception):
    """Ends a run at the first units whose results the memo does not hold."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = list(units)


class _Listing:
    """An executor that computes nothing: it lists the units that it is given."""

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        if units:
            raise _Missing(units)
        return iter(())


def plan(
    model: LoadedModel | Generator,
    news: Sequence[News],
    settings: GenerateSettings,
    *,
    protocols: Sequence[Protocol | Mix] | None = None,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    learner: LoadedModel | None = None,
    schedule: Schedule | None = None,
) -> list[Unit]:
    """The units that `generate` with the same arguments would compute next, and what they need at most.

    The later stages of the same round depend on what these units say. They are one unit each, whose key ends in
    '(estimate)', which assumes that nothing is rejected. Further rounds, needed only where a round yields too little,
    are not listed. Of a mix the first round of each part is listed, on the assumption that each takes its share.
    """
    chosen = protocols_for(settings, protocols)
    writer = as_generator(model, rows_at_once=settings.rows_at_once)
    judge = judge_of(writer, learner)
    budget = Budget.of(settings, writer, learner, schedule)
    news = without_instructions(news, settings, Display())
    try:
        listed = list_facts(news, settings, seed, Worker(writer, memo, _Listing(), judge), Display())
    except _Missing as found:  # what the protocols then aim at depends on these
        return [replace(unit, needs=_unit_needs(unit, writer, judge)) for unit in found.units]
    units: dict[str, list[Unit]] = {}

    def fill(stream: Rounds, account: Account, *, strict: bool = True) -> None:
        name = stream.protocol.name
        try:
            if name not in units:
                stream.fill(account, strict=strict)
                return
        except _Missing as found:
            units[name] = _left(stream.maker, news, writer, judge, found.units)
        account.assume()

    def maker(one: Protocol) -> UnitMaker:
        return UnitMaker(one, settings, seed, writer.identity, judge.identity if judge else "")

    drawing = Drawing(news, budget, listed.coverage, maker, Display())
    drawing.draw(chosen, lambda: Worker(writer, memo, _Listing(), judge), fill)
    return [unit for own in units.values() for unit in own]


def expected(
    name: str, news: Sequence[News], settings: GenerateSettings, learner: LoadedModel, schedule: Schedule
) -> list[ReplayElement]:
    """Placeholders for elements not generated yet, each as long as its news item's text: as many as the budget allows.

    Generation is not subtracted from a budget in FLOP, since it is not known yet.
    """
    budget = Budget.of(settings, as_generator(learner), learner, schedule)
    account = Account(budget, {item.id: budget.amount for item in news})
    (cues, *_) = [one.cues_in(ENGLISH) for one in parts_of(protocols_for(settings)) if name in (one.name, MIXED)]
    found = []
    for item in news:
        for index in itertools.count():
            prompt = cues[index % len(cues)] if cues else f"Question {index}?"
            pair = Pair(messages=(Message("user", prompt),), text=f"{index}: {item.text}")  # no common prefix
            if not account.add(item.id, Drawn(Cost(), [(str(index), pair)])):
                break
            found.append(
                ReplayElement(
                    id=f"{name}/{item.id}/{index:04d}",
                    news_id=item.id,
                    protocol=name,
                    prompt=({"role": "user", "content": prompt},),
                    completion=pair.text,
                    status="kept",
                    reason=None,
                    seed=0,
                )
            )
    return found


def _left(
    maker: UnitMaker, news: Sequence[News], writer: Generator, judge: Generator | None, units: Sequence[Unit]
) -> list[Unit]:
    """The missing units with their needs, then the estimates of what follows them in the same round."""
    number, work, _ = units[0].key.rpartition("/")[2].split("-")
    stages = maker.protocol.stages
    works = [stage.name for stage in stages]
    checks = {f"check_{one.name}": one for one in checks_for(maker.settings, judge)[0] if one.by != "text"}
    known = [replace(unit, needs=_unit_needs(unit, writer, judge)) for unit in units]
    count = sum(_samples(unit, checks.get(work), news[0]) for unit in units)
    samples = [Sample(news[place % len(news)], place // len(news)) for place in range(count)]
    estimates = []
    for later in [*works, *checks][[*works, *checks].index(work) + 1 :]:
        if later in checks:
            who = judge if judge and checks[later].by == "likelihood" else writer
            function, needs = checks[later].function, _check_needs(checks[later], maker, samples, who)
            if not needs.tokens:
                continue  # there are no questions
        else:
            stage, function = stages[works.index(later)], "sys2ft.generators.work:generate"
            needs = _needs(maker.requests(samples, stage), maker.sampling(stage), writer)
        key = f"{maker.key(int(number), later, 0)} (estimate)"
        estimates.append(Unit(key=key, function=function, inputs={}, needs=needs))
    return known + estimates


def _samples(unit: Unit, check: Check | None, news: News) -> int:
    asked = len(unit.inputs.get("requests", ())) or len(unit.inputs["pairs"])
    return math.ceil(asked / len(check.asks(Claim(name="", news=news, question="?", said=""), 0))) if check else asked


def _check_needs(check: Check, maker: UnitMaker, samples: Sequence[Sample], writer: Generator) -> Needs:
    """What a check needs if every sample is one element, whose text is not known yet."""
    protocol = maker.protocol
    question = "" if protocol.cues and protocol.elements is None else "?"
    claims = [Claim(name="", news=one.news, question=question, said="") for one in samples]
    requests = [
        Request(messages=asked.messages, seed=0, group=one.news.id)
        for one in claims
        if check.applies(one)
        for asked in check.asks(one, 0)
    ]
    return _needs(requests, maker.sampling(protocol.stages[-1]), writer)


def _unit_needs(unit: Unit, writer: Generator, judge: Generator | None) -> Needs:
    if "requests" in unit.inputs:
        requests = [Request.from_dict(row) for row in unit.inputs["requests"]]
        return _needs(requests, SamplingParams.from_dict(unit.inputs["sampling"]), writer)
    texts = [row["text"] for row in unit.inputs["pairs"]]
    # Texts about one news item begin alike.
    rows = [
        {"messages": row["messages"], "seed": 0, "group": row["messages"][-1]["content"][:_CHARACTERS_THAT_TELL]}
        for row in unit.inputs["pairs"]
    ]
    # Scoring a text costs what writing it does.
    longest = max(1, max(map(len, texts), default=1) // _CHARACTERS_PER_TOKEN)
    return _needs([Request.from_dict(row) for row in rows], SamplingParams(max_new_tokens=longest), judge or writer)


def _needs(requests: Sequence[Request], sampling: SamplingParams, writer: Generator) -> Needs:
    if isinstance(writer, EngineGenerator):
        return writer.needs(requests, sampling)
    characters = sum(len(message.content) for request in requests for message in request.messages)
    return Needs(tokens=characters // _CHARACTERS_PER_TOKEN + len(requests) * sampling.max_new_tokens)
