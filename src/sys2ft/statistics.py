"""Accuracies and their intervals, by bootstrap over news.

The questions about one news stand or fall together, so the unit that is resampled is the news, never the question: a
cluster bootstrap (Field & Welsh 2007, 'Bootstrapping clustered data'; Miller 2024, arXiv 2411.00640, for evaluations
of language models). The statistic is always the pooled mean over the questions of the news drawn.

Three decisions, with their reasons:

*Expanded percentiles.* The plain percentile interval of n clusters is too narrow by about sqrt((n-1)/n) and by using
the normal's quantiles where Student's belong: a '95%' interval of ten news covers about 90%. The percentiles are moved
outwards accordingly (Hesterberg 2015, 'What teachers should know about the bootstrap', section 5.2).

*No variation between news.* When every news has the same mean (all right, all wrong), the bootstrap returns an
interval of width zero, as if ten news could prove perfection. The interval is then Wilson's (1927) for a proportion
seen on `n_news` independent trials: the number of news and not of questions, because agreement inside a news is what
was just observed. Differences take Newcombe's (1998) square-and-add of two such intervals, one for the questions won
and one for the questions lost.

*One news.* Nothing is known of the variation between news, so there is no interval: `low` and `high` are None.

Shapes: C news (clusters), I items (questions), D bootstrap draws, K columns (models or conditions).
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
"""A question: the id of its news and its place among that news's questions."""

Outcomes: TypeAlias = Mapping[Item, "bool | float | None"]
"""Right (True or 1), wrong (False or 0) or not gradable (None: counted as wrong, and reported), by question."""

Method = Literal["bootstrap", "wilson", "none"]
Floats: TypeAlias = npt.NDArray[np.float64]

DRAWS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """An accuracy, a difference of accuracies or a share, with its interval."""

    estimate: float
    low: float | None
    """Lower end of the interval; None where no interval can be given."""
    high: float | None
    n_items: int
    """Questions."""
    n_news: int
    level: float = 0.95
    ungraded: int = 0
    """Answers no grader could judge; they are counted as wrong."""
    method: Method = "bootstrap"
    """How the interval was made: 'wilson' where no news differed from another, 'none' where there is none."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A number that would mean nothing here, and why."""

    reason: str


