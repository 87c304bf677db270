"""The intervals themselves: bootstrap percentiles, Student's t, Wilson, Newcombe, Fieller, and the range of guessing.

Sources are given where they are used; docs/statistics.md says when which is used, and how often each covers.

Shapes: C news items (clusters), D bootstrap draws, K columns (models, conditions or their differences), S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

DRAWS = 10_000
FEWEST = 8
"""News items from which on the bootstrap covers as often as Student's t; fewer have t (docs/statistics.md, table)."""
MOST = 1024
"""News items up to which they are resampled. The draws of more would need gigabytes; Student's t takes their place,
whose error is then far below the width of an interval."""
NOISE = 1e-12
"""Standard errors below this are rounding: the news items do not differ."""
LEAST_FREEDOM = 0.2
"""Degrees of freedom where one news item has nearly all questions; Student's t is not computable for fewer."""


def is_resampled(counts_C: Floats) -> bool:
    """Whether intervals over these news items are of the bootstrap: neither too few for it nor too many."""
    return FEWEST <= len(counts_C) <= MOST


@lru_cache(maxsize=8)
def resampling_weights(clusters: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each cluster is drawn, (draws, clusters); read-only, cached: a report needs it hundreds of times.

    `scipy.stats.bootstrap` is not used because it resamples for every call. Here all columns of a comparison, and all
    numbers of a report, share the same draws: that makes differences paired.
    """
    rng = np.random.default_rng(seed)
    weights_DC = rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=draws).astype(np.float64)
    weights_DC.flags.writeable = False
    return weights_DC


def expanded_interval(
    statistic_D: Floats, clusters: float, *, level: float = 0.95
) -> tuple[float, float] | tuple[None, None]:
    """Expanded percentiles of a statistic's bootstrap draws; (None, None) for one cluster.

    If all draws are equal, the interval has width zero; the caller must decide what that means.
    """
    return percentiles(statistic_D, clusters, level) if clusters >= 2 else (None, None)


def percentiles(statistic_D: Floats, clusters: float, level: float) -> Interval:
    """`expanded_interval` for more than one cluster, as order statistics rounded outwards; draws may be infinite."""
    from scipy.stats import norm

    ordered_D = np.sort(statistic_D)
    tail = float(norm.cdf(-sqrt(clusters / (clusters - 1)) * student(level, clusters - 1)))
    cut = int(tail * (len(ordered_D) - 1))
    return float(ordered_D[cut]), float(ordered_D[-1 - cut])


def effective(counts_C: Floats) -> float:
    """The number of news items with equally many questions that would vary as much (Kish 1965, 'Survey sampling')."""
    return float(counts_C.sum() ** 2 / (counts_C @ counts_C))


def covariance(sums_CK: Floats, counts_C: Floats) -> Floats:
    """Covariance (K, K) of the pooled means, from one residual per news item; zero for one news item.

    The pooled mean is a ratio of two sums over news items, which is linearised (Cochran 1977, 'Sampling techniques',
    section 6.4).
    """
    total, n_news = counts_C.sum(), effective(counts_C)
    residuals_CK = (sums_CK - counts_C[:, None] * sums_CK.sum(axis=0) / total) / total
    covariance_KK: Floats = residuals_CK.T @ residuals_CK * (n_news / max(n_news - 1, NOISE))
    return covariance_KK


def standard_error(sums_CS: Floats, counts_C: Floats, *, shared: bool = False) -> tuple[float, float]:
    """(standard error, degrees of freedom) of the pooled mean over news items and seeds; (0, 0) for one news item.

    A news item counts with its mean over the seeds, whose variation between news items contains what the seeds do to
    single ones. A `shared` seed also moves all news items at once. That variance is added: the variance of the seeds'
    means beyond what single answers explain (the two-way analysis of variance), with Satterthwaite's (1946) degrees of
    freedom. Of few seeds it is known poorly, and at most S - 1 degrees of freedom remain where it dominates.
    """
    n_news, seeds = effective(counts_C), int(sums_CS.shape[1])
    mean_C1 = sums_CS.mean(axis=1, keepdims=True)
    variance, freedom = float(covariance(mean_C1, counts_C)[0, 0]), n_news - 1
    if shared and seeds > 1 and len(counts_C) > 1:
        total = counts_C.sum()
        shift_S = (sums_CS - mean_C1).sum(axis=0) / total
        single_CS = (sums_CS - mean_C1 - counts_C[:, None] * shift_S) / total
        single = (single_CS**2).sum() * n_news / max(n_news - 1, NOISE)
        excess = max(0.0, float((shift_S**2).sum() - single)) / (seeds * (seeds - 1))
        if excess > NOISE**2:
            parts = variance**2 / max(freedom, LEAST_FREEDOM) + excess**2 / (seeds - 1)
            variance, freedom = variance + excess, (variance + excess) ** 2 / parts
    return sqrt(variance), freedom


def symmetric(difference: float, half: float, most: float = 1.0) -> Interval:
    """The interval of a difference of accuracies with half its width, within -1 and 1 (-most and most)."""
    return max(-most, difference - half), min(most, difference + half)


def wilson(share: float, trials: float, quantile: float) -> Interval:
    """Wilson's (1927) score interval of a proportion with the quantile of its level; 0 and 1 remain exact ends.

    `scipy.stats.binomtest` computes the same interval for whole numbers of successes only. Here `share * trials` need
    not be whole: the trials are news items, or questions as if they were independent.
    """
    ratio = quantile * quantile / trials
    middle = (share + ratio / 2) / (1 + ratio)
    half = sqrt(ratio * share * (1 - share) + ratio * ratio / 4) / (1 + ratio)
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


def newcombe(changes: Sequence[float], trials: int, level: float) -> Interval:
    """Newcombe's (1998) interval of a difference: the questions gained minus the questions lost, each with Wilson's."""
    quantile = normal(level)
    won, lost = (sum(max(0.0, sign * change) for change in changes) / len(changes) for sign in (1, -1))
    (won_low, won_high), (lost_low, lost_high) = (wilson(share, trials, quantile) for share in (won, lost))
    low = won - lost - sqrt((won - won_low) ** 2 + (lost_high - lost) ** 2)
    high = won - lost + sqrt((won_high - won) ** 2 + (lost - lost_low) ** 2)
    return max(-1.0, low), min(1.0, high)


def fieller(above: float, below: float, covariance_KK: Floats, quantile: float) -> Interval:
    """Fieller's (1954) interval of above / below, with the covariance (2, 2) of both; `below` is clear of zero."""
    square = quantile * quantile
    a = below**2 - square * float(covariance_KK[1, 1])
    b = above * below - square * float(covariance_KK[0, 1])
    c = above**2 - square * float(covariance_KK[0, 0])
    root = sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a


def joint_level(changes_CK: Floats, counts_C: Floats, *, level: float, draws: int, seed: int) -> float:
    """The level of single intervals of the K pooled means at which all of them hold together at `level`.

    Single-step max-T (Hothorn, Bretz & Westfall 2008): the largest of the standardised means in each draw is compared
    with its own quantile. Bonferroni's level for few news items, whose draws are too coarse for it.
    """
    bonferroni = 1 - (1 - level) / int(changes_CK.shape[1])
    if len(counts_C) < FEWEST:
        return bonferroni
    from scipy.stats import norm

    if len(counts_C) <= MOST:
        drawn_DK = resampled(changes_CK, counts_C, draws=draws, seed=seed)
    else:
        means_K = changes_CK.sum(axis=0) / counts_C.sum()
        rng = np.random.default_rng(seed)
        drawn_DK = rng.multivariate_normal(means_K, covariance(changes_CK, counts_C), size=draws, method="eigh")
    spread_K = drawn_DK.std(axis=0)
    distance_DK = np.abs(drawn_DK - changes_CK.sum(axis=0) / counts_C.sum())
    farthest_D = (distance_DK / np.where(spread_K > NOISE, spread_K, np.inf)).max(axis=1)
    single = 2 * float(norm.cdf(np.quantile(farthest_D, level))) - 1
    return min(max(single, level), bonferroni)


def resampled(sums_CK: Floats, counts_C: Floats, *, draws: int, seed: int) -> Floats:
    """Pooled means of resampled news items, (D, K). All columns share the same draws, which makes them paired."""
    weights_DC = resampling_weights(len(counts_C), draws=draws, seed=seed)
    drawn_DK: Floats = (weights_DC @ sums_CK) / (weights_DC @ counts_C)[:, None]
    return drawn_DK


def resampled_over_seeds(
    sums_CS: Floats, counts_C: Floats, *, shared: bool, draws: int, seed: int, stream: int = 0
) -> Floats:
    """Pooled means over resampled news items and the seeds, (D,). With one seed, exactly `resampled`.

    If a seed is not `shared`, each news item has its mean over the seeds, and only news items are drawn: drawing seeds
    within the news items drawn would count their variation twice (Davison & Hinkley 1997, 'Bootstrap methods and their
    application', section 3.8). If it is, seeds are drawn too, the same for all news items (Owen 2007, 'The pigeonhole
    bootstrap'). Draws of S seeds vary less than seeds do, by (S - 1) / S, so their deviations are expanded.
    `stream` numbers the independent draws of seeds that share draws of news items.
    """
    seeds = int(sums_CS.shape[1])
    if seeds == 1 or not shared:
        return resampled(sums_CS.mean(axis=1, keepdims=True), counts_C, draws=draws, seed=seed)[:, 0]
    drawn_DS = resampled(sums_CS, counts_C, draws=draws, seed=seed)
    times_DS = np.random.default_rng((seed, stream)).multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    middle_D: Floats = drawn_DS.mean(axis=1)
    picked_D: Floats = (drawn_DS * times_DS).sum(axis=1) / seeds
    return middle_D + sqrt(seeds / (seeds - 1)) * (picked_D - middle_D)


def noise_of_chance(chances: Sequence[float], *, level: float = 0.95) -> Interval:
    """The central interval of the accuracy when every question is guessed, given each question's chance level.

    From the exact distribution of the sum. This is for rules that cannot know an answer, such as picking the longest
    choice. For a model, whose answers about one news item are correlated, use `mean_over_news`.
    """
    probabilities = np.ones(1)  # by convolution: scipy.stats.poisson_binom is limited to about 60 questions
    for chance in chances:
        probabilities = np.convolve(probabilities, [1 - chance, chance])
    up_to = probabilities.cumsum()
    tail = (1 - level) / 2
    low, high = np.searchsorted(up_to, tail, side="right"), np.searchsorted(up_to, 1 - tail)
    return float(low / len(chances)), float(high / len(chances))


def normal(level: float) -> float:
    """The z with P(|Z| <= z) = level, Z being standard normal."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))


@lru_cache(maxsize=256)
def student(level: float, freedom: float) -> float:
    """The t with P(|T| <= t) = level, T being Student's t with `freedom` degrees of freedom (whole or not)."""
    from scipy.stats import t  # in functions only: importing scipy.stats takes longer than `sys2ft --help` may

    return float(t.ppf(0.5 + level / 2, max(freedom, LEAST_FREEDOM)))
