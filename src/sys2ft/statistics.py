"""Accuracies, differences and shares with confidence intervals, by bootstrap over news items.

Answers to questions about the same news item are correlated, so news items are resampled and not questions: a cluster
bootstrap (Field & Welsh 2007, 'Bootstrapping clustered data'; Miller 2024, arXiv 2411.00640, for evaluations of
language models). The statistic is always the pooled mean over the questions of the news items drawn.

Three decisions, with their reasons:

*Expanded percentiles.* The plain percentile interval of n clusters is too narrow, by a factor of about sqrt((n-1)/n)
and because it corresponds to normal quantiles instead of Student's: a '95%' interval of ten news items covers about
90%. The percentiles are widened accordingly (Hesterberg 2015, 'What teachers should know about the bootstrap', section
5.2).

*No variation between news items.* If every news item has the same mean (all right, all wrong), the bootstrap returns
an interval of width zero, as if ten news items could prove perfection. The interval is then Wilson's (1927) for a
proportion observed in `n_news` independent trials: news items and not questions, because the answers within a news item
have just been seen to agree. Differences use Newcombe's (1998) square-and-add method with two such intervals, one for
the questions gained and one for the questions lost.

*One news item.* The variation between news items is unknown, so there is no interval: `low` and `high` are None.

Shapes: C news items (clusters), I items (questions), D bootstrap draws, K columns (models or conditions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sys2ft.errors import UserError

__all__ = [
    "Item",
    "Outcomes",
    "Score",
    "Undefined",
    "expanded_interval",
    "gap_share",
    "mean_over_news",
    "noise_of_chance",
    "paired_difference",
    "resampling_weights",
    "student",
]

Item: TypeAlias = tuple[str, int]
"""A question: the id of its news item and its index among the questions of that item."""

Outcomes: TypeAlias = Mapping[Item, "bool | float | None"]
"""By question: right (True or 1), wrong (False or 0) or not gradable (None, which counts as wrong and is reported)."""

Method = Literal["bootstrap", "wilson", "none"]
Floats: TypeAlias = npt.NDArray[np.float64]

DRAWS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """An accuracy, a difference of accuracies or a share, with its interval."""

    estimate: float
    low: float | None
    """Lower end of the interval; None if no interval can be given."""
    high: float | None
    n_items: int
    """Questions."""
    n_news: int
    level: float = 0.95
    ungraded: int = 0
    """Answers that could not be graded; they count as wrong."""
    method: Method = "bootstrap"
    """How the interval was computed: 'wilson' if all news items have the same mean, 'none' if there is no interval."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A quantity that is not defined here, and why."""

    reason: str


