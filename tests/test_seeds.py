"""Seeds as a second level: one changes nothing, several cover; p-values, Holm's adjustment, power over seeds."""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sys2ft.errors import UserError
from sys2ft.statistics import (
    Outcomes,
    Seeded,
    averaged,
    holm,
    joint_differences,
    mean_over_news,
    mean_over_seeds,
    p_value,
    paired_difference,
    paired_over_seeds,
    smallest_difference,
)
from sys2ft.statistics.intervals import resampled_over_seeds, standard_error
from sys2ft.statistics.seeds import pooled_seeds
from tools import simulate


def column(*news: list[float | None]) -> Outcomes:
    return {(f"n{c:03}", q): outcome for c, row in enumerate(news) for q, outcome in enumerate(row)}


def random_column(rng: np.random.Generator, n_news: int, rate: float, sizes: tuple[int, ...] = (3, 5)) -> Outcomes:
    return column(*((rng.random(sizes[c % len(sizes)]) < rate).tolist() for c in range(n_news)))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_news", [1, 2, 5, 7, 8, 20])
def test_one_seed_is_exactly_the_interval_over_news(n_news: int, shared: bool) -> None:
    rng = np.random.default_rng(n_news)
    a, b = random_column(rng, n_news, 0.6), random_column(rng, n_news, 0.4)
    assert mean_over_seeds([a], shared=shared) == mean_over_news(a)
    assert paired_over_seeds([a], [b], shared=shared) == paired_difference(a, b)
    assert paired_over_seeds([a], [a], shared=shared) == paired_difference(a, a)  # no variation: Newcombe's


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(2, 12), st.randoms(use_true_random=False))
def test_the_estimate_is_the_mean_over_seeds_and_the_order_of_seeds_does_not_matter(
    seeds: int, n_news: int, random: Any
) -> None:
    rng = np.random.default_rng(random.randrange(10**6))
    columns = [random_column(rng, n_news, 0.5) for _ in range(seeds)]
    score = mean_over_seeds(columns, shared=False, draws=200)
    assert score.estimate == pytest.approx(np.mean([mean_over_news(own).estimate for own in columns]))
    turned = mean_over_seeds(columns[::-1], shared=False, draws=200)
    assert (score.low, score.high) == pytest.approx((turned.low, turned.high))
    assert score.n_seeds == seeds
    both = mean_over_seeds(columns, draws=200)
    assert both.low is not None and both.high is not None
    assert 0 <= both.low <= both.estimate <= both.high <= 1


@pytest.mark.parametrize("shared", [True, False])
def test_equal_seeds_add_nothing(shared: bool) -> None:
    rng = np.random.default_rng(0)
    for n_news in (3, 12):
        a, b = random_column(rng, n_news, 0.6), random_column(rng, n_news, 0.4)
        one, three = paired_difference(a, b), paired_over_seeds([a] * 3, [b] * 3, shared=shared)
        assert (three.low, three.high, three.n_seeds) == (pytest.approx(one.low), pytest.approx(one.high), 3)


def test_a_base_serves_every_seed() -> None:
    rng = np.random.default_rng(1)
    tuned, base = [random_column(rng, 10, 0.6) for _ in range(3)], random_column(rng, 10, 0.3)
    assert paired_over_seeds(tuned, [base]) == paired_over_seeds(tuned, [base] * 3)
    forth, back = paired_over_seeds(tuned, [base]), paired_over_seeds([base], tuned)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))  # type: ignore[operator]


def test_pairing_by_seed_removes_what_a_seed_does_to_both_sides() -> None:
    rng = np.random.default_rng(2)
    shift = (0.0, 1.0)
    base = [column(*(rng.normal(0, 0.1, 4) + own for _ in range(10))) for own in shift]
    tuned = [{item: value + 0.5 for item, value in own.items()} for own in base]  # type: ignore[operator]
    paired = paired_over_seeds(tuned, base, bounded=False)
    assert paired.estimate == pytest.approx(0.5)
    assert paired_over_seeds(tuned, base[::-1], bounded=False).high > 1  # type: ignore[operator]


