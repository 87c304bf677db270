"""What makes a generated element unusable, told from its text alone. Each reason is counted and shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from sys2ft.news import Instruction, News, instructions_in

Reason = Literal[
    "truncated", "unparsed", "empty", "refused", "off_topic", "copied", "invented", "repeat", "unsupported", "surplus"
]

REASONS: dict[Reason, str] = {
    "truncated": "did not end within the room it had",
    "unparsed": "does not have the form that was asked for",
    "empty": "says nothing",
    "refused": "the model refused, or spoke about itself",
    "off_topic": "names nothing of the news",
    "copied": "repeats the prompt's instruction, or speaks of its examples",
    "invented": "restates the news with names or numbers that it does not have",
    "repeat": "was generated before for the same news",
    "unsupported": "the answer is not made likelier by the news in context, or is unlikely even with it",
    "surplus": "was not needed any more",
}

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
    """News that hold instruction-like text, by id, each with the first of it: such text may take generation over."""
    return {item.id: found[0] for item in news if (found := instructions_in(item.text))}


def normal(text: str) -> str:
    """Text for comparison: lower case, words only."""
    return " ".join(word.casefold() for word in _WORD.findall(text))


def content_words(text: str) -> set[str]:
    """The words of `text` that carry meaning, lower case, plural s removed."""
    words = {word.casefold() for word in _WORD.findall(text)} - _COMMON
    return {word[:-1] if len(word) > 4 and word.endswith("s") else word for word in words if len(word) > 1}


def refused(text: str) -> bool:
    """Whether the text is a refusal, or the model speaking about itself."""
    return bool(_REFUSAL.search(text))


def names_nothing_of(text: str, news: str) -> bool:
    """Whether `text` shares no content word with `news`."""
    return not content_words(text) & content_words(news)


def example_names(examples: str) -> set[str]:
    """Names in a prompt's examples: words that are capitalised within a sentence, lower case."""
    return {word.casefold() for word in re.findall(r"(?<=[a-z,] )[A-Z][A-Za-z]+", examples)} - _COMMON


def names_of_example(text: str, names: set[str], news: str) -> bool:
    """Whether `text` names somebody or something of the prompt's examples that the news does not name."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return bool(words & names - {word.casefold() for word in _WORD.findall(news)})


def invents(text: str, news: str) -> bool:
    """Whether a restatement brings numbers, or names within a sentence, that the news does not have."""
    known = {word.casefold() for word in _WORD.findall(news)}
    numbers = set(re.findall(r"\d+", text)) - set(re.findall(r"\d+", news))
    names = {name.casefold().removesuffix("'s") for name in re.findall(r"(?<=[a-z,] )[A-Z][\w'-]*", text)} - {"i"}
    return bool(numbers or names - known)
