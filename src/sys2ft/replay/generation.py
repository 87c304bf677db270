"""Replay generation: the model, with the news in context, writes its own training data.

Samples are drawn in rounds. A round asks for what is still missing of every news item, with a margin for what will be
rejected, until each has what was wanted or the rounds are used up; what is missing then is reported. Every sample has
its own seed, derived from the run's seed, protocol, stage, news item and number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sys2ft.errors import NewsError, SettingsError
from sys2ft.generators import Generator, as_generator
from sys2ft.languages import fallback_notes, language_of, unprompted
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import filters
from sys2ft.replay.elements import ReplayElement, Yield, count_yield
from sys2ft.replay.protocols import protocol
from sys2ft.replay.rounds import Rounds, Worker
from sys2ft.replay.settings import GenerateSettings
from sys2ft.replay.stages import Protocol
from sys2ft.replay.truth import checks_for
from sys2ft.replay.units import UnitMaker
from sys2ft.runs import NO_MEMO, Display, Executor, Memo


@dataclass(frozen=True, slots=True)
class Replay:
    """The elements of one protocol, kept and rejected, in order of news item and sample; and their count."""

    elements: list[ReplayElement]
    counts: Yield

    @property
    def kept(self) -> list[ReplayElement]:
        return [element for element in self.elements if element.status == "kept"]


def generate(
    model: LoadedModel | Generator,
    news: Sequence[News],
    settings: GenerateSettings,
    *,
    protocols: Sequence[Protocol] | None = None,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
) -> dict[str, Replay]:
    """Replay elements of every news item by each protocol, written by a loaded model or another generator.

    `protocols`: None takes those that the settings name. News items with instruction-like text are left out, and
    reported, unless the settings keep them. `memo` keeps finished batches (a run folder's does), so an interrupted call
    can resume. `executor` computes the batches; its context is a `generators.Context`. None: this process.
    """
    chosen = protocols_for(settings, protocols)  # an unknown one is reported before any work
    writer = as_generator(model, rows_at_once=settings.rows_at_once)
    require_likelihoods(chosen, writer)
    show = show or Display()
    news = without_instructions(news, settings, show)
    for note in fallback_notes((item.text for item in news), settings.language):
        show.note(note)
    checks, impossible = checks_for(settings, writer)
    if impossible:
        show.note(f"{writer.identity} computes no log-likelihoods: no checks by {', '.join(impossible)}")
    languages = Counter(language_of(item.text, settings.language).code for item in news)
    replays = {}
    for one in chosen:
        worker = Worker(writer, memo, executor)
        elements = Rounds(UnitMaker(one, settings, seed, writer.identity), news, worker, show).run()
        counts = count_yield(
            one.name,
            elements,
            per_news=settings.samples_per_news,
            news_ids=[item.id for item in news],
            tokens_generated=worker.usage.tokens_generated,
            flop=float(worker.usage.flop),
            seconds=worker.seconds,
            languages=dict(sorted(languages.items())),
            prompted_in_english=unprompted((item.text for item in news), settings.language),
            checks=[check.name for check in checks if one.stages],
            seconds_checking=worker.seconds_checking,
        )
        replays[one.name] = Replay(elements, counts)
    return replays


def protocols_for(settings: GenerateSettings, protocols: Sequence[Protocol] | None) -> list[Protocol]:
    """The given protocols, or those that the settings name. Raises SettingsError for an unknown name.

    Also raises SettingsError if `protocols` contains anything but protocols.
    """
    if protocols is None:
        return [protocol(name) for name in settings.protocols]
    if isinstance(protocols, Protocol | str) or not all(isinstance(one, Protocol) for one in protocols):
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


def require_likelihoods(protocols: Sequence[Protocol], generator: Generator) -> None:
    """Raise SettingsError where a protocol checks support, and the generator computes no log-likelihoods."""
    needing = [one.name for one in protocols if any(stage.supported for stage in one.stages)]
    if needing and generator.loglik(()) is None:
        raise SettingsError(
            f"the protocol {needing[0]!r} checks what it generates by log-likelihood, "
            f"and the generator {generator.identity!r} computes none",
            expected="a generator whose `loglik` gives values",
            fix="use such a generator, such as a model loaded by this package, or leave the protocol out",
        )


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
