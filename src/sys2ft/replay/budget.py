"""Budgets: what a protocol may use for each news item, in samples, tokens or FLOP, and the account of its use.

An account reads the samples of a news item in their order and takes their elements while they fit. What it takes
therefore depends on nothing that was drawn later. The last element is taken if the use is then nearer to the goal, so
that protocols with long and with short elements use the same on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import lru_cache
from typing import Any

from sys2ft.engine import flops
from sys2ft.errors import SettingsError
from sys2ft.generators import EngineGenerator, Generator, Pair
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News
from sys2ft.replay.elements import number, shown
from sys2ft.replay.settings import GenerateSettings

Measure = Callable[[Pair], float]
"""What an element uses of the budget when it is trained on."""

_FIRST = 4  # samples of a news item by which the cost of a sample is measured, where that is part of the budget
_MOST = 4  # a round draws at most as many samples as this many budgets would need if nothing were rejected


@dataclass(frozen=True, slots=True)
class Cost:
    """What generation has cost: tokens sampled, FLOP, and seconds, of which some were for the checks of truth."""

    tokens: float = 0.0
    flop: float = 0.0
    seconds: float = 0.0
    checking: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + own for mine, own in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Cost) -> Cost:
        return self + other.times(-1.0)

    def times(self, factor: float) -> Cost:
        """This cost, multiplied."""
        return Cost(*(own * factor for own in astuple(self)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How often, and how many at a time, elements are trained on."""

    epochs: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a protocol for each news item, and how elements are measured by it."""

    name: str
    """Its field in the settings: samples_per_news, tokens_per_news or flop."""
    amount: float
    measure: Measure
    guess: Callable[[News], float]
    """The size of an element of a news item, as long as none is known."""
    margin: float
    """Samples to draw, as a multiple of what is missing."""
    schedule: Schedule | None = None
    """How the elements are trained on, where that decides what they use: for a budget in FLOP."""

    @classmethod
    def of(
        cls, settings: GenerateSettings, writer: Generator, learner: LoadedModel | None, schedule: Schedule | None
    ) -> Budget:
        """The budget that the settings give, for elements that `learner` is trained on by `schedule`.

        `learner` None: the model that generates. Raises SettingsError where a budget in tokens or FLOP has no model to
        count by, or one in FLOP no schedule.
        """
        name, amount = settings.budget
        if name == "samples_per_news":
            return cls(name, amount, lambda pair: 1.0, lambda item: 1.0, settings.margin)
        model = learner or (writer.model if isinstance(writer, EngineGenerator) else None)
        if model is None:
            raise SettingsError(
                f"{name}={amount:g}, and the generator {writer.identity!r}, whose tokens are not known",
                expected="the model that is trained, to count its tokens",
                fix="give the loaded model as `learner`, or give samples_per_news instead",
            )
        if name != "flop":
            schedule = None
        elif schedule is None:
            raise SettingsError(
                f"flop={amount:g}, and no schedule of the training",
                expected="epochs and batch size, which the FLOP of an element depend on",
                fix="give `schedule=Schedule(epochs=..., batch_size=...)` with those of the training settings",
            )
        measure = _rendered(model, schedule)

        def guess(item: News) -> float:
            # A restatement is about as long as the text, and no reply is longer than the token budget of a sample.
            body = " ".join(["word"] * settings.max_new_tokens)
            return min(measure(Pair(messages=(Message("user", ""),), text=text)) for text in (item.text, body))

        margin = 1.0 if schedule else settings.margin  # what is drawn in vain is lost for training
        return cls(name, amount, measure, guess, margin, schedule)

    @property
    def counts_generation(self) -> bool:
        """Whether generation is part of the budget."""
        return self.schedule is not None

    def shown(self, amount: float) -> str:
        """An amount with its unit."""
        return shown(self.name, amount)

    def to_dict(self) -> dict[str, Any]:
        """As the run folder's yield file."""
        return {
            "name": self.name,
            "amount": number(self.amount),
            "schedule": asdict(self.schedule) if self.schedule else None,
        }


def _rendered(model: LoadedModel, schedule: Schedule | None) -> Measure:
    """Tokens of an element as training renders it; with a schedule the FLOP to train on it, by `engine.flops`.

    What every rendering begins with, such as a system turn of the chat template, training computes once for a batch.
    """
    chat = model.chat
    token, prediction = flops.training(model.model, 1, 0), flops.training(model.model, 0, 1)
    one, other = (chat.prompt_ids([Message("user", text)]) for text in ("a", "0"))
    shared = one[: next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)]

    @lru_cache(maxsize=65536)  # a mix reads elements again, and naive ones repeat
    def measure(pair: Pair) -> float:
        rendered = chat.render(list(pair.messages), pair.text)
        if schedule is None:
            return float(len(rendered.ids))
        saved = len(shared) if rendered.ids[: len(shared)] == shared else 0
        tokens = len(rendered.ids) - saved * (1 - 1 / schedule.batch_size)
        return schedule.epochs * (token * tokens + prediction * sum(rendered.loss_mask))

    return measure