def test_a_shift_of_all_news_items_by_hand() -> None:
    # Seed means 0.2 and 0.4 for every news item: no variance between news items, (0.1^2 + 0.1^2) / (2 * 1) between
    # the means of two seeds, one degree of freedom.
    columns = [column(*[[value, value]] * 4) for value in (0.2, 0.4)]
    sums_CS, counts_C, _ = pooled_seeds(columns)
    assert standard_error(sums_CS, counts_C, shared=True) == pytest.approx((0.1, 1))
    assert standard_error(sums_CS, counts_C, shared=False) == pytest.approx((0, 3))
    score = mean_over_seeds(columns, bounded=False)
    assert score.method == "student"
    assert (score.low, score.high) == pytest.approx((0.3 - 1.27062, 0.3 + 1.27062), abs=1e-4)


def test_the_error_is_that_of_the_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    means_CS = rng.normal(0, 1, (9, 3)) + rng.normal(0, 2, 3)
    grand = means_CS.mean()
    rest_CS = means_CS - means_CS.mean(axis=1, keepdims=True) - means_CS.mean(axis=0) + grand
    news = 3 * means_CS.mean(axis=1).var(ddof=1)
    excess = 9 * means_CS.mean(axis=0).var(ddof=1) - (rest_CS**2).sum() / (8 * 2)
    error, freedom = standard_error(4 * means_CS, np.full(9, 4.0), shared=True)
    assert error**2 == pytest.approx((news + excess) / 27)
    assert freedom == pytest.approx((news + excess) ** 2 / (news**2 / 8 + excess**2 / 2))


def test_draws_of_seeds_vary_as_much_as_seeds_do() -> None:
    sums_CS = np.outer(np.ones(10), [1.0, 2.0, 4.0])
    drawn_D = resampled_over_seeds(sums_CS, np.ones(10), shared=True, draws=20_000, seed=0)
    assert drawn_D.var() == pytest.approx(np.var([1, 2, 4], ddof=1) / 3, rel=0.03)
    assert drawn_D.mean() == pytest.approx(7 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("n_news", "seeds", "of_all", "of_single"), [(12, 2, 0, 0.15), (25, 3, 0, 0.15), (40, 3, 0.05, 0)]
)
def test_coverage_over_seeds(n_news: int, seeds: int, of_all: float, of_single: float) -> None:
    found = simulate.seeded_coverage(n_news, seeds, of_all, of_single, 60)
    covered = {way: hit for way, (hit, _) in found.items()}
    assert covered["shared"] >= 0.9
    if of_all:
        assert covered["not shared"] < covered["shared"] - 0.02  # as if the seeds' shift were that of one training
    else:
        assert covered["not shared"] >= 0.88
        assert found["not shared"][1] < found["two levels"][1] < found["shared"][1]  # widths


def test_numbers_that_are_no_accuracies_are_not_limited() -> None:
    nats = [column([-40.0, -2.0], [-3.0, -9.0], [-7.0, -1.0]), column([-44.0, -2.5], [-3.5, -9.0], [-6.0, -1.0])]
    low = [{item: 3 * value for item, value in own.items()} for own in nats]  # type: ignore[operator]
    score = paired_over_seeds(nats, low, bounded=False)
    assert score.estimate > 1 and score.high > 1 and score.low < -1  # type: ignore[operator]
    assert mean_over_seeds(nats, bounded=False).low < -10  # type: ignore[operator]
    alike = mean_over_seeds([column([-2.0], [-2.0])], bounded=False)
    assert (alike.low, alike.high, alike.method) == (None, None, "none")


def test_perfection_under_three_seeds_counts_news_items_once() -> None:
    right = column(*[[1, 1]] * 10)
    assert mean_over_seeds([right] * 3).low == mean_over_news(right).low
    assert mean_over_seeds([column([1, 0])] * 3).low is None


def test_ungraded_answers_of_all_seeds_are_counted() -> None:
    score = mean_over_seeds([column([1, None], [1, 0]), column([None, 1], [1, 0])])
    assert (score.estimate, score.ungraded) == (0.5, 2)
    assert averaged([column([1, None]), column([1, 1])]) == {("n000", 0): 1.0, ("n000", 1): 0.5}


def test_seeds_that_do_not_match_are_refused() -> None:
    a = column([1, 0], [1, 1])
    with pytest.raises(UserError, match="2 seeds are to be paired with 3"):
        paired_over_seeds([a] * 2, [a] * 3)
    with pytest.raises(UserError, match="question 1 of news 'n001'"):
        mean_over_seeds([a, column([1, 0], [1])])
    with pytest.raises(UserError, match="no seed"):
        mean_over_seeds([])


