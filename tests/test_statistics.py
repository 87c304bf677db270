"""Theorems about the intervals: coverage, invariances, and cases without an interval."""

from __future__ import annotations

from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sys2ft import statistics
from sys2ft.errors import UserError
from sys2ft.statistics import (
    FEWEST,
    Outcomes,
    Score,
    Undefined,
    gap_share,
    joint_differences,
    mean_over_news,
    paired_difference,
    smallest_difference,
)
from sys2ft.statistics.intervals import fieller, resampled, wilson
from sys2ft.statistics.scores import pooled
from tools import simulate


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
    # The standard error of {1, 0} is 1/2, as that of one question answered half right; Wilson's interval of it with
    # Student's 12.706 for one degree of freedom is 1/2 -+ 1/2 * 12.706 / sqrt(1 + 12.706^2).
    score = mean_over_news(answers([1, 1], [0, 0]))
    half = 0.5 * 12.7062 / sqrt(1 + 12.7062**2)
    assert (score.low, score.estimate, score.high) == pytest.approx((0.5 - half, 0.5, 0.5 + half), abs=1e-6)
    assert score.method == "student"


@pytest.mark.parametrize("n_news", [2, 3, 5, 7])
def test_few_news_items_have_students_interval(n_news: int) -> None:
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(n_news)
    a, b = random_answers(rng, np.full(n_news, 0.6), 9), random_answers(rng, np.full(n_news, 0.4), 9)
    changes = [np.mean([a[f"n{c:03}", i] - b[f"n{c:03}", i] for i in range(9)]) for c in range(n_news)]  # type: ignore[operator]
    expected = ttest_1samp(changes, 0).confidence_interval(0.95)
    score = paired_difference(a, b)
    assert (score.low, score.high) == pytest.approx((max(-1, expected.low), min(1, expected.high)))
    assert score.method == "student"


def test_unequal_news_items_count_as_fewer() -> None:
    # Sizes 1 and 1 make two news items of the third: Kish's (1 + 1 + 8)^2 / (1 + 1 + 64) = 1.5 of them.
    a, b = answers([1], [0], [1, 0, 1, 1, 0, 1, 1, 0]), answers([0], [0], [0, 0, 1, 0, 0, 0, 1, 0])
    assert statistics.intervals.effective(pooled(a)[1]) == pytest.approx(100 / 66)
    assert not paired_difference(a, b).excludes_zero


def _coverage(n_news: int, runs: int = 25) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for measure, hit in simulate.coverage(n_news, runs):
        found.setdefault(measure, []).append(hit)
    return found


@pytest.mark.parametrize("n_news", [2, 3, 4, 5])
def test_coverage_holds_for_two_to_five_news_items(n_news: int) -> None:
    # Means over settings with equal and unequal sizes, rates in the middle and near the ends, weak and strong
    # correlation.
    hits = _coverage(n_news)
    for measure in ("accuracy", "difference", "share"):
        assert np.mean(hits[measure]) > 0.94, measure
        assert min(hits[measure]) > 0.75, measure
    for measure in ("accuracy", "difference") if n_news < 5 else ():
        assert np.quantile(hits[f"{measure}, percentiles"], 0.2) < np.quantile(hits[measure], 0.2), measure


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
    z = statistics.intervals.normal(0.95)
    assert wilson(right / trials, trials, z) == pytest.approx((expected.low, expected.high), abs=1e-12)


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
        sums_CK, counts_C, _ = pooled(closed, icl)
        resampled_DK = resampled(sums_CK, counts_C, draws=2000, seed=0)
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


@given(
    st.floats(-1, 1),
    st.floats(0.2, 1),
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=3, max_size=6),
)
def test_fieller_contains_exactly_the_ratios_that_are_not_refuted(above: float, below: float, errors: Any) -> None:
    # A ratio r is refuted if above - r * below is further from zero than its own standard error allows.
    errors_CK = np.asarray(errors)
    covariance_KK, t = errors_CK.T @ errors_CK / len(errors), 1.0
    if below <= 1.1 * t * sqrt(covariance_KK[1, 1]):
        return
    low, high = fieller(above, below, covariance_KK, t)
    assert low <= above / below + 1e-9 and high >= above / below - 1e-9
    for ratio, refuted in ((low - 0.01, True), (high + 0.01, True), ((low + high) / 2, False)):
        weights = np.asarray([1, -ratio])
        far = abs(above - ratio * below) - t * sqrt(max(0.0, weights @ covariance_KK @ weights))
        assert (far > -1e-9) if refuted else (far < 1e-9)


def test_share_of_few_news_items_by_hand() -> None:
    # With a gap that is the same everywhere, the share is Student's interval of the gain over the gap.
    closed, icl = answers([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]), answers(*[[1, 1, 1, 1]] * 3)
    tuned = answers([1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1])
    share, gain = gap_share(closed, icl, tuned), paired_difference(tuned, closed)
    assert isinstance(share, Score) and gain.low is not None
    assert (share.estimate, share.low) == pytest.approx((gain.estimate, gain.low))
    assert share.method == "student"


