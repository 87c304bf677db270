"""What the figure of a study shows, and which figures a study can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError
from sys2ft.studies.labels import is_number
from sys2ft.studies.measures import OF_QUESTIONS

FigureKind = Literal["dots", "curve", "scaling", "grid"]
PROBABILITY = "p "
"""A measure with this before its name is the probability of the right choice."""
OF_KIND = "@"
"""A measure with this and a kind of question after its name is that of these questions, as 'closed_book@two_hop'."""
PER_NEWS = {"tokens": "tokens per news item", "flop": "FLOP per news item"}
"""Axes of effort that are counted for each news item of a cell, as elements are, and what they are called."""
AGE = "age"
X_OF_TRAINING = ("step", "update", "tokens", "flop", AGE, "order")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """How the results are drawn."""

    kind: FigureKind = "dots"
    """'dots': a row for each cell. 'curve': lines over `x`. 'scaling': the same with a fitted power law. 'grid': a heat
    map of `x` and `series`."""
    x: str = ""
    """A numeric axis, or of training: step, update, tokens and flop (for each news item), 'age' (updates since a news
    item's own), 'order' (place of a sample in the training, for the measure `seen`)."""
    series: str = ""
    """Of a 'grid' of two axes the other one."""
    measures: tuple[str, ...] = ()
    """What is drawn; empty: the first measure of the study. Of questions also their probability of the right choice,
    and those of one kind: 'p closed_book@two_hop'."""


def problems_of(
    figure: Figure, vary: Mapping[str, Iterable[str]], axes: Sequence[str], measures: Sequence[str]
) -> list[SettingsError]:
    """Why a study with these axes and measures cannot be drawn like this; `vary` are the labels of its own axes."""
    if figure.kind not in get_args(FigureKind):
        return [_wrong(f"kind {figure.kind!r}", f"one of {', '.join(get_args(FigureKind))}", "correct the kind")]
    numbers = [axis for axis, own in vary.items() if all(map(is_number, own))]
    known = {
        "dots": ("", *axes, *X_OF_TRAINING),
        "curve": (*numbers, *X_OF_TRAINING),
        "scaling": (*numbers, "tokens", "flop"),
        "grid": ("update", "model", *vary),
    }[figure.kind]
    problems = []
    if figure.kind != "dots" and not figure.x:
        problems.append(_wrong(f"a {figure.kind} has no x", f"one of {', '.join(known)}", "add `x`"))
    elif figure.x not in known:
        of = f"x {figure.x!r} of a {figure.kind}"
        problems.append(_wrong(of, f"one of {', '.join(filter(None, known))}", "correct `x`, or choose another kind"))
    if figure.kind == "scaling" and not numbers:
        why = f"a scaling law over the axes {', '.join(axes)}"
        problems.append(_wrong(why, "an axis whose values are numbers", "vary `elements`, or draw dots"))
    of_two = figure.kind == "grid" and figure.x != "update"
    if bool(figure.series) != of_two or figure.series not in ("", *axes):
        expected = f"one of {', '.join(axes)} for a grid of two axes, and nothing for other figures"
        problems.append(_wrong(f"series {figure.series!r} of a {figure.kind}", expected, "correct or remove `series`"))
    for name in figure.measures or measures[:1]:
        asked, kind = name.removeprefix(PROBABILITY).partition(OF_KIND)[::2]
        if asked not in measures:
            expected = f"a measure of the study: {', '.join(measures)}"
            problems.append(_wrong(f"measure {name!r}", expected, "add it to `measures`, or correct the name"))
        elif kind and asked not in OF_QUESTIONS:
            expected = f"a kind only of {', '.join(OF_QUESTIONS)}"
            problems.append(_wrong(f"measure {name!r}", expected, f"write {name.partition(OF_KIND)[0]}"))
        if figure.kind == "curve" and figure.x == "order" and name != "seen":
            problems.append(
                _wrong(f"measure {name!r} by order", "the measure seen", "draw `seen`, or choose another x")
            )
    return problems


def _wrong(found: str, expected: str, fix: str) -> SettingsError:
    return SettingsError(f"figure: {found}", expected=expected, fix=fix)