@dataclass(slots=True)
class Drawn:
    """A sample of the stream of a news item: what it has cost, and the elements in it that passed, with their ids."""

    cost: Cost
    passed: list[tuple[str, Pair]]


@dataclass(slots=True)
class Account:
    """What is taken of the samples of each news item, up to its goal."""

    budget: Budget
    goals: Mapping[str, float]
    """By news item, in the unit of the budget."""
    used: dict[str, float] = field(default_factory=dict)
    taken: dict[str, list[str]] = field(default_factory=dict)
    """The ids of the elements taken, by news item."""
    read: dict[str, int] = field(default_factory=dict)
    """Number of samples that were read before the goal was reached, by news item."""
    closed: set[str] = field(default_factory=set)
    """News items that have reached their goal."""
    first: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By news item: what the first element needs, with all that was generated before it, and its id."""

    def __post_init__(self) -> None:
        self.used, self.taken = dict.fromkeys(self.goals, 0.0), {name: [] for name in self.goals}
        self.read = dict.fromkeys(self.goals, 0)
        least = 0.5 if self.budget.name == "samples_per_news" else 0.0  # half a sample is nearer to none
        self.closed = {name for name, goal in self.goals.items() if goal <= least}

    def add(self, news_id: str, drawn: Drawn) -> int:
        """Read the next sample of a news item; how many of its elements are taken."""
        if news_id in self.closed:
            return 0
        goal, own = self.goals[news_id], self.taken[news_id]
        before = len(own)
        due = drawn.cost.flop if self.budget.counts_generation else 0.0
        for name, pair in drawn.passed:
            need = due + self.budget.measure(pair)
            self.first.setdefault(news_id, (self.used[news_id] + need, name))
            if need > 2 * (goal - self.used[news_id]):  # the use is nearer to the goal without it
                self.closed.add(news_id)
                break
            self.used[news_id] += need
            due = 0.0
            own.append(name)
            if goal - self.used[news_id] < self._size(news_id) / 2:  # another one would exceed it by more than this
                self.closed.add(news_id)
                break
        else:
            self.used[news_id] += due  # all of it was rejected
            if self.used[news_id] >= goal:
                self.closed.add(news_id)
        self.read[news_id] += news_id not in self.closed or len(own) > before or not drawn.passed
        return len(own) - before

    def _size(self, news_id: str) -> float:
        """The mean use of an element taken of a news item."""
        return self.used[news_id] / len(self.taken[news_id])

    def room(self, news_id: str) -> float:
        """What is left to its goal; 0 once it is reached."""
        return 0.0 if news_id in self.closed else max(0.0, self.goals[news_id] - self.used[news_id])

    def samples(self, item: News, rate: float) -> int:
        """How many samples to draw next of a news item, if one in `rate` passes."""
        if not (room := self.room(item.id)):
            return 0
        every = sum(len(names) for names in self.taken.values())
        if not self.budget.counts_generation:
            size = self._size(item.id) if self.taken[item.id] else self.budget.guess(item)
            return min(
                math.ceil(room / size * self.budget.margin * rate), _MOST * math.ceil(self.goals[item.id] / size)
            )
        if not every:
            return _FIRST  # what a sample costs is not known yet
        size = self._size(item.id) if self.taken[item.id] else sum(self.used.values()) / every
        return max(1, math.ceil(room / size * self.budget.margin * rate))

    def assume(self) -> None:
        """Assume for every news item that its goal is reached exactly, where samples are not drawn yet."""
        self.used |= self.goals
        self.closed |= self.goals.keys()

    def require_room(self, protocol: str) -> None:
        """Raise SettingsError if the first element of a news item needs more than the whole budget."""
        worst = max(self.first.items(), key=lambda entry: entry[1], default=None)
        if worst and worst[1][0] > self.budget.amount:
            raise too_small(self.budget, protocol, worst[0], worst[1][0])


def too_small(budget: Budget, protocol: str, news_id: str, need: float) -> SettingsError:
    """The error for a budget that has no room for one element."""
    flag = f"--{budget.name.replace('_', '-')}"
    least = str(math.ceil(need))
    if budget.schedule:  # rounded up, so that the value in the message suffices
        digits = 10 ** (math.floor(math.log10(need)) - 2)
        least = f"{math.ceil(need / digits) * digits:.3g}"
        what = f"generation, and training for {budget.schedule.epochs:g} epochs"
    else:
        what = "prompt and completion"
    return SettingsError(
        f"{budget.name}={budget.amount:g} has no room for one element: {protocol}, news item {news_id}: "
        f"{budget.shown(need)} ({what})",
        expected="a budget for several elements of every news item",
        fix=f"give {flag} {least} or more, in a new folder (--out); ten times as much leaves room to choose",
    )


def divided(cost: Cost, weights: Sequence[float]) -> list[Cost]:
    """A cost divided in proportion to the weights."""
    total = math.fsum(weights)
    return [cost.times(weight / total) for weight in weights]
