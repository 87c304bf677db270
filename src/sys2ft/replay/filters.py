"""Filters: what makes a generated text unusable, judged by the text alone. Each reason is counted and reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sys2ft.news import Instruction, News, instructions_in
from sys2ft.replay.prompts import Template

Reason = str
"""Why a sample is rejected: one of REASONS, or a word that another package's filter returns."""

REASONS: dict[Reason, str] = {
    "truncated": "did not end within its token budget",
    "unparsed": "does not have the form that was asked for",
    "empty": "says nothing",
    "refused": "the model refused, or spoke about itself",
    "off_topic": "names nothing of the news item",
    "copied": "repeats the prompt's instruction, or names something from its examples",
    "invented": "restates the news item with names or numbers that it does not have",
    "repeat": "was generated before for the same news item",
    "unsupported": "the answer is not made likelier by the news in context, or is unlikely even with it",
    "surplus": "more samples passed than were wanted",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a stage said, after its parser, for filters to judge."""

    text: str
    news: News
    template: Template
    """The stage's prompt template."""
    index: int = 0
    """Number of the sample within its news item."""
    earlier: Mapping[str, str] = field(default_factory=dict)
    """What the stages before it said, by stage name."""


Filter = Callable[[Said], Reason | None]
"""The reason to reject what a stage said, or None."""


def refusal(said: Said) -> Reason | None:
    """Rejects refusals, and texts in which the model speaks about itself."""
    return "refused" if refused(said.text) else None


def copied_line(said: Said) -> Reason | None:
    """Rejects texts that are a line of the prompt's examples, or one of its instructions."""
    shown = {normal(line) for line in (*said.template.examples.splitlines(), *said.template.instructions)}
    return "copied" if normal(said.text) in shown else None


def copied_name(said: Said) -> Reason | None:
    """Rejects texts with a name from the prompt's examples that the news item does not have."""
    names = example_names(said.template.examples)
    return "copied" if names_of_example(said.text, names, said.news.text) else None


def off_topic(said: Said) -> Reason | None:
    """Rejects texts that share no content word with the news item."""
    return "off_topic" if names_nothing_of(said.text, said.news.text) else None


def invention(said: Said) -> Reason | None:
    """Rejects restatements with names or numbers that the news item does not have."""
    return "invented" if invents(said.text, said.news.text) else None


_REFUSAL = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b|\bI (?:cannot|can't|can not|don't know|do not know)\b"
    r"|\bas an? (?:AI|artificial|language model|assistant)\b|\bthe news (?:does not|doesn't) (?:say|mention|provide)\b"
    r"|\bnot (?:mentioned|specified|provided|stated) in the (?:news|text|passage)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9À-ɏ_]+(?:[-'’.][A-Za-z0-9À-ɏ_]+)*")
_COMMON = frozenset(
    """a about above after again all also an and any are as ask asks at be because been before being below between both
    but by can could did do does doing down during each few first for from further get give had has have having he her
    here him his how i if in into is it its just kind last latest let made make makes many may me might more most must
    my name named new news no nor not now number of off on one only or other our out over own per question said same
    say says she should so some such tell than that the their them then there these they thing things this those three
    through to too two under until up us use used uses using very was we were what when where which while who whom why
    will with word words would year years you your""".split()  # noqa: SIM905 - a list of words reads best as text
)


def withheld(news: Sequence[News]) -> dict[str, Instruction]:
    """News items with instruction-like text, by id, each with its first match. Such text may hijack generation."""
    return {item.id: found[0] for item in news if (found := instructions_in(item.text))}


def normal(text: str) -> str:
    """Text for comparison: lower case, words only."""
    return " ".join(word.casefold() for word in _WORD.findall(text))


def content_words(text: str) -> set[str]:
    """The words of `text` except common ones, lower case, plural s removed."""
    words = {word.casefold() for word in _WORD.findall(text)} - _COMMON
    return {word[:-1] if len(word) > 4 and word.endswith("s") else word for word in words if len(word) > 1}


def refused(text: str) -> bool:
    """Whether the text is a refusal, or the model speaking about itself."""
    return bool(_REFUSAL.search(text))


def names_nothing_of(text: str, news: str) -> bool:
    """Whether `text` shares no content word with `news`."""
    return not content_words(text) & content_words(news)


def example_names(examples: str) -> set[str]:
    """Names in a prompt's examples: words capitalised within a sentence, returned in lower case."""
    return {word.casefold() for word in re.findall(r"(?<=[a-z,] )[A-Z][A-Za-z]+", examples)} - _COMMON


def names_of_example(text: str, names: set[str], news: str) -> bool:
    """Whether `text` has one of the examples' `names` that `news` does not have."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return bool(words & names - {word.casefold() for word in _WORD.findall(news)})


def invents(text: str, news: str) -> bool:
    """Whether a restatement has numbers, or names within a sentence, that `news` does not have."""
    known = {word.casefold() for word in _WORD.findall(news)}
    numbers = set(re.findall(r"\d+", text)) - set(re.findall(r"\d+", news))
    names = {name.casefold().removesuffix("'s") for name in re.findall(r"(?<=[a-z,] )[A-Z][\w'-]*", text)} - {"i"}
    return bool(numbers or names - known)
