"""The leak guard in the report: questions that replay elements come close to, and the numbers without them.

`replay.leaks` says which elements ask what the evaluation asks. If a protocol gained only on such questions, it learnt
the questions. So the headline numbers are given again on the other questions, the same for all subjects, so that a
difference stays paired.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeVar

from sys2ft.report.artifacts import Artifacts
from sys2ft.statistics import Item

By = TypeVar("By")
_Slice = tuple[By, str, frozenset[Item]]

NOTE = (
    "Only questions that no replay element of any protocol asks in the same or almost the same words, so that what is "
    "measured is the news item and not a question seen in training."
)


def leaked(artifacts: Artifacts) -> dict[Item, list[str]]:
    """Questions that elements which were trained on come close to: what each element is and how close, as text."""
    found: dict[Item, list[str]] = defaultdict(list)
    for leaks in artifacts.leaks.values():
        for leak in leaks:
            if leak["learnt"]:
                found[leak["news_id"], leak["question"]].append(f"{leak['element']} ({leak['how']})")
    return dict(found)


def without_leaked(slices: Iterable[_Slice[By]], questions: Iterable[Item], own: By) -> list[_Slice[By]]:
    """The slices, and one with those questions of the first that no element comes close to, if some are left."""
    slices = list(slices)
    kept = slices[0][2].difference(questions)
    return [*slices, (own, "without leaked questions", kept)] if kept and kept != slices[0][2] else slices


def leak_remarks(artifacts: Artifacts) -> list[str]:
    """What a reader must know about elements that ask evaluation questions."""
    said = []
    rows = [(protocol, leak) for protocol, leaks in artifacts.leaks.items() for leak in leaks]
    if learnt := Counter(protocol for protocol, leak in rows if leak["learnt"]):
        total, questions = sum(1 for _ in artifacts.questions()), leaked(artifacts)
        by = ", ".join(f"{protocol} {count}" for protocol, count in learnt.items())
        left = total - len(questions)
        said.append(
            f"Leak guard: replay elements come close to {len(questions)} of {total} questions ({by} elements). "
            + (
                f"The numbers on the other {left} are given separately."
                if left
                else "No question is left without, so nothing shows that the questions themselves were not learnt."
            )
        )
    if withheld := sum(1 for _, leak in rows if not leak["learnt"]):
        elements = "1 element that asks" if withheld == 1 else f"{withheld} elements that ask"
        said.append(f"Leak guard: {elements} an evaluation question word for word took no part in training.")
    return said