@pytest.mark.parametrize("n_news", [5, 12])
def test_joint_intervals_contain_the_single_ones_and_grow_with_the_columns(n_news: int) -> None:
    rng = np.random.default_rng(9)
    base = random_answers(rng, np.full(n_news, 0.3), 5)
    columns = {f"p{k}": random_answers(rng, np.full(n_news, 0.4), 5) for k in range(6)}
    alone = joint_differences({"p0": columns["p0"]}, base)
    assert alone == {"p0": paired_difference(columns["p0"], base)}
    six = joint_differences(columns, base)
    two = joint_differences({name: columns[name] for name in ("p0", "p1")}, base)
    for name, score in six.items():
        single = paired_difference(columns[name], base)
        assert (score.estimate, score.among, score.level) == (single.estimate, 6, 0.95)
        assert score.low <= single.low and score.high >= single.high  # type: ignore[operator]
        assert width(score) > width(single)
    assert width(paired_difference(columns["p0"], base)) < width(two["p0"]) < width(six["p0"])


def test_equal_columns_need_no_correction() -> None:
    # The draws show that there is one comparison, not eight; Bonferroni would widen the interval by a third.
    rng = np.random.default_rng(10)
    base, tuned = random_answers(rng, np.full(40, 0.3), 3), random_answers(rng, np.full(40, 0.5), 3)
    joint = joint_differences({f"p{k}": tuned for k in range(8)}, base)["p0"]
    assert width(joint) < 1.1 * width(paired_difference(tuned, base))


@pytest.mark.parametrize(("n_news", "protocols"), [(4, 4), (10, 4), (10, 12), (25, 8)])
def test_no_effect_is_rarely_called_one_however_many_protocols_are_tried(n_news: int, protocols: int) -> None:
    alone, up, _ = simulate.called(np.random.default_rng(11), n_news, protocols, runs=100)
    assert up <= 0.06
    assert alone >= up
    if protocols > 4:
        assert alone > 0.08  # what choosing the best does to the interval of one


def test_a_large_effect_is_found_among_many_protocols() -> None:
    rng = np.random.default_rng(12)
    assert simulate.found(rng, [5] * 10, 8, 0.5, runs=50) > 0.9
    assert simulate.found(rng, [10] * 4, 4, 0.65, runs=50) > 0.5


@pytest.mark.parametrize(
    ("counts", "protocols"), [((5,) * 10, 1), ((5,) * 10, 4), ((5,) * 6, 1), ((3, 5, 2, 6) * 5, 4), ((2,) * 40, 6)]
)
def test_the_smallest_difference_is_found_in_four_of_five_runs(counts: tuple[int, ...], protocols: int) -> None:
    gain = smallest_difference(counts, protocols=protocols)
    assert 0.7 <= simulate.found(np.random.default_rng(13), counts, protocols, gain, runs=100) <= 0.92
    assert simulate.found(np.random.default_rng(14), counts, protocols, gain / 2, runs=50) < 0.5


def test_more_questions_and_more_news_items_see_smaller_differences() -> None:
    seen = [smallest_difference([n] * c) for c, n in ((5, 5), (10, 5), (10, 10), (40, 10))]
    assert seen == sorted(seen, reverse=True) and 0 < seen[-1] < seen[0] < 1
    assert smallest_difference([5] * 10, protocols=8) > smallest_difference([5] * 10)
    assert smallest_difference([1] * 9 + [91]) > smallest_difference([10] * 10)  # nearly one news item
    assert smallest_difference([50]) == smallest_difference([1, 1]) == smallest_difference([]) == inf


def test_the_bootstrap_begins_where_it_covers_as_well() -> None:
    rng = np.random.default_rng(15)
    methods = [mean_over_news(random_answers(rng, np.full(n, 0.5), 9)).method for n in (FEWEST - 1, FEWEST)]
    assert methods == ["student", "bootstrap"]


def test_many_news_items_have_students_interval_which_is_that_of_the_bootstrap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond `MOST` news items nothing is resampled; at the border both ways give the same interval."""
    rng = np.random.default_rng(5)
    base = {(f"n{news}", place): bool(rng.random() < 0.3) for news in range(1024) for place in range(3)}
    tuned = {item: right or bool(rng.random() < 0.2) for item, right in base.items()}
    context = {item: right or bool(rng.random() < 0.6) for item, right in tuned.items()}

    def measured() -> list[Score]:
        found = [mean_over_news(tuned), paired_difference(tuned, base), gap_share(base, context, tuned)]
        return [*found, *joint_differences({"a": tuned, "b": context}, base).values()]  # type: ignore[list-item]

    drawn = measured()
    monkeypatch.setattr("sys2ft.statistics.intervals.MOST", 1023)
    for one, other in zip(drawn, measured(), strict=True):
        assert other.method == "student" and one.estimate == other.estimate
        assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
        width = one.high - one.low
        assert abs(one.low - other.low) < 0.05 * width and abs(one.high - other.high) < 0.05 * width
