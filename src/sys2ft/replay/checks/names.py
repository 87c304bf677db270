"""Names: names, numbers and words of an element are in its news item, or follow from a calculation that it writes out.

A question may bring numbers of its own, as an example; a name in it has to be the news item's.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.filters import content_words, unknown_names, unknown_numbers
from sys2ft.replay.settings import GenerateSettings


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """The names and numbers that are nowhere to be had from, and the share of content words that the news item has."""
    numbers = unknown_numbers(claim.said, f"{claim.news.text} {claim.question}", claim.code)
    own = f"{claim.question} {claim.said}"
    names = [] if claim.brings_names else unknown_names(own, claim.news.text, claim.code)
    said = content_words(own, claim.code)
    shared = len(said & content_words(claim.news.text, claim.code)) / len(said) if said else 0.0
    return {"unknown": [*names, *numbers], "words": round(shared, 5)}


def fails(claim: Claim, scores: Scores, settings: GenerateSettings) -> bool:
    return bool(scores["unknown"] or scores["words"] < settings.min_words)


NAMES = Check(name="names", reason="invented", by="text", read=read, fails=fails)
