"""Rehearsal: which elements of earlier updates are trained on again together with those of a new one.

An adapter that is trained on one update after another loses the earlier ones (catastrophic interference). Gandhi, Shah,
Marupudi and Varma ('Catastrophic Interference is Mitigated in Naturalistic Power-Law Learning Environments', arXiv
2401.10393) start from a finding of cognitive science, that the probability of meeting a task again falls as a power of
the time since it was last performed. They rehearse earlier tasks with such probabilities after each new one, and find
that it keeps them as well as, or better than, rehearsal at other rates and popular methods of regularisation. Their
tasks are permuted and divided sets of images; whether it holds for news items is what the study `sequence` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError
from sys2ft.replay.elements import ReplayElement
from sys2ft.runs import item_seed

How = Literal["none", "uniform", "power"]
HOWS: tuple[How, ...] = get_args(How)


@dataclass(frozen=True, kw_only=True, slots=True)
class RehearsalSettings:
    """What of earlier updates is trained on again with a new one."""

    rehearsal: How = "power"
    """`none`: nothing. `uniform`: every earlier element is equally likely. `power`: an earlier update is drawn with a
    probability that falls as a power of its age (arXiv 2401.10393), and of its elements each is equally likely."""
    rehearsal_share: float = 1.0
    """Number of earlier elements for each new one; 1: as many old as new."""
    rehearsal_exponent: float = 1.0
    """The exponent E of `power`: an update of age A (the latest is 1) has a probability proportional to A ** -E."""

    def __post_init__(self) -> None:
        known, share, exponent = self.rehearsal in HOWS, self.rehearsal_share, self.rehearsal_exponent
        if not (known and 0 <= share < float("inf") and 0 <= exponent < float("inf")):
            raise SettingsError(
                f"rehearsal={self.rehearsal}, rehearsal_share={share}, rehearsal_exponent={exponent}",
                expected=f"one of {', '.join(HOWS)}; a share and an exponent of at least 0, both finite",
                fix="change the setting that is out of range",
            )


def rehearse(
    earlier: Sequence[Sequence[ReplayElement]], new: int, settings: RehearsalSettings, *, seed: int = 0
) -> list[ReplayElement]:
    """The elements to train on again with the `new` elements of the next update.

    `earlier` are the kept elements of each earlier update, oldest first; an update that is no longer wanted is an empty
    one, so that the ages of the others stay. round(`rehearsal_share` * `new`) elements are drawn, without replacement:
    an element comes a second time only when all others have come once. The order in which an update's elements are
    drawn is decided by `seed`, the number of the update, the number of the new one and the element's id alone. The
    result is in the order of `earlier`; a repeated element is in it as often as it was drawn.
    """
    if settings.rehearsal == "none" or not any(earlier):
        return []
    now = len(earlier)
    drawn = [0] * now
    for draw in range(int(settings.rehearsal_share * new + 0.5)):
        drawn[_update(earlier, drawn, settings, item_seed(seed, "rehearsal", now, draw) / 2**63)] += 1
    return [
        element
        for update, (own, count) in enumerate(zip(earlier, drawn, strict=True))
        for element, times in zip(own, _times(own, count, (seed, "rehearsal", now, update)), strict=True)
        for _ in range(times)
    ]


def _update(
    earlier: Sequence[Sequence[ReplayElement]], drawn: Sequence[int], settings: RehearsalSettings, point: float
) -> int:
    """The update that the next element comes from; `point` is uniform in [0, 1)."""
    passes = sum(drawn) // sum(map(len, earlier)) + 1
    left = [len(own) * passes - count for own, count in zip(earlier, drawn, strict=True)]
    if settings.rehearsal == "uniform":
        weights = [float(n) for n in left]
    else:
        ages = range(len(earlier), 0, -1)
        weights = [float(n > 0) * age**-settings.rehearsal_exponent for age, n in zip(ages, left, strict=True)]
    some = [update for update, n in enumerate(left) if n]
    goal = point * sum(weights)
    return next((update for update in some if sum(weights[: update + 1]) > goal), some[-1])  # the last: rounding


def _times(own: Sequence[ReplayElement], count: int, seed: tuple[str | int, ...]) -> list[int]:
    """How often each element is drawn if `count` of them are, in an order of their own."""
    order = sorted(range(len(own)), key=lambda i: item_seed(*seed, own[i].id))
    times = [0] * len(own)
    for place in range(count):
        times[order[place % len(own)]] += 1
    return times
