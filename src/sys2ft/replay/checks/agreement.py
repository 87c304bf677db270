"""Agreement: a second answer to an element's question, with the news item in context, says what the first says."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Request
from sys2ft.languages import ENGLISH
from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.filters import content_words
from sys2ft.replay.prompts import template
from sys2ft.replay.settings import GenerateSettings
from sys2ft.runs import item_seed
from sys2ft.text import asks as is_question, numbers_within, words


def asks(claim: Claim, seed: int) -> list[Request]:
    """The question, as the second stage of Self-QA asks it."""
    messages = template("self_qa_answer", claim.prompts.code).messages(
        claim.index, news=claim.news.text, ask=claim.question
    )
    own = item_seed(seed, "agreement", claim.name)
    return [Request(messages=tuple(messages), seed=own, group=claim.news.id)]


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """How much of the shorter answer the longer one has, from 0 to 1."""
    second = rows[0]["text"].strip().split("\n", 1)[0]
    return {"agreement": round(agreement(claim.said, second, claim.question, claim.code), 5)}


def agreement(one: str, other: str, question: str = "", code: str = ENGLISH) -> float:
    """The share of the content words of the answer with fewer of them that the other answer has.

    Words of the question do not count unless an answer has no others. Answers whose last numbers differ share nothing.
    """
    last = [numbers_within(text)[-1:] for text in (one, other)]
    if all(last) and last[0] != last[1]:
        return 0.0
    asked = content_words(question, code)
    first, second = (_said(text, asked, code) for text in (one, other))
    if not first or not second:
        return float(first == second)
    return len(first & second) / min(len(first), len(second))


def _said(text: str, asked: frozenset[str], code: str) -> frozenset[str]:
    content = content_words(text, code) | frozenset(numbers_within(text))
    return content - asked or content or frozenset(words(text))


def fails(claim: Claim, scores: Scores, settings: GenerateSettings) -> bool:
    return bool(scores["agreement"] < settings.min_agreement)


AGREEMENT = Check(
    name="agreement",
    reason="disagrees",
    by="reply",
    applies=lambda claim: is_question(claim.question),
    asks=asks,
    read=read,
    fails=fails,
)
