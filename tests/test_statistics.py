"""Theorems about the intervals: coverage, invariances, and cases without an interval."""

from __future__ import annotations

from math import inf, isfinite, sqrt

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sys2ft import statistics
from sys2ft.errors import UserError
from sys2ft.statistics import Outcomes, Score, Undefined, gap_share, mean_over_news, paired_difference


def answers(*news: list[int | None]) -> dict[tuple[str, int], bool | None]:
    """Outcomes from one list of 0, 1 or None per news item."""
    return {
        (f"n{c:03}", i): None if right is None else bool(right)
        for c, row in enumerate(news)
        for i, right in enumerate(row)
    }


def random_answers(rng: np.random.Generator, rates: np.ndarray, n_questions: int) -> dict[tuple[str, int], bool | None]:
    """Seeded outcomes, with one success rate per news item."""
    return answers(*(rng.random((len(rates), n_questions)) < rates[:, None]).astype(int).tolist())


def width(score: Score) -> float:
    assert score.low is not None and score.high is not None
    return score.high - score.low


def test_mean_is_pooled_over_questions_and_not_over_news() -> None:
    score = mean_over_news(answers([1, 1, 1, 0], [0]))
    assert score.estimate == pytest.approx(3 / 5)  # the mean over the means of the news items would be 3/8
    assert (score.n_items, score.n_news, score.level) == (5, 2, 0.95)


def test_two_news_items_by_hand() -> None:
    # The draws are {a,a}, {a,b}, {b,b}: the pooled means are 1, 1/2, 0, and Student's t with one degree of
    # freedom moves the percentiles to the ends.
    score = mean_over_news(answers([1, 1], [0, 0]))
    assert (score.low, score.estimate, score.high) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (9, 2.26216), (10, 2.22814), (120, 1.97993)]
)
def test_student_quantiles_match_the_tables(freedom: int, quantile: float) -> None:
    assert statistics.student(0.95, freedom) == pytest.approx(quantile, abs=1e-4)


def test_interval_is_near_the_textbook_one_for_many_independent_questions() -> None:
    rng = np.random.default_rng(0)
    score = mean_over_news(random_answers(rng, np.full(400, 0.3), 1))
    error = sqrt(score.estimate * (1 - score.estimate) / 400)
    assert score.low == pytest.approx(score.estimate - 1.96 * error, abs=0.01)
    assert score.high == pytest.approx(score.estimate + 1.96 * error, abs=0.01)


def test_coverage_holds_for_few_news_items_where_resampling_questions_fails() -> None:
    rng = np.random.default_rng(1)
    truth, trials, hits, hits_of_questions = 0.5, 300, 0, 0
    for _ in range(trials):
        outcomes = random_answers(rng, rng.beta(1, 1, size=10), 5)  # so answers about one item are correlated
        score = mean_over_news(outcomes, draws=1000)
        hits += score.low <= truth <= score.high  # type: ignore[operator]
        questions = {(f"{news}-{i}", 0): right for (news, i), right in outcomes.items()}
        wrong_unit = mean_over_news(questions, draws=1000)
        hits_of_questions += wrong_unit.low <= truth <= wrong_unit.high  # type: ignore[operator]
    assert 0.92 <= hits / trials <= 0.99
    assert hits_of_questions / trials < 0.90


def test_coverage_of_paired_differences() -> None:
    rng = np.random.default_rng(2)
    trials, hits = 300, 0
    for _ in range(trials):
        rates = rng.beta(2, 2, size=12)
        a, b = (random_answers(rng, np.clip(rates * f, 0, 1), 4) for f in (1.0, 0.6))
        score = paired_difference(a, b, draws=1000)
        hits += score.low <= 0.5 * 0.4 <= score.high  # type: ignore[operator]
    assert 0.92 <= hits / trials <= 0.99


def test_pairing_narrows_the_interval_of_correlated_answers() -> None:
    rng = np.random.default_rng(3)
    rates = rng.choice([0.05, 0.95], size=30)  # easy and hard news items, the same for both models
    a, b = random_answers(rng, rates, 4), random_answers(rng, rates, 4)
    paired = width(paired_difference(a, b))
    unpaired = sqrt(width(mean_over_news(a)) ** 2 + width(mean_over_news(b)) ** 2)
    assert paired < 0.6 * unpaired
    shuffled = dict(zip(b, rng.permutation(list(b.values())), strict=True))  # removes the correlation
    assert width(paired_difference(a, shuffled)) > 1.3 * paired


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=4), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_order_of_answers_does_not_matter_and_the_interval_contains_the_estimate(
    news: list[list[int | None]], rng
) -> None:  # type: ignore[no-untyped-def]
    outcomes = answers(*news)
    shuffled = list(outcomes.items())
    rng.shuffle(shuffled)
    score = mean_over_news(outcomes, draws=500)
    assert mean_over_news(dict(shuffled), draws=500) == score
    if score.low is not None and score.high is not None:
        assert 0 <= score.low <= score.estimate <= score.high <= 1


def test_the_seed_determines_the_draws() -> None:
    outcomes = random_answers(np.random.default_rng(4), np.linspace(0, 1, 20), 5)
    assert mean_over_news(outcomes, seed=1) == mean_over_news(outcomes, seed=1)
    assert mean_over_news(outcomes, seed=1, draws=200) != mean_over_news(outcomes, seed=2, draws=200)


def test_differences_change_sign_with_their_order() -> None:
    rng = np.random.default_rng(5)
    a, b = random_answers(rng, np.full(15, 0.6), 3), random_answers(rng, np.full(15, 0.4), 3)
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert forth.estimate == pytest.approx(-back.estimate)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))  # type: ignore[operator]


