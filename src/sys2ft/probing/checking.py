"""Checking candidates: each is asked as evaluation will ask it, with the news in context and without it.

With the news in context the model has to pick the answer among the choices. Without the news it has to pick a wrong
choice, or give the answer no more probability than chance. Then answers are sampled: at least two have to be correct
with the news in context, and without it no more than chance would get right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sys2ft.evaluation import EvaluateSettings, Prediction, evaluate
from sys2ft.models import LoadedModel
from sys2ft.probing.candidates import Candidate
from sys2ft.probing.settings import ProbeSettings
from sys2ft.runs import Memo, item_seed

LEAST_RIGHT = 2
"""Samples with the news in context that have to be correct."""

_Answers = dict[tuple[str, str, str], Prediction]
"""By news item, question and condition; no news item has the same question twice."""


def check(
    model: LoadedModel, candidates: Sequence[Candidate], settings: ProbeSettings, seed: int, number: int, memo: Memo
) -> None:
    """Record the evidence of the candidates of round `number`, and the reason of those that fail."""

    def ask(how: EvaluateSettings, these: Sequence[Candidate], sample: int) -> _Answers:
        asked: dict[str, list[Candidate]] = {}
        for candidate in these:
            asked.setdefault(candidate.news.id, []).append(candidate)
        questions = {
            news_id: tuple(candidate.as_question(seed, model.source.name) for candidate in own)
            for news_id, own in asked.items()
        }
        rows = evaluate(
            model,
            [own[0].news.model_copy(update={"questions": questions[news_id]}) for news_id, own in asked.items()],
            how,
            subject=f"probe-{number}-{sample}",
            seed=item_seed(seed, "probe", "check", sample),
            memo=memo,
        )
        return {(row.news_id, questions[row.news_id][row.question].text, row.condition): row for row in rows}

    chosen = ask(EvaluateSettings(scorings=("cloze",)), candidates, 0)
    for candidate in candidates:
        _judge_choice(candidate, chosen, settings)
    # Sampling takes most of the time, so only candidates that passed the choice are sampled.
    left = [candidate for candidate in candidates if candidate.alive]
    free = EvaluateSettings(
        scorings=("direct",),
        headline="direct",
        free_text_temperature=settings.check_temperature,
        direct_tokens=settings.answer_tokens,
    )
    samples = [ask(free, left, sample) for sample in range(1, settings.samples + 1)]
    for candidate in left:
        _judge_samples(candidate, samples, settings)


def _judge_choice(candidate: Candidate, chosen: _Answers, settings: ProbeSettings) -> None:
    with_news, without = (chosen[_key(candidate, condition)] for condition in ("in_context", "closed_book"))
    share = _share(without, candidate.answer)
    candidate.evidence = {
        "chosen_in_context": with_news.said,
        "chosen_closed_book": without.said,
        "share_closed_book": round(share, 4),
    }
    if not with_news.correct:
        candidate.reason = "unsupported"
    elif without.correct and share > 1 / settings.choices + settings.chance_margin:
        candidate.reason = "known"


def _judge_samples(candidate: Candidate, samples: Sequence[_Answers], settings: ProbeSettings) -> None:
    right, known = (
        sum(bool(sample[_key(candidate, condition)].correct) for sample in samples)
        for condition in ("in_context", "closed_book")
    )
    candidate.evidence |= {"samples": len(samples), "right_in_context": right, "right_closed_book": known}
    if right < LEAST_RIGHT:
        candidate.reason = "unsupported"
    elif known > len(samples) / settings.choices:
        candidate.reason = "known"


def _key(candidate: Candidate, condition: str) -> tuple[str, str, str]:
    return candidate.news.id, candidate.question, condition


def _share(prediction: Prediction, answer: str) -> float:
    """The answer's probability among the choices, by the mean log-likelihood per token of each."""
    totals: dict[str, float] = prediction.detail["choices"]
    means = {choice: total / n for (choice, total), n in zip(totals.items(), prediction.detail["tokens"], strict=True)}
    top = max(means.values())
    weights = {choice: math.exp(mean - top) for choice, mean in means.items()}
    return weights[answer] / sum(weights.values())
