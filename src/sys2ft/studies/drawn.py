"""What the figure of a study shows, and which figures a study can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

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


def is_number(label: str) -> bool:
    """Whether the label of a value is a number, or begins with one as '8 times'."""
    try:
        float(label.split()[0])
    except (ValueError, IndexError):
        return False
    return True


def problems_of(
    figure: Figure, vary: Mapping[str, Iterable[str]], axes: Sequence[str], measures: Sequence[str]
) -> list[str]:
    """Why a study with these axes and measures cannot be drawn like this; `vary` are the labels of its own axes."""
    if figure.kind not in get_args(FigureKind):
        return [f"figure: kind {figure.kind!r} is not one of {', '.join(get_args(FigureKind))}"]
    numbers = [axis for axis, own in vary.items() if all(map(is_number, own))]
    known = {
        "dots": ("", *axes, *X_OF_TRAINING),
        "curve": (*numbers, *X_OF_TRAINING),
        "scaling": (*numbers, "tokens", "flop"),
        "grid": ("update", "model", *vary),
    }[figure.kind]
    problems = []
    if figure.kind != "dots" and not figure.x:
        problems.append(f"figure: a {figure.kind} has no x")
    elif figure.x not in known:
        problems.append(f"figure: x {figure.x!r} of a {figure.kind} is not one of {', '.join(known)}")
    if figure.kind == "scaling" and not numbers:
        problems.append("figure: a scaling law needs an axis whose values are numbers")
    of_two = figure.kind == "grid" and figure.x != "update"
    if bool(figure.series) != of_two or figure.series not in ("", *axes):
        problems.append(f"figure: series {figure.series!r} is for a grid of two axes, and one of {', '.join(axes)}")
    for name in figure.measures or measures[:1]:
        asked, kind = name.removeprefix(PROBABILITY).partition(OF_KIND)[::2]
        if asked not in measures:
            problems.append(f"figure: measure {name!r} is not one of the study's")
        if kind and asked not in OF_QUESTIONS:
            problems.append(f"figure: measure {name!r}: only {', '.join(OF_QUESTIONS)} have kinds")
        if figure.kind == "curve" and figure.x == "order" and name != "seen":
            problems.append(f"figure: measure {name!r}: only 'seen' has an order")
    return problems
