"""Gain: how likely the news item in context makes what an element says.

How likely a short answer is depends on its form, so it counts how much likelier it is than without the news item. A
statement is long enough to be judged by its likelihood alone; what it is without the news item makes that worse.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.settings import GenerateSettings


def asks(claim: Claim, seed: int) -> list[Pair]:
    """The completion after its prompt, with the news item in context; an answer also without it."""
    question = claim.question or claim.prompts.lines("cues")[0]
    shown = (True, False) if claim.question else (True,)
    return [Pair(messages=claim.asked(question, shown=one), text=claim.said) for one in shown]


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """Mean log-likelihood with the news item; of an answer, how much more that is than without it (nats per token)."""
    shown, *hidden = (row["total"] / row["tokens"] for row in rows)
    found = {"support": round(shown, 5)}
    return found | {"gain": round(shown - hidden[0], 5)} if hidden else found


def fails(claim: Claim, scores: Scores, settings: GenerateSettings) -> bool:
    if claim.question:
        return bool(scores["gain"] <= settings.min_gain)
    return bool(scores["support"] < settings.min_statement_support)


GAIN = Check(name="gain", reason="unsupported", by="likelihood", asks=asks, read=read, fails=fails)
