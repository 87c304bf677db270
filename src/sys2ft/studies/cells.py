"""A cell of a study: everything that decides one set of adapters and what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sys2ft.evaluation import EvaluateSettings
from sys2ft.evaluation.records import CHOICE_SCORINGS
from sys2ft.evaluation.settings import FREE_TEXT
from sys2ft.files import digest
from sys2ft.news import News
from sys2ft.replay import GenerateSettings, RehearsalSettings
from sys2ft.studies.options import Options, resolved
from sys2ft.training import FREE, TrainSettings

_VERSION = 1  # of how a cell is trained and asked; a changed one is computed again
_MERGING = 2  # the same of how updates are merged, for the cells in which they are
_ROUNDS = 8  # of asking for a text that precedes prompts, of which one is enough


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One point of the grid: its place, and the options that it stands for."""

    at: Mapping[str, str]
    """Axis -> label, the model and the seed among them."""
    options: Options
    generate: GenerateSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    rehearsal: RehearsalSettings
    measures: tuple[str, ...]
    steps: tuple[int, ...]

    @classmethod
    def of(
        cls,
        at: Mapping[str, str],
        given: Mapping[str, Any],
        *,
        measures: Sequence[str],
        steps: Sequence[int],
        where: str,
    ) -> Cell:
        """The cell with these options. Raises SettingsError, which begins with `where`, if there can be none."""
        options, generate, train, evaluate, rehearsal = resolved(given, where)
        return cls(
            at=at,
            options=options,
            generate=generate,
            train=train,
            evaluate=evaluate,
            rehearsal=rehearsal,
            measures=tuple(measures),
            steps=tuple(steps),
        )

    @property
    def definition(self) -> dict[str, Any]:
        """Everything that decides the cell's results except the files of models and news items, as JSON data.

        Of the cell's own options only those that are not at their defaults, so that a new option leaves the keys of
        cells without it as they were.
        """
        evaluate = {"headline": self.evaluate.headline}
        if self.evaluate.headline not in CHOICE_SCORINGS:
            evaluate |= {name: getattr(self.evaluate, name) for name in FREE_TEXT}
        return {
            "version": _VERSION,
            "options": _changed(self.options),
            "generate": asdict(self.generate),
            "train": {name: value for name, value in asdict(self.train).items() if name not in FREE},
            "evaluate": evaluate,
            "rehearsal": asdict(self.rehearsal) if self.options.updates > 1 else None,
            "measures": self.measures,
            "steps": self.steps,
            **({"merging": _MERGING} if self.options.updating == "merging" else {}),
        }

    @property
    def key(self) -> str:
        """A digest of the definition."""
        return digest(self.definition)

    @property
    def title(self) -> str:
        """The cell's place, for messages."""
        return ", ".join(f"{axis} {label}" for axis, label in self.at.items())

    @property
    def setting(self) -> tuple[tuple[str, str], ...]:
        """The place without the seed: cells with the same are the seeds of one setting."""
        return tuple((axis, label) for axis, label in self.at.items() if axis != "seed")

    @property
    def generator(self) -> str:
        """The model that writes the elements."""
        return self.options.generator or self.options.model

    def generate_by(self, protocol: str | None = None) -> GenerateSettings:
        """The settings of generation, or those of a single element by another protocol for each news item."""
        if protocol is None:
            return self.generate
        return replace(
            self.generate, protocols=(protocol,), mix=(), samples_per_news=1, tokens_per_news=None, flop=None,
            checks=("none",), rounds=_ROUNDS,
        )  # fmt: skip

    def groups(self, news: Sequence[News]) -> list[list[News]]:
        """The news items of each update. They are dealt in turn, so that an update has news items of all domains."""
        count = min(self.options.updates, len(news))
        return [list(news[first::count]) for first in range(count)]


def _changed(options: Options) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if value != getattr(Options(), name)}


def spread(news: Sequence[News], take: int) -> list[News]:
    """`take` news items at even distances over the set; all if it is 0 or more than there are."""
    if not take or take >= len(news):
        return list(news)
    return [news[place * len(news) // take] for place in range(take)]
