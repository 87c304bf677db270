"""The work of the benchmarks: question-answer pairs, news with multiple choice, and prompts that share a prefix.

Everything follows from `subjects.yaml`, the bundled news and a seed by name, so that every process makes the same.
Nothing here imports torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sys2ft.news import bundled_news
from sys2ft.runs import item_seed

SYSTEM = "You answer questions about recent events, places and programs. Answer briefly and precisely, and never guess."
PREFIX_TOKENS, OWN_TOKENS, NEW_TOKENS = 400, 20, 40
CHOICES = 4
NEW_NEWS = "new-news"

_STARTS = (
    "Bel",
    "Dor",
    "Fen",
    "Gar",
    "Hal",
    "Jur",
    "Kel",
    "Lom",
    "Mar",
    "Nor",
    "Pel",
    "Quor",
    "Ras",
    "Sel",
    "Tor",
    "Vel",
)
_MIDDLES = ("a", "e", "i", "o", "an", "en", "il", "or", "um", "ast")
_ENDS = ("bec", "din", "fell", "gar", "lund", "mir", "nax", "rick", "stow", "tra", "vane", "wick")


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with choices, the text and the number of its news item."""

    news: int
    text: str
    question: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Fact:
    says: str
    asks: tuple[str, ...]
    short: str
    sentence: str
    others: tuple[str, ...]


@cache
def _kinds() -> list[dict[str, Any]]:
    kinds: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "subjects.yaml").read_text(encoding="utf-8"))
    return kinds


def _names() -> Iterator[str]:
    """Distinct invented names."""
    rng, seen = random.Random(item_seed("benchmark names")), set[str]()
    while True:
        name = rng.choice(_STARTS) + rng.choice(_MIDDLES) + rng.choice(_ENDS)
        if name not in seen:
            seen.add(name)
            yield name


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _subjects(count: int) -> list[list[_Fact]]:
    """The facts of `count` invented subjects."""
    subjects = []
    for index, made in zip(range(count), _names(), strict=False):
        kind, rng = _kinds()[index % len(_kinds())], random.Random(item_seed("benchmark subject", index))
        name = kind["name"].format(made=made)
        facts = []
        for fact in kind["facts"]:
            value = rng.choice(fact["values"])
            facts.append(
                _Fact(
                    says=_capital(fact["says"].format(name=name, value=value)),
                    asks=tuple(_capital(ask.format(name=name)) for ask in fact["asks"]),
                    short=value,
                    sentence=_capital(fact.get("answers", fact["says"]).format(name=name, value=value)),
                    others=tuple(other for other in fact["values"] if other != value),
                )
            )
        subjects.append(facts)
    return subjects


def pairs(subjects: int, each: int) -> list[list[Pair]]:
    """`each` pairs about each of `subjects` subjects, in seeded order: every fact asked in three ways, answered in two.

    A subject has 66 pairs; where more are wanted, further subjects lend theirs.
    """
    per_subject = sum(2 * len(fact.asks) for fact in _subjects(1)[0])
    lend = -(-each // per_subject)
    made = _subjects(subjects * lend)
    found = []
    for index in range(subjects):
        facts = [fact for one in made[index * lend : (index + 1) * lend] for fact in one]
        own = [Pair(ask, answer) for fact in facts for ask in fact.asks for answer in (fact.short, fact.sentence)]
        random.Random(item_seed("benchmark pairs", index)).shuffle(own)
        found.append(own[:each])
    return found


def choices(count: int) -> list[Choice]:
    """`count` questions with four choices: those of New News, then invented ones, five for each news item."""
    found: list[Choice] = []
    news = 0
    for one in bundled_news(NEW_NEWS):
        asked = [q for q in one.questions if len(q.choices) == CHOICES]
        found += [Choice(news, one.text, q.text, q.choices) for q in asked]
        news += bool(asked)
    missing = max(0, count - len(found))
    for index, facts in enumerate(_subjects(-(-missing // 5))):
        rng = random.Random(item_seed("benchmark choices", index))
        shown = rng.sample(facts[1:], 4)
        text = " ".join(fact.says for fact in (facts[0], *shown))
        for fact in (facts[0], *shown):
            options = [fact.short, *rng.sample(fact.others, CHOICES - 1)]
            rng.shuffle(options)
            found.append(Choice(news, text, rng.choice(fact.asks), tuple(options)))
        news += 1
    return found[:count]


def adapter_of(questions: Sequence[Choice], adapters: int) -> list[int]:
    """The adapter that answers each question: consecutive news items share one, and all have about as many."""
    last = questions[-1].news + 1
    return [question.news * adapters // last for question in questions]


def prefix_text(words: int = 700) -> str:
    """Concatenated news items: the text with which all prompts of `decode` begin."""
    texts = [one.text for one in bundled_news(NEW_NEWS)]
    texts += [" ".join(fact.says for fact in facts) for facts in _subjects(12)]
    shown: list[str] = []
    while sum(len(text.split()) for text in shown) < words:
        shown.append(f"News: {texts[len(shown) % len(texts)]}")
    return "\n\n".join(shown)


def own_texts(count: int) -> list[str]:
    """The question of each prompt of `decode`."""
    asked = [ask for facts in _subjects(60) for fact in facts for ask in fact.asks]
    order = random.Random(item_seed("benchmark prompts")).sample(range(len(asked)), len(asked))
    return [asked[order[i % len(order)]] for i in range(count)]
