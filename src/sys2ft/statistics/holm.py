"""p-values of paired differences, and their adjustment for the number of comparisons (Holm)."""

from __future__ import annotations

from collections.abc import Mapping
from math import copysign

from sys2ft.statistics.intervals import LEAST_FREEDOM, NOISE, newcombe, standard_error
from sys2ft.statistics.seeds import Seeded, paired_changes, paired_sums


def p_value(a: Seeded, b: Seeded, *, shared: bool = True, bounded: bool = True) -> float:
    """Two-sided p-value of the paired difference `a` - `b` being zero in the population of news items and seeds.

    From Student's t with the standard error between news items and, if `shared`, seeds (`standard_error`), also for
    many news items: bootstrap percentiles far out rest on a handful of draws. Where all news items have the same
    difference, there is no error to divide by. Newcombe's interval then decides: the p-value is one minus the highest
    level at which it excludes zero, and 1 for numbers that are not `bounded`, which have no interval. 1 also for one
    news item. Raises UserError as `paired_over_seeds` does.
    """
    changes_CS, counts_C, _ = paired_sums(a, b)
    difference = float(changes_CS.mean(axis=1).sum() / counts_C.sum())
    if len(counts_C) < 2 or abs(difference) < NOISE:
        return 1.0
    error, freedom = standard_error(changes_CS, counts_C, shared=shared)
    if error >= NOISE:
        from scipy.stats import t

        return float(2 * t.sf(abs(difference) / error, max(freedom, LEAST_FREEDOM)))
    if not bounded:
        return 1.0
    from scipy.optimize import brentq

    towards_I = [copysign(1.0, difference) * change for change in paired_changes(a, b)]
    return 1 - float(brentq(lambda level: newcombe(towards_I, len(counts_C), level)[0], 1e-9, 1 - 1e-12))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values, by name: those at or below a level are significant together at that level.

    Holm 1979, 'A simple sequentially rejective multiple test procedure': the smallest of n is multiplied by n, the next
    by n - 1 and so on, none falls below the one before, and none exceeds 1. Valid for any dependence between the
    comparisons.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for k, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - k) * p[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p}
