"""Reversal: a name is asked for by what the news item says of it, and what it says is asked for by the name.

A model that learns 'A is B' does not thereby learn 'B is A': Berglund et al., 'The reversal curse' (arXiv 2309.12288).
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.languages import language
from sys2ft.replay.filters import Reason, Said, content_words, copied_name, miscalculation, refusal
from sys2ft.replay.parsers import ENDS_OF_QUESTIONS, one_paragraph, one_question, short_answer
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, RESTATES, asked
from sys2ft.replay.stages import Protocol, Stage, Trail
from sys2ft.replay.subject import names_of
from sys2ft.text import find, names_within, words


def reverse() -> Protocol:
    """A question that a name answers, checked by the answer of the model itself, and a statement about the name."""
    ask = Stage(
        name="ask",
        template=templates("reverse_question"),
        parser=one_question,
        filters=(*ABOUT_THE_NEWS, gives_away),
        stops=(*ENDS_OF_QUESTIONS, "\n"),
        picks={"name": _name},
    )
    answer = Stage(
        name="answer",
        template=templates("self_qa_answer", only=(0,)),
        parser=short_answer,
        filters=(refusal, copied_name, miscalculation, answers_otherwise),
    )
    state = Stage(
        name="state",
        template=templates("reverse_statement"),
        parser=one_paragraph,
        filters=RESTATES,
        max_new_tokens=96,
        temperature=0.7,
        picks={"name": _name},
    )
    return Protocol(
        name="reverse",
        version=1,
        stages=(ask, answer, state),
        cues=cues("cues"),
        elements=_both_ways,
        per_sample=2,
    )


def name_at(index: int, names: Sequence[str]) -> str | None:
    """The name that sample `index` is about: the subject every second time, the other names in turn."""
    if not names:
        return None
    subject, *others = names
    return others[index // 2 % len(others)] if index % 2 and others else subject


def gives_away(said: Said) -> Reason | None:
    """Rejects questions that have the name that they ask for, or the part of it that is a name by itself."""
    name = name_at(said.index, names_of(said.news, said.language)) or ""
    proper = [word for part in names_within(f"x {name}", capitals=_capitals(said.language)) for word in words(part)]
    own = proper or words(name)
    asked_for = words(said.text)
    return "given_away" if any(map(asked_for.__contains__, proper)) or find(own, asked_for) is not None else None


def answers_otherwise(said: Said) -> Reason | None:
    """Rejects a question that the model, with the news in context, does not answer with the name.

    What the question says of the name already need not be in the answer: 'Which town ...?' 'Thornsea'.
    """
    name = name_at(said.index, names_of(said.news, said.language)) or ""
    if find(words(name), words(said.text)) is not None:
        return None
    own = content_words(name, said.language) - content_words(said.earlier["ask"], said.language)
    return None if own and own <= content_words(said.text, said.language) else "other_answer"


def _capitals(code: str) -> bool:
    return not language(code).has("capital nouns")


def _name(trail: Trail) -> str | None:
    return name_at(trail.index, names_of(trail.news, trail.language))


def _both_ways(trail: Trail) -> Sequence[Pair]:
    name = _name(trail) or ""
    return [asked(trail.said["ask"], name), asked(trail.cue_for(0, subject=name), trail.said["state"])]
