"""A candidate for a probe, and the checks that need only its text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import regex

from sys2ft.languages import ENGLISH, language_of, union
from sys2ft.news import News, Question, Selection
from sys2ft.replay import filters
from sys2ft.replay.prompts import Template
from sys2ft.runs import item_seed
from sys2ft.text import find, names_within, numbers_within, words

REASONS: dict[str, str] = {
    "truncated": filters.REASONS["truncated"],
    "unparsed": "is no question, or no short answer",
    "refused": filters.REASONS["refused"],
    "copied": filters.REASONS["copied"],
    "off_topic": filters.REASONS["off_topic"],
    "refers": "refers to a text that is not shown when the question is asked",
    "given_away": "the answer is in the question",
    "repeat": "was asked before about the same news item",
    "few_choices": "fewer different wrong answers than wanted",
    "unsupported": "not answered correctly with the news in context: by choice, and in at least two samples",
    "surplus": filters.REASONS["surplus"],
}
"""Why a candidate is not kept."""

_MOST_TIMES_LONGER = 3


@dataclass(slots=True)
class Candidate:
    """A question about one news item, as far as its stages have filled it in."""

    news: News
    index: int
    given: str = ""
    """The answer that a question was to be written for; empty if the question came first."""
    language: str = ENGLISH
    """Code of the language that it is written in."""
    question: str = ""
    answer: str = ""
    wrong: list[str] = field(default_factory=list)
    reason: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    """What the model answered with the news in context."""

    @property
    def alive(self) -> bool:
        """Whether nothing has rejected it yet."""
        return self.reason is None

    def as_question(self, seed: int, made_by: str, selected: Selection | None = None) -> Question:
        """The probe, its choices in seeded order, marked with the model that wrote it and the one that selected it."""
        choices = [self.answer, *self.wrong]
        random.Random(item_seed(seed, "probe", "choices", self.news.id, self.index)).shuffle(choices)
        return Question(
            text=self.question, answer=self.answer, choices=tuple(choices), made_by=made_by, selected=selected
        )

    def to_dict(self) -> dict[str, Any]:
        """As one line of the folder's probes.jsonl."""
        return {
            "news_id": self.news.id,
            "number": self.index,
            "language": self.language,
            "question": self.question,
            "answer": self.answer,
            "wrong": self.wrong,
            "status": "kept" if self.alive else "rejected",
            "reason": self.reason,
            "evidence": self.evidence,
        }


def against_question(said: str, news: News, form: Template, code: str = ENGLISH) -> str | None:
    """The reason to reject a question by its text, or None."""
    shown = {filters.normal(line) for line in (*form.examples.splitlines(), *form.instructions)}
    names = filters.example_names(form.examples, code)
    if filters.refused(said):
        return "refused"
    if filters.normal(said) in shown or filters.names_of_example(said, names, news.text, code):
        return "copied"
    if union("references").search(said):
        return "refers"
    return "off_topic" if filters.names_nothing_of(said, news.text, code) else None


def against_answer(said: str, candidate: Candidate) -> str | None:
    """The reason to reject an answer by its text, or None."""
    if filters.refused(said) or union("references").search(said):
        return "refused"
    return "given_away" if _within(said, candidate.question) else None


def answer_spans(news: News, seed: int) -> list[str]:
    """Spans of the news item that can be an answer, shuffled: names and numbers, then words before punctuation.

    The word before a full stop or a comma mostly carries the point of its clause ("turns green when it touches salt.").
    In scripts without spaces these are Chinese characters before punctuation; where there are kana, runs of characters
    of one kind.
    """
    rng = random.Random(item_seed(seed, "probe", "spans", news.id))
    exact = [*_names(news.text), *numbers_within(news.text)]
    known = {word for span in exact for word in filters.content_words(span)}
    found = (_OF_ONE_KIND if _KANA.search(news.text) else _BEFORE_PUNCTUATION).findall(news.text)
    plain = [word for word in dict.fromkeys(found) if filters.content_words(word) - known]
    rng.shuffle(exact)
    rng.shuffle(plain)
    return [*exact, *plain]


_BEFORE_PUNCTUATION = regex.compile(
    r"(?<![\w-])(?:\p{Ll}{4,}|[\p{Arabic}\p{Hebrew}\p{Devanagari}\p{M}]{3,})(?=[.,;:!?،؛؟।])|\p{Han}{2}(?=[，。；：！？、])"
)
_KANA = regex.compile(r"\p{Hiragana}")
_OF_ONE_KIND = regex.compile(r"[\p{Katakana}ー]{2,}|\p{Han}{2,}")


def alike_in(candidate: Candidate, seed: int) -> list[str]:
    """Alternatives of the answer's kind: other names of the news item, or other numbers, in seeded order.

    For a number they are the other numbers of the news item, then close ones; the words around it are kept.
    """
    text, answer = candidate.news.text, candidate.answer
    rng = random.Random(item_seed(seed, "probe", "alike", candidate.news.id, candidate.index))
    if answer in _names(text):
        others = [name for name in _names(text) if name != answer]
        rng.shuffle(others)
        return others
    found = numbers_within(answer)
    if len(found) != 1:
        return []
    value = found[0]
    others = [number for number in numbers_within(text) if number != value]
    near = [str(int(value) + step) for step in (1, -1, 2, 3)] if value.isdigit() else []
    rng.shuffle(others)
    rng.shuffle(near)
    return [answer.replace(value, number) for number in (*others, *near) if not number.startswith("-")]


def _names(text: str) -> list[str]:
    return names_within(text, capitals=not language_of(text).has("capital nouns"))


def wrong_choices(said: Sequence[str], candidate: Candidate, wanted: int) -> list[str]:
    """Up to `wanted` wrong answers of the answer's kind and length, each different from the answer and the others."""
    taken: list[str] = []
    for one in said:
        others = (candidate.answer, *taken)
        alike = any(_within(one, other) or _within(other, one) for other in others)
        is_number = bool(regex.search(r"\d", candidate.answer)) == bool(regex.search(r"\d", one))
        length = max(len(candidate.answer), 8)
        if not alike and is_number and len(one) <= _MOST_TIMES_LONGER * length and not filters.refused(one):
            taken.append(one)
        if len(taken) == wanted:
            break
    return taken


def _within(part: str, whole: str) -> bool:
    """Whether `whole` contains `part` as whole words, or `part` has no words."""
    sought = words(part)
    return not sought or find(sought, words(whole)) is not None
