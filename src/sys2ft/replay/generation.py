"""Replay generation: the model, with the news in context, writes its own training data.

Samples are drawn in rounds. A round asks for what is still missing of every news item, with a margin for what will be
rejected, until each has used its budget or the rounds are used up; what is missing then is reported. Every sample has
its own seed, derived from the run's seed, protocol, stage, news item and number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sys2ft.errors import NewsError, SettingsError
from sys2ft.generators import Generator, as_generator
from sys2ft.languages import fallback_notes, language_of, unprompted
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import filters
from sys2ft.replay.budget import Account, Budget, Cost, Schedule
from sys2ft.replay.coverage import Coverage
from sys2ft.replay.elements import ReplayElement, Yield, count_yield, number
from sys2ft.replay.facts import Fact
from sys2ft.replay.implied import list_facts
from sys2ft.replay.mixed import MIXED, Mix, Part, parse_mix
from sys2ft.replay.mixing import Mixed, draw_mix
from sys2ft.replay.protocols import protocol
from sys2ft.replay.rounds import Rounds, Worker
from sys2ft.replay.screening import variety
from sys2ft.replay.settings import GenerateSettings
from sys2ft.replay.stages import Protocol
from sys2ft.replay.truth import checks_for, judge_of
from sys2ft.replay.units import UnitMaker
from sys2ft.runs import NO_MEMO, Display, Executor, Memo


@dataclass(frozen=True, slots=True)
class Replay:
    """The elements of one protocol, kept and rejected, in order of news item and sample; and their count."""

    elements: list[ReplayElement]
    counts: Yield
    facts: Mapping[str, Sequence[Fact]] = field(default_factory=dict)
    """The facts of each news item, by its id, in the order of `counts.covering`."""

    @property
    def kept(self) -> list[ReplayElement]:
        return [element for element in self.elements if element.status == "kept"]


def generate(
    model: LoadedModel | Generator,
    news: Sequence[News],
    settings: GenerateSettings,
    *,
    protocols: Sequence[Protocol | Mix] | None = None,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
    learner: LoadedModel | None = None,
    schedule: Schedule | None = None,
) -> dict[str, Replay]:
    """Replay elements of every news item by each protocol, written by a loaded model or another generator.

    `protocols`: None takes those that the settings name. News items with instruction-like text are left out, and
    reported, unless the settings keep them. What a generator without log-likelihoods writes is judged by `learner`, the
    model to train; without one, checks by likelihood are left out, and reported. `memo` keeps finished batches (a run
    folder's does), so an interrupted call can resume. `executor` computes the batches; its context is a
    `generators.Context`. None: this process.

    A budget in tokens or FLOP is counted by `learner`, the model to train (None: the one that generates), and one in
    FLOP for the `schedule` of that training.
    """
    chosen = protocols_for(settings, protocols)  # an unknown one is reported before any work
    writer = as_generator(model, rows_at_once=settings.rows_at_once)
    budget = Budget.of(settings, writer, learner, schedule)
    show = show or Display()
    news = without_instructions(news, settings, show)
    for note in fallback_notes((item.text for item in news), settings.language):
        show.note(note)
    judge = judge_of(writer, learner)
    checks, impossible = checks_for(settings, judge)
    judging = any(check.by == "likelihood" for check in checks) or settings.implied_facts > 0
    if impossible:
        show.note(f"{writer.identity} computes no log-likelihoods: no checks by {', '.join(impossible)}")
    elif judge is not None and judge is not writer and judging:
        show.note(f"{writer.identity} computes no log-likelihoods: the model to train judges what it writes")
    lister = Worker(writer, memo, executor, judge)
    listed = list_facts(news, settings, seed, lister, show)
    if settings.implied_facts:
        rejected = ", ".join(f"{reason} ({count})" for reason, count in sorted(listed.rejected.items())) or "none"
        show.note(f"implied facts: {settings.implied_facts * len(news)} asked for; rejected: {rejected}")

    def maker(one: Protocol) -> UnitMaker:
        return UnitMaker(one, settings, seed, writer.identity, judge.identity if judge else "")

    drawing = Drawing(news, budget, listed.coverage, maker, show)
    drawing.draw(chosen, lambda: Worker(writer, memo, executor, judge))
    languages = Counter(language_of(item.text, settings.language).code for item in news)
    context = {
        "languages": dict(sorted(languages.items())),
        "prompted_in_english": unprompted((item.text for item in news), settings.language),
        "budget": budget.to_dict(),
        "implied_facts": listed.to_dict(lister.cost),
        "generator": writer.identity,
        "judge": judge.identity if judge and judging else "",
    }
    names = [check.name for check in checks]
    return {one.name: drawing.replay(one, context, names) for one in chosen}


class Drawing:
    """The streams of samples of all protocols of a call, and what is taken of them."""

    def __init__(
        self,
        news: Sequence[News],
        budget: Budget,
        coverage: Mapping[str, Coverage],
        maker: Callable[[Protocol], UnitMaker],
        show: Display,
    ) -> None:
        self.news, self.budget, self.coverage, self.maker, self.show = news, budget, coverage, maker, show
        self.streams: dict[str, Rounds] = {}
        self.accounts: dict[str, Account] = {}
        self.mixes: dict[str, Mixed] = {}

    def draw(
        self, chosen: Sequence[Protocol | Mix], worker: Callable[[], Worker], fill: Callable[..., None] = Rounds.fill
    ) -> None:
        """Draw for protocols without a model, then for the others, then for mixes, which use what they have drawn."""
        plain = sorted((one for one in chosen if isinstance(one, Protocol)), key=lambda one: bool(one.stages))
        for one in plain:
            self.streams[one.name] = self._stream(one, worker())
            goals = {item.id: self.budget.amount for item in self.news}
            self.accounts[one.name] = Account(self.budget, goals)
            fill(self.streams[one.name], self.accounts[one.name])
        for mix in (one for one in chosen if isinstance(one, Mix)):
            missing = [part.protocol for part in mix.parts if part.protocol.name not in self.streams]
            self.streams |= {one.name: self._stream(one, worker()) for one in missing}
            own = frozenset(one.name for one in missing)
            self.mixes[mix.name] = draw_mix(mix, self.budget, self.news, self.streams, own, partial(fill, strict=False))

    def _stream(self, one: Protocol, worker: Worker) -> Rounds:
        return Rounds(self.maker(one), self.news, self.coverage, worker, self.show)

    def replay(self, one: Protocol | Mix, context: Mapping[str, Any], checks: Sequence[str] = ()) -> Replay:
        """The elements of a protocol or a mix, and their count."""
        drawn = (
            self.mixes[one.name] if isinstance(one, Mix) else _Single(self.streams[one.name], self.accounts[one.name])
        )
        elements, cost = drawn.elements(), drawn.cost()
        short = {name: number(missing) for name, missing in drawn.shortfall.items() if missing > 0}
        counts = count_yield(
            one.name,
            elements,
            per_news=number(self.budget.amount),
            news_ids=[item.id for item in self.news],
            shortfall=short,
            tokens_generated=round(cost.tokens),
            flop=float(round(cost.flop)),
            seconds=cost.seconds,
            used={name: number(used) for name, used in drawn.used.items()},
            parts=drawn.parts(),
            diversity=variety(elements),
            covering=self._covering(elements),
            checks=list(checks) if any(part.stages for part in parts_of([one])) else [],
            seconds_checking=round(cost.checking, 3),
            **context,
        )
        for name, part in counts.parts.items():
            if lacking := part["shortfall"]:
                missing = self.budget.shown(sum(lacking.values()))
                self.show.note(
                    f"{one.name}: {name} fell short by {missing} in {len(lacking)} news items; others made up"
                )
        return Replay(elements, counts, {name: own.facts for name, own in self.coverage.items()})

    def _covering(self, elements: Sequence[ReplayElement]) -> dict[str, list[int]]:
        """How many of the kept elements cover each fact of each news item."""
        of_news: dict[str, list[ReplayElement]] = {name: [] for name in self.coverage}
        for element in elements:
            of_news[element.news_id].append(element)
        return {name: own.counts(of_news[name]) for name, own in self.coverage.items()}


@dataclass(frozen=True, slots=True)
class _Single:
    """What a protocol by itself has drawn, as `Mixed` is that of a mix."""

    stream: Rounds
    account: Account

    @property
    def used(self) -> dict[str, float]:
        return self.account.used

    @property
    def shortfall(self) -> dict[str, float]:
        return {n: self.account.room(n) for n in self.account.goals if n not in self.account.closed}

    def elements(self) -> list[ReplayElement]:
        return self.stream.outcome(self.account)

    def cost(self) -> Cost:
        return self.stream.worker.cost

    def parts(self) -> dict[str, dict[str, Any]]:
        return {}


def protocols_for(
    settings: GenerateSettings, protocols: Sequence[Protocol | Mix] | None = None
) -> list[Protocol | Mix]:
    """The given protocols, or those that the settings name. Raises SettingsError for an unknown name.

    Also raises SettingsError if `protocols` contains anything but protocols and mixes.
    """
    if protocols is None:
        return [mix_of(settings) if name == MIXED else protocol(name) for name in settings.protocols]
    if isinstance(protocols, Protocol | Mix | str) or not all(isinstance(one, Protocol | Mix) for one in protocols):
        raise SettingsError(
            f"protocols={protocols!r}",
            expected="a list of Protocol objects",
            fix="call the function that returns the protocol, as in protocols=[facts()]; "
            "to choose by name, leave this out and set protocols in GenerateSettings",
        )
    names = [one.name.casefold() for one in protocols]
    if not names or len(set(names)) < len(names):
        raise SettingsError(
            f"the protocols {', '.join(one.name for one in protocols) or '()'}",
            expected="at least one, each with a name of its own",
            fix="give every protocol another name",
        )
    return list(protocols)


def mix_of(settings: GenerateSettings) -> Mix:
    """The mix that the settings describe. Raises SettingsError for an unknown protocol in it."""
    return Mix(MIXED, tuple(Part(protocol(name), share) for name, share in parse_mix(settings.mix)))


def parts_of(protocols: Sequence[Protocol | Mix]) -> list[Protocol]:
    """The protocols, and those that mixes consist of, each once."""
    every = [part for one in protocols for part in ([p.protocol for p in one.parts] if isinstance(one, Mix) else [one])]
    return list({one.name: one for one in every}.values())


def without_instructions(news: Sequence[News], settings: GenerateSettings, show: Display) -> Sequence[News]:
    """The news items to generate from: those without instruction-like text, or all if the settings keep them."""
    if settings.keep_instructions:
        return news
    kept_out = filters.withheld(news)
    for name, found in kept_out.items():
        show.note(f"{name} is kept out of generation: {found.kind}: {found.excerpt}")
    if len(kept_out) == len(news):
        raise NewsError(
            "every news item has instruction-like text, such as "
            + "; ".join(f"{name}: {found.excerpt}" for name, found in list(kept_out.items())[:3]),
            expected="news that state something, and give no orders to a model",
            fix="take the orders out of the text, or give --keep-instructions where they are meant to be learnt",
        )
    return [item for item in news if item.id not in kept_out]
