"""What is wrong with a study before any work: parts that do not belong together, and what would never count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from sys2ft.errors import SettingsError
from sys2ft.files import FILE_NAME_RULE, is_file_name
from sys2ft.studies.drawn import problems_of
from sys2ft.studies.labels import BASE, short, twice
from sys2ft.studies.measures import OF_QUESTIONS, in_nats, known_measure, measure_names

if TYPE_CHECKING:
    from sys2ft.studies.spec import Compare, Study

BY = ("domain", "kind")
_FIELDS = {"model": "models", "seed": "seeds", "news": "news", "take": "take"}
"""Options that have a field of their own."""


def check(study: Study) -> None:
    """Raise SettingsError for a study that cannot be meant as it is; all that is wrong is in one error."""
    problems = list(_named(study)) or [
        *_grid(study),
        *_compared(study),
        *problems_of(study.figure, study.vary, tuple(study.axes), study.measures),
    ]
    if problems:
        found, expected, fixes = (
            "; ".join(dict.fromkeys(str(getattr(one, part)) for one in problems))
            for part in ("found", "expected", "fix")
        )
        raise SettingsError(f"study {study.name}: {found}", expected=expected, fix=fixes)


def _named(study: Study) -> Iterator[SettingsError]:
    """Names that do not exist or are there twice."""
    if not is_file_name(study.name):
        yield SettingsError("its name", expected=FILE_NAME_RULE, fix="choose another name")
    unknown = [name for name in study.measures if not known_measure(name)]
    if unknown or not study.measures:
        yield SettingsError(
            f"measures: {', '.join(unknown) or 'none'}",
            expected=f"some of {', '.join(measure_names())}",
            fix="correct the names",
        )
    for name in ("seeds", "measures", "steps", "by"):
        if double := twice(map(str, getattr(study, name))):
            yield SettingsError(f"{name}: {double} is there twice", expected="each once", fix="remove one of them")
    if double := twice(map(short, study.models)):
        yield SettingsError(
            f"models: several are called {double}, so that their cells would have one name",
            expected="models with different names",
            fix="remove one of them, or give one another name",
        )
    if own := {"model", "seed"} & study.vary.keys():
        yield SettingsError(
            f"vary: {' and '.join(sorted(own))}",
            expected="models and seeds in fields of their own",
            fix="use `models`, `seeds`",
        )
    if wrong := [name for name in study.by if name not in BY]:
        yield SettingsError(f"by: {', '.join(wrong)}", expected=f"some of {', '.join(BY)}", fix="correct the names")
    if wrong := [str(step) for step in study.steps if step < 1]:
        yield SettingsError(f"steps: {', '.join(wrong)}", expected="numbers from 1 on", fix="remove them")


def _grid(study: Study) -> Iterator[SettingsError]:
    """Options that would be set twice, so that one of the values would never count; values that are not there."""
    for name in _FIELDS.keys() & study.settings.keys():
        yield SettingsError(
            f"settings: {name}", expected=f"`{_FIELDS[name]}`, a field of its own", fix=f"use `{_FIELDS[name]}`"
        )
    own = {axis: values for axis, values in study.axes.items() if axis in study.vary}
    sets = {axis: set().union(*values.values()) for axis, values in own.items()}
    for axis, values in own.items():
        if reserved := {"model", "seed"} & sets[axis]:
            yield SettingsError(
                f"vary: {axis}: {', '.join(sorted(reserved))}",
                expected="models and seeds in fields of their own",
                fix="use `models`, `seeds`",
            )
        if BASE in values:
            yield SettingsError(
                f"vary: {axis}: {BASE}", expected="other labels: that is the model before training", fix="rename it"
            )
        given = {*study.settings, *(["take"] if study.take else [])}
        every = set.intersection(*map(set, values.values())) if values else set()
        for name in sorted(given & every):
            yield SettingsError(
                f"{name} is in {'the field `take`' if name == 'take' else 'settings'}, and each value of the axis "
                f"{axis} sets it too",
                expected="an option in one place",
                fix=f"remove {name} there, or from the axis",
            )
    for one, other in combinations(sets, 2):
        for name in sorted(sets[one] & sets[other]):
            yield SettingsError(
                f"vary: the axes {one} and {other} both set {name}",
                expected="an option that one axis sets",
                fix="make one axis of both, whose labels set what belongs together",
            )
    axes = study.axes
    for out in study.without:
        for axis, label in out.items():
            if label not in axes.get(axis, ()):
                known = f"{axis}: {', '.join(axes[axis])}" if axis in axes else f"an axis: {', '.join(axes)}"
                yield SettingsError(f"without: {axis}={label}", expected=known, fix="correct or remove it")


def _compared(study: Study) -> Iterator[SettingsError]:
    for one in study.compare:
        labels = {axis: own for axis, own in study.axes.items() if axis != "seed"}
        if one.axis and one.axis not in labels:
            yield SettingsError(
                f"compare: axis {one.axis!r}", expected=f"one of {', '.join(labels)}", fix="correct the axis"
            )
        elif one.to not in (BASE, *labels.get(one.axis, ())):
            values = ", ".join((BASE, *labels.get(one.axis, ())))
            fix = "correct `to`" if one.axis else "add the `axis` whose value that is"
            yield SettingsError(f"compare: to {one.to!r}", expected=f"one of {values}", fix=fix)
        if wrong := [name for name in (one.measure, one.of) if name and name not in study.measures]:
            yield SettingsError(
                f"compare: measure {', '.join(map(repr, wrong))}",
                expected=f"a measure of the study: {', '.join(study.measures)}",
                fix="add it to `measures`, or correct the name",
            )
        elif one.of and one.of != one.measure:
            yield from _of(one)


def _of(compare: Compare) -> Iterator[SettingsError]:
    """Differences are paired over items, so both measures must have the same ones, and one unit."""
    (unit, items), (other_unit, other_items) = measured_in(compare.measure), measured_in(compare.of)
    if (unit, items) == (other_unit, other_items):
        return
    of_both = f"{compare.measure} (a {unit} of {items}) of {compare.of} (a {other_unit} of {other_items})"
    alike = [name for name in (*OF_QUESTIONS, "text", "seen") if measured_in(name) == (unit, items)]
    alike = [name for name in alike if name != compare.measure]
    yield SettingsError(
        f"compare: measure {of_both}",
        expected=f"of: {', '.join(alike)}" if alike else f"{compare.measure} with itself",
        fix="remove `of`, or choose another measure",
    )


def measured_in(measure: str) -> tuple[str, str]:
    """The unit of a measure, and the items that it has a value of."""
    unit = "loss" if in_nats(measure) else "share of tokens" if measure == "recall" else "share of right answers"
    if measure in OF_QUESTIONS:
        return unit, "the questions"
    texts = {"text": "the texts", "seen": "the texts", "recall": "the texts", "loss": "the adapters"}
    return unit, texts.get(measure, f"the items of {measure}")
