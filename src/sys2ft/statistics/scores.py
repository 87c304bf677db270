"""Accuracies, differences and shares with confidence intervals, news items being the unit of sampling.

Answers to questions about the same news item are correlated, so news items are resampled and not questions: a cluster
bootstrap (Field & Welsh 2007, 'Bootstrapping clustered data'; Miller 2024, arXiv 2411.00640, for evaluations of
language models). The statistic is always the pooled mean over the questions of the news items drawn.

Five decisions, with their reasons:

*Expanded percentiles.* The plain percentile interval of n clusters is too narrow, by a factor of about sqrt((n-1)/n)
and because it corresponds to normal quantiles instead of Student's: a '95%' interval of ten news items covers about
90%. The percentiles are widened accordingly (Hesterberg 2015, 'What teachers should know about the bootstrap', section
5.2). News items with unequal numbers of questions count as fewer.

*Few news items.* Resampling fewer than `FEWEST` news items cannot leave their range. The interval is then Student's,
with the variance between news items: symmetric for a difference, Fieller's for a share, and in Wilson's form for an
accuracy (Korn & Graubard 1998, 'Confidence intervals for proportions with small expected number of positive counts'),
because a symmetric one misses the truth too often near 0 and 1.

*No variation between news items.* If every news item has the same mean (all right, all wrong), both methods return an
interval of width zero, as if ten news items could prove perfection. The interval is then Wilson's for a proportion
observed in `n_news` independent trials: news items and not questions, because the answers within a news item have just
been seen to agree. Differences use Newcombe's square-and-add method with two such intervals, one for the questions
gained and one for the questions lost.

*One news item.* The variation between news items is unknown, so there is no interval: `low` and `high` are None.

*Several comparisons.* The largest of several gains is large partly by choice. `joint_differences` widens the intervals
until all of them hold together.

Shapes: C news items (clusters), I items (questions), D bootstrap draws, K columns (models or conditions), S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Literal, TypeAlias

import numpy as np

from sys2ft.errors import UserError
from sys2ft.statistics.intervals import (
    DRAWS,
    NOISE,
    Floats,
    Interval,
    covariance,
    effective,
    fieller,
    is_resampled,
    joint_level,
    newcombe,
    normal,
    percentiles,
    resampled,
    resampled_over_seeds,
    standard_error,
    student,
    symmetric,
    wilson,
)

Item: TypeAlias = tuple[str, int]
"""A question: the id of its news item and its index among the questions of that item."""

Outcomes: TypeAlias = Mapping[Item, "bool | float | None"]
"""By question: right (True or 1), wrong (False or 0) or not gradable (None, which counts as wrong and is reported)."""

Method = Literal["bootstrap", "student", "wilson", "none"]
Ends: TypeAlias = tuple["float | None", "float | None", Method]


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
    """How the interval was computed: 'student' for few news items, 'wilson' if all have the same mean, 'none' if there
    is no interval."""
    among: int = 1
    """Number of comparisons whose intervals hold together at `level`."""
    n_seeds: int = 1
    """Trainings with different seeds over which the outcomes are averaged."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A quantity that is not defined here, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """How the interval of one pooled mean is computed."""

    level: float
    draws: int
    seed: int
    shared: bool = False
    """Whether a seed moves all news items at once."""
    bounded: bool = True
    """Whether outcomes are within 0 and 1."""


def mean_over_news(outcomes: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Score:
    """Accuracy over all questions, with an interval over the news items."""
    return mean_score(*pooled(outcomes), How(level=level, draws=draws, seed=seed))


def paired_difference(a: Outcomes, b: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Score:
    """Accuracy of `a` minus accuracy of `b` on the same questions, over the same news items.

    Raises UserError if the questions are not the same: the difference would not be paired.
    """
    sums_CK, counts_C, ungraded = pooled(a, b)
    how = How(level=level, draws=draws, seed=seed)
    return difference_score(sums_CK[:, :1] - sums_CK[:, 1:], counts_C, ungraded, changes(a, b), how)


def joint_differences(
    columns: Mapping[str, Outcomes], base: Outcomes, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> dict[str, Score]:
    """`paired_difference` of every column from `base`, with intervals that all hold together at `level`.

    A statement about the best of the columns is then wrong no more often than one about a column chosen beforehand.
    The level of the single intervals comes from `joint_level`. They are Student's, because percentiles that far out
    rest on a handful of draws, and contain those of `paired_difference`. Raises UserError if the questions are not the
    same everywhere.
    """
    found = {name: paired_difference(own, base, level=level, draws=draws, seed=seed) for name, own in columns.items()}
    if len(columns) < 2:
        return found
    sums_CK, counts_C, _ = pooled(base, *columns.values())
    changes_CK = sums_CK[:, 1:] - sums_CK[:, :1]
    joint = joint_level(changes_CK, counts_C, level=level, draws=draws, seed=seed)
    for (name, own), changes_C in zip(columns.items(), changes_CK.T, strict=True):
        single = found[name]
        low, high = single.low, single.high
        if single.method == "wilson":
            low, high = newcombe(changes(own, base), single.n_news, joint)
        elif low is not None and high is not None:
            error = sqrt(covariance(changes_C[:, None], counts_C)[0, 0])
            wide = symmetric(single.estimate, student(joint, effective(counts_C) - 1) * error)
            low, high = min(low, wide[0]), max(high, wide[1])
        found[name] = replace(single, low=low, high=high, among=len(columns))
    return found


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
    paired interval of the denominator is above zero; Fieller's interval, for few news items, is bounded by the same
    condition. Draws with a denominator of zero or below are kept: they count as plus or minus infinity by the sign of
    the numerator, and as 0 if it is zero. There are fewer such draws than the tails contain, again by the condition, so
    the interval is always finite.
    """
    gap = paired_difference(base_icl, base_closed, level=level, draws=draws, seed=seed)
    if gap.low is None or gap.high is None:
        return Undefined(reason="a single news item gives no interval, so chance noise cannot be ruled out")
    if gap.low <= 0:
        return Undefined(
            reason=f"ICL is not above closed book by more than chance noise (gap {gap.estimate:.2f} "
            f"[{gap.low:.2f}, {gap.high:.2f}], {gap.n_items} questions of {gap.n_news} news items)"
        )
    sums_CK, counts_C, ungraded = pooled(base_closed, base_icl, ft_closed)
    changes_CK = sums_CK[:, [2, 1]] - sums_CK[:, :1]  # gained, and to be gained
    gained, room = (float(total) / gap.n_items for total in changes_CK.sum(axis=0))
    share = gained / room
    ends: tuple[float | None, float | None] = (None, None)
    method: Method = "none"
    # A share that is the same for every news item has no interval: there is no Wilson interval of a ratio.
    if sqrt(covariance(changes_CK[:, :1] - share * changes_CK[:, 1:], counts_C)[0, 0]) >= NOISE:
        if not is_resampled(counts_C):
            quantile = student(level, effective(counts_C) - 1)
            ends, method = fieller(gained, room, covariance(changes_CK, counts_C), quantile), "student"
        else:
            gained_D, room_D = resampled(changes_CK, counts_C, draws=draws, seed=seed).T
            infinite_D = np.where(gained_D == 0, 0.0, np.copysign(np.inf, gained_D))
            share_D = np.where(room_D > 0, gained_D / np.where(room_D > 0, room_D, 1.0), infinite_D)
            ends, method = percentiles(share_D, effective(counts_C), level), "bootstrap"
    return Score(
        estimate=share, low=ends[0], high=ends[1], n_items=gap.n_items, n_news=gap.n_news, level=level,
        ungraded=ungraded, method=method,
    )  # fmt: skip


