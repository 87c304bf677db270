"""Checking candidates: each is asked as evaluation will ask it, with the news in context.

The model has to pick the answer among the choices; then answers are sampled, of which at least two have to be correct.
It is never asked without the news here. Questions kept because the model fails them closed book would make its
accuracy zero by construction, and any later change a gain, even for a model that guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.evaluation import EvaluateSettings, Prediction, Questions, evaluate
from sys2ft.models import LoadedModel
from sys2ft.probing.candidates import Candidate
from sys2ft.probing.settings import ProbeSettings
from sys2ft.runs import Memo, item_seed

LEAST_RIGHT = 2
"""Samples with the news in context that have to be correct."""

_Answers = dict[tuple[str, str], Prediction]
"""By news item and question; no news item has the same question twice."""


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
            probe=Questions(how, conditions=("in_context",)),
            seed=item_seed(seed, "probe", "check", sample),
            memo=memo,
        )
        return {(row.news_id, questions[row.news_id][row.question].text): row for row in rows}

    chosen = ask(EvaluateSettings(scorings=("cloze",)), candidates, 0)
    for candidate in candidates:
        _judge_choice(candidate, chosen)
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
        _judge_samples(candidate, samples)


def _judge_choice(candidate: Candidate, chosen: _Answers) -> None:
    answer = chosen[_key(candidate)]
    candidate.evidence = {"chosen_in_context": answer.said}
    if not answer.correct:
        candidate.reason = "unsupported"


def _judge_samples(candidate: Candidate, samples: Sequence[_Answers]) -> None:
    right = sum(bool(sample[_key(candidate)].correct) for sample in samples)
    candidate.evidence |= {"samples": len(samples), "right_in_context": right}
    if right < LEAST_RIGHT:
        candidate.reason = "unsupported"


def _key(candidate: Candidate) -> tuple[str, str]:
    return candidate.news.id, candidate.question
