"""What a check judges, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sys2ft.generators import Pair, Request
from sys2ft.languages import ENGLISH, Language, language
from sys2ft.models import Message
from sys2ft.news import News
from sys2ft.replay.filters import Reason
from sys2ft.replay.settings import GenerateSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What an element says, and the news item that it is held against."""

    name: str
    """The element's id, part of seeds."""
    news: News
    question: str = ""
    """The prompt; empty where it is a cue, so that the completion is a statement."""
    said: str
    """The completion."""
    brings_names: bool = False
    """Whether it may have names that the news item does not have."""
    index: int = 0
    """Number of the sample within its news item."""
    code: str = ENGLISH
    """Code of the news item's language."""

    @property
    def prompts(self) -> Language:
        """The language in which a model is asked about the claim."""
        return language(self.code).prompts

    def asked(self, question: str, *, shown: bool) -> tuple[Message, ...]:
        """A question with the news item in context, or with a sentence in its place."""
        news = self.news.text if shown else self.prompts.text("no_news")
        return (Message("user", self.prompts.filled("ask_in_context", news=news, question=question)),)


Scores = dict[str, Any]
"""JSON data, stored with the element under `truth`."""
Row = Mapping[str, Any]
"""The result for one Pair (`total`, `tokens`) or Request (`text`, `finished`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One way to hold an element against its news item."""

    name: str
    """As in `--checks`."""
    reason: Reason
    """Why an element that fails is rejected."""
    by: Literal["text", "likelihood", "reply"]
    """What it needs: the text alone, log-likelihoods (of `Pair`s), or replies (to `Request`s)."""
    read: Callable[[Claim, Sequence[Row]], Scores]
    """The scores, from a row for each pair or request."""
    fails: Callable[[Claim, Scores, GenerateSettings], bool]
    """Whether the scores speak against the claim."""
    applies: Callable[[Claim], bool] = lambda claim: True
    asks: Callable[[Claim, int], Sequence[Pair | Request]] = lambda claim, seed: ()
    """The pairs or requests of a claim; the second argument is the seed of the run."""

    @property
    def function(self) -> str:
        """The function of its units."""
        return f"sys2ft.generators.work:{'loglik' if self.by == 'likelihood' else 'generate'}"
