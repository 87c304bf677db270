"""Candidates are checked as evaluation will ask them, with the news in context and without it.

With the news in context the model has to pick the answer among the choices, and to give it in at least two sampled
answers. Without the news it has to pick a wrong choice, or to give the answer no more of a share than chance would, and
may give the answer in no more samples than chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sys2ft.evaluation import EvaluateSettings, Prediction, evaluate
from sys2ft.models import LoadedModel
from sys2ft.probing.candidates import Candidate
from sys2ft.probing.settings import ProbeSettings
from sys2ft.runs import item_seed
from sys2ft.runs.folder import Once

LEAST_RIGHT = 2
"""Samples with the news in context that have to be right."""

_Answers = dict[tuple[str, int, str], Prediction]
"""By news, number of the question, condition."""


def check(
    model: LoadedModel, candidates: Sequence[Candidate], settings: ProbeSettings, seed: int, number: int, once: Once
) -> None:
    """Give the candidates of round `number` their evidence, and those that fail the reason."""
    by_news: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_news.setdefault(candidate.news.id, []).append(candidate)
    news = [
        own[0].news.model_copy(update={"questions": tuple(c.as_question(seed, model.source.name) for c in own)})
        for own in by_news.values()
    ]

    def ask(how: EvaluateSettings, sample: int) -> _Answers:
        rows = evaluate(
            model,
            news,
            how,
            subject=f"probe-{number}-{sample}",
            seed=item_seed(seed, "probe", "check", sample),
            once=once,
        )
        return {(row.news_id, row.question, row.condition): row for row in rows}

    choice = ask(EvaluateSettings(scorings=("cloze",)), 0)
    free = EvaluateSettings(
        scorings=("direct",),
        headline="direct",
        free_text_temperature=settings.check_temperature,
        direct_tokens=settings.answer_tokens,
    )
    samples = [ask(free, sample) for sample in range(1, settings.samples + 1)]
    for news_id, own in by_news.items():
        for index, candidate in enumerate(own):
            _judge(candidate, choice, samples, news_id, index, settings)


def _judge(
    candidate: Candidate,
    choice: _Answers,
    samples: Sequence[_Answers],
    news_id: str,
    index: int,
    settings: ProbeSettings,
) -> None:
    with_news, without = (news_id, index, "in_context"), (news_id, index, "closed_book")
    right = sum(bool(sample[with_news].correct) for sample in samples)
    known = sum(bool(sample[without].correct) for sample in samples)
    share = _share(choice[without], candidate.answer)
    candidate.evidence = {
        "samples": len(samples),
        "right_in_context": right,
        "right_closed_book": known,
        "chosen_in_context": choice[with_news].said,
        "chosen_closed_book": choice[without].said,
        "share_closed_book": round(share, 4),
    }
    chance = 1 / settings.choices
    picked = choice[without].correct and share > chance + settings.chance_margin
    if right < LEAST_RIGHT or not choice[with_news].correct:
        candidate.reason = "unsupported"
    elif picked or known > chance * len(samples):
        candidate.reason = "known"


def _share(prediction: Prediction, answer: str) -> float:
    """The answer's share among the choices, by the mean log-likelihood a token of each."""
    totals: dict[str, float] = prediction.detail["choices"]
    means = {choice: total / n for (choice, total), n in zip(totals.items(), prediction.detail["tokens"], strict=True)}
    top = max(means.values())
    weights = {choice: math.exp(mean - top) for choice, mean in means.items()}
    return weights[answer] / sum(weights.values())
