"""`sys2ft represent`: the command line of a study of in-context representations."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sys2ft.cli.common import ModelOptions
from sys2ft.models import DEFAULT_MODEL
from sys2ft.replay import GenerateSettings
from sys2ft.representations import LEARN_GENERATE, LEARN_TRAIN, RepresentSettings
from sys2ft.runs import display
from sys2ft.terminal import Console, print
from sys2ft.training import TrainSettings

if TYPE_CHECKING:
    from sys2ft.representations import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Represent(ModelOptions):
    """How a model's representations take the shape of a graph given only in context (arXiv 2501.00070)."""

    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    adapter: Path | None = None
    """PEFT folder of an adapter trained by sys2ft; the model reads through it."""
    reference: Path | None = None
    """JSON file with an accuracy curve to show next to the measured one: model, context_length, accuracy."""
    out: Path = Path("sys2ft-runs/represent")
    """Run folder. An interrupted study in it is resumed."""
    seed: int = 0
    """Random seed."""
    represent: RepresentSettings = RepresentSettings()
    generate: GenerateSettings = LEARN_GENERATE
    train: TrainSettings = LEARN_TRAIN

    def run(self) -> None:
        from sys2ft.representations import represent

        with display(self.quiet) as show:
            study = represent(
                self.represent,
                model=self.load(self.model, show),
                adapter=self.adapter,
                reference=self.reference,
                out=self.out,
                seed=self.seed,
                generate=self.generate,
                train=self.train,
                command=shlex.join(["sys2ft", *sys.argv[1:]]),
                show=show,
            )
        print_study(study)


def print_study(study: Study) -> None:
    """Print the tables of a study and the path of its page."""
    from sys2ft.representations import study_tables

    console = Console()
    for table in study_tables(study.results):
        console.print(table)
    print(f"results   {study.folder / 'results.json'}")
    print(f"report    {study.report}")
