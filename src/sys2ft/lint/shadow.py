"""Contextual shadowing: how much of what a completion says its prompt says already.

A completion is compared with all that precedes it, by units of information (`lint.units`). What a question names is
neither carried nor new: a question must name its subject, and may name its options. Of the other units, the share that
the rest of the prompt has is the completion's shadow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import regex

from sys2ft.languages import detect
from sys2ft.lint.records import Role, Turn
from sys2ft.lint.units import units, weight
from sys2ft.text import asks, fold, sentences, words

THRESHOLD = 0.6
"""The least share of a shadowed completion; docs/lint.md shows how it was chosen."""
SHORT = 3
"""With fewer units than this a completion may be found in a prompt by chance: more is asked of it."""
NEAR = 2
"""Sentences around the place of a short completion, one of which must have a unit of the request."""
ABOUT = 0.4
"""Share of a question's units (two at least) that a text about the question has."""
BARE = 12
"""Units of an instruction; a longer turn has a text beside it, or is one."""
RUN = 6
"""Words in a row that count as copied where a completion has too few units."""

_OPTION = regex.compile(r"\s*[(\[]?([A-Ja-j]|\d{1,2})[)\].:]\s+(\S.*)")
_LABEL = regex.compile(r"[(\[]?([A-Ja-j]|\d{1,2})[)\].:]?")


@dataclass(frozen=True, slots=True)
class Part:
    """A sentence or line of a prompt, with its units."""

    text: str
    units: frozenset[str]
    role: Role
    line: int
    """Number of its line in the turn, from 0."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One completion: the share of what it says that its prompt says too, None if it says nothing of its own.

    `words` counts the completion's words (characters in scripts without spaces). `place` is the part of the prompt that
    has most of it; None where the prompt has nothing of it. `about`: apart from earlier answers, the prompt has a text
    about the question, from which the completion may follow without being in it.
    """

    completion: str
    words: int
    share: float | None
    place: Part | None = None
    about: bool = False


def judge(turns: Sequence[Turn]) -> Iterator[Judged]:
    """Judge each turn that is trained on against all turns before it."""
    code = _language(turns)
    prompt = _Prompt()
    for turn in turns:
        parts = _parts(turn.text, turn.role, code)
        if turn.trained:
            yield _judged(turn.text, prompt, code)
        prompt.add(parts, turn)


@dataclass(slots=True)
class _Prompt:
    """What precedes a completion."""

    statements: list[Part] = field(default_factory=list)
    """All parts but the user's questions."""
    said: set[str] = field(default_factory=set)
    """Units of the statements."""
    given: set[str] = field(default_factory=set)
    """The same without earlier answers."""
    named: set[str] = field(default_factory=set)
    """Units of the user's questions, of all turns."""
    last: Sequence[Part] = ()
    """Parts of the last user turn."""
    asking: bool = False
    """Whether all of that turn is a request."""

    def add(self, parts: Sequence[Part], turn: Turn) -> None:
        """One turn more."""
        role = turn.role
        if role == "user":
            self.last, self.asking = parts, turn.asks
        for part in parts:
            if role == "user" and asks(part.text):
                self.named |= part.units
            else:
                self.statements.append(part)
                self.said |= part.units
                self.given |= part.units if role != "assistant" else frozenset()

    def about_question(self) -> bool:
        """Whether a text in the prompt is about the last user turn's question."""
        asked = _union([part for part in self.last if asks(part.text)])
        shared = asked & self.given
        return len(shared) >= max(2, ABOUT * len(asked))

    def requests(self) -> list[Sequence[Part]]:
        """What the last user turn may ask for: its questions; without any, its first line or its last sentence, since
        an instruction may be before or after its text."""
        if self.asking:
            return [self.last]
        questions = [part for part in self.last if asks(part.text)]
        if questions or not self.last:
            return [questions]
        first = [part for part in self.last if part.line == 0]
        return [first if len(first) < len(self.last) else first[:1], self.last[-1:]]

    def bare(self) -> Sequence[Part]:
        """The last user turn if it is an instruction without a text, and no question."""
        short = len(_union(self.last)) <= BARE
        return self.last if short and not any(asks(part.text) for part in self.last) else ()