def mean_over_news(outcomes: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Score:
    """Accuracy over all questions, with an interval from resampling the news items."""
    sums_CK, counts_C, ungraded = _sums(outcomes)
    estimate = float(sums_CK.sum() / counts_C.sum())
    resampled_D = _resample(sums_CK, counts_C, draws=draws, seed=seed)[:, 0]
    low, high, method = _ends(resampled_D, len(counts_C), level)
    if method == "wilson":
        low, high = _wilson(estimate, len(counts_C), level)
    return Score(
        estimate=estimate, low=low, high=high, n_items=int(counts_C.sum()), n_news=len(counts_C), level=level,
        ungraded=ungraded, method=method,
    )  # fmt: skip


def paired_difference(a: Outcomes, b: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Score:
    """Accuracy of `a` minus accuracy of `b` on the same questions, resampled jointly.

    Raises UserError if the questions are not the same: the difference would not be paired.
    """
    sums_CK, counts_C, ungraded = _sums(a, b)
    n_items = int(counts_C.sum())
    estimate = float((sums_CK[:, 0] - sums_CK[:, 1]).sum() / n_items)
    resampled_DK = _resample(sums_CK, counts_C, draws=draws, seed=seed)
    low, high, method = _ends(resampled_DK[:, 0] - resampled_DK[:, 1], len(counts_C), level)
    if method == "wilson":
        changes = [_value(a[item]) - _value(b[item]) for item in a]
        won, lost = sum(c for c in changes if c > 0) / n_items, -sum(c for c in changes if c < 0) / n_items
        (won_low, won_high), (lost_low, lost_high) = (_wilson(share, len(counts_C), level) for share in (won, lost))
        low = max(-1.0, estimate - sqrt((won - won_low) ** 2 + (lost_high - lost) ** 2))
        high = min(1.0, estimate + sqrt((won_high - won) ** 2 + (lost - lost_low) ** 2))
    return Score(
        estimate=estimate, low=low, high=high, n_items=n_items, n_news=len(counts_C), level=level,
        ungraded=ungraded, method=method,
    )  # fmt: skip


def gap_share(
    base_closed: Outcomes,
    base_icl: Outcomes,
    ft_closed: Outcomes,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Score | Undefined:
    """Share of the FT-ICL gap closed: (ft_closed - base_closed) / (base_icl - base_closed), paired.

    A ratio whose denominator may be zero has no bounded interval (Fieller 1954), so the share is defined only if the
    paired interval of the denominator is above zero. Draws with a denominator of zero or below are kept: they count as
    plus or minus infinity by the sign of the numerator, and as 0 if it is zero. By the condition on the denominator
    there are fewer such draws than the tails contain, so the interval itself is always finite.
    """
    gap = paired_difference(base_icl, base_closed, level=level, draws=draws, seed=seed)
    if gap.low is None or gap.high is None:
        return Undefined(reason="a single news item gives no interval, so chance noise cannot be ruled out")
    if gap.low <= 0:
        return Undefined(
            reason=f"ICL is not above closed book by more than chance noise (gap {gap.estimate:.2f} "
            f"[{gap.low:.2f}, {gap.high:.2f}], {gap.n_items} questions of {gap.n_news} news items)"
        )
    sums_CK, counts_C, ungraded = _sums(base_closed, base_icl, ft_closed)
    closed_D, icl_D, tuned_D = _resample(sums_CK, counts_C, draws=draws, seed=seed).T
    gained_D, room_D = tuned_D - closed_D, icl_D - closed_D
    infinite_D = np.where(gained_D == 0, 0.0, np.copysign(np.inf, gained_D))
    share_D = np.where(room_D > 0, gained_D / np.where(room_D > 0, room_D, 1.0), infinite_D)
    low, high, method = _ends(share_D, len(counts_C), level)
    if (
        method == "wilson"
    ):  # no draw differed, and a ratio has no Wilson interval: no interval is better than an empty one
        low, high, method = None, None, "none"
    closed, icl, tuned = sums_CK.sum(axis=0)
    return Score(
        estimate=float((tuned - closed) / (icl - closed)), low=low, high=high, n_items=gap.n_items,
        n_news=gap.n_news, level=level, ungraded=ungraded, method=method,
    )  # fmt: skip


def resampling_weights(clusters: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each cluster is drawn, (draws, clusters), for statistics other than a mean over questions.

    `scipy.stats.bootstrap` is not used because it resamples for every call. Here all columns of a comparison, and all
    numbers of a report, share the same draws: that makes differences paired.
    """
    return _weights(clusters, draws, seed)


def expanded_interval(
    statistic_D: Floats, clusters: int, *, level: float = 0.95
) -> tuple[float, float] | tuple[None, None]:
    """Expanded percentiles of a statistic's bootstrap draws; (None, None) for one cluster.

    If all draws are equal, the interval has width zero; the caller must decide what that means.
    """
    low, high, method = _ends(statistic_D, clusters, level)
    if method == "wilson":
        return float(statistic_D[0]), float(statistic_D[0])
    return (None, None) if low is None or high is None else (low, high)


def noise_of_chance(chances: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
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


def _value(outcome: bool | float | None) -> float:
    return 0.0 if outcome is None else float(outcome)


def _sums(first: Outcomes, *others: Outcomes) -> tuple[Floats, Floats, int]:
    """Sums per news item (C, K) of each column, questions per item (C,), and the number of answers not gradable.

    News items are sorted, so that intervals do not depend on the order of the predictions.
    """
    if not first:
        raise UserError("there is no answer to average", expected="at least one question", fix="evaluate first")
    for other in others:
        if differing := first.keys() ^ other.keys():
            news_id, question = min(differing)
            raise UserError(
                f"{len(differing)} questions are on one side only, such as question {question} of news {news_id!r}",
                expected="the same questions on both sides of a paired comparison",
                fix="finish the evaluation of both sides",
            )
    columns = (first, *others)
    place = {news_id: c for c, news_id in enumerate(sorted({news_id for news_id, _ in first}))}
    sums_CK, counts_C = np.zeros((len(place), len(columns))), np.zeros(len(place))
    for item in sorted(first):
        counts_C[place[item[0]]] += 1
        sums_CK[place[item[0]]] += [_value(column[item]) for column in columns]
    return sums_CK, counts_C, sum(outcome is None for column in columns for outcome in column.values())


@lru_cache(maxsize=8)
def _weights(n_news: int, draws: int, seed: int) -> Floats:
    """How often each news item is drawn, (D, C). Cached: a report needs the same draws hundreds of times."""
    rng = np.random.default_rng(seed)
    weights_DC = rng.multinomial(n_news, np.full(n_news, 1.0 / n_news), size=draws).astype(np.float64)
    weights_DC.flags.writeable = False
    return weights_DC


def _resample(sums_CK: Floats, counts_C: Floats, *, draws: int, seed: int) -> Floats:
    """Pooled means of resampled news items, (D, K). All columns share the same draws, which makes them paired."""
    weights_DC = _weights(len(counts_C), draws, seed)
    resampled_DK: Floats = (weights_DC @ sums_CK) / (weights_DC @ counts_C)[:, None]
    return resampled_DK


def _ends(statistic_D: Floats, n_news: int, level: float) -> tuple[float | None, float | None, Method]:
    """Expanded percentiles of the draws, as order statistics rounded outwards, which tolerates infinite draws."""
    if n_news < 2:
        return None, None, "none"
    ordered_D = np.sort(statistic_D)
    if ordered_D[-1] - ordered_D[0] < 1e-12:  # the draws differ by rounding only
        return None, None, "wilson"
    from scipy.stats import norm

    tail = float(norm.cdf(-sqrt(n_news / (n_news - 1)) * student(level, n_news - 1)))
    cut = int(tail * (len(ordered_D) - 1))
    return float(ordered_D[cut]), float(ordered_D[-1 - cut]), "bootstrap"


def _wilson(share: float, trials: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion; 0 and 1 remain exact ends.

    `scipy.stats.binomtest` computes the same interval for whole numbers of successes only. Here `share * trials` need
    not be whole: the share is over questions and the trials are news items.
    """
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + level / 2))
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)


@lru_cache(maxsize=256)
def student(level: float, freedom: int) -> float:
    """The t with P(|T| <= t) = level, T being Student's t with `freedom` degrees of freedom."""
    from scipy.stats import t  # in functions only: importing scipy.stats takes longer than `sys2ft --help` may

    return float(t.ppf(0.5 + level / 2, freedom))
