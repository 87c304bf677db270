"""Gain: how much likelier the news item in context makes what an element says."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.settings import GenerateSettings


def asks(claim: Claim, seed: int) -> list[Pair]:
    """The completion after its prompt, with the news item in context and without it."""
    question = claim.question or claim.prompts.lines("cues")[0]
    return [Pair(messages=claim.asked(question, shown=shown), text=claim.said) for shown in (True, False)]


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """Mean log-likelihood with the news item, and how much more that is than without it (nats per token)."""
    shown, hidden = (row["total"] / row["tokens"] for row in rows)
    return {"support": round(shown, 5), "gain": round(shown - hidden, 5)}


def fails(scores: Scores, settings: GenerateSettings) -> bool:
    return bool(scores["support"] < settings.min_support or scores["gain"] <= settings.min_gain)


GAIN = Check(name="gain", reason="unsupported", by="likelihood", asks=asks, read=read, fails=fails)
