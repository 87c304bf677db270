"""Rank, alpha and learning rate of an adapter by its size and that of its model, for settings that leave them open.

An adapter for many news items needs more capacity than one for a single news item, and takes many more steps: the rank
grows with the root of the number of news items, and the peak learning rate falls with a power of the number of steps
and with the root of the model's size. The update is scaled by alpha / rank, and alpha is twice the rank. All constants
of the rules are here; docs/log.md has the measurements that they are from.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, sqrt

from sys2ft.training.settings import TrainSettings

RANK_PER_ROOT = 8
LEAST_RANK, MOST_RANK = 16, 64
ALPHA_PER_RANK = 2.0
HIGHEST_RATE = 3.5e-3
"""The rate of a model with up to `PARAMETERS` parameters and an adapter with up to `FULL_RATE_STEPS` steps."""
PARAMETERS = 135_000_000
FULL_RATE_STEPS = 16
FALL = 0.25
"""Power of the number of steps with which the rate falls beyond that."""


def rank_of(news: int) -> int:
    """The rank of an adapter that holds `news` news items: 16 for up to 4, 32 for 16, 64 for 50 and more."""
    return min(MOST_RANK, max(LEAST_RANK, RANK_PER_ROOT * ceil(sqrt(news))))


def rate_of(steps: int, parameters: int = 0) -> float:
    """The peak learning rate of a training of `steps` steps on a model of this size; at most `HIGHEST_RATE`."""
    by_steps = min(1.0, float((FULL_RATE_STEPS / max(1, steps)) ** FALL))
    rate = HIGHEST_RATE * by_steps * sqrt(PARAMETERS / max(parameters, PARAMETERS))
    return float(f"{rate:.2g}")


def sized(settings: TrainSettings, *, news: int = 1, elements: int = 1, parameters: int = 0) -> TrainSettings:
    """The settings with rank, alpha and learning rate where they leave them open, for an adapter of this size."""
    steps = ceil(max(1, round(elements * settings.epochs)) / settings.batch_size)
    rank = settings.rank or rank_of(news)
    return replace(
        settings,
        rank=rank,
        alpha=settings.alpha or ALPHA_PER_RANK * rank,
        learning_rate=settings.learning_rate or rate_of(steps, parameters),
    )
