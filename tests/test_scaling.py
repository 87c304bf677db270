"""Scaling fits: known laws are found, bands cover, flat data are called flat, and nothing is extrapolated."""

from __future__ import annotations

import time
from math import inf, isfinite

import numpy as np
import pytest

from sys2ft.errors import UserError
from sys2ft.statistics import Needed, Outcomes, Point, Score, Undefined, fit_scaling, trend
from sys2ft.statistics.scaling import Scaling

XS = [2.0**k for k in range(11)]


def law(x: float, bottom: float, top: float, scale: float, power: float) -> float:
    return top - (top - bottom) * (1 + x / scale) ** -power


def same(level: float, n_news: int = 3) -> Outcomes:
    """Every question has this outcome."""
    return {(f"n{c:03}", q): level for c in range(n_news) for q in range(2)}


def exact(bottom: float, top: float, scale: float, power: float, xs: list[float] = XS) -> list[Point]:
    return [Point(x=x, outcomes=[same(law(x, bottom, top, scale, power))]) for x in xs]


def noisy(
    rng: np.random.Generator, levels: list[float], n_news: int, seeds: int = 1, of_all: float = 0.0
) -> list[list[Outcomes]]:
    """Outcomes around each level: news items and questions have their own ease, common to all levels."""
    ease_CQ = rng.normal(0, 0.08, (n_news, 1)) + rng.normal(0, 0.1, (n_news, 4))
    return [
        [
            {
                (f"n{c:03}", q): float(value)
                for (c, q), value in np.ndenumerate(
                    level + ease_CQ + rng.normal(0, 0.15, ease_CQ.shape) + rng.normal(0, of_all)
                )
            }
            for _ in range(seeds)
        ]
        for level in levels
    ]


def fitted(rng: np.random.Generator, levels: list[float], n_news: int = 12, **settings: object) -> Scaling:
    """Base at 0.25 and ceiling at 0.85, then the levels at XS."""
    base, ceiling, *rest = noisy(rng, [0.25, 0.85, *levels], n_news)
    points = [Point(x=x, outcomes=own) for x, own in zip(XS, rest, strict=True)]
    return fit_scaling(points, base=base, ceiling=ceiling, limits=(-inf, inf), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bottom", "top", "scale", "power"),
    [(0.25, 0.8, 20, 1.0), (0.25, 0.9, 30, 0.5), (0.1, 0.6, 40, 3.0), (0.5, 0.2, 10, 1.0)],
)
def test_a_known_law_is_found(bottom: float, top: float, scale: float, power: float) -> None:
    points = exact(bottom, top, scale, power)
    found = fit_scaling(points, base=[same(bottom)], draws=10)
    assert (found.bottom, found.top, found.power) == pytest.approx((bottom, top, power), rel=1e-3)
    assert found.scale == pytest.approx(scale, rel=1e-3)
    assert found.at(found.half) == pytest.approx((bottom + top) / 2, abs=1e-6)
    assert [found.at(x) for x in (0, 5, 5000)] == pytest.approx(
        [law(x, bottom, top, scale, power) for x in (0, 5, 5000)], abs=1e-4
    )
    without = fit_scaling(points, draws=10)  # the bottom is fitted too
    assert [without.at(x) for x in XS] == pytest.approx([law(x, bottom, top, scale, power) for x in XS], abs=1e-5)


def test_the_unit_of_x_and_an_offset_do_not_matter() -> None:
    points = exact(0.25, 0.8, 20, 1.0)
    flop = [Point(x=3e14 * point.x, outcomes=point.outcomes) for point in points]
    found = fit_scaling(flop, base=[same(0.25)], draws=10)
    assert (found.top, found.scale) == pytest.approx((0.8, 20 * 3e14), rel=1e-3)
    nats = [Point(x=p.x, outcomes=[{i: float(v) - 900 for i, v in p.outcomes[0].items()}]) for p in points]  # type: ignore[arg-type]
    lower = fit_scaling(nats, base=[same(0.25 - 900)], limits=(-inf, inf), draws=10)
    assert (lower.top, lower.power) == pytest.approx((-899.2, 1.0), rel=1e-3)


