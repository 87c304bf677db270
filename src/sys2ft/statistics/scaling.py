"""How an outcome depends on effort: a saturating power law with bands, the effort that is needed, and a test of trend.

The curve over x, which is FLOP or a number of elements, is

    value(x) = top - (top - bottom) * (1 + x / scale) ** -power

a smoothly broken power law with one break and a flat start (Caballero et al. 2023, 'Broken neural scaling laws', arXiv
2210.14891, equation 1 with n = 1, c0 = 0, f1 = 1). It has the three regions that Hestness et al. (2017, arXiv
1712.00409) describe: the level of guessing, a power law, and a level that more data do not raise. Unlike a pure power
law it is defined at x = 0, the untouched base, which fixes `bottom` if it is given. A power of 1 is a hyperbola; large
powers approach an exponential.

*Fit.* Least squares with a weight for each point, its number of outcomes. The law is linear in `bottom` and `top`, so
that these are solved exactly for each shape, within their limits (variable projection, Golub & Pereyra 1973), and only
two numbers are searched: the x at which half of the gain is reached, and the power. Their correlation is weak, unlike
that of scale and power. A grid over both is the multi-start; the best shape is then refined in shrinking steps. All
draws of the bootstrap are fitted at once, in well under a second, which a `scipy.optimize` call for each draw is not;
and the same data always give the same fit.

*Bands.* Every draw of news items (and of seeds, see `seeds`) is fitted anew, base and in-context level included, all
points with the same news items drawn. The interval is that of the expanded percentiles; with fewer than `FEWEST` news
items it is too narrow, as the table of docs/statistics.md shows for percentiles.

*No extrapolation.* An effort beyond the largest one measured counts as not reached (`inf`): what a power law does there
is an assumption, and its top is then not determined.

Shapes: C news items, S seeds, D bootstrap draws (the first is the data themselves), P points, G shapes of the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from sys2ft.errors import UserError
from sys2ft.statistics.intervals import (
    NOISE,
    Floats,
    Interval,
    effective,
    expanded_interval,
    resampled_over_seeds,
)
from sys2ft.statistics.scores import Score, Undefined
from sys2ft.statistics.seeds import Seeded, paired_over_seeds, pooled_seeds

DRAWS = 400
POWERS = (0.1, 10.0)
"""Range of the power."""
HALVES = (0.1, 100.0)
"""Range of the x of half the gain, as multiples of the smallest and the largest x above zero."""
GRID = (40, 14)
"""Shapes with which the search begins: halves and powers, both equally spaced in their logarithm."""
ROUNDS = 40
SHRINK = 0.75
"""Of the step of the search, in every round."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What was measured after an effort of x."""

    x: float
    """FLOP, or elements; 0 is the untouched base."""
    outcomes: Seeded


