"""Units of replay generation: what a stage asks for a batch of samples, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sys2ft.generators import Pair, Request, SamplingParams
from sys2ft.languages import Language, language_of
from sys2ft.models import Message
from sys2ft.news import News
from sys2ft.replay.budget import Cost
from sys2ft.replay.facts import Fact
from sys2ft.replay.filters import Reason
from sys2ft.replay.settings import GenerateSettings
from sys2ft.replay.stages import Protocol, Stage, Trail
from sys2ft.runs import Unit, item_seed

if TYPE_CHECKING:
    from sys2ft.replay.truth import Verdict

T = TypeVar("T")

_BATCHES_PER_UNIT = 2  # a unit queues this many times `rows_at_once` samples; a killed run loses at most one unit


@dataclass(slots=True)
class Sample:
    """One pass of a news item through a protocol's stages."""

    news: News
    index: int
    said: dict[str, str] = field(default_factory=dict)
    """What each stage said, up to the one that was rejected if there is one."""
    reason: Reason | None = None
    cost: Cost = field(default_factory=Cost)
    """Its part of what the round has cost that drew it."""
    cut: list[str] = field(default_factory=list)
    """The stages whose replies reached their budget and were used up to there."""
    fact: Fact | None = None
    """What it aims at; None: the protocol decides by itself."""
    built: list[Pair] = field(default_factory=list)
    """Its elements, once it has passed all stages."""
    verdicts: list[Verdict] = field(default_factory=list)
    """What the checks found about each of its elements; empty if none was made."""

    @property
    def alive(self) -> bool:
        """Whether nothing has rejected it yet."""
        return self.reason is None


@dataclass(frozen=True)
class UnitMaker:
    """Builds the units of one protocol."""

    protocol: Protocol
    settings: GenerateSettings
    seed: int
    generator: str
    """The generator's identity."""
    judge: str = ""
    """The identity of the model that computes log-likelihoods; empty: the generator."""

    @cached_property
    def decided_by(self) -> dict[str, Any]:
        """What decides the results of the units besides their inputs."""
        return {"generator": self.generator, "protocol": self.protocol.digest}

    @cached_property
    def judged_by(self) -> dict[str, Any]:
        """The same of units that score texts."""
        return {**self.decided_by, "generator": self.judge or self.generator}

    def language(self, news: News) -> Language:
        """The language of a news item: the one that is set, or that of its text."""
        return language_of(news.text, self.settings.language)

    def trail(self, sample: Sample) -> Trail:
        """What the stages said in a sample, with its cue."""
        return self.protocol.trail(sample.news, sample.index, sample.said, self.language(sample.news).code)

    def turn(self, sample: Sample) -> int:
        """The number by which instructions rotate: that of the sample, or the next whose instruction suits its aim."""
        code, fact = self.language(sample.news).code, sample.fact
        aimed = next((stage for stage in self.protocol.stages if stage.aimed is not None), None)
        if fact is None or aimed is None:
            return sample.index
        turn = aimed.template_in(code, aimed=True).turn(sample.index, answer=bool(fact.answer))
        return sample.index if turn is None else turn

    def sample_seed(self, sample: Sample, stage: str) -> int:
        """The seed of a sample's reply in a stage. It depends on nothing but the sample and the run's seed."""
        return item_seed(self.seed, self.protocol.name, stage, sample.news.id, sample.index)

    def sampling(self, stage: Stage) -> SamplingParams:
        """How a stage's replies are sampled."""
        settings = self.settings
        first = stage is self.protocol.stages[0]
        aimed = settings.aim and stage.aimed is not None
        default = settings.temperature if first else settings.answer_temperature
        default = settings.aim_temperature if aimed else default
        return SamplingParams(
            temperature=default if stage.temperature is None else stage.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_new_tokens=stage.max_new_tokens or settings.max_new_tokens,
            stops=stage.stops,
        )

    def requests(self, samples: Sequence[Sample], stage: Stage) -> list[Request]:
        """What a stage asks for each sample, with the news item in context."""
        return [
            Request(
                messages=tuple(self.messages(sample, stage, sample.news.text)),
                seed=self.sample_seed(sample, stage.name),
                group=sample.news.id,
                thinking=stage.thinking,
            )
            for sample in samples
        ]

    def messages(self, sample: Sample, stage: Stage, news: str) -> list[Message]:
        """A stage's conversation, with the text `news` as the news."""
        fact = sample.fact
        form = stage.template_in(self.language(sample.news).code, aimed=fact is not None)
        aim = {"fact": fact.statement, "answer": fact.answer, "gap": fact.gap} if fact else {}
        return form.messages(self.turn(sample), **{**sample.said, **self.picked(sample, stage), **aim, "news": news})

    def picked(self, sample: Sample, stage: Stage) -> dict[str, str]:
        """The texts of a stage's own placeholders, as far as the earlier stages have been asked."""
        stages = self.protocol.stages
        if any(one.name not in sample.said for one in stages[: stages.index(stage)]):
            return {}  # an estimate of what is left
        return {name: text for name, text in stage.picked(self.trail(sample)).items() if text}

    def replies(self, samples: Sequence[Sample], stage: Stage, number: int) -> list[Unit]:
        """The units that draw a stage's replies in round `number`."""
        sampling = self.sampling(stage).to_dict()
        return [
            Unit(
                key=self.key(number, stage.name, start),
                function="sys2ft.generators.work:generate",
                inputs={
                    "requests": [request.to_dict() for request in self.requests(chunk, stage)],
                    "sampling": sampling,
                },
                decided_by=self.decided_by,
            )
            for start, chunk in self.chunks(samples)
        ]

    def key(self, number: int, work: str, start: int) -> str:
        """The name of a unit."""
        return f"replay/{self.protocol.name}.units/{number}-{work}-{start:05d}"

    def chunks(self, samples: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
        """Samples, or what is asked about them, in units of similar size.

        Each is long enough a queue to keep `rows_at_once` rows busy.
        """
        count = math.ceil(len(samples) / (_BATCHES_PER_UNIT * self.settings.rows_at_once))
        size = math.ceil(len(samples) / max(1, count))
        for start in range(0, len(samples), max(1, size)):
            yield start, samples[start : start + size]
