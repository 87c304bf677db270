"""Simulate how often intervals cover, how often no effect is called one, and how often a real one is found.

    python -m tools.simulate            # the tables of docs/statistics.md, in about twenty-five minutes
    python -m tools.simulate 50         # with 50 instead of 200 simulated runs for each setting
    python -m tools.simulate 300 seeds  # the table of seeds alone, in about five minutes

News items differ in how well they are answered, as their success rates are drawn from a beta distribution.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from sys2ft.statistics import (
    Outcomes,
    Score,
    gap_share,
    joint_differences,
    mean_over_news,
    mean_over_seeds,
    paired_difference,
    resampling_weights,
    smallest_difference,
    student,
)
from sys2ft.statistics.intervals import Floats, covariance, effective, percentiles, resampled, standard_error, symmetric
from sys2ft.statistics.scores import pooled
from sys2ft.statistics.seeds import Seeded, pooled_seeds

NEWS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 20)
SIZES: Mapping[str, tuple[int, ...]] = {
    "2 each": (2,),
    "5 each": (5,),
    "15 each": (15,),
    "2 to 6": (5, 3, 6, 4, 2, 5, 4, 3, 6, 5, 4, 3),
    "1 to 10": (1, 2, 3, 5, 10, 4, 2, 8, 1, 3, 6, 2),
}
RATES = ((0.25, 0.25), (0.25, 0.6), (0.5, 0.5), (0.25, 0.9), (0.1, 0.95), (0.8, 0.8))
"""True accuracies before and after training."""
CORRELATIONS = (0.02, 0.3)
"""Between the answers to two questions of a news item."""
WITH_NEWS = 0.9
"""True accuracy with the news item in context."""
DRAWS = 2000
SEEDS: Mapping[str, tuple[float, float]] = {
    "nothing": (0.0, 0.0),
    "single news items, 0.15": (0.0, 0.15),
    "all news items, 0.02": (0.02, 0.0),
    "all news items, 0.05": (0.05, 0.0),
    "all news items, 0.10": (0.1, 0.0),
}
"""What a seed moves: the standard deviation of accuracy between seeds, of all news items at once, of single ones."""


def sizes(n_news: int, pattern: Sequence[int]) -> npt.NDArray[np.int64]:
    """Questions of each news item."""
    return np.resize(np.asarray(pattern), n_news)


def answers(rng: np.random.Generator, counts_C: npt.NDArray[np.int64], rate: float, correlation: float) -> Outcomes:
    """Answers whose success rate differs between news items: beta with that mean and correlation within an item."""
    spread = (1 - correlation) / correlation
    rates_C = rng.beta(rate * spread, (1 - rate) * spread, size=len(counts_C))
    return {
        (f"n{c:03}", q): bool(right)
        for c, (count, own) in enumerate(zip(counts_C, rates_C, strict=True))
        for q, right in enumerate(rng.random(count) < own)
    }


def changed(
    rng: np.random.Generator,
    counts_C: npt.NDArray[np.int64],
    before: float,
    after: float,
    correlation: float,
    agreement: float,
) -> tuple[Outcomes, Outcomes]:
    """Answers before and after whose changes correlate within a news item, and which agree on a question."""
    both = before * after + agreement * float(np.sqrt(before * (1 - before) * after * (1 - after)))
    outcomes = ((1, 1), (1, 0), (0, 1), (0, 0))
    chances = np.clip([both, before - both, after - both, 1 - before - after + both], 0, 1)
    first: dict[tuple[str, int], bool] = {}
    second: dict[tuple[str, int], bool] = {}
    for c, count in enumerate(counts_C):
        own = rng.choice(4, size=count, p=chances / chances.sum())
        own[rng.random(count) < np.sqrt(correlation)] = rng.choice(4, p=chances / chances.sum())
        for q, outcome in enumerate(own):
            first[f"n{c:03}", q], second[f"n{c:03}", q] = map(bool, outcomes[outcome])
    return first, second


def covers(score: Score, truth: float) -> bool:
    """Whether the interval contains the true value."""
    return score.low is not None and score.high is not None and score.low - 1e-9 <= truth <= score.high + 1e-9


def by_one_method(score: Score, sums_CK: Floats, counts_C: Floats, truth: float) -> Iterator[tuple[str, bool]]:
    """(method, whether it covers) if percentiles, or Student's t, were used for any number of news items."""
    if score.method == "wilson":
        yield from ((method, covers(score, truth)) for method in ("percentiles", "t"))
        return
    low, high = percentiles(resampled(sums_CK, counts_C, draws=DRAWS, seed=0)[:, 0], effective(counts_C), 0.95)
    yield "percentiles", low - 1e-9 <= truth <= high + 1e-9
    half = student(0.95, effective(counts_C) - 1) * float(np.sqrt(covariance(sums_CK, counts_C)[0, 0]))
    yield "t", abs(score.estimate - truth) <= half + 1e-9