@dataclass(frozen=True, kw_only=True)
class Needed:
    """The effort at which a level is reached."""

    target: float
    """The level."""
    estimate: float
    """x; inf if the level is not reached within the range measured."""
    low: float | None
    high: float | None
    """inf if more draws than the tail contains do not reach the level; None for one news item."""
    unreached: float
    """Share of the draws that do not reach the level within the range measured."""
    largest: float
    """The largest x measured."""
    level: float


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Fitted curves, a number each or one for each draw (D,)."""

    bottom: Floats
    top: Floats
    half: Floats
    power: Floats

    def at(self, x: float) -> Floats:
        """The values at x, (D,)."""
        remaining = _remaining(np.asarray([x]), self.half[:, None], self.power[:, None])[:, 0]
        values_D: Floats = self.top - (self.top - self.bottom) * remaining
        return values_D

    def reach(self, target: Floats, largest: float) -> Floats:
        """The x at which each curve rises to its target, (D,); inf beyond the largest."""
        scale_D = self.half / np.expm1(np.log(2) / self.power)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x_D = scale_D * np.expm1(np.log((self.top - self.bottom) / (self.top - target)) / self.power)
        x_D = np.where(target >= self.top, inf, x_D)
        x_D = np.where(target <= self.bottom, 0.0, x_D)
        within_D: Floats = np.where(x_D <= largest, x_D, inf)
        return within_D


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A fitted curve with its bootstrap draws."""

    bottom: float
    """The value at x = 0."""
    top: float
    """The value approached for large x; not determined by data that do not saturate."""
    half: float
    """The x at which half of top - bottom is reached."""
    power: float
    gain: Score
    """The fitted value at the largest x minus that at the smallest (at 0, if the base was given)."""
    largest: float
    level: float
    curves: Curves
    """The data's own curve, then those of the draws."""
    gap: Score | None
    """Ceiling minus base, if both were given."""
    gap_D: Floats | None
    clusters: float
    """Effective number of news items."""

    @property
    def scale(self) -> float:
        """The x of the law's break."""
        return self.half / float(np.expm1(np.log(2) / self.power))

    @property
    def flat(self) -> bool:
        """Whether nothing changes with x beyond noise; the parameters then mean nothing, and no law may be claimed."""
        return not self.gain.excludes_zero

    def at(self, x: float) -> float:
        """The fitted value at x."""
        return float(self.curves.at(x)[0])

    def band(self, xs: Sequence[float]) -> list[tuple[float | None, float | None]]:
        """The interval of the fitted value at each x, by itself; None for one news item."""
        return [expanded_interval(self.curves.at(x)[1:], self.clusters, level=self.level) for x in xs]

    def needed(self, target: float) -> Needed:
        """The x at which the value `target` is reached."""
        return self._needed(np.full(len(self.curves.top), target))

    def needed_share(self, share: float = 0.8) -> Needed | Undefined:
        """The x at which this share of the gap between base and ceiling (in context) is reached.

        Each draw has its own gap; one that is not above zero counts as not reached. Undefined if the paired interval of
        the gap is not above zero, as in `gap_share`. Raises UserError if the base or the ceiling was not given.
        """
        if self.gap is None or self.gap_D is None:
            raise UserError(
                "the gap is not known", expected="a base and a ceiling", fix="give both to fit_scaling, or use needed()"
            )
        if self.gap.low is None or self.gap.low <= 0:
            return Undefined(reason="the ceiling is not above the base by more than chance noise")
        return self._needed(np.where(self.gap_D > 0, self.curves.bottom + share * self.gap_D, inf))

    def _needed(self, target_D: Floats) -> Needed:
        x_D = self.curves.reach(target_D, self.largest)
        low, high = expanded_interval(x_D[1:], self.clusters, level=self.level)
        return Needed(
            target=float(target_D[0]), estimate=float(x_D[0]), low=low, high=high,
            unreached=float(np.isinf(x_D[1:]).mean()), largest=self.largest, level=self.level,
        )  # fmt: skip


