"""Leak guard: which replay elements ask what the evaluation asks.

A model that generates from a news item may hit on a question that the news file asks too. What is then measured is the
memory of that question, not knowledge of the news item. An element whose prompt is an evaluation question word for word
is never learnt; elements that come close to one are learnt and listed, so that accuracy can also be given without the
questions that they come close to.

Only the words of the questions are compared, in the form in which they are asked and in that of the control
'rephrased'. Answers and choices are not looked at: they must decide nothing before evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sys2ft.errors import NewsError
from sys2ft.languages import language_of
from sys2ft.news import News
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.filters import content_words, normal
from sys2ft.replay.repeats import Phrased
from sys2ft.text import words

CLOSE = 0.6
"""Minimum similarity (`repeats.Phrased.alike`) of a prompt that comes close to a question with the same numbers ..."""
NEAR = 0.4
"""... or, if the prompt has all content words of the question too, this one. docs/replay-filters.md has the figures."""
CONTAINED = 0.9
"""Minimum share of a question's runs of words that occur in an element which contains it."""
RUN = 3
"""Number of words in a run."""

How = Literal["verbatim", "contained", "close"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A replay element that asks what an evaluation question asks."""

    element: str
    news_id: str
    question: int
    """Number of the question within its news item, from 0."""
    how: How
    """'verbatim': the prompt is the question. 'contained': prompt and completion together have its words in its order.
    'close': the prompt is nearly the question, or has all that it names, with the same numbers."""
    learnt: bool
    """Whether the element is trained on; one that is rejected is listed only if that is the reason."""


def leaks(elements: Iterable[ReplayElement], news: Sequence[News]) -> list[Leak]:
    """The leaks among elements that are kept, or rejected because they ask an evaluation question word for word."""
    asked = {item.id: _forms(item) for item in news}
    found = []
    for element in elements:
        learnt = element.status == "kept"
        if (learnt or element.reason == "leaked") and (forms := asked.get(element.news_id)):
            for number, how in _matches(element, forms):
                found.append(Leak(element=element.id, news_id=element.news_id, question=number, how=how, learnt=learnt))
    return found


def require_unleaked(elements: Iterable[ReplayElement], news: Sequence[News]) -> None:
    """Raise NewsError if an element that would be trained on is an evaluation question of its news item.

    `generate` makes no such element, so this one was written or changed elsewhere.
    """
    asked = {item.id: (item, questions_of(item)) for item in news}
    for element in elements:
        if element.status != "kept" or element.news_id not in asked:
            continue
        item, questions = asked[element.news_id]
        if (number := questions.get(normal(element.prompt[-1]["content"]))) is not None:
            raise NewsError(
                f"the replay element {element.id} asks question {number + 1} of the news item {item.id!r} "
                f"word for word: {item.questions[number].text!r}",
                expected="elements that differ from the questions by which knowledge is measured",
                fix="remove the element, or generate the elements again in a new folder",
            )


def questions_of(news: News) -> Mapping[str, int]:
    """The evaluation questions of a news item as words (`filters.normal`), with their numbers."""
    return {form.normal: form.number for form in reversed(_forms(news))}


def _matches(element: ReplayElement, forms: Sequence[_Form]) -> Iterator[tuple[int, How]]:
    """Each question that an element matches, with the closest way in which it does."""
    prompt = element.prompt[-1]["content"]
    asked, whole = Phrased(prompt, forms[0].phrased.code), _runs(f"{prompt}\n{element.completion}")
    same = normal(prompt)
    best: dict[int, How] = {}
    for form in forms:
        if best.get(form.number) == "verbatim":
            continue
        if same == form.normal:
            best[form.number] = "verbatim"
        elif _share(form.runs, whole) >= CONTAINED:
            best[form.number] = "contained"
        elif form.number not in best and _close(asked, form.phrased):
            best[form.number] = "close"
    yield from best.items()


def _close(prompt: Phrased, question: Phrased) -> bool:
    named = content_words(question.text, question.code) <= content_words(prompt.text, prompt.code)
    return prompt.numbers == question.numbers and prompt.alike(question) >= (NEAR if named else CLOSE)


@dataclass(frozen=True, slots=True)
class _Form:
    """A question as it is asked, or as the control 'rephrased' asks it; prepared for many comparisons."""

    number: int
    normal: str
    runs: frozenset[tuple[str, ...]]
    phrased: Phrased


def _forms(news: News) -> list[_Form]:
    """The forms of every question of a news item."""
    code = language_of(news.text).code
    return [
        _Form(number, normal(form), _runs(form), Phrased(form, code))
        for number, question in enumerate(news.questions)
        for form in (question.text, question.rephrased)
        if form
    ]


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    """Runs of consecutive words; all words together if there are fewer."""
    said = words(text)
    return frozenset(tuple(said[start : start + RUN]) for start in range(max(1, len(said) - RUN + 1)))


def _share(part: frozenset[tuple[str, ...]], whole: frozenset[tuple[str, ...]]) -> float:
    return len(part & whole) / len(part)