def coverage(n_news: int, runs: int, seed: int = 0) -> Iterator[tuple[str, float]]:
    """(measure, share of the intervals that cover) for each setting with this number of news items."""
    for k, (pattern, (before, after), correlation) in enumerate(product(SIZES.values(), RATES, CORRELATIONS)):
        rng = np.random.default_rng((seed, n_news, k))
        counts_C = sizes(n_news, pattern)
        hits: dict[str, list[bool]] = {}
        for _ in range(runs):
            base, tuned, icl = (answers(rng, counts_C, rate, correlation) for rate in (before, after, WITH_NEWS))
            sums_CK, counts, _ = pooled(tuned, base)
            for name, score, sums_C1, truth in (
                ("accuracy", mean_over_news(tuned, draws=DRAWS), sums_CK[:, :1], after),
                ("difference", paired_difference(tuned, base, draws=DRAWS), sums_CK @ [[1], [-1]], after - before),
            ):
                hits.setdefault(name, []).append(covers(score, truth))
                for method, hit in by_one_method(score, sums_C1, counts, truth):
                    hits.setdefault(f"{name}, {method}", []).append(hit)
            share = gap_share(base, icl, tuned, draws=DRAWS)
            if isinstance(share, Score) and share.low is not None:
                hits.setdefault("share", []).append(covers(share, (after - before) / (WITH_NEWS - before)))
        yield from ((name, sum(own) / len(own)) for name, own in hits.items() if len(own) > runs / 3)


def called(
    rng: np.random.Generator, n_news: int, protocols: int, runs: int, *, rate: float = 0.3, correlation: float = 0.1
) -> tuple[float, float, float]:
    """How often protocols without any effect are said to have one: the best by itself, jointly up, jointly any."""
    alone = up = either = 0
    for _ in range(runs):
        counts_C = sizes(n_news, (5,))
        base = answers(rng, counts_C, rate, correlation)
        tuned = {f"p{k}": answers(rng, counts_C, rate, correlation) for k in range(protocols)}
        joint = joint_differences(tuned, base, draws=DRAWS)
        best = max(joint, key=lambda name: joint[name].estimate)
        alone += (paired_difference(tuned[best], base, draws=DRAWS).low or 0) > 0
        up += any((score.low or 0) > 0 for score in joint.values())
        either += any(score.excludes_zero for score in joint.values())
    return alone / runs, up / runs, either / runs


def found(rng: np.random.Generator, counts: Sequence[int], protocols: int, gain: float, runs: int) -> float:
    """How often a gain of this size is found in one of the protocols, the others having no effect."""
    hits = 0
    for _ in range(runs):
        base, tuned = changed(rng, np.asarray(counts), 0.25, 0.25 + gain, 0.05, 0.4)
        others = {f"p{k}": answers(rng, np.asarray(counts), 0.25, 0.05) for k in range(protocols - 1)}
        hits += (joint_differences({"tuned": tuned, **others}, base, draws=DRAWS)["tuned"].low or 0) > 0
    return hits / runs


def seeded(rng: np.random.Generator, n_news: int, seeds: int, of_all: float, of_single: float) -> Seeded:
    """Answers under each seed, half of them right: a seed moves news items, and asks a fifth of the questions anew."""
    rates_CS = 0.5 + rng.normal(0, 0.15, (n_news, 1)) + rng.normal(0, of_all, seeds)
    rates_CS = rates_CS + rng.normal(0, of_single, (n_news, seeds))
    ease_CQ = rng.random((n_news, 5))
    columns = []
    for rates_C in rates_CS.T:
        own_CQ = np.where(rng.random(ease_CQ.shape) < 0.2, rng.random(ease_CQ.shape), ease_CQ)
        columns.append({(f"n{c:03}", q): bool(right) for (c, q), right in np.ndenumerate(own_CQ < rates_C[:, None])})
    return columns