def fit_scaling(
    points: Sequence[Point],
    *,
    base: Seeded | None = None,
    ceiling: Seeded | None = None,
    limits: Interval = (0.0, 1.0),
    shared: bool = True,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Scaling:
    """The curve through the points, with bootstrap draws.

    `base` are the outcomes of the untouched model: its mean is the bottom, of the data and of each draw. `ceiling` are
    those that would close the gap, in context. `limits` hold top and bottom; `(-inf, inf)` for outcomes that are no
    accuracies. `shared` as in `paired_over_seeds`: with it, seeds are drawn too, for each point by itself.

    Raises UserError if x is negative or not finite, if there are fewer than three different x above zero (four
    different x, without a base), or if the questions are not the same everywhere.
    """
    xs_P = _efforts(points, 3, "a base and 3 efforts above zero" if base else "4 efforts")
    if len({x for x in xs_P if x > 0 or not base}) < (3 if base else 4):
        _efforts(points, inf, "a base and 3 different efforts above zero, or 4 different efforts")
    values_DP, counts_C, weights_P = _values(points, shared=shared, draws=draws, seed=seed)
    given = {name: column for name, column in (("base", base), ("ceiling", ceiling)) if column}
    levels = {}
    for stream, (name, column) in enumerate(given.items(), start=len(points)):
        sums_CK, _, _ = pooled_seeds([points[0].outcomes[0], *column])
        levels[name] = _drawn(sums_CK[:, 1:], counts_C, shared=shared, draws=draws, seed=seed, stream=stream)
    curves = _fit(xs_P, values_DP, weights_P, levels.get("base"), limits)
    both = base is not None and ceiling is not None
    start_D = curves.bottom if base else curves.at(float(min(xs_P)))
    gain_D = curves.at(float(max(xs_P))) - start_D
    low, high = expanded_interval(gain_D[1:], effective(counts_C), level=level)
    return Scaling(
        bottom=float(curves.bottom[0]), top=float(curves.top[0]), half=float(curves.half[0]),
        power=float(curves.power[0]), largest=float(max(xs_P)), level=level, curves=curves,
        clusters=effective(counts_C),
        gap=paired_over_seeds(ceiling, base, shared=shared, bounded=isfinite(limits[1]), level=level, seed=seed)
        if ceiling and base else None,
        gap_D=levels["ceiling"] - levels["base"] if both else None,
        gain=Score(
            estimate=float(gain_D[0]), low=low, high=high, n_items=int(counts_C.sum()), n_news=len(counts_C),
            level=level, method="none" if low is None else "bootstrap",
            n_seeds=max(len(point.outcomes) for point in points),
        ),
    )  # fmt: skip


def trend(
    points: Sequence[Point], *, shared: bool = True, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Score | Undefined:
    """Spearman's rank correlation of the points' means with x, with the interval of draws of news items and seeds.

    For numbers that are not expected to depend on x, such as the training loss: an interval that contains zero shows no
    trend. Outcomes may be any numbers. Undefined if all means are equal or there is one news item. Raises UserError
    as `fit_scaling` does, for fewer than three different x.
    """
    xs_P = _efforts(points, 3, "3 different efforts")
    values_DP, counts_C, _ = _values(points, shared=shared, draws=draws, seed=seed)
    correlation_D = _spearman(values_DP, xs_P)
    if len(counts_C) < 2 or np.ptp(values_DP[0]) < NOISE:
        return Undefined(reason="a trend needs two news items, and means that differ")
    low, high = expanded_interval(correlation_D[1:], effective(counts_C), level=level)
    return Score(
        estimate=float(correlation_D[0]), low=low, high=high, n_items=int(counts_C.sum()), n_news=len(counts_C),
        level=level, n_seeds=max(len(point.outcomes) for point in points),
    )  # fmt: skip


def _efforts(points: Sequence[Point], least: float, expected: str) -> Floats:
    xs = [point.x for point in points]
    if wrong := [x for x in xs if not (isfinite(x) and x >= 0)]:
        raise UserError(f"an effort of {wrong[0]}", expected="zero or more", fix="correct or leave out the point")
    if len(set(xs)) < least:
        raise UserError(
            f"{len(set(xs))} different efforts: {sorted(set(xs))}", expected=expected, fix="measure more of them"
        )
    return np.asarray(xs, dtype=np.float64)


def _values(points: Sequence[Point], *, shared: bool, draws: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Means of the data and of each draw (D, P), questions per news item (C,), outcomes per point (P,)."""
    columns = [column for point in points for column in point.outcomes]
    sums_CK, counts_C, _ = pooled_seeds(columns)
    ends = np.cumsum([len(point.outcomes) for point in points])
    own = [
        _drawn(sums_CS, counts_C, shared=shared, draws=draws, seed=seed, stream=stream)
        for stream, sums_CS in enumerate(np.split(sums_CK, ends[:-1], axis=1))
    ]
    return np.stack(own, axis=1), counts_C, counts_C.sum() * np.diff(ends, prepend=0).astype(np.float64)


def _drawn(sums_CS: Floats, counts_C: Floats, *, shared: bool, draws: int, seed: int, stream: int) -> Floats:
    """The mean of the data, then those of the draws, (D,)."""
    mean = sums_CS.mean(axis=1).sum() / counts_C.sum()
    drawn_D = resampled_over_seeds(sums_CS, counts_C, shared=shared, draws=draws, seed=seed, stream=stream)
    return np.concatenate([[mean], drawn_D])


def _spearman(values_DP: Floats, xs_P: Floats) -> Floats:
    """Rank correlations (D,); 0 where all values are equal."""
    from scipy.stats import rankdata

    ranks_DP = rankdata(values_DP, axis=1) - (len(xs_P) + 1) / 2
    own_P = rankdata(xs_P) - (len(xs_P) + 1) / 2
    length_D = np.sqrt((ranks_DP**2).sum(axis=1) * (own_P @ own_P))
    correlation_D: Floats = ranks_DP @ own_P / np.maximum(length_D, NOISE)
    return correlation_D


def _remaining(xs_P: Floats, half: Floats, power: Floats) -> Floats:
    """The share of top - bottom that remains at each x: 1 at 0, 1/2 at `half`."""
    remaining: Floats = np.exp(-power * np.log1p(xs_P / half * np.expm1(np.log(2) / power)))
    return remaining


def _fit(xs_P: Floats, values_DP: Floats, weights_P: Floats, bottom_D: Floats | None, limits: Interval) -> Curves:
    """The best curve of each row of values, by a grid over the shapes and then ever smaller steps around the best."""
    positive_P = xs_P[xs_P > 0]
    ranges = np.log([[HALVES[0] * positive_P.min(), HALVES[1] * positive_P.max()], POWERS])
    axes = [np.linspace(float(low), float(high), count) for (low, high), count in zip(ranges, GRID, strict=True)]
    shapes_1G2 = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 2)
    steps_2 = np.asarray([axis[1] - axis[0] for axis in axes])
    moves = np.linspace(-1, 1, 5)
    moves_G2 = np.stack(np.meshgrid(moves, moves, indexing="ij"), axis=-1).reshape(-1, 2)
    weights_P = weights_P / weights_P.sum()
    # Around zero, sums of squares lose no digits.
    middle = float(values_DP.mean())
    values_DP, limits = values_DP - middle, (limits[0] - middle, limits[1] - middle)
    bottom_D = None if bottom_D is None else bottom_D - middle
    for round_ in range(ROUNDS + 1):
        remaining_DGP = _remaining(xs_P, np.exp(shapes_1G2[..., :1]), np.exp(shapes_1G2[..., 1:]))
        bottom_DG, top_DG, loss_DG = _levels(values_DP, remaining_DGP, weights_P, bottom_D, limits)
        rows = np.arange(len(values_DP))
        best_D = loss_DG.argmin(axis=1)
        chosen_D2 = np.broadcast_to(shapes_1G2, (len(rows), *shapes_1G2.shape[1:]))[rows, best_D]
        if round_ == ROUNDS:
            break
        shapes_1G2 = np.clip(chosen_D2[:, None] + moves_G2 * steps_2 * SHRINK**round_, *ranges.T)
    half_D, power_D = np.exp(chosen_D2).T
    bottom, top = (found_DG[rows, best_D] + middle for found_DG in (bottom_DG, top_DG))
    return Curves(bottom=bottom, top=top, half=half_D, power=power_D)


def _levels(
    values_DP: Floats, remaining_DGP: Floats, weights_P: Floats, bottom_D: Floats | None, limits: Interval
) -> tuple[Floats, Floats, Floats]:
    """The best bottom and top for each shape, within the limits, and the loss, all (D, G)."""
    gained_DGP = 1 - remaining_DGP
    rr, rt, tt = (
        (left * right) @ weights_P
        for left, right in ((remaining_DGP, remaining_DGP), (remaining_DGP, gained_DGP), (gained_DGP, gained_DGP))
    )
    weighted_D1P = (values_DP * weights_P)[:, None]
    yr, yt = ((weighted_D1P @ np.swapaxes(one, 1, 2))[:, 0] for one in (remaining_DGP, gained_DGP))
    tt, rr = np.maximum(tt, NOISE), np.maximum(rr, NOISE)

    def best_top(bottom: Floats | float) -> Floats:
        top: Floats = np.clip((yt - bottom * rt) / tt, *limits)
        return top

    def loss(bottom: Floats | float, top: Floats | float) -> Floats:
        change: Floats = bottom * bottom * rr + 2 * bottom * top * rt + top * top * tt - 2 * (bottom * yr + top * yt)
        return change

    if bottom_D is not None:
        bottom_DG = np.broadcast_to(bottom_D[:, None], yr.shape)
        top_DG = best_top(bottom_DG)
        return bottom_DG, top_DG, loss(bottom_DG, top_DG)
    determinant = np.maximum(rr * tt - rt * rt, NOISE)
    bottom_DG, top_DG = (yr * tt - yt * rt) / determinant, (yt * rr - yr * rt) / determinant
    # Outside the limits the best pair is on an edge of the square: the loss is convex.
    candidates = [(np.clip(bottom_DG, *limits), best_top(np.clip(bottom_DG, *limits)))]
    for edge in limits:
        if isfinite(edge):
            candidates.append((np.full_like(yr, edge), best_top(edge)))
            candidates.append((np.clip((yr - edge * rt) / rr, *limits), np.full_like(yr, edge)))
    losses = np.stack([loss(*pair) for pair in candidates])
    which = losses.argmin(axis=0)[None]
    bottom_DG, top_DG = (np.take_along_axis(np.stack(side), which, 0)[0] for side in zip(*candidates, strict=True))
    return bottom_DG, top_DG, losses.min(axis=0)