@pytest.mark.parametrize("n_news", [4, 30])
def test_p_value_is_that_of_the_t_test_of_news_means(n_news: int) -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(40)
    a, b = (rng.random((n_news, 5)) < rate for rate in (0.6, 0.4))
    expected = ttest_rel(a.mean(axis=1), b.mean(axis=1)).pvalue
    assert p_value([column(*a.tolist())], [column(*b.tolist())]) == pytest.approx(expected)


def test_p_value_agrees_with_the_interval_where_news_items_do_not_differ() -> None:
    a, b = column(*[[1, 1]] * 9), column(*[[0, 1]] * 9)
    for p in (p_value([a], [b]), p_value([b], [a]), p_value([a, a], [b])):
        assert 0 < p < 1
        assert p == pytest.approx(p_value([a], [b]))
        assert paired_difference(a, b, level=1 - p - 1e-6).excludes_zero
        assert not paired_difference(a, b, level=1 - p + 1e-6).excludes_zero
    assert p_value([a], [a]) == 1
    assert p_value([column([1, 1])], [column([0, 0])]) == 1  # one news item
    assert p_value([a], [b], bounded=False) == 1


def test_a_seed_that_moves_all_news_items_raises_the_p_value() -> None:
    rng = np.random.default_rng(5)
    base = random_column(rng, 20, 0.3)
    tuned: Seeded = [random_column(rng, 20, rate) for rate in (0.4, 0.9)]
    assert p_value(tuned, [base], shared=False) < 1e-4 < 0.05 < p_value(tuned, [base])


def test_p_values_are_uniform_where_there_is_no_effect() -> None:
    rng = np.random.default_rng(6)
    found = [
        p_value(*([random_column(rng, 15, 0.4) for _ in range(2)] for _ in "ab"), shared=False) for _ in range(300)
    ]
    assert np.mean(np.asarray(found) < 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_holm_by_hand() -> None:
    # 0.01 * 4, then max(0.04, 0.02 * 3), max(0.06, 0.03 * 2), max(0.06, 0.8 * 1); the order of the names is kept.
    assert holm({"d": 0.8, "b": 0.02, "a": 0.01, "c": 0.03}) == pytest.approx(
        {"d": 0.8, "b": 0.06, "a": 0.04, "c": 0.06}
    )
    assert list(holm({"z": 0.5, "a": 0.1})) == ["z", "a"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({"a": 0.03}) == {"a": 0.03}
    assert holm({}) == {}


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1), min_size=1))
def test_holm_is_between_no_correction_and_bonferroni(p: dict[str, float]) -> None:
    adjusted = holm(p)
    for name, own in p.items():
        assert own <= adjusted[name] <= min(1.0, len(p) * own) + 1e-12
    assert sorted(p, key=lambda name: (p[name], adjusted[name])) == sorted(
        p, key=lambda name: (adjusted[name], p[name])
    )


def test_holm_rarely_finds_an_effect_among_protocols_without_one() -> None:
    rng, errors = np.random.default_rng(7), 0
    for _ in range(100):
        base = random_column(rng, 15, 0.3)
        p = {f"p{k}": p_value([random_column(rng, 15, 0.3)], [base]) for k in range(5)}
        errors += min(holm(p).values()) <= 0.05
    assert errors / 100 <= 0.1


def test_averaged_outcomes_have_joint_intervals() -> None:
    rng = np.random.default_rng(8)
    base, tuned = random_column(rng, 12, 0.3), [random_column(rng, 12, 0.6) for _ in range(2)]
    joint = joint_differences({"tuned": averaged(tuned)}, base)["tuned"]
    single = paired_over_seeds(tuned, [base], shared=False)
    assert (joint.low, joint.high) == pytest.approx((single.low, single.high))


def test_more_seeds_see_smaller_differences_down_to_what_seeds_do_not_average() -> None:
    counts = [5] * 25
    seen = [smallest_difference(counts, seeds=seeds) for seeds in (1, 2, 3, 100)]
    assert seen == sorted(seen, reverse=True) and len(set(seen)) == 4
    assert seen[0] == smallest_difference(counts)
    assert seen[3] == pytest.approx(seen[0] * sqrt(0.85), rel=0.03)  # 15% of the variance is that of seeds
    assert smallest_difference(counts, seeds=3, of_seeds=0) == seen[0]
    assert smallest_difference([5], seeds=3) == inf
    with pytest.raises(ValueError, match="0 seeds"):
        smallest_difference(counts, seeds=0)