def _judged(completion: str, prompt: _Prompt, code: str) -> Judged:
    size = len(words(completion))
    text, options = _chosen(completion, prompt.last)
    statements = [part for part in prompt.statements if part not in options] if options else prompt.statements
    said = _union(statements) if options else prompt.said
    own = units(text, code) - prompt.named
    if len(own) < SHORT:
        found = [_short(text, own, request, statements) for request in prompt.requests()]
        share, place = max(found, key=lambda pair: -1 if pair[0] is None else pair[0])
    else:
        carried = own & said
        # An instruction names its subject too, but it may also be the text itself: what it alone has counts half.
        half = _only_of(prompt.bare(), statements, carried) / 2
        share = (_weight(carried) - half) / (_weight(own) - half)
        place = max(statements, key=lambda part: len(part.units & carried)) if carried else None
    return Judged(completion, size, share, place, prompt.about_question())


def _only_of(request: Sequence[Part], statements: Sequence[Part], carried: frozenset[str]) -> int:
    """The weight of the carried units that nothing but the request has."""
    only = carried & _union(request)
    for part in statements if only else ():
        if part not in request:
            only -= part.units
    return _weight(only)


def _short(
    text: str, own: frozenset[str], request: Sequence[Part], statements: Sequence[Part]
) -> tuple[float | None, Part | None]:
    """The share of a completion with few units: in a place that is about the request, or in copied words."""
    about = _union(request)
    outside = [part for part in statements if part not in request]
    best, place = _copied(words(text), outside)
    own -= about
    for i, part in enumerate(outside if own else ()):
        if not own & part.units:
            continue
        near = _union(outside[max(0, i - NEAR) : i + NEAR + 1])
        share = _weight(own & near) / _weight(own)
        if share > best and (about - own) & near:
            best, place = share, part
    return best if own or best else None, place


def _copied(said: Sequence[str], parts: Sequence[Part]) -> tuple[float, Part | None]:
    """The share of words in runs of `RUN` that one of the parts has, and that part."""
    runs = {tuple(said[i : i + RUN]): i for i in range(len(said) - RUN + 1)}
    best: tuple[float, Part | None] = (0.0, None)
    for part in parts if runs else ():
        given = words(part.text)
        at = [runs[run] for i in range(len(given) - RUN + 1) if (run := tuple(given[i : i + RUN])) in runs]
        covered = {i + step for i in at for step in range(RUN)}
        best = max(best, (len(covered) / len(said), part), key=lambda pair: pair[0]) if covered else best
    return best


def _chosen(completion: str, parts: Sequence[Part]) -> tuple[str, list[Part]]:
    """The completion, or the option that its label names, and the options, if it chooses one of a labelled list.

    Options do not say which of them is right. A list of which the completion is no item is text.
    """
    found = [(match[1].casefold(), match[2], part) for part in parts if (match := _OPTION.fullmatch(part.text))]
    label = _LABEL.fullmatch(completion.strip())
    said = fold(completion)
    for name, text, _ in found if len(found) > 1 else ():
        if (label and label[1].casefold() == name) or said.endswith(fold(text)):
            return text, [part for _, _, part in found]
    return completion, []


@lru_cache(maxsize=64)  # documents that several samples have in front
def _parts(text: str, role: Role, code: str) -> tuple[Part, ...]:
    lines = [line for line in text.splitlines() if line.strip()]
    return tuple(
        Part(one, units(one, code), role, number)
        for number, line in enumerate(lines)
        for one in ([line] if _OPTION.fullmatch(line) else sentences(line))
    )


def _union(parts: Sequence[Part]) -> frozenset[str]:
    return frozenset().union(*(part.units for part in parts))


def _weight(found: Iterable[str]) -> int:
    return sum(map(weight, found))


def _language(turns: Sequence[Turn]) -> str:
    """The language of the last two turns; a completion alone may be one word."""
    text = " ".join(turn.text[-300:] for turn in turns[-2:])
    return detect(text.encode("utf-8", "replace").decode("utf-8"))  # JSON may have half of a surrogate pair
