"""Entailment: the model judges whether the news item says what an element says.

It is asked for yes or no, with both orders of these words, and both words are scored: the mean over the orders cancels
a preference for the first or the last. A preference for one of the words, or for statements that sound true, is the
same without the news item in context, so the difference is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.settings import GenerateSettings


def asks(claim: Claim, seed: int) -> list[Pair]:
    """Yes and no in both orders, with the news item in context, then without it."""
    own = claim.prompts
    yes, no = own.lines("judge_labels")
    pairs = []
    for shown in (True, False):
        for first, second in ((yes, no), (no, yes)):
            about = {"said": claim.said, "question": claim.question, "first": first, "second": second}
            text = own.filled("judge_answer" if claim.question else "judge_statement", **about)
            pairs += [Pair(messages=claim.asked(text, shown=shown), text=label) for label in (yes, no)]
    return pairs


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """Log-odds of yes against no (nats), mean of both orders: with the news item, and minus those without it."""
    odds = [yes["total"] - no["total"] for yes, no in zip(rows[::2], rows[1::2], strict=True)]
    shown, hidden = sum(odds[:2]) / 2, sum(odds[2:]) / 2
    return {"entailed": round(shown, 5), "entailment": round(shown - hidden, 5)}


def fails(claim: Claim, scores: Scores, settings: GenerateSettings) -> bool:
    least = settings.min_answer_entailment if claim.question else settings.min_statement_entailment
    return bool(scores["entailment"] < least)


ENTAILMENT = Check(name="entailment", reason="contradicted", by="likelihood", asks=asks, read=read, fails=fails)
