"""What a line of a scaling figure says: a saturating power law, or for a loss whether there is a trend at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sys2ft.errors import UserError
from sys2ft.report.words import count
from sys2ft.statistics import Needed, Point, Scaling, Score, Undefined, fit_scaling, mean_over_seeds, trend
from sys2ft.studies.drawn import PER_NEWS
from sys2ft.studies.gathered import Setting
from sys2ft.studies.labels import is_number
from sys2ft.studies.measures import in_nats
from sys2ft.studies.spec import Study

ORDER = "order"
SHARE = 0.8
"""Of the gap between the base closed book and in context."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """One measure of one line."""

    at: Mapping[str, str]
    measure: str
    unit: str
    law: Scaling | None = None
    needed: Needed | Undefined | None = None
    """The effort that closes `SHARE` of the gap; None for measures that have no gap."""
    trend: Score | Undefined | None = None
    """For losses: rank correlation with the effort."""
    why: str = ""
    """Why nothing could be fitted."""

    def amount(self, x: float) -> str:
        """An effort with its unit."""
        if self.unit == PER_NEWS["flop"]:
            return f"{x / 1e12:,.3g} T{self.unit}"
        return f"{count(x)} {self.unit}"


def lines_of(study: Study, settings: Sequence[Setting]) -> list[tuple[dict[str, str], str, list[Setting]]]:
    """The settings of each line, whose ends are its points: its place, the axis along which they lie, the settings."""
    axis = study.figure.x if study.figure.x in study.vary else _axis_of_effort(study)
    lines: dict[tuple[tuple[str, str], ...], list[Setting]] = {}
    for one in settings:
        lines.setdefault(tuple((name, label) for name, label in one.at.items() if name != axis), []).append(one)
    return [(dict(place), axis, own) for place, own in lines.items()]


def x_of(study: Study, setting: Setting, axis: str) -> float:
    """Where the end of a setting is on the x axis of the figure; tokens and FLOP are for each news item."""
    if study.figure.x in ("flop", "tokens"):
        return setting.cost()[study.figure.x] / max(1, len(setting.arrived))
    return float(setting.at[axis].split()[0])


def _axis_of_effort(study: Study) -> str:
    """The axis whose values are numbers: along it effort grows."""
    return next((axis for axis, own in study.vary.items() if all(map(is_number, own))), "")


def efforts_of(study: Study, settings: Sequence[Setting]) -> list[Effort]:
    """The fits of every line and measure of a scaling figure, and the correlations of a figure over the order.

    None for other figures.
    """
    if study.figure.x == ORDER:
        return [one for name in study.drawn for one in _orders(settings, name)]
    if study.figure.kind != "scaling":
        return []
    unit = PER_NEWS.get(study.figure.x, study.figure.x)
    found, lines = [], lines_of(study, settings)
    for measure in study.drawn:
        for place, axis, own in lines:
            have = [one for one in own if one.values(measure)]
            points = [Point(x=x_of(study, one, axis), outcomes=one.values(measure)) for one in have]
            blank = Effort(at=place if len(lines) > 1 else {}, measure=measure, unit=unit)
            found.append(_fitted(blank, have[0], points) if points else replace(blank, why="it was not measured"))
    return found


def _orders(settings: Sequence[Setting], measure: str) -> list[Effort]:
    found = []
    for one in settings:
        columns = one.order_correlations(measure)
        if columns:
            score = mean_over_seeds(columns, shared=one.joint, bounded=False)
            at = one.at if len(settings) > 1 else {}
            found.append(Effort(at=at, measure=measure, unit="the place in the training", trend=score))
    return found


def _fitted(blank: Effort, setting: Setting, points: Sequence[Point]) -> Effort:
    measure, shared = blank.measure, setting.joint
    try:
        if in_nats(measure):
            return Effort(at=blank.at, measure=measure, unit=blank.unit, trend=trend(points, shared=shared))
        base = setting.base_values(measure) or None
        ceiling = (setting.base_values("in_context") or None) if measure == "closed_book" else None
        law = fit_scaling(points, base=base, ceiling=ceiling, shared=shared)
    except UserError as error:  # fewer points than a fit needs: the study is not finished, or small
        return replace(blank, why=f"{error.found}, and it takes {error.expected}")
    needed = law.needed_share(SHARE) if base and ceiling else None
    return Effort(at=blank.at, measure=measure, unit=blank.unit, law=law, needed=needed)
