"""What a run can see: the smallest gain in accuracy that its questions would find, before any work."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

import numpy as np

from sys2ft.statistics.intervals import LEAST_FREEDOM, effective, student


def smallest_difference(
    counts_per_news: Sequence[int],
    *,
    protocols: int = 1,
    accuracy: float = 0.25,
    correlation: float = 0.05,
    agreement: float = 0.4,
    seeds: int = 1,
    of_seeds: float = 0.15,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest gain in accuracy that a run of this size would find with probability `power`; inf if there is none.

    `counts_per_news` are the questions of each news item. A gain is found if its interval among those of `protocols`
    (`joint_differences`) is above zero. The power is that of Student's t (noncentral) at Bonferroni's level, because
    the correlation of the protocols is not known before work begins.

    Assumed are the untouched model's `accuracy`, the `correlation` between the changes of two questions of a news item,
    which inflates the variance by Kish's (1965) design effect, and the `agreement` (correlation) between the answers to
    a question before and after. The values: untouched small models answer about a quarter of multiple-choice questions;
    in runs of the demo the correlation was around 0 and the agreement 0.3 to 0.5.

    The mean over `seeds` has less variance: the share `of_seeds` of the variance of a question's change, which differs
    between trainings with different seeds, is divided by their number. It was 0.10 to 0.25 in runs with two and three
    seeds. What a seed does to all news items at once is not included. Raises ValueError for less than one seed or a
    share that is not within 0 and 1.
    """
    if seeds < 1 or not 0 <= of_seeds <= 1:
        raise ValueError(f"{seeds} seeds with {of_seeds} of the variance; expected at least 1, and 0 to 1")
    counts_C = np.asarray([count for count in counts_per_news if count > 0], dtype=np.float64)
    if len(counts_C) < 2:
        return inf
    from scipy.optimize import brentq
    from scipy.stats import nct

    freedom = max(effective(counts_C) - 1, LEAST_FREEDOM)
    critical = student(1 - (1 - level) / max(1, protocols), freedom)
    design = 1 + (float(counts_C @ counts_C / counts_C.sum()) - 1) * correlation
    remaining = 1 - of_seeds + of_seeds / seeds if seeds > 1 else 1.0
    before = accuracy * (1 - accuracy)

    def lacking(gain: float) -> float:
        after = max(0.0, (accuracy + gain) * (1 - accuracy - gain))
        variance = before + after - 2 * agreement * sqrt(before * after)
        error = sqrt(variance * design * remaining / float(counts_C.sum()))
        return power - float(nct.sf(critical, freedom, gain / error))

    most = 1 - accuracy
    return inf if lacking(most) > 0 else float(brentq(lacking, 0.0, most, xtol=1e-4))
