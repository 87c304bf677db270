"""Graders: whether a free text gives the expected answer, and why.

`exact` compares normalised text. `alias` also takes the answer's other wordings, and an answer that stands in a longer
text as whole words, unless another of the choices stands there too. `number` compares the last number said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from sys2ft.errors import SettingsError
from sys2ft.news import Question

_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty""".split()  # noqa: SIM905 - a list of words reads best as text
    )
}
_ANSWER = re.compile(r"(?:final answer|answer)\s*(?:is|:)\s*:?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict and its reason; `correct` None: could not be judged."""

    correct: bool | None
    why: str


def normalise(text: str) -> str:
    """Lower case, Unicode compatibility form, without articles, outer punctuation and extra space."""
    words = unicodedata.normalize("NFKC", text).casefold().replace("−", "-").replace("*", " * ").split()
    stripped = [word.strip(".,;:!?\"'`“”‘’()") or word for word in words]
    return " ".join(word for word in stripped if word and word not in _ARTICLES)


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order: digits (with thousands' commas), and the words zero to twenty."""
    spelled = re.sub(
        r"[A-Za-z]+",
        lambda m: str(_NUMBER_WORDS.get(m.group(0).casefold(), m.group(0))),
        unicodedata.normalize("NFKC", text),
    )
    return [float(found.replace(",", "").replace("−", "-")) for found in _NUMBER.findall(spelled)]


def exact(said: str, question: Question) -> Grade:
    """Equal to the answer after normalisation."""
    same = normalise(said) == normalise(question.answer)
    return Grade(same, "equals the answer" if same else "differs from the answer")


def alias(said: str, question: Question) -> Grade:
    """Equal to, or containing as whole words, the answer or one of its aliases, and no other choice."""
    text = normalise(said)
    if not text:
        return Grade(False, "nothing was said")
    accepted = {normalise(answer): answer for answer in (question.answer, *question.aliases)}
    if text in accepted:
        return Grade(True, f"equals {accepted[text]!r}")
    within = [answer for form, answer in accepted.items() if _contains(text, form)]
    others = [
        choice
        for choice in question.choices
        if normalise(choice) not in accepted and _contains(_without(text, accepted), normalise(choice))
    ]
    if within and not others:
        return Grade(True, f"contains {within[0]!r}")
    if within:
        return Grade(False, f"names {within[0]!r}, but the choice {others[0]!r} too")
    return Grade(False, f"names the choice {others[0]!r}" if others else "does not contain the answer")


def number(said: str, question: Question) -> Grade:
    """The last number said equals the answer's."""
    expected = numbers(question.answer)
    if not expected:
        return Grade(None, f"the expected answer {question.answer!r} holds no number: cannot be judged")
    found = numbers(said)
    if not found:
        return Grade(False, "no number was said")
    same = abs(found[-1] - expected[-1]) <= 1e-6 * max(1.0, abs(expected[-1]))
    return Grade(same, f"the last number said is {found[-1]:g}, expected was {expected[-1]:g}")


GRADERS: dict[str, Callable[[str, Question], Grade]] = {"exact": exact, "alias": alias, "number": number}


def grade(said: str, question: Question) -> Grade:
    """Grade `said` by the question's own grader."""
    if question.grader not in GRADERS:
        raise SettingsError(
            f"unknown grader {question.grader!r}", expected=f"one of {', '.join(GRADERS)}", do="correct the news file"
        )
    return GRADERS[question.grader](said, question)


def final_answer(text: str) -> tuple[str, bool]:
    """The final answer at the end of a reasoning, and whether it was marked as such (else the last line is taken)."""
    marked = [found.group(1).strip() for found in _ANSWER.finditer(text)]
    if marked and marked[-1]:
        return marked[-1].strip("*` "), True
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[-1] if lines else ""), False


def _contains(text: str, phrase: str) -> bool:
    return bool(phrase) and re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text) is not None


def _without(text: str, phrases: dict[str, str]) -> str:
    # A wrong choice that is part of the answer ('5' in '[5, 9]') is not named by naming the answer.
    for phrase in sorted(phrases, key=len, reverse=True):
        if phrase:
            text = re.sub(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", " ", text)
    return text
