"""A cell: everything that decides one set of adapters. A run folder contains one cell per protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sys2ft.news import News
from sys2ft.replay import GenerateSettings, ReplayElement
from sys2ft.runs import digest
from sys2ft.training import (
    FREE,
    JOINT,
    AdapterJob,
    TrainItem,
    TrainSettings,
    files_named,
    jobs_of,
    rank_of,
    reads_news,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Model, news items, protocol, settings and seed: together they decide the adapters and their predictions.

    The training settings include the objective, the learner and the schedule (epochs, batch size, learning rate).
    """

    model: str
    """Digest of the model's files."""
    news: str
    """Digest of the news items."""
    protocol: str
    generate: GenerateSettings
    train: TrainSettings
    seed: int
    parameters: int = 0
    """Number of parameters of the model, by which a learning rate that is left open is chosen."""

    @classmethod
    def of(cls, identity: Mapping[str, Any], protocol: str, generate: GenerateSettings, train: TrainSettings) -> Cell:
        """The cell of a run with this identity (see `job.stages.identity_of`)."""
        return cls(
            model=identity["model"]["sha256"],
            news=identity["news"],
            protocol=protocol,
            generate=generate,
            train=train,
            seed=identity["seed"],
            parameters=identity["model"]["parameters"],
        )

    @property
    def key(self) -> str:
        """A digest of the cell's definition."""
        return digest(asdict(self))

    def version(self, jobs: Sequence[AdapterJob]) -> str:
        """A digest of everything that decides the adapters: the model, the items, the settings and the seeds."""
        rows = [[job.name, job.seed, _fixed(job.settings), [asdict(item) for item in job.items]] for job in jobs]
        return digest([self.model, files_named(self.train), rows])

    def jobs(self, elements: Iterable[ReplayElement], news: Sequence[News] = ()) -> list[AdapterJob]:
        """The adapters to train on the kept elements of the protocol: one per news item, or one for all.

        The rank of a joint adapter counts the news items for which elements were drawn, kept or not: so it is the same
        for the protocols of a run. `news` are the news items of the elements, which a teacher reads; other objectives
        do not need them.
        """
        joint = self.train.adapters == JOINT
        texts = {item.id: item.text for item in news} if reads_news(self.train) else {}
        items, asked = [], set()
        for e in elements:  # once: they may be read from a file
            asked.add(e.news_id)
            if e.status == "kept":
                item = TrainItem(
                    adapter=JOINT if joint else e.news_id,
                    prompt=e.prompt,
                    completion=e.completion,
                    context=texts.get(e.news_id, ""),
                    source=e.news_id,
                )
                items.append(item)
        train = replace(self.train, rank=self.train.rank or rank_of(len(asked) if joint else 1))
        return jobs_of(items, train, seed=self.seed, group=self.protocol, parameters=self.parameters)

    def routes(self, trained: Sequence[str], news: Sequence[News]) -> dict[str, str | None]:
        """News id -> the name among `trained` of the adapter that answers its questions; None: the base model."""
        if self.train.adapters == JOINT:
            return {item.id: JOINT if JOINT in trained else None for item in news}
        return {item.id: item.id if item.id in trained else None for item in news}


def _fixed(settings: TrainSettings) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if name not in FREE}
