"""Coverage: which facts of a news item its replay elements teach.

An element covers a fact if three things hold.

1. Prompt and completion together state it: its names and numbers as whole words, numbers in digits or in words, and at
   least half of its other content words, in any form. Of a term, one of these words must be said nowhere else in the
   text ('glows blue', 'glows red').
2. The completion carries it: at least one of these words is in the completion and not in the prompt. The loss is on the
   completion, and what the prompt gives is not learnt as an answer: a model that learns 'A is B' does not know that 'B
   is A' (Berglund et al., arXiv 2309.12288). So the question 'What does velquin do on salt?' with the answer 'It turns
   green' covers 'turns green' and the clause 'turns green on salt', but not 'salt'.
3. It is about the same thing: prompt or completion has another content word of the clause that states it.

Whether what an element says is true is judged elsewhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import regex

from sys2ft.languages import ENGLISH
from sys2ft.languages.spelled import in_digits
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.facts import Fact
from sys2ft.replay.filters import common_words, content_words, has_words
from sys2ft.text import UNSPACED, akin, fold, names_within, ungrouped, words

_NUMBER = regex.compile(r"\p{Nd}+(?:[.,:/]\p{Nd}+)*")
_ONE_SCRIPT = regex.compile(rf"[{UNSPACED}]+")


class Coverage:
    """Tells which facts of one news item an element covers."""

    def __init__(self, facts: Sequence[Fact], code: str = ENGLISH) -> None:
        self.facts, self.code = facts, code
        self._sought = _sought([_in_digits(fact, code) for fact in facts], code)

    def covered(self, prompt: str, completion: str) -> list[int]:
        """The places of the facts that an element with this prompt and completion covers."""
        texts = (ungrouped(in_digits(text, self.code)) for text in (prompt, completion, f"{prompt}\n{completion}"))
        asked, said, both = (_Said(text, self.code) for text in texts)
        return [place for place, one in enumerate(self._sought) if one.covered(asked, said, both)]

    def counts(self, elements: Iterable[ReplayElement]) -> list[int]:
        """How many of the kept elements cover each fact; all elements are of this news item."""
        found = [0] * len(self.facts)
        for element in elements:
            if element.status == "kept":
                prompt = "\n".join(turn["content"] for turn in element.prompt)
                for place in self.covered(prompt, element.completion):
                    found[place] += 1
        return found


def _in_digits(fact: Fact, code: str) -> Fact:
    """The fact with its numbers in digits, as the texts that it is compared with."""
    text, clause, sentence = (ungrouped(in_digits(one, code)) for one in (fact.text, fact.clause, fact.sentence))
    return replace(fact, text=text, clause=clause, sentence=sentence)


class _Said:
    """A text, prepared for many comparisons. Its numbers are in digits."""

    def __init__(self, text: str, code: str) -> None:
        self.code, self.folded, self.words = code, fold(text), words(text)
        self.content = content_words(text, code) | {word for word in self.words if not _ONE_SCRIPT.fullmatch(word)}

    def has(self, word: str) -> bool:
        """Whether it has a content word, in any form."""
        return word in self.content or any(_akin(word, other) for other in self.content)

    def states(self, text: str) -> bool:
        """Whether it has a name, number or expression as it is."""
        sought = words(text)
        return has_words(self.words, sought, self.code) if sought else fold(text) in self.folded


@dataclass(frozen=True, slots=True)
class _Sought:
    """What an element must say to cover a fact."""

    exact: tuple[str, ...]
    """Names, numbers and expressions."""
    content: tuple[str, ...]
    distinct: tuple[str, ...]
    """Of the content words, those that the text has nowhere else; () of a statement."""
    context: tuple[str, ...]

    def covered(self, asked: _Said, said: _Said, both: _Said) -> bool:
        """Whether the element states the fact, carries it in its completion, and is about the same thing."""
        found = [word for word in self.content if both.has(word)]
        if not all(map(both.states, self.exact)) or len(found) < math.ceil(len(self.content) / 2):
            return False
        if self.distinct and not self.exact and not set(found) & set(self.distinct):
            return False
        carried = any(said.states(one) and not asked.states(one) for one in self.exact) or any(
            said.has(word) and not asked.has(word) for word in found
        )
        return carried and (not self.context or any(map(both.has, self.context)))


def _sought(facts: Sequence[Fact], code: str) -> list[_Sought]:
    spans = [fact for fact in facts if fact.answer]
    often = Counter(word for fact in spans for word in content_words(fact.text, code))
    names = [fact.text for fact in spans if fact.kind == "name"]
    found = []
    for fact in facts:
        exact = _exact(fact, names)
        taken = {word for one in exact for word in content_words(one, code)}
        content = sorted(content_words(fact.text, code) - taken)
        if not exact and not content:
            exact = (fact.text,)
        own = {*content, *taken, *words(" ".join(exact))}
        # A short clause may say nothing else: then its sentence is the context.
        context = (_about(part, code) - own for part in (fact.clause, fact.sentence))
        found.append(
            _Sought(
                exact=exact,
                content=tuple(content),
                distinct=tuple(word for word in content if often[word] == 1) if fact.answer else (),
                context=tuple(sorted(next((words for words in context if words), set()))) if fact.answer else (),
            )
        )
    return found


def _exact(fact: Fact, names: Sequence[str]) -> tuple[str, ...]:
    """The parts of a fact that must be said as they are."""
    if fact.kind == "name":
        return (fact.text,)
    numbers = _NUMBER.findall(fold(fact.text))
    if fact.kind == "clause":
        return (*(name for name in names if name in fact.text), *numbers)
    if fact.kind == "implied":
        return (*names_within(fact.text), *numbers)
    return tuple(numbers)


def _about(text: str, code: str) -> set[str]:
    """The content words and numbers of a text."""
    return {*content_words(text, code), *_NUMBER.findall(fold(text))} - common_words(code)[0]


@lru_cache(maxsize=1 << 17)
def _akin(one: str, other: str) -> bool:
    return not (one.isascii() and one.isdigit()) and akin(one, other)
