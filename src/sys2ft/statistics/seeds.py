"""Means and paired differences over several seeds: news items are sampled, and seeds are the second level.

The outcomes of one cell under S seeds are S columns with the same questions. The estimate is the mean over questions
and seeds. How seeds are drawn depends on what a seed moves:

*Shared (the default).* One adapter answers all news items, so a seed may move all of them at once. News items and seeds
are drawn with replacement, independently of each other (Owen 2007, 'The pigeonhole bootstrap'), and the deviations of
the seeds drawn are expanded by sqrt(S / (S - 1)).

*Not shared.* Each news item has an adapter of its own. A question counts with its mean over the seeds, and only news
items are drawn: their variation already contains that of the seeds. Drawing seeds within the news items drawn would
count it twice (Davison & Hinkley 1997, 'Bootstrap methods and their application', section 3.8). If a seed does move all
news items, this interval is too narrow.

docs/statistics.md has the coverage of both, and of two-level draws. With one seed both are exactly `mean_over_news` and
`paired_difference`, and say nothing about other seeds.

*Few news items* (fewer than `FEWEST`) have Student's t with the same variances (`standard_error`), because draws of so
few cannot leave their range. *No variation*: if neither news items nor shared seeds differ, the interval is Wilson's or
Newcombe's with a trial for each news item; a seed asks the same questions again and adds no trial. *One news item* has
no interval: seeds cannot show how news items vary.

Shapes: C news items (clusters), S seeds, I items (questions, of all seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sys2ft.errors import UserError
from sys2ft.statistics.intervals import DRAWS, Floats
from sys2ft.statistics.scores import How, Item, Outcomes, Score, changes, difference_score, mean_score, pooled, value

Seeded: TypeAlias = Sequence[Outcomes]
"""The outcomes of the same cell under each seed, all with the same questions."""


def mean_over_seeds(
    columns: Seeded,
    *,
    shared: bool = True,
    bounded: bool = True,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Score:
    """Mean over all questions and seeds, with an interval over news items and, if `shared`, seeds.

    `bounded=False` is for outcomes that are no accuracies, such as log-likelihoods (nats): the interval is not limited,
    Student's is symmetric, and there is none if all news items have the same mean. Raises UserError if there is no
    column, or if the seeds have different questions.
    """
    how = How(level=level, draws=draws, seed=seed, shared=shared, bounded=bounded)
    return mean_score(*pooled_seeds(columns), how)


def paired_over_seeds(
    a: Seeded,
    b: Seeded,
    *,
    shared: bool = True,
    bounded: bool = True,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Score:
    """Mean of `a` minus mean of `b` on the same questions; seed k of `a` is paired with seed k of `b`.

    One column, such as the base model's, serves for every seed of the other side. Arguments as in `mean_over_seeds`.
    Raises UserError if the numbers of seeds differ otherwise, or if the questions are not the same everywhere.
    """
    how = How(level=level, draws=draws, seed=seed, shared=shared, bounded=bounded)
    changes_CS, counts_C, ungraded = paired_sums(a, b)
    return difference_score(changes_CS, counts_C, ungraded, paired_changes(a, b), how)


def averaged(columns: Seeded) -> dict[Item, float]:
    """The mean of each question over the seeds, for `gap_share` and `joint_differences`; not gradable counts as wrong.

    Intervals of averaged outcomes are those of seeds that are not `shared`.
    """
    pooled_seeds(columns)  # refuses seeds with different questions
    return {item: sum(value(column[item]) for column in columns) / len(columns) for item in columns[0]}


def pooled_seeds(columns: Seeded) -> tuple[Floats, Floats, int]:
    """Sums per news item and seed (C, S), questions per news item (C,), and the number of answers not gradable."""
    if not columns:
        raise UserError("there is no seed to average", expected="the outcomes of one seed or more", fix="train first")
    return pooled(columns[0], *columns[1:])


def paired_sums(a: Seeded, b: Seeded) -> tuple[Floats, Floats, int]:
    """Sums of a - b per news item and seed (C, S), questions per news item (C,), and the answers not gradable."""
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise UserError(
            f"{len(a)} seeds are to be paired with {len(b)}",
            expected="the same seeds on both sides, or a single column on one of them",
            fix="finish the seeds that are missing, or compare the seeds that both sides have",
        )
    sums_CK, counts_C, ungraded = pooled_seeds([*a, *b])
    return sums_CK[:, : len(a)] - sums_CK[:, len(a) :], counts_C, ungraded


def paired_changes(a: Seeded, b: Seeded) -> list[float]:
    """a - b of each question under each seed, (I,)."""
    seeds = max(len(a), len(b))
    both = ([*columns] * (seeds // len(columns)) for columns in (a, b))  # one column serves for every seed
    return [change for own, other in zip(*both, strict=True) for change in changes(own, other)]