def mean_over_news(outcomes: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Score:
    """Accuracy over all questions, with an interval from resampling the news."""
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
    """Accuracy of `a` minus accuracy of `b` on the same questions, both resampled together.

    Raises UserError if the questions are not the same: a difference over other questions is not paired.
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

    A ratio whose denominator may be zero has no bounded interval (Fieller 1954), so the share is defined only where
    the paired interval of the denominator lies above zero. Draws whose own denominator is not above zero are kept: they
    count as plus or minus infinity by the sign of the numerator, and as 0 where nothing was gained. The condition on
    the denominator leaves fewer of them than the tails hold, so the interval itself is always finite.
    """
    gap = paired_difference(base_icl, base_closed, level=level, draws=draws, seed=seed)
    if gap.low is None or gap.high is None:
        return Undefined(reason=f"no interval can be given for {gap.n_news} news, so chance noise cannot be ruled out")
    if gap.low <= 0:
        return Undefined(
            reason=f"ICL is not above closed book by more than chance noise (gap {gap.estimate:.2f} "
            f"[{gap.low:.2f}, {gap.high:.2f}], {gap.n_items} questions of {gap.n_news} news)"
        )
    sums_CK, counts_C, ungraded = _sums(base_closed, base_icl, ft_closed)
    closed_D, icl_D, tuned_D = _resample(sums_CK, counts_C, draws=draws, seed=seed).T
    gained_D, room_D = tuned_D - closed_D, icl_D - closed_D
    infinite_D = np.where(gained_D == 0, 0.0, np.copysign(np.inf, gained_D))
    share_D = np.where(room_D > 0, gained_D / np.where(room_D > 0, room_D, 1.0), infinite_D)
    low, high, method = _ends(share_D, len(counts_C), level)
    if method == "wilson":  # no draw differed, and a ratio has no Wilson interval: better none than one of width zero
        low, high, method = None, None, "none"
    closed, icl, tuned = sums_CK.sum(axis=0)
    return Score(
        estimate=float((tuned - closed) / (icl - closed)), low=low, high=high, n_items=gap.n_items,
        n_news=gap.n_news, level=level, ungraded=ungraded, method=method,
    )  # fmt: skip


def resampling_weights(clusters: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each cluster is drawn, (draws, clusters): for statistics other than a mean over questions.

    Not `scipy.stats.bootstrap`, which draws the data again for every statistic: here one seed gives every column, and
    every page of a report, the same draws. That is what pairs two accuracies.
    """
    return _weights(clusters, draws, seed)


def expanded_interval(
    statistic_D: Floats, clusters: int, *, level: float = 0.95
) -> tuple[float, float] | tuple[None, None]:
    """Expanded percentiles of a statistic's bootstrap draws; (None, None) for one cluster.

    Draws that do not differ give an interval of no width: what that means, the caller has to know.
    """
    low, high, method = _ends(statistic_D, clusters, level)
    if method == "wilson":
        return float(statistic_D[0]), float(statistic_D[0])
    return (None, None) if low is None or high is None else (low, high)


def noise_of_chance(chances: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """The accuracies between which somebody stays who guesses every question, each right with its chance.

    The central interval of the sum's exact distribution. It is for what cannot know an answer, such as a rule that goes
    by the length of the choices: for a model, whose answers about one news hang together, use `mean_over_news`.
    """
    probabilities = np.ones(1)  # by convolution: scipy.stats.poisson_binom takes no more than some 60 questions
    for chance in chances:
        probabilities = np.convolve(probabilities, [1 - chance, chance])
    up_to = probabilities.cumsum()
    tail = (1 - level) / 2
    low, high = np.searchsorted(up_to, tail, side="right"), np.searchsorted(up_to, 1 - tail)
    return float(low / len(chances)), float(high / len(chances))


def _value(outcome: bool | float | None) -> float:
    return 0.0 if outcome is None else float(outcome)


def _sums(first: Outcomes, *others: Outcomes) -> tuple[Floats, Floats, int]:
    """Sums by news (C, K) of each column, questions by news (C,), and the number of answers not gradable.

    News are sorted, so the order in which predictions were read cannot move an interval.
    """
    if not first:
        raise UserError("there is no answer to average", expected="at least one question", do="evaluate first")
    for other in others:
        if differing := first.keys() ^ other.keys():
            news_id, question = min(differing)
            raise UserError(
                f"{len(differing)} questions stand on one side only, such as question {question} of news {news_id!r}",
                expected="the same questions on both sides of a paired comparison",
                do="finish the evaluation of both sides",
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
    """How often each news is drawn, (D, C). Kept, because a report asks for the same draws hundreds of times."""
    rng = np.random.default_rng(seed)
    weights_DC = rng.multinomial(n_news, np.full(n_news, 1.0 / n_news), size=draws).astype(np.float64)
    weights_DC.flags.writeable = False
    return weights_DC


def _resample(sums_CK: Floats, counts_C: Floats, *, draws: int, seed: int) -> Floats:
    """Pooled means of resampled news, (D, K); all columns see the same draws, which is what pairs them."""
    weights_DC = _weights(len(counts_C), draws, seed)
    resampled_DK: Floats = (weights_DC @ sums_CK) / (weights_DC @ counts_C)[:, None]
    return resampled_DK


def _ends(statistic_D: Floats, n_news: int, level: float) -> tuple[float | None, float | None, Method]:
    """Expanded percentiles of the draws: order statistics, rounded outwards, so that infinite draws do no harm."""
    if n_news < 2:
        return None, None, "none"
    ordered_D = np.sort(statistic_D)
    if ordered_D[-1] - ordered_D[0] < 1e-12:  # draws that differ by rounding only
        return None, None, "wilson"
    from scipy.stats import norm

    tail = float(norm.cdf(-sqrt(n_news / (n_news - 1)) * student(level, n_news - 1)))
    cut = int(tail * (len(ordered_D) - 1))
    return float(ordered_D[cut]), float(ordered_D[-1 - cut]), "bootstrap"


def _wilson(share: float, trials: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion; 0 and 1 stay exact ends.

    `scipy.stats.binomtest` gives the same interval, for whole numbers of successes only: `share * trials` need not be
    one here, since the share is over questions and the trials are news items.
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