def two_levels(columns: Seeded, rng: np.random.Generator) -> tuple[float, float]:
    """The interval if seeds were drawn anew within every news item drawn."""
    sums_CS, counts_C, _ = pooled_seeds(columns)
    seeds = len(columns)
    drawn_DC = resampling_weights(len(counts_C), draws=DRAWS).astype(np.int64)
    weights_DCS = rng.multinomial(seeds * drawn_DC, np.full(seeds, 1 / seeds))
    means_D = np.einsum("dcs,cs->d", weights_DCS, sums_CS) / (seeds * (drawn_DC @ counts_C))
    return percentiles(means_D, effective(counts_C), 0.95)


def seeded_coverage(
    n_news: int, seeds: int, of_all: float, of_single: float, runs: int
) -> dict[str, tuple[float, float]]:
    """(coverage, mean width) of each way of drawing seeds."""
    rng = np.random.default_rng((n_news, seeds, int(100 * of_all), int(100 * of_single)))
    found: dict[str, list[tuple[bool, float]]] = {}
    for _ in range(runs):
        columns = seeded(rng, n_news, seeds, of_all, of_single)
        ends = {
            name: mean_over_seeds(columns, shared=name == "shared", draws=DRAWS) for name in ("shared", "not shared")
        }
        intervals = {name: (score.low or 0.0, score.high or 0.0) for name, score in ends.items()}
        intervals["two levels"] = two_levels(columns, rng)
        sums_CS, counts_C, _ = pooled_seeds(columns)
        error, freedom = standard_error(sums_CS, counts_C, shared=True)
        intervals["t"] = symmetric(ends["shared"].estimate, student(0.95, freedom) * error)
        for name, (low, high) in intervals.items():
            found.setdefault(name, []).append((low - 1e-9 <= 0.5 <= high + 1e-9, high - low))
    return {
        name: (float(np.mean([h for h, _ in own])), float(np.mean([w for _, w in own]))) for name, own in found.items()
    }


def seeds_table(runs: int) -> None:
    """Print the coverage of means over seeds."""
    print("| a seed moves | news items | seeds | shared | shared, t | not shared | two levels |\n" + 7 * "|---" + "|")
    for (name, (of_all, of_single)), n_news, seeds in product(SEEDS.items(), (12, 25, 75), (2, 3)):
        own = seeded_coverage(n_news, seeds, of_all, of_single, runs)
        cells = (f"{100 * own[way][0]:.0f}% ({own[way][1]:.2f})" for way in ("shared", "t", "not shared", "two levels"))
        print(f"| {name} | {n_news} | {seeds} | " + " | ".join(cells) + " |", flush=True)


def main(runs: int) -> None:
    """Print the tables."""
    columns = ["accuracy", "difference", "share"]
    columns += (f"{name}, {method}" for method in ("percentiles", "t") for name in columns[:2])
    print("| news items | " + " | ".join(columns) + " |\n" + (len(columns) + 1) * "|---" + "|")
    for n_news in NEWS:
        own: dict[str, list[float]] = {}
        for name, hit in coverage(n_news, runs):
            own.setdefault(name, []).append(hit)
        cells = (
            f"{100 * np.mean(h):.0f}% ({100 * np.quantile(h, 0.1):.0f}, {100 * min(h):.0f})" if h else "–"
            for h in map(own.get, columns)
        )
        print(f"| {n_news} | " + " | ".join(cells) + " |", flush=True)
    print(
        "\n| news items | protocols | the best, alone | any above zero, jointly | any off zero, jointly |"
        "\n|---|---|---|---|---|"
    )
    for n_news, protocols in product((4, 8, 12, 30), (4, 12)):
        rates = called(np.random.default_rng((n_news, protocols)), n_news, protocols, 4 * runs)
        print(f"| {n_news} | {protocols} | " + " | ".join(f"{100 * rate:.1f}%" for rate in rates) + " |", flush=True)
    print("\n| questions | protocols | smallest difference | found |\n|---|---|---|---|")
    for counts, protocols in (((5,) * 5, 1), ((5,) * 10, 1), ((5,) * 10, 4), ((3, 5, 2, 6) * 5, 4), ((2,) * 60, 8)):
        gain = smallest_difference(counts, protocols=protocols)
        hit = found(np.random.default_rng(len(counts)), counts, protocols, gain, 4 * runs)
        print(
            f"| {sum(counts)} of {len(counts)} news items | {protocols} | {gain:.2f} | {100 * hit:.0f}% |", flush=True
        )
    print()
    seeds_table(2 * runs)


if __name__ == "__main__":
    (seeds_table if "seeds" in sys.argv else main)(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