def mean_score(sums_CS: Floats, counts_C: Floats, ungraded: int, how: How) -> Score:
    """The score of an accuracy (a mean of any numbers, if not `how.bounded`) from sums by news item and seed."""
    mean = float(sums_CS.mean(axis=1).sum() / counts_C.sum())
    if not how.bounded:
        return difference_score(sums_CS, counts_C, ungraded, (), how)
    ends = _ends(
        sums_CS,
        counts_C,
        lambda: wilson(mean, len(counts_C), normal(how.level)),
        # Trials: the independent questions that would vary as much as these do.
        lambda error, quantile: wilson(mean, mean * (1 - mean) / error**2, quantile),
        (0.0, 1.0),
        how,
    )
    return _score(mean, ends, sums_CS, counts_C, ungraded, how)


def difference_score(
    changes_CS: Floats, counts_C: Floats, ungraded: int, changes_I: Sequence[float], how: How
) -> Score:
    """The score of a paired difference from its sums by news item and seed, and the changes of single questions.

    Numbers that are not bounded have no interval if all news items have the same mean.
    """
    mean = float(changes_CS.mean(axis=1).sum() / counts_C.sum())
    most = 1.0 if how.bounded else inf
    ends = _ends(
        changes_CS,
        counts_C,
        lambda: newcombe(changes_I, len(counts_C), how.level) if how.bounded else None,
        lambda error, quantile: symmetric(mean, quantile * error, most),
        (-most, most),
        how,
    )
    return _score(mean, ends, changes_CS, counts_C, ungraded, how)


def _score(mean: float, ends: Ends, sums_CS: Floats, counts_C: Floats, ungraded: int, how: How) -> Score:
    low, high, method = ends
    return Score(
        estimate=mean, low=low, high=high, n_items=int(counts_C.sum()), n_news=len(counts_C), level=how.level,
        ungraded=ungraded, method=method, n_seeds=int(sums_CS.shape[1]),
    )  # fmt: skip


def _ends(
    sums_CS: Floats,
    counts_C: Floats,
    alike: Callable[[], Interval | None],
    few: Callable[[float, float], Interval],
    limits: Interval,
    how: How,
) -> Ends:
    """The interval of one pooled mean: `alike` if the news items do not differ, `few` (error, quantile) for few."""
    if len(counts_C) < 2:
        return None, None, "none"
    error, freedom = standard_error(sums_CS, counts_C, shared=how.shared)
    if error < NOISE:
        same = alike()
        return (None, None, "none") if same is None else (*same, "wilson")
    if not is_resampled(counts_C):
        return *few(error, student(how.level, freedom)), "student"
    drawn_D = resampled_over_seeds(sums_CS, counts_C, shared=how.shared, draws=how.draws, seed=how.seed)
    low, high = percentiles(drawn_D, effective(counts_C), how.level)
    if sums_CS.shape[1] > 1:  # expanded deviations of seeds can leave the range
        low, high = max(limits[0], low), min(limits[1], high)
    return low, high, "bootstrap"


def value(outcome: bool | float | None) -> float:
    """An outcome as a number; not gradable counts as wrong."""
    return 0.0 if outcome is None else float(outcome)


def changes(a: Outcomes, b: Outcomes) -> list[float]:
    """a - b of each question."""
    return [value(a[item]) - value(b[item]) for item in a]


def pooled(first: Outcomes, *others: Outcomes) -> tuple[Floats, Floats, int]:
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
        sums_CK[place[item[0]]] += [value(column[item]) for column in columns]
    return sums_CK, counts_C, sum(outcome is None for column in columns for outcome in column.values())
