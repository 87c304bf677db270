"""Cues in the texts of a set of news items by which a choice can be picked without knowledge of the item.

Repeated texts and answers that appear in another news item are found too. A *cue* is a number for each choice of a
question, or None if it does not apply; its baseline takes the choice with the largest value. In a tie each choice
counts by its share, so that an uninformative cue scores exactly at chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sys2ft.news.checks import near_pairs, stands_in
from sys2ft.news.schema import Cloze, News, Question
from sys2ft.text import pieces, words

Item = tuple[str, int]
"""A question: the id of its news item and its index among the item's questions."""

TELLING = 0.1
"""A word is telling if it appears in less than this share of the news items, or in only one."""
MOST = 0.5
"""Another news item concerns a question if it has at least this share of the question's telling words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Two places of which one repeats the other or gives its answer away."""

    what: str
    """'same news', 'same question' or 'answer in another news'."""
    where: tuple[str, str]
    """The two places, such as a question and a news item."""
    text: str
    """The answer, or the repeated text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """Results of the text audit."""

    right: Mapping[str, Mapping[Item, float]]
    """For each cue, the score of its baseline on every question that it applies to."""
    chances: Mapping[Item, float]
    """The chance level of each question with choices."""
    found: tuple[Found, ...]


def surface(news: Sequence[News]) -> Surface:
    """Baselines of all `CUES` on the questions that have choices, and repeated texts and answers given away."""
    asked = {(one.id, i): q for one in news for i, q in enumerate(one.questions) if q.choices}
    width = max((len(question.choices) for question in asked.values()), default=0)
    cues = {**CUES, **{f"at place {place + 1}": _at_place(place) for place in range(width)}}
    return Surface(
        right={name: _right(cue, asked) for name, cue in cues.items()},
        chances={item: 1 / len(question.choices) for item, question in asked.items()},
        found=(*_repeated(news), *_betrayed(news)),
    )


Cue = Callable[[Question, str], "float | None"]


def _right(cue: Cue, asked: Mapping[Item, Question]) -> dict[Item, float]:
    """1 if the cue is largest for the answer alone, its share of a tie for the largest, else 0."""
    right = {}
    for item, question in asked.items():
        values = {choice: cue(question, choice) for choice in question.choices}
        known = [value for value in values.values() if value is not None]
        if len(known) == len(values):
            best = [choice for choice, value in values.items() if value == max(known)]
            right[item] = (question.answer in best) / len(best)
    return right


def _shared(a: str, b: str) -> int:
    return len(set(pieces(a)) & set(pieces(b)))


def _at_place(place: int) -> Cue:
    return lambda question, choice: (
        float(question.choices.index(choice) == place) if place < len(question.choices) else None
    )


def _rank(question: Question, choice: str) -> int | None:
    """How many of a question's choices are smaller numbers; None if the choices are not all whole numbers."""
    if not all(other.isdecimal() for other in question.choices):
        return None
    return sum(int(other) < int(choice) for other in question.choices)


def _in_the_middle(question: Question, choice: str) -> float | None:
    rank = _rank(question, choice)
    return None if rank is None else float(0 < rank < len(question.choices) - 1)


def _small(question: Question, choice: str) -> float | None:
    rank = _rank(question, choice)
    return None if rank is None else -rank


def _round(question: Question, choice: str) -> float | None:
    return None if _rank(question, choice) is None else float(int(choice) % 10 == 0)


CUES: dict[str, Cue] = {
    "longest": lambda question, choice: len(choice),
    "shortest": lambda question, choice: -len(choice),
    "likest to the question": lambda question, choice: _shared(question.text, choice),
    "least like the question": lambda question, choice: -_shared(question.text, choice),
    "likest to the others": lambda question, choice: sum(_shared(choice, other) for other in question.choices),
    "first in the alphabet": lambda question, choice: -sorted(question.choices).index(choice),
    "the smallest number": _small,
    "the largest number": _rank,
    "a number in the middle": _in_the_middle,
    "a round number": _round,
}


def _texts_asked(one: News) -> list[tuple[str, Question | Cloze]]:
    """All questions of a news item by place, except rephrasings, which repeat on purpose."""
    asked: list[tuple[str, Question | Cloze]] = [
        (f"{one.id}, question {i}", question) for i, question in enumerate(one.questions, start=1)
    ]
    if one.cloze:
        asked.append((f"{one.id}, cloze", one.cloze))
    return asked + [(f"{one.id}, neighbour {i}", question) for i, question in enumerate(one.neighbours, start=1)]


def _repeated(news: Sequence[News]) -> list[Found]:
    found = [
        Found(what="same news", where=(news[i].id, news[j].id), text=news[j].text)
        for i, j in near_pairs([one.text for one in news])
    ]
    asked = [(place, question.text) for one in news for place, question in _texts_asked(one)]
    return found + [
        Found(what="same question", where=(asked[i][0], asked[j][0]), text=asked[j][1])
        for i, j in near_pairs([text for _, text in asked])
    ]


def _betrayed(news: Sequence[News]) -> list[Found]:
    """Answers that appear in another news item that concerns the question."""
    holders: dict[str, set[int]] = defaultdict(set)
    for place, one in enumerate(news):
        for word in pieces(one.text):
            holders[word].add(place)
    found = []
    for place, one in enumerate(news):
        for i, question in enumerate(one.questions, start=1):
            telling = {word for word in pieces(question.text) if len(holders[word]) <= max(1, TELLING * len(news))}
            held = Counter(other for word in telling for other in holders[word] if other != place)
            for other, count in sorted(held.items()):
                if count >= MOST * len(telling) and stands_in(question.answer, words(news[other].text)):
                    where = (f"{one.id}, question {i}", news[other].id)
                    found.append(Found(what="answer in another news", where=where, text=question.answer))
    return found
