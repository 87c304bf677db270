"""Held-out probes: the model writes questions, and those it answers correctly with the news in context are kept.

Questions are written with the news in context, by prompts and from seeds that the training data never use. Each is then
checked by asking it as evaluation will (`checking`), with the news in context only. What the model answers closed book
decides nothing, so that its accuracy before and after training can be compared; in context it is right by construction.
Each probe records this (`Question.selected`), and the report withholds what the selection distorts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sys2ft.generators import Context, EngineGenerator, Generator
from sys2ft.languages import fallback_notes
from sys2ft.models import LoadedModel
from sys2ft.news import News, Selection
from sys2ft.probing.candidates import Candidate, answer_spans
from sys2ft.probing.checking import check
from sys2ft.probing.settings import ProbeSettings
from sys2ft.probing.writing import Writer
from sys2ft.replay import filters
from sys2ft.runs import NO_MEMO, Display, Executor, LocalExecutor, Memo


@dataclass(frozen=True, slots=True)
class Probes:
    """The news items with their probes, every candidate with its outcome, and the news items that were left alone."""

    news: list[News]
    candidates: list[Candidate]
    withheld: dict[str, str]
    """News items with instruction-like text, by id, with that text."""

    @property
    def kept(self) -> list[Candidate]:
        """Candidates that became probes."""
        return [candidate for candidate in self.candidates if candidate.alive]

    def reasons(self) -> dict[str, int]:
        """How many candidates were rejected, by reason."""
        return dict(Counter(candidate.reason for candidate in self.candidates if candidate.reason is not None))


def probe(
    model: LoadedModel,
    news: Sequence[News],
    settings: ProbeSettings,
    *,
    seed: int = 0,
    writer: Generator | None = None,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
) -> Probes:
    """Probes for every news item without questions; items with questions are returned unchanged.

    `writer` writes the questions, and `model` checks them. None: the model does both. News items with instruction-like
    text are left alone unless the settings keep them. `memo` keeps finished batches (a run folder's does), so an
    interrupted call can resume. `executor` computes the batches of writing; its context is a `generators.Context` of
    the writer. None: this process.
    """
    made_by = model.source.name if writer is None else writer.identity
    author = EngineGenerator(model, rows_at_once=settings.rows_at_once) if writer is None else writer
    withheld = {} if settings.keep_instructions else filters.withheld(news)
    bare = [item for item in news if not item.questions and item.id not in withheld]
    show = show or Display()
    for note in fallback_notes((item.text for item in bare), settings.language):
        show.note(note)
    selected = Selection(by=model.source.name, sha256=model.fingerprint, in_context="right")
    spans = {item.id: answer_spans(item, seed) for item in bare}
    made: dict[str, list[Candidate]] = {item.id: [] for item in bare}
    writing = Writer(settings, seed, memo, executor or LocalExecutor(Context(author)))
    wanted = settings.probes_per_news
    with show.task("probe", wanted * len(bare)) as advance:
        for number in range(settings.rounds):
            fresh = [
                Candidate(item, index, given=given_of(spans[item.id], index))
                for item in bare
                if _kept(made[item.id]) < wanted
                for index in range(len(made[item.id]), len(made[item.id]) + settings.candidates)
            ]
            if not fresh:
                break
            writing.write(fresh, number, made)
            check(model, [candidate for candidate in fresh if candidate.alive], settings, seed, number, memo)
            for candidate in fresh:
                if candidate.alive and _kept(made[candidate.news.id]) == wanted:
                    candidate.reason = "surplus"
                advance(int(candidate.alive))
                made[candidate.news.id].append(candidate)
            asked, kept = sum(map(len, made.values())), sum(map(_kept, made.values()))
            show.live(f"yield {kept / asked:.0%}")
    return Probes(
        news=[_with_probes(item, made.get(item.id, ()), seed, made_by, selected) for item in news],
        candidates=[candidate for own in made.values() for candidate in own],
        withheld={name: f"{found.kind}: {found.excerpt}" for name, found in withheld.items()},
    )


def given_of(spans: Sequence[str], index: int) -> str:
    """Every second candidate starts from its answer: a name, a number or a word of the news item, in rotation."""
    return spans[index // 2 % len(spans)] if index % 2 and spans else ""


def _kept(candidates: Sequence[Candidate]) -> int:
    return sum(candidate.alive for candidate in candidates)


def _with_probes(item: News, candidates: Sequence[Candidate], seed: int, made_by: str, selected: Selection) -> News:
    probes = tuple(candidate.as_question(seed, made_by, selected) for candidate in candidates if candidate.alive)
    return item.model_copy(update={"questions": probes}) if probes else item
