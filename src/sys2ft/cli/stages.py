"""`sys2ft generate`, `train`, `evaluate` and `report`: the stages of the main job on a run folder."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sys2ft.cli.common import WriterOptions, print_result, reopen
from sys2ft.cli.represent import print_study
from sys2ft.evaluation import EvaluateSettings
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import read_news
from sys2ft.replay import GenerateSettings
from sys2ft.runs import display, read_json
from sys2ft.terminal import Console, print
from sys2ft.training import TrainSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate(WriterOptions):
    """Generate replay elements from news items with the model, and print how many samples were kept or rejected."""

    news: Positional[Path]
    """News file (JSON Lines or YAML)."""
    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    out: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the news file>."""
    seed: int = 0
    """Random seed."""
    epochs: float = TrainSettings().epochs
    """Passes over the elements that `sys2ft train` will make. Only --flop depends on it."""
    batch_size: int = TrainSettings().batch_size
    """Elements per step of that training. Only --flop depends on it."""
    generate: GenerateSettings

    def run(self) -> None:
        from sys2ft.job import generate_stage, open_run, open_writer, require_protocols, require_writer
        from sys2ft.report import yield_table

        news = read_news(self.news)
        require_protocols(self.generate)
        require_writer(self.generator, self.generate)
        train = TrainSettings(epochs=self.epochs, batch_size=self.batch_size)
        out = self.out or Path("sys2ft-runs") / self.news.stem
        with display(self.quiet) as show:
            model = self.load(self.model, show)
            writer = open_writer(self.generator, model, self.generate, out=out, server=self.server, show=show)
            command = shlex.join(["sys2ft", *sys.argv[1:]])
            run = open_run(out, model, news, seed=self.seed, command=command, writer=writer)
            with run.lock():
                counts = generate_stage(run, model, self.generate, show, train=train, writer=writer)
        Console().print(yield_table(list(counts.values())))
        for name, found in read_json(run.path / "replay" / "withheld.json").items():
            print(f"kept out  {name}: {found['kind']}: {found['excerpt']}")
        print(f"elements  {run.path / 'replay'}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _OnFolder:
    folder: Positional[Path]
    """Run folder."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Train(_OnFolder):
    """Train adapters on the replay elements of a run folder."""

    train: TrainSettings = TrainSettings()

    def run(self) -> None:
        from sys2ft.job import train_stage

        with display(self.quiet) as show:
            run, model = reopen(self.folder, show)
            with run.lock():
                ended = train_stage(run, model, self.train, show)
        for line in ended:
            print(line)
        print(f"adapters  {run.path / 'adapters'}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluate(_OnFolder):
    """Evaluate the base model and the trained adapters of a run folder, and print the table."""

    evaluate: EvaluateSettings = EvaluateSettings()

    def run(self) -> int:
        from sys2ft.job import evaluate_stage, finish

        with display(self.quiet) as show:
            run, model = reopen(self.folder, show)
            with run.lock():
                evaluate_stage(run, model, self.evaluate, show)
                result = finish(run)
        print_result(result)
        return int(result.all_refused)  # by --max-drop


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(_OnFolder):
    """Rewrite the scores and the report of a run folder, and print the table."""

    def run(self) -> None:
        from sys2ft.job import finish
        from sys2ft.representations import finish_study
        from sys2ft.runs import Run

        run = Run.open(self.folder)
        with run.lock():
            if "represent" in run.record["settings"]:
                print_study(finish_study(run))
            else:
                print_result(finish(run))
