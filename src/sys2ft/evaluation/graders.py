"""Graders decide whether a free-text answer is correct, and why.

`exact` compares normalised text. `alias` also accepts the aliases, and an answer that occurs as whole words in a longer
text, unless the text also contains another choice. `number` compares the last number in the text, in digits or in
words; an alias alone is correct too. Other packages provide graders as entry points in the group 'sys2ft.graders'.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sys2ft.files import digest
from sys2ft.news import Question
from sys2ft.news.schema import grader_names
from sys2ft.plugins import GRADERS as GRADER_GROUP, broken_plugin, load_plugin

VERSION = 2
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BELOW_20 = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen""".split()  # noqa: SIM905 - a list of words reads best as text
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORTH = {word: n for n, word in enumerate(_BELOW_20)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}


def _words_for_numbers() -> re.Pattern[str]:
    """Numbers below a million in words: 'forty-two', 'a hundred and five', 'two thousand thirty-four'."""
    between = r"(?: +|[-\u2010])"
    # 'One hundred and two hundred' are two numbers.
    no_hundred, no_thousand = (rf"(?!{between}{scale}\b)" for scale in ("hundred", "thousand"))
    units, below_20, tens_alone = ("|".join(words) for words in (_BELOW_20[1:10], _BELOW_20, _TENS))
    tens = rf"(?:(?:{tens_alone})(?:{between}(?:{units})\b)?|{below_20})\b"
    hundreds = rf"(?:(?:a|{tens}){between}hundred\b(?:{between}(?:and +)?{tens}{no_hundred})?|{tens})"
    thousands = rf"(?:(?:a|{hundreds}){between}thousand\b(?:{between}(?:and +)?{hundreds}{no_thousand})?|{hundreds})"
    return re.compile(rf"\b{thousands}", re.IGNORECASE)


_NUMBER_IN_WORDS = _words_for_numbers()
_ANSWER = re.compile(r"(?:final answer|answer)\s*(?:is|:)\s*:?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict and its reason; `correct` is None if the answer could not be graded."""

    correct: bool | None
    why: str


def normalise(text: str) -> str:
    """The text in lower case and Unicode compatibility form, without articles, outer punctuation and extra space."""
    words = unicodedata.normalize("NFKC", text).casefold().replace("−", "-").replace("*", " * ").split()
    stripped = [word.strip(".,;:!?\"'`“”‘’()") or word for word in words]
    return " ".join(word for word in stripped if word and word not in _ARTICLES)


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order: in digits (with thousands separators), or below a million in words."""
    spelled = _NUMBER_IN_WORDS.sub(lambda m: str(_value(m.group())), unicodedata.normalize("NFKC", text))
    return [float(found.replace(",", "").replace("−", "-")) for found in _NUMBER.findall(spelled)]


def _value(words: str) -> int:
    """The value of a number in words matched by `_NUMBER_IN_WORDS`."""
    thousands = below = 0
    for word in re.findall("[a-z]+", words.casefold()):
        if word == "thousand":
            thousands, below = 1000 * (below or 1), 0
        elif word == "hundred":
            below = 100 * (below or 1)
        else:
            below += _WORTH.get(word, 0)  # 'and' and 'a' have no value
    return thousands + below


def exact(said: str, question: Question) -> Grade:
    """Correct if equal to the answer after normalisation."""
    same = normalise(said) == normalise(question.answer)
    return Grade(same, "equals the answer" if same else "differs from the answer")


def alias(said: str, question: Question) -> Grade:
    """Correct if the text equals the answer or an alias, or contains one as whole words and no other choice."""
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
    """Correct if the last number in the text equals the answer's, or the text is an alias."""
    expected = numbers(question.answer)
    if not expected:
        return Grade(None, f"the expected answer {question.answer!r} holds no number: cannot be judged")
    text, aliases = normalise(said), {normalise(other): other for other in question.aliases}
    if text and text in aliases:
        return Grade(True, f"equals {aliases[text]!r}")
    found = numbers(said)
    if not found:
        return Grade(False, "no number was said")
    same = abs(found[-1] - expected[-1]) <= 1e-6 * max(1.0, abs(expected[-1]))
    return Grade(same, f"the last number said is {found[-1]:g}, expected was {expected[-1]:g}")


Grader = Callable[[str, Question], Grade]
"""(answer text, question) -> grade."""

GRADERS: dict[str, Grader] = {"exact": exact, "alias": alias, "number": number}


@lru_cache(maxsize=64)
def grader(name: str) -> Grader:
    """The grader called `name`: a bundled one, or an entry point in the group 'sys2ft.graders'.

    Raises SettingsError if there is none.
    """
    if name in GRADERS:
        return GRADERS[name]
    loaded: Grader = load_plugin(GRADER_GROUP, name, flag="the news file", known=grader_names())
    return loaded


def grade(said: str, question: Question) -> Grade:
    """Grade the answer `said` with the question's grader. Raises SettingsError if another package's grader fails."""
    name = question.grader
    if name in GRADERS:
        return GRADERS[name](said, question)
    chosen = grader(name)
    try:
        verdict = chosen(said, question)
        if not isinstance(verdict, Grade):
            raise TypeError(f"it returned {verdict!r} and not a Grade")
    except Exception as error:  # another package's code may raise anything
        raise broken_plugin(GRADER_GROUP, name, f"grading {said!r} for {question.text!r}", error) from error
    return verdict


def identity() -> str:
    """A digest of the version of the graders, for the keys of stored grades."""
    return digest([VERSION])


def final_answer(text: str) -> tuple[str, bool]:
    """The final answer of a step-by-step text, and whether it was marked as such; if not, it is the last line."""
    marked = [found.group(1).strip() for found in _ANSWER.finditer(text)]
    if marked and marked[-1]:
        return marked[-1].strip("*` "), True
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[-1] if lines else ""), False


def _contains(text: str, phrase: str) -> bool:
    return bool(phrase) and re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text) is not None


def _without(text: str, phrases: dict[str, str]) -> str:
    # An answer may contain a wrong choice ('[5, 9]' contains '5'): naming the answer does not name that choice.
    for phrase in sorted(phrases, key=len, reverse=True):
        if phrase:
            text = re.sub(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", " ", text)
    return text