def test_answers_not_gradable_count_as_wrong_and_are_reported() -> None:
    score = mean_over_news(answers([1, None], [1, 0], [None, 1]))
    assert (score.estimate, score.ungraded) == (0.5, 2)
    as_wrong = mean_over_news(answers([1, 0], [1, 0], [0, 1]))
    assert (score.low, score.high) == (as_wrong.low, as_wrong.high)


def test_perfection_is_not_certainty() -> None:
    n = 10
    score = mean_over_news(answers(*[[1, 1, 1]] * n))
    # Wilson (1927) for n of n successes: n / (n + z^2); n counts news items, not questions.
    assert (score.estimate, score.high, score.method) == (1.0, 1.0, "wilson")
    assert score.low == pytest.approx(n / (n + 1.959964**2), abs=1e-6)
    nothing = mean_over_news(answers(*[[0]] * n))
    assert (nothing.low, nothing.high) == pytest.approx((0.0, 1 - n / (n + 1.959964**2)), abs=1e-6)


@pytest.mark.parametrize(("right", "trials"), [(0, 4), (1, 4), (3, 7), (7, 7)])
def test_wilson_equals_scipys_for_whole_numbers(right: int, trials: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(right, trials).proportion_ci(0.95, method="wilson")
    assert statistics._wilson(right / trials, trials, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_equal_answers_do_not_prove_equality() -> None:
    same = answers([1, 0], [0, 1], [1, 1], [0, 0])
    score = paired_difference(same, same)
    bound = 1.959964**2 / (4 + 1.959964**2)  # Wilson's upper end for no change in four news items
    assert (score.low, score.estimate, score.high) == pytest.approx((-bound, 0.0, bound), abs=1e-6)
    assert not score.excludes_zero


def test_one_news_item_gives_no_interval() -> None:
    one = answers([1, 0, 1])
    for score in (mean_over_news(one), paired_difference(one, answers([0, 0, 0]))):
        assert (score.low, score.high, score.method) == (None, None, "none")
        assert not score.excludes_zero
    assert isinstance(gap_share(answers([0, 0]), answers([1, 1]), answers([1, 0])), Undefined)


def test_other_questions_on_one_side_are_refused() -> None:
    with pytest.raises(UserError, match="question 1 of news 'n001'"):
        paired_difference(answers([1], [1, 0]), answers([1], [1]))
    with pytest.raises(UserError, match="no answer"):
        mean_over_news({})


def test_gap_share_by_hand() -> None:
    closed = answers(*[[0, 0, 0, 0]] * 20)
    icl = answers(*[[1, 1, 1, 1], [1, 1, 0, 1]] * 10)
    tuned = answers(*[[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]] * 5)
    share = gap_share(closed, icl, tuned)
    assert isinstance(share, Score)
    assert share.estimate == pytest.approx((40 / 80) / (70 / 80))
    assert share.low is not None and share.high is not None
    assert 0 < share.low < share.estimate < share.high < 1
    assert gap_share(closed, icl, closed).estimate == 0  # type: ignore[union-attr]


def test_share_without_variation_has_no_interval() -> None:
    closed, icl = answers(*[[0, 0]] * 8), answers(*[[1, 0], [1, 1]] * 4)
    share = gap_share(closed, icl, icl)
    assert isinstance(share, Score)
    assert (share.estimate, share.low, share.high, share.method) == (1.0, None, None, "none")


def test_share_is_refused_where_icl_is_chance_noise() -> None:
    rng = np.random.default_rng(6)
    closed, icl = (random_answers(rng, np.full(10, 0.4), 5) for _ in range(2))
    share = gap_share(closed, icl, icl)
    assert isinstance(share, Undefined)
    assert share.reason.startswith("ICL is not above closed book by more than chance noise (gap ")
    assert share.reason.endswith("50 questions of 10 news items)")


def test_draws_with_an_empty_gap_are_kept_and_the_interval_stays_finite() -> None:
    # Only some news items show a gap, so it is not above zero in a few draws. If the share is defined, those draws
    # are in the tails outside the interval.
    rng = np.random.default_rng(7)
    defined = with_empty_gap = 0
    for _ in range(200):
        closed, icl, tuned = (random_answers(rng, np.full(12, rate), 2) for rate in (0.25, 0.6, 0.45))
        share = gap_share(closed, icl, tuned, draws=2000)
        sums_CK, counts_C, _ = statistics._sums(closed, icl)
        resampled_DK = statistics._resample(sums_CK, counts_C, draws=2000, seed=0)
        empty = bool((resampled_DK[:, 1] <= resampled_DK[:, 0]).any())
        if isinstance(share, Score):
            defined += 1
            with_empty_gap += empty
            assert share.low is not None and share.high is not None
            assert isfinite(share.low) and isfinite(share.high)
            assert -inf < share.low <= share.estimate <= share.high
    assert defined > 50
    assert with_empty_gap > 20  # the case of the theorem did occur


def test_coverage_of_the_share() -> None:
    rng = np.random.default_rng(8)
    hits = defined = 0
    for _ in range(200):
        ease = rng.normal(0, 0.1, size=25)
        columns: list[Outcomes] = [random_answers(rng, np.clip(rate + ease, 0, 1), 5) for rate in (0.2, 0.7, 0.45)]
        share = gap_share(*columns, draws=1000)
        if isinstance(share, Score):
            defined += 1
            hits += share.low <= 0.5 <= share.high  # type: ignore[operator]
    assert defined > 190
    assert 0.92 <= hits / defined <= 0.99
