"""Curves over walks: intervals, phase transitions, and how the critical size grows with the graph.

The critical context size is found by fitting broken lines over the logarithm of the context length: a slow phase, a
fast phase and, where the curve has one, a plateau. The Bayesian information criterion chooses between a straight line,
one break and two. The break at which the curve becomes steeper is its *onset*, the one at which it flattens its
*saturation*.

Intervals are by bootstrap over walks, with `sys2ft.statistics`. With fewer than six walks the bootstrap cannot exceed
their range, which covers the true value less often than stated: means then have Student's interval, breaks have none.

Shapes: X walks, C context lengths, D bootstrap draws, G graphs, B breaks, K weights of a broken line, Q possible
positions of its breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sys2ft.representations.graphs.graph import Floats
from sys2ft.statistics import expanded_interval, resampling_weights, student

DRAWS = 2000
FEWEST_WALKS = 6  # the range of six covers the median of their distribution in 97% of cases, that of five in 94%
_FEWEST = 3  # context lengths in a phase


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval (None: no interval) and the number of walks or graphs it is based on."""

    estimate: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, estimate: float, interval: tuple[float | None, float | None], n: int) -> Estimate:
        return cls(estimate, *interval, n)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_over_walks(values_X: npt.ArrayLike, seed: int = 0) -> Estimate | None:
    """Mean over the walks that have a value, with its interval; None if no walk has one."""
    values = np.asarray(values_X, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    draws_D = resampling_weights(len(values), draws=DRAWS, seed=seed) @ values / len(values)
    return Estimate.of(float(values.mean()), _interval(values, draws_D), len(values))


def _interval(values_X: Floats, draws_D: Floats) -> tuple[float, float] | tuple[None, None]:
    """Interval of a mean: from its bootstrap draws, or Student's t for few walks."""
    if not 2 <= len(values_X) < FEWEST_WALKS:
        return expanded_interval(draws_D, len(values_X))
    mean = float(values_X.mean())
    half = student(0.95, len(values_X) - 1) * float(values_X.std(ddof=1)) / float(np.sqrt(len(values_X)))
    return mean - half, mean + half


def interval_of_draws(draws_D: Floats, walks: int) -> tuple[float, float] | tuple[None, None]:
    """Interval of any other statistic: from its bootstrap draws, or none for few walks."""
    return expanded_interval(draws_D, walks) if walks >= FEWEST_WALKS else (None, None)


def draws_of(curves_XC: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Mean curve (C) and its bootstrap draws (D, C). Walks without a value at a length are left out there."""
    there = ~np.isnan(curves_XC)
    filled = np.where(there, curves_XC, 0.0)
    weights_DX = resampling_weights(len(curves_XC), draws=DRAWS, seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_C: Floats = filled.sum(axis=0) / there.sum(axis=0)
        draws_DC = (weights_DX @ filled) / (weights_DX @ there)
    return mean_C, np.where(np.isnan(draws_DC), mean_C, draws_DC)


def band(curves_XC: Floats) -> dict[str, list[float | None]]:
    """Mean curve with its interval at each length, in JSON form: None where nothing is known."""
    mean_C, draws_DC = draws_of(curves_XC)
    known = [column[~np.isnan(column)] for column in curves_XC.T]
    ends = [
        _interval(own, draws_D) if len(own) else (None, None) for own, draws_D in zip(known, draws_DC.T, strict=True)
    ]
    return {
        "mean": [float(m) if np.isfinite(m) else None for m in mean_C],
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "n": [int(n) for n in (~np.isnan(curves_XC)).sum(axis=0)],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The breaks of a curve in words of context; None for a break that it does not have."""

    onset: Estimate | None
    saturation: Estimate | None
    breaks: tuple[float, ...]
    slopes: tuple[float, ...]
    """Slope of each phase per tenfold context."""
    explained: dict[str, float]
    """Share of the mean curve's variance explained by a straight line, one break and two breaks."""
    line: tuple[tuple[float, float], ...]
    """The fitted line's corners: (context, value)."""
    draws: dict[str, Floats] = field(default_factory=dict, compare=False)
    """Bootstrap draws (D) of log10 of onset and saturation."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "onset": self.onset.to_dict() if self.onset else None,
            "saturation": self.saturation.to_dict() if self.saturation else None,
            "breaks": list(self.breaks),
            "slopes": list(self.slopes),
            "explained": self.explained,
            "line": [list(point) for point in self.line],
        }


def two_phases(contexts_C: npt.ArrayLike, curves_XC: Floats) -> Transition | None:
    """Fit a curve's phases; None where fewer than twelve lengths are known, or the curve does not change."""
    known = (~np.isnan(curves_XC)).mean(axis=0) >= 0.5
    x_C = np.log10(np.asarray(contexts_C, dtype=np.float64)[known])
    mean_C, draws_DC = draws_of(curves_XC[:, known])
    if len(x_C) < 12 or np.ptp(mean_C) < 1e-9:
        return None
    fits = [_best(x_C, mean_C[None], breaks) for breaks in (0, 1, 2)]
    spread = float(np.square(mean_C - mean_C.mean()).sum())
    costs = [
        len(x_C) * np.log(max(error[0], 1e-12 * spread) / len(x_C)) + (2 + 2 * breaks) * np.log(len(x_C))
        for breaks, (_, error) in enumerate(fits)
    ]
    count = int(np.argmin(costs))
    breaks = fits[count][0][0]
    levels, slopes = _line(x_C, mean_C, breaks)
    drawn_DB = _best(x_C, draws_DC, count)[0]
    corners = [float(x_C[0]), *map(float, breaks), float(x_C[-1])]
    named, draws = _named(x_C, breaks, slopes, drawn_DB, len(curves_XC), np.sign(levels[-1] - levels[0]))
    return Transition(
        onset=named.get("onset"),
        saturation=named.get("saturation"),
        breaks=tuple(float(10**b) for b in breaks),
        slopes=slopes,
        explained={
            name: float(1 - error[0] / spread)
            for name, (_, error) in zip(("line", "one break", "two breaks"), fits, strict=True)
        },
        line=tuple((float(10**corner), level) for corner, level in zip(corners, levels, strict=True)),
        draws=draws,
    )


def _named(
    x_C: Floats, breaks: Floats, slopes: Sequence[float], drawn_DB: Floats, walks: int, direction: float
) -> tuple[dict[str, Estimate], dict[str, Floats]]:
    """Onset and saturation among the breaks, by the slopes in the curve's own direction.

    The onset is the break with the largest increase of slope, the saturation the later break with the largest decrease.
    """
    turns = direction * np.diff(slopes)
    places: dict[str, int] = {}
    if len(turns) and turns.max() > 0:
        places["onset"] = int(turns.argmax())
    behind = range(places.get("onset", -1) + 1, len(turns))
    if behind and min(turns[place] for place in behind) < 0:
        places["saturation"] = min(behind, key=lambda place: float(turns[place]))
    found: dict[str, Estimate] = {}
    for name, place in places.items():
        low, high = interval_of_draws(drawn_DB[:, place], walks)
        if low is not None and high is not None:
            # Breaks are searched for at measured lengths only, so they are no more precise than the adjacent lengths.
            at = int(np.argmin(np.abs(x_C - breaks[place])))
            low, high = min(low, float(x_C[max(at - 1, 0)])), max(high, float(x_C[min(at + 1, len(x_C) - 1)]))
            low, high = 10**low, 10**high
        found[name] = Estimate(float(10 ** breaks[place]), low, high, walks)
    return found, {name: drawn_DB[:, place] for name, place in places.items()}


def _best(x_C: Floats, curves_DC: Floats, breaks: int) -> tuple[Floats, Floats]:
    """Best breaks (D, B) of each curve, searched for among the lengths, and the remaining squared error (D)."""
    places_QB, bases_CM = _bases(tuple(x_C.tolist()), breaks)
    # One product for all positions: the projection of each curve onto the space of each broken line.
    inside_DQK = (curves_DC @ bases_CM).reshape(len(curves_DC), len(places_QB), -1)
    error_DQ = np.square(curves_DC).sum(axis=1)[:, None] - np.square(inside_DQK).sum(axis=2)
    return x_C[places_QB[error_DQ.argmin(axis=1)]], np.maximum(error_DQ.min(axis=1), 0.0)


@lru_cache(maxsize=32)
def _bases(x: tuple[float, ...], breaks: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Possible positions (Q, B) of breaks, and orthonormal bases (C, Q * K) of the broken lines, concatenated."""
    inner = range(_FEWEST - 1, len(x) - _FEWEST)
    places = [p for p in combinations(inner, breaks) if all(b - a >= _FEWEST - 1 for a, b in pairwise(p))]
    places_QB = np.array(places, dtype=np.int64).reshape(len(places), breaks)
    designs_QCK = np.stack([_design(np.array(x), np.array(x)[place]) for place in places_QB])
    return places_QB, np.concatenate(list(np.linalg.qr(designs_QCK)[0]), axis=1)


def _design(x_C: Floats, breaks: npt.ArrayLike) -> Floats:
    """Constant, slope, and a change of slope at each break."""
    hinges = [np.maximum(x_C - b, 0.0) for b in np.asarray(breaks).reshape(-1)]
    design: Floats = np.stack([np.ones_like(x_C), x_C, *hinges], axis=1)
    return design


def _line(x_C: Floats, curve_C: Floats, breaks: Floats) -> tuple[list[float], tuple[float, ...]]:
    """Values of the fitted line at its corners, and the slope of each phase."""
    weights = np.linalg.lstsq(_design(x_C, breaks), curve_C, rcond=None)[0]
    corners = np.array([x_C[0], *breaks, x_C[-1]])
    values = _design(corners, breaks) @ weights
    return [float(v) for v in values], tuple(float(s) for s in np.cumsum(weights[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """Critical context size = factor * nodes ^ exponent."""

    exponent: Estimate
    """With the regression's interval (Student's t over the graphs), which includes the noise of the walks."""
    by_walks: tuple[float, float] | tuple[None, None]
    """The exponent's interval from resampling the walks of each graph; it does not include the choice of graphs."""
    factor: float
    explained: float
    """Share of the variance of log10 critical size."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "by_walks": list(self.by_walks)}


def power_law(nodes_G: Sequence[int], sizes_G: Sequence[float], draws_GD: Sequence[Floats]) -> PowerLaw | None:
    """Fit a power law; None unless the graphs have at least three different numbers of nodes.

    `draws_GD` are bootstrap draws of log10 of the size.
    """
    if len(set(nodes_G)) < 3:
        return None
    x_G, y_G = np.log10(np.asarray(nodes_G, dtype=np.float64)), np.log10(np.asarray(sizes_G, dtype=np.float64))
    centred = x_G - x_G.mean()
    slope = float(centred @ y_G / (centred @ centred))
    left = y_G - y_G.mean() - slope * centred
    freedom = len(x_G) - 2
    half = student(0.95, freedom) * float(np.sqrt(left @ left / freedom / (centred @ centred)))
    slopes_D = centred @ np.asarray(draws_GD) / (centred @ centred)
    spread = float(np.square(y_G - y_G.mean()).sum())
    return PowerLaw(
        exponent=Estimate(slope, slope - half, slope + half, len(x_G)),
        by_walks=(float(np.quantile(slopes_D, 0.025)), float(np.quantile(slopes_D, 0.975))),
        factor=float(10 ** (y_G.mean() - slope * x_G.mean())),
        explained=1.0 - float(left @ left) / spread if spread > 0 else 0.0,
    )
