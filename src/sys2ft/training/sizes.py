"""Rank and learning rate of an adapter by its size, for settings that leave them open.

An adapter for many news items needs more capacity than one for a single news item, and takes many more steps: the rank
grows with the root of the number of news items, and the peak learning rate falls with a power of the number of steps.
All constants of the two rules are here. The update is scaled by alpha / rank with one alpha, which keeps its size the
same at every rank (arXiv 2106.09685, section 4.1), so the learning rate needs no rule for the rank.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, sqrt

from sys2ft.training.settings import TrainSettings

RANK_PER_ROOT = 8
LEAST_RANK, MOST_RANK = 16, 64
HIGHEST_RATE = 5e-4
FULL_RATE_STEPS = 100
"""Steps up to which an adapter has the highest rate."""
FALL = 0.25
"""Power of the number of steps with which the rate falls beyond that."""


def rank_of(news: int) -> int:
    """The rank of an adapter that holds `news` news items: 16 for up to 4, 32 for 16, 64 for 50 and more."""
    return min(MOST_RANK, max(LEAST_RANK, RANK_PER_ROOT * ceil(sqrt(news))))


def rate_of(steps: int) -> float:
    """The peak learning rate of a training of `steps` steps."""
    return HIGHEST_RATE * min(1.0, float((FULL_RATE_STEPS / max(1, steps)) ** FALL))


def sized(settings: TrainSettings, *, news: int = 1, elements: int = 1) -> TrainSettings:
    """The settings with the rank and the learning rate that they leave open, for an adapter of this size."""
    steps = ceil(max(1, round(elements * settings.epochs)) / settings.batch_size)
    return replace(
        settings, rank=settings.rank or rank_of(news), learning_rate=settings.learning_rate or rate_of(steps)
    )
