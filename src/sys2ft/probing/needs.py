"""Predicts what writing questions will need: tokens, FLOP and memory of a round, from its prompts and budgets."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import EngineGenerator
from sys2ft.languages import language_of
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.probing.candidates import Candidate, answer_spans
from sys2ft.probing.held_out import given_of
from sys2ft.probing.settings import ProbeSettings
from sys2ft.probing.writing import Writer
from sys2ft.runs import NO_MEMO, LocalExecutor, Needs


def probe_needs(model: LoadedModel, news: Sequence[News], settings: ProbeSettings, *, seed: int) -> Needs:
    """What the first round needs for the news items without questions, if every reply uses its whole budget.

    Half of the candidates are assumed to need invented wrong choices. Later rounds are not counted.
    """
    writer = EngineGenerator(model, rows_at_once=settings.rows_at_once)
    asking = Writer(settings, seed, NO_MEMO, LocalExecutor(None))
    made = []
    for item in (one for one in news if not one.questions):
        spans, code = answer_spans(item, seed), language_of(item.text, settings.language).code
        own = [Candidate(item, index, given=given_of(spans, index)) for index in range(settings.candidates)]
        for candidate in own:
            candidate.language, candidate.question, candidate.answer = code, "?", candidate.given
        made += own
    free, given = [c for c in made if not c.given], [c for c in made if c.given]
    stages = {
        "question": [(c, 0) for c in free],
        "about": [(c, 0) for c in given],
        "answer": [(c, n) for c in free for n in range(1 + settings.samples)],  # written once, and checked
        "wrong": [(c, n) for c in made[::2] for n in range(settings.wrong_samples)],
    }
    needs = [
        writer.needs([asking.request(*one, stage) for one in own], asking.sampling(stage))
        for stage, own in stages.items()
        if own
    ]
    return sum(needs, Needs())
