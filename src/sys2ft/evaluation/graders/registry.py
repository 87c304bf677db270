"""The graders by name: the bundled ones and those of other packages, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata

from sys2ft.evaluation.graders.final import after_thought
from sys2ft.evaluation.graders.numeric import number
from sys2ft.evaluation.graders.phrases import alias, exact
from sys2ft.evaluation.graders.tokens import wrong_choices
from sys2ft.evaluation.graders.verdict import Grade, Grader
from sys2ft.news import Question
from sys2ft.news.schema import grader_names
from sys2ft.plugins import GRADERS as GRADER_GROUP, broken_plugin, load_plugin

VERSION = 2
"""Of the bundled graders: raised whenever a grade may change, since stored grades are kept only under the same one."""

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
        return GRADERS[name](after_thought(said), question)
    chosen = grader(name)
    try:
        verdict = chosen(said, question)
        if not isinstance(verdict, Grade):
            raise TypeError(f"it returned {verdict!r} and not a Grade")
    except Exception as error:  # another package's code may raise anything
        raise broken_plugin(GRADER_GROUP, name, f"grading {said!r} for {question.text!r}", error) from error
    return verdict


def takes(question: Question) -> Grade:
    """Whether the question's grader accepts its answer and aliases said exactly, and no wrong choice said exactly.

    The reason names the first text that is graded wrongly. Raises SettingsError as `grade` does.
    """
    for what, texts, right in (
        ("answer", (question.answer,), True),
        # `exact` compares with the answer alone, by definition.
        ("alias", () if question.grader == "exact" else question.aliases, True),
        ("wrong choice", wrong_choices(question), False),
    ):
        for text in texts:
            verdict = grade(text, question)
            if (verdict.correct is True) != right:
                taken = "graded as correct" if verdict.correct else "not graded as correct"
                return Grade(
                    False, f"the {what} {text!r}, said exactly, is {taken} by {question.grader!r}: {verdict.why}"
                )
    return Grade(True, "answer and aliases are graded as correct, wrong choices are not")


def identity(names: Iterable[str] = ()) -> str:
    """A digest of what decides grades: the bundled graders' version, and the packages that provide those in `names`.

    Bundled names add nothing; of an entry point the name and version of its distribution count.
    """
    parts = [f"sys2ft {VERSION}"]
    entries = {entry.name: entry for entry in metadata.entry_points(group=GRADER_GROUP)}
    for name in sorted(set(names) - GRADERS.keys()):
        entry = entries.get(name)
        package = entry.dist if entry else None
        parts.append(f"{name} {entry.value if entry else ''} {f'{package.name} {package.version}' if package else ''}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
