"""The results of a study: a table with intervals, comparisons adjusted for their number, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sys2ft.evaluation.settings import FREE_TEXT
from sys2ft.statistics import Item, Score, holm, mean_over_seeds, p_value, paired_over_seeds
from sys2ft.studies.cells import Cell
from sys2ft.studies.drawn import OF_KIND, PROBABILITY
from sys2ft.studies.effort import Effort, efforts_of, lines_of, x_of
from sys2ft.studies.gathered import Setting, Values, common, gather
from sys2ft.studies.labels import BASE
from sys2ft.studies.measures import OF_QUESTIONS, in_nats
from sys2ft.studies.spec import Compare, Study
from sys2ft.studies.store import Store

ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number of the table: a measure of one setting, of all its questions or of a part of them."""

    at: Mapping[str, str]
    """The place without the seed; of the base what decides it, and 'base' elsewhere, also as the seed."""
    measure: str
    part: str
    """'all', or such as 'kind: recall'."""
    score: Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """One setting against another, or against the base, on the same questions."""

    compare: Compare
    at: Mapping[str, str]
    """The place of the setting."""
    value: str
    difference: Score
    level: Score
    """The setting's own value."""
    reference: Score
    p: float | None
    """Adjusted by Holm (1979) over the contrasts that share all other axes; None: no interval."""

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is not zero, at 5% for all contrasts together."""
        return self.p is not None and self.p < 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A measure along an axis, for one line of the figure."""

    at: Mapping[str, str]
    measure: str
    points: Sequence[tuple[float, Score]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Everything that the page of a study shows."""

    study: Study
    settings: Sequence[Setting]
    rows: Sequence[Row]
    contrasts: Sequence[Contrast]
    curves: Sequence[Curve]
    efforts: Sequence[Effort]
    missing: Sequence[tuple[str, str]]
    """Cells that are not finished, and why."""

    def row(self, at: Mapping[str, str], measure: str, part: str = ALL) -> Row | None:
        """A number of the table, if there is one."""
        return next((r for r in self.rows if (r.at, r.measure, r.part) == (at, measure, part)), None)

    def to_dict(self) -> dict[str, Any]:
        """As stored in results.json."""
        return {
            "format": 1,
            "study": self.study.to_dict(),
            "rows": [asdict(row) for row in self.rows],
            "contrasts": [asdict(one) for one in self.contrasts],
            "curves": [asdict(curve) for curve in self.curves],
            "costs": [{"at": dict(one.at), "seeds": len(one.cells), **one.cost()} for one in self.settings],
            "missing": list(self.missing),
        }


def results(store: Store, study: Study, cells: Sequence[Cell], failed: Mapping[str, str]) -> Results:
    """The results of the finished cells. `failed`: why a cell failed, by its key."""
    settings = gather(store, cells)
    have = {cell.key for one in settings for cell in one.cells}
    missing = [(cell.title, failed.get(cell.key, "not finished")) for cell in cells if cell.key not in have]
    rows = [row for one in bases(study, settings) for row in _rows(store, study, one, base=True)]
    rows += [row for one in settings for row in _rows(store, study, one)]
    contrasts = [one for compare in study.compare for one in contrasts_of(study, settings, compare)]
    return Results(
        study=study,
        settings=settings,
        rows=rows,
        contrasts=contrasts,
        curves=curves_of(study, settings),
        efforts=efforts_of(study, settings),
        missing=missing,
    )


def bases(study: Study, settings: Sequence[Setting]) -> list[Setting]:
    """One setting for each base that the settings begin from."""
    found: dict[tuple[str, ...], Setting] = {}
    for one in settings:
        found.setdefault(tuple(base_at(study, one).values()), one)
    return list(found.values())


def base_at(study: Study, setting: Setting) -> dict[str, str]:
    """The place of a setting's base in the table: what decides the base, and a seed that no setting has."""
    decides = {"news", "take", "headline", *FREE_TEXT}
    own = {
        axis: setting.at[axis] if any(decides & set(options) for options in values.values()) else BASE
        for axis, values in study.vary.items()
    }
    return {"model": setting.at["model"], **own, "seed": BASE}


def measures_of(study: Study, setting: Setting, *, base: bool = False) -> list[str]:
    """The study's measures that apply, with the probability of the right choice after those that have one."""
    have = setting.base if base else setting.places[0][-1].found
    drawn = [name for name in study.figure.measures if OF_KIND in name]
    every = [name for own in study.measures for name in (own, PROBABILITY + own)]
    return [name for name in dict.fromkeys((*every, *drawn)) if name.partition(OF_KIND)[0] in have]


def _rows(store: Store, study: Study, setting: Setting, *, base: bool = False) -> list[Row]:
    at = base_at(study, setting) if base else dict(setting.at)
    take = setting.base_values if base else setting.values
    parts: dict[str, Mapping[Item, Any] | None] = {ALL: None, **parts_of_questions(store, study, setting.cells[0])}
    rows = []
    for measure in measures_of(study, setting, base=base):
        for part, keep in parts.items():
            if part != ALL and measure.removeprefix(PROBABILITY) not in OF_QUESTIONS:
                continue
            columns = take(measure, keep)
            if columns:
                rows.append(Row(at=at, measure=measure, part=part, score=mean(setting, measure, columns)))
    return rows


def parts_of_questions(store: Store, study: Study, cell: Cell) -> dict[str, dict[Item, Any]]:
    """The questions of each domain and of each kind, as the study asks for them."""
    found: dict[str, dict[Item, Any]] = {}
    for item in store.news(cell):
        for number, question in enumerate(item.questions):
            for by in study.by:
                value = item.domain if by == "domain" else question.kind
                if value:
                    found.setdefault(f"{by}: {value}", {})[item.id, number] = True
    return found


def mean(setting: Setting, measure: str, columns: Sequence[Values]) -> Score:
    """The mean of one measure over the news items and seeds."""
    return mean_over_seeds(columns, shared=setting.joint, bounded=not in_nats(measure))


def contrasts_of(study: Study, settings: Sequence[Setting], compare: Compare) -> list[Contrast]:
    """The contrasts of a comparison, adjusted by Holm at each place of the other axes."""
    places: dict[tuple[tuple[str, str], ...], list[Setting]] = {}
    for one in settings:
        other = tuple((axis, label) for axis, label in one.at.items() if axis != compare.axis)
        places.setdefault(other if compare.axis else (("model", one.at["model"]),), []).append(one)
    found = []
    for own in places.values():
        reference = next((one for one in own if one.at.get(compare.axis) == compare.to), None)
        against = [one for one in own if one is not reference]
        if reference is None and compare.to != BASE:
            continue
        found += _adjusted([made for one in against if (made := _contrast(one, reference, compare)) is not None])
    return found


def _contrast(setting: Setting, reference: Setting | None, compare: Compare) -> tuple[Contrast, float | None] | None:
    measure, of = compare.measure, compare.of or compare.measure
    if reference is None:
        own, other = setting.values(measure), setting.base_values(of)
    else:
        own, other = _same_seeds(setting, measure, reference, of)
    both = common([*own, *other])  # not every news item has another one's adapter, and the base is asked all
    if not own or not other or not both:
        return None
    own, other = both[: len(own)], both[len(own) :]
    shared, bounded = setting.joint or (reference is not None and reference.joint), not in_nats(measure)
    difference = paired_over_seeds(own, other, shared=shared, bounded=bounded)
    p = p_value(own, other, shared=shared, bounded=bounded) if difference.low is not None else None
    made = Contrast(
        compare=compare, at=dict(setting.at), value=setting.at.get(compare.axis, ""), difference=difference,
        level=mean(setting, measure, own), reference=mean(setting, measure, other), p=None,
    )  # fmt: skip
    return made, p


def _same_seeds(one: Setting, measure: str, other: Setting, of: str) -> tuple[list[Values], list[Values]]:
    """The values of the seeds that both have, in the same order."""
    left, right = (
        {cell.options.seed: at.take(places[-1].found, name) for cell, places in zip(at.cells, at.places, strict=True)}
        for at, name in ((one, measure), (other, of))
    )
    seeds = [seed for seed in left if seed in right]
    return [left[seed] for seed in seeds], [right[seed] for seed in seeds]


def _adjusted(found: Sequence[tuple[Contrast, float | None]]) -> list[Contrast]:
    known = {str(k): p for k, (_, p) in enumerate(found) if p is not None}
    adjusted = holm(known)
    return [replace(one, p=adjusted.get(str(k))) for k, (one, _) in enumerate(found)]


def curves_of(study: Study, settings: Sequence[Setting]) -> list[Curve]:
    """The lines of the figure."""
    figure = study.figure
    if figure.kind not in ("curve", "scaling"):
        return []
    found = []
    for measure in study.drawn:
        if figure.x in study.vary or (figure.kind == "scaling" and figure.x in ("flop", "tokens")):
            found += _over_settings(study, settings, measure)
            continue
        for one in settings:
            points = [(x, mean(one, measure, columns)) for x, columns in one.along(measure, figure.x)]
            if points:
                found.append(Curve(at=dict(one.at), measure=measure, points=points))
    return found


def _over_settings(study: Study, settings: Sequence[Setting], measure: str) -> list[Curve]:
    found = []
    for place, axis, own in lines_of(study, settings):
        points = [
            (x_of(study, one, axis), mean(one, measure, columns)) for one in own if (columns := one.values(measure))
        ]
        if points:
            found.append(Curve(at=place, measure=measure, points=sorted(points, key=lambda point: point[0])))
    return found