def test_no_fit_of_scipy_is_better() -> None:
    from scipy.optimize import least_squares

    rng = np.random.default_rng(0)
    for base in (None, [same(0.25)]):
        values = [law(x, 0.25, 0.8, 20, 1) + rng.normal(0, 0.04) for x in XS]
        found = fit_scaling(
            [Point(x=x, outcomes=[same(v)]) for x, v in zip(XS, values, strict=True)], base=base, draws=2
        )

        def residuals(q: np.ndarray, values: list[float] = values, base: object = base) -> np.ndarray:
            bottom = 0.25 if base else q[3]
            half, power = np.exp(q[1]), np.exp(q[2])
            return np.asarray([law(x, bottom, q[0], half / (2 ** (1 / power) - 1), power) for x in XS]) - values

        low, high = [0, np.log(0.1), np.log(0.1), 0], [1, np.log(102400), np.log(10), 1]
        count = 3 if base else 4
        best = min(
            2 * least_squares(residuals, [0.7, half, power, 0.3][:count], bounds=(low[:count], high[:count])).cost
            for half in (1.0, 3.0, 5.0)
            for power in (-1.0, 0.0, 1.0)
        )
        own = sum((found.at(x) - v) ** 2 for x, v in zip(XS, values, strict=True))
        assert own <= best * 1.0001 + 1e-12


def test_top_and_bottom_stay_within_the_limits() -> None:
    rising = [Point(x=x, outcomes=[same(0.1 + 0.085 * k)]) for k, x in enumerate(XS)]  # straight in the logarithm
    assert 0 <= fit_scaling(rising, draws=5).bottom <= fit_scaling(rising, draws=5).top <= 1
    assert fit_scaling(rising, limits=(-inf, inf), draws=5).top > 1


def test_effort_needed_by_hand() -> None:
    # (1 + x / 20) ** -1 = 1/5 at x = 80, where 0.8 of the way from 0.25 to the top of 0.75 is reached.
    rng = np.random.default_rng(1)
    found = fit_scaling(exact(0.25, 0.75, 20, 1), base=[same(0.25)], ceiling=[same(0.75)], draws=50)
    assert found.needed(0.65).estimate == pytest.approx(80, rel=1e-3)
    assert (found.needed(0.2).estimate, found.needed(0.76).estimate) == (0, inf)
    assert isfinite(found.needed(0.74).estimate) and found.needed(0.748).estimate == inf  # 4,980 is beyond 1,024
    share = fitted(rng, [law(x, 0.25, 0.85, 8, 1) for x in XS], n_news=40).needed_share(0.8)
    assert isinstance(share, Needed)
    assert share.low is not None and share.high is not None
    assert 0 < share.low < 32 < share.high < 1024  # (1 + 32 / 8) ** -1 = 1/5
    assert share.unreached < 0.05


def test_what_never_saturates_has_no_upper_end() -> None:
    rng = np.random.default_rng(2)
    found = fitted(rng, [0.25 + 0.03 * k for k in range(11)])
    share = found.needed_share(0.8)
    assert not found.flat and isinstance(share, Needed)
    assert (share.estimate, share.high) == (inf, inf)
    assert share.unreached > 0.9 and share.largest == 1024


def test_flat_data_are_called_flat() -> None:
    rng = np.random.default_rng(3)
    flat = [fitted(rng, [0.25] * 11, draws=200) for _ in range(30)]
    assert np.mean([one.flat for one in flat]) >= 0.88
    assert not fitted(rng, [0.25, 0.3, 0.4, *[0.5] * 8]).flat
    assert fit_scaling(exact(0.3, 0.3, 5, 1), base=[same(0.3)], draws=5).flat


def test_bands_cover_the_truth() -> None:
    rng = np.random.default_rng(4)
    truth = {x: law(x, 0.25, 0.8, 16, 1) for x in (1, 16, 1024)}
    hits = []
    for _ in range(50):
        found = fitted(rng, [law(x, 0.25, 0.8, 16, 1) for x in XS], draws=200)
        hits.append([low <= truth[x] <= high for x, (low, high) in zip(truth, found.band(list(truth)), strict=True)])  # type: ignore[operator]
    assert (np.mean(hits, axis=0) >= 0.86).all()


