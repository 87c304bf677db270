"""Spans of a news item that say something: its names, its numbers, and its other content words."""

from __future__ import annotations

from functools import lru_cache

import regex

from sys2ft.languages import ENGLISH, language
from sys2ft.news import News
from sys2ft.replay.filters import content_words
from sys2ft.replay.subject import subject_of
from sys2ft.text import find, names_within, numbers_within, pieces, sentences, words

_WORD = regex.compile(r"[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}'’-]*[\p{L}\p{M}\p{N}])?")


def spans_of(news: News, code: str = ENGLISH) -> tuple[str, ...]:
    """Spans of the text, in order of importance: names, numbers, then words that say something, each one time."""
    return _spans(news.text, code)


def names_of(news: News, code: str = ENGLISH) -> tuple[str, ...]:
    """What the news item names: its subject, and other names."""
    subject = subject_of(news, code)
    capitals = not language(code).has("capital nouns")
    others = [name for name in names_within(news.text, capitals=capitals) if find(words(name), words(subject)) is None]
    return tuple(dict.fromkeys([subject, *others]))


@lru_cache(maxsize=4096)
def _spans(text: str, code: str) -> tuple[str, ...]:
    capitals = not language(code).has("capital nouns")
    said = content_words(text, code)
    others = []
    for bare in _WORD.findall(text):
        if len(bare) > 1 and any(piece in said or piece.removesuffix("s") in said for piece in pieces(bare)):
            others.append(bare)
    if not any(len(part) <= 12 for part in others):
        others = []  # a script without spaces
    found = [*names_within(text, capitals=capitals), *numbers_within(text), *others]
    return tuple(dict.fromkeys(span for span in found if span != text))


def statements_of(news: News, code: str = ENGLISH) -> list[tuple[str, int, int]]:
    """Sentences of the text with the place of a span in them, one for each span and sentence; ordered by span."""
    found = []
    for span in spans_of(news, code):
        for sentence in sentences(news.text):
            at = _place(span, sentence)
            if at is not None and len(span) < len(sentence):
                found.append((sentence, at, at + len(span)))
    return found


def _place(span: str, sentence: str) -> int | None:
    """Where a span begins in a sentence, as whole words where words are separated by spaces."""
    at = sentence.find(span)
    while at >= 0:
        before, after = sentence[at - 1 : at], sentence[at + len(span) : at + len(span) + 1]
        if not (_joins(before, span[0]) or _joins(span[-1], after)):
            return at
        at = sentence.find(span, at + 1)
    return None


def _joins(one: str, two: str) -> bool:
    """Whether two characters belong to one word."""
    return bool(one and two) and one.isascii() and two.isascii() and one.isalnum() and two.isalnum()
