"""A cell: one choice of everything that decides a set of adapters. A run folder holds one cell for each protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sys2ft.news import News
from sys2ft.replay import GenerateSettings, ReplayElement
from sys2ft.runs import digest
from sys2ft.training import JOINT, AdapterJob, TrainItem, TrainSettings, jobs_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Model, news items, protocol, settings and seed, which decide adapters and so predictions.

    Objective, learner and schedule (epochs, batch size, learning rate) are among the training settings.
    """

    model: str
    """Digest of the model's files."""
    news: str
    """Digest of the news items."""
    protocol: str
    generate: GenerateSettings
    train: TrainSettings
    seed: int

    @property
    def key(self) -> str:
        """A digest of everything that decides the results."""
        return digest(asdict(self))

    def jobs(self, elements: Sequence[ReplayElement]) -> list[AdapterJob]:
        """Adapters to train on the kept ones of the protocol's elements: one for each news item, or one for all."""
        joint = self.train.adapters == JOINT
        items = [
            TrainItem(adapter=JOINT if joint else e.news_id, prompt=e.prompt, completion=e.completion)
            for e in elements
            if e.status == "kept"
        ]
        return jobs_of(items, self.train, seed=self.seed, group=self.protocol)

    def routes(self, trained: Sequence[str], news: Sequence[News]) -> dict[str, str | None]:
        """Which of the adapters `trained` answers the questions of each news item; None: the base does."""
        if self.train.adapters == JOINT:
            return {item.id: JOINT if JOINT in trained else None for item in news}
        return {item.id: item.id if item.id in trained else None for item in news}