def test_seeds_that_move_all_news_items_widen_the_band() -> None:
    rng = np.random.default_rng(5)
    base, *own = noisy(rng, [0.25, *(law(x, 0.25, 0.8, 16, 1) for x in XS)], 20, seeds=2, of_all=0.1)
    points = [Point(x=x, outcomes=columns) for x, columns in zip(XS, own, strict=True)]
    (low, high), (inner_low, inner_high) = (
        fit_scaling(points, base=base[:1], shared=shared).band([64])[0] for shared in (True, False)
    )
    assert high - low > 1.2 * (inner_high - inner_low)  # type: ignore[operator]


def test_a_fit_with_its_draws_is_fast_and_repeatable() -> None:
    rng = np.random.default_rng(6)
    base, *own = noisy(rng, [0.25, *(law(x, 0.25, 0.8, 16, 1) for x in XS)], 12)
    points = [Point(x=x, outcomes=columns) for x, columns in zip(XS, own, strict=True)]
    begun = time.process_time()
    first = fit_scaling(points, base=base)
    assert time.process_time() - begun < 4  # 400 draws at 10 ms
    again = fit_scaling(points, base=base)
    assert (first.top, first.band(XS)) == (again.top, again.band(XS))


def test_one_news_item_has_no_interval() -> None:
    points = [Point(x=x, outcomes=[same(law(x, 0.2, 0.8, 9, 1), n_news=1)]) for x in XS]
    found = fit_scaling(points, base=[same(0.2, 1)], ceiling=[same(0.9, 1)], draws=5)
    assert found.band([4]) == [(None, None)]
    assert found.flat and found.gain.method == "none"
    assert found.needed(0.5).high is None
    assert isinstance(found.needed_share(), Undefined)
    assert isinstance(trend(points), Undefined)


def test_a_ceiling_at_the_base_has_no_share() -> None:
    rng = np.random.default_rng(7)
    base, ceiling, *own = noisy(rng, [0.25, 0.25, *[0.4] * 11], 12)
    points = [Point(x=x, outcomes=columns) for x, columns in zip(XS, own, strict=True)]
    assert isinstance(fit_scaling(points, base=base, ceiling=ceiling).needed_share(), Undefined)
    with pytest.raises(UserError, match="gap is not known"):
        fit_scaling(points, base=base).needed_share()


@pytest.mark.parametrize(
    ("xs", "base", "message"),
    [
        ([1, 2, -4], True, "effort of -4"),
        ([1, 2, inf], True, "effort of inf"),
        ([1, 2, 2], True, "2 different efforts"),
        ([0, 1, 2], True, "3 different efforts"),  # 0 is the base once more
        ([1, 2, 4], False, "3 different efforts"),
        ([], False, "0 different efforts"),
    ],
)
def test_efforts_that_determine_no_curve_are_refused(xs: list[float], base: bool, message: str) -> None:
    points = [Point(x=x, outcomes=[same(0.5)]) for x in xs]
    with pytest.raises(UserError, match=message):
        fit_scaling(points, base=[same(0.2)] if base else None)


def test_other_questions_in_one_point_are_refused() -> None:
    points = exact(0.2, 0.8, 9, 1)
    with pytest.raises(UserError, match="one side only"):
        fit_scaling([*points, Point(x=9, outcomes=[same(0.5, n_news=4)])])
    with pytest.raises(UserError, match="one side only"):
        fit_scaling(points, base=[same(0.2, n_news=4)])


def test_trend_is_spearmans_and_claimed_as_rarely_as_the_level_says() -> None:
    from scipy.stats import spearmanr

    rng, claimed = np.random.default_rng(8), 0
    for _ in range(50):
        points = [Point(x=x, outcomes=own) for x, own in zip(XS, noisy(rng, [1.0] * 11, 12), strict=True)]
        found = trend(points, draws=400)
        assert isinstance(found, Score)
        claimed += found.excludes_zero
    assert claimed <= 6
    means = [np.mean(list(point.outcomes[0].values())) for point in points]  # type: ignore[arg-type]
    assert found.estimate == pytest.approx(spearmanr(XS, means).statistic)
    falling = noisy(rng, [1.0 - 0.05 * k for k in range(11)], 12)
    score = trend([Point(x=x, outcomes=own) for x, own in zip(XS, falling, strict=True)])
    assert isinstance(score, Score) and score.high is not None and score.high < 0
