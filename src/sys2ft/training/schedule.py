"""An adapter's schedule: held-out split, batches, anchors and learning rate, derived from its name and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from sys2ft.runs import item_seed
from sys2ft.training.settings import TrainSettings


def split(name: str, count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the elements to train on and of those held out, at least one of each.

    `share` is the held-out share of the `count` elements. A single element is trained on.
    """
    if not share or count < 2:
        return list(range(count)), []
    order = np.random.default_rng(item_seed(seed, "held out", name)).permutation(count).tolist()
    held = min(count - 1, max(1, round(count * share)))
    return sorted(order[held:]), sorted(order[:held])


def batches(name: str, count: int, settings: TrainSettings, seed: int, sources: Sequence[str] = ()) -> list[list[int]]:
    """The batches of one adapter over all epochs, each epoch in a different order.

    `sources` are the news items of the `count` elements. If there are several, every batch of an epoch has elements of
    as many different ones as possible (see `_mixed`); an epoch then begins with a new batch.
    """
    if len(set(sources)) > 1:
        return _mixed_batches(name, sources, settings, seed)
    order: list[int] = []
    total = max(1, round(count * settings.epochs))
    epoch = 0
    while len(order) < total:
        generator = np.random.default_rng(item_seed(seed, "order", name, epoch))
        order.extend(generator.permutation(count).tolist())
        epoch += 1
    order = order[:total]
    return [order[start : start + settings.batch_size] for start in range(0, total, settings.batch_size)]


def _mixed_batches(name: str, sources: Sequence[str], settings: TrainSettings, seed: int) -> list[list[int]]:
    made: list[list[int]] = []
    left = max(1, round(len(sources) * settings.epochs))
    epoch = 0
    while left:
        generator = np.random.default_rng(item_seed(seed, "order", name, epoch))
        for batch in _mixed(sources, ceil(len(sources) / settings.batch_size), generator):
            made += [batch[:left]] if left else []
            left -= len(batch[:left])
        epoch += 1
    return made


def _mixed(sources: Sequence[str], count: int, generator: np.random.Generator) -> list[list[int]]:
    """All elements in `count` batches of equal size or one less, in random order, stratified by source.

    The elements are dealt like cards: sorted by source, the sources and the elements of each in random order, one to
    each batch in turn. No two batches therefore differ by more than one element of a source, which no other division
    betters: a batch has two elements of one source only if the source has more elements than there are batches.
    """
    places = {source: place for place, source in enumerate(generator.permutation(sorted(set(sources))).tolist())}
    order = sorted(generator.permutation(len(sources)).tolist(), key=lambda i: places[sources[i]])
    return [order[first::count] for first in generator.permutation(count).tolist()]


def rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Learning rate of a step (from 0): linear warm-up, then linear decay that reaches 0 after the last step."""
    if step >= steps:
        return 0.0
    rise = max(1, round(settings.warmup * steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * (steps - step) / max(1, steps - rise + 1)


def refresh_of(step: int, seen: Sequence[int], count: int, refresh: float) -> int:
    """Number of the refresh whose samples a step uses.

    `seen[i]` elements have been seen after step i, and an epoch has `count`; `refresh` are those of an epoch.
    """
    return int(seen[step - 1] * refresh / count) if step else 0


def anchors_of(name: str, step: int, elements: int, size: int, count: int, share: float, seed: int) -> list[int]:
    """Which of `count` anchors a step with `elements` elements (of at most `size`) rehearses: all equally often.

    They are `share` of the step's examples, at least one.
    """
    most = max(1, round(size * share / (1 - share)))
    wanted = max(1, round(elements * share / (1 - share)))
    orders: dict[int, list[int]] = {}
    places = []
    for number in range(step * most, step * most + wanted):
        turn, place = divmod(number, count)
        if turn not in orders:
            generator = np.random.default_rng(item_seed(seed, "anchor", name, turn))
            orders[turn] = generator.permutation(count).tolist()
        places.append(orders[turn][place])
    return places
