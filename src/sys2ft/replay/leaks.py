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
    by_id = {item.id: item for item in news}
    found = []
    for element in elements:
        learnt = element.status == "kept"
        if (learnt or element.reason == "leaked") and (item := by_id.get(element.news_id)):
            for number, how in _matches(element, item):
                found.append(Leak(element=element.id, news_id=item.id, question=number, how=how, learnt=learnt))
    return found


def require_unleaked(elements: Iterable[ReplayElement], news: Sequence[News]) -> None:
    """Raise NewsError if an element that would be trained on is an evaluation question of its news item.

    `generate` makes no such element, so this one was written or changed elsewhere.
    """
    for leak in leaks(elements, news):
        if leak.learnt and leak.how == "verbatim":
            item = next(item for item in news if item.id == leak.news_id)
            raise NewsError(
                f"the replay element {leak.element} asks question {leak.question + 1} of the news item {item.id!r} "
                f"word for word: {item.questions[leak.question].text!r}",
                expected="elements that differ from the questions by which knowledge is measured",
                fix="remove the element, or generate the elements again in a new folder",
            )


def questions_of(news: News) -> Mapping[str, int]:
    """The evaluation questions of a news item as words (`filters.normal`), with their numbers."""
    return {normal(form): number for number, form in reversed(_forms(news))}


def _matches(element: ReplayElement, news: News) -> Iterator[tuple[int, How]]:
    """Each question that an element matches, with the closest way in which it does."""
    prompt = element.prompt[-1]["content"]
    code = language_of(news.text).code
    asked, whole = Phrased(prompt, code), _runs(f"{prompt}\n{element.completion}")
    best: dict[int, How] = {}
    for number, form in _forms(news):
        if best.get(number) == "verbatim":
            continue
        if normal(prompt) == normal(form):
            best[number] = "verbatim"
        elif _share(_runs(form), whole) >= CONTAINED:
            best[number] = "contained"
        elif number not in best and _close(asked, Phrased(form, code)):
            best[number] = "close"
    yield from best.items()


def _close(prompt: Phrased, question: Phrased) -> bool:
    named = content_words(question.text, question.code) <= content_words(prompt.text, prompt.code)
    return prompt.numbers == question.numbers and prompt.alike(question) >= (NEAR if named else CLOSE)


def _forms(news: News) -> list[tuple[int, str]]:
    """Every question, as it is asked and as the control 'rephrased' asks it, with its number."""
    return [
        (number, form)
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
