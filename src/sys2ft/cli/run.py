"""`sys2ft run` and `sys2ft demo`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sys2ft.cli.common import ModelOptions, print_result
from sys2ft.evaluation import EvaluateSettings
from sys2ft.job.demo import DEMO_EVALUATE, DEMO_GENERATE, DEMO_NEWS, DEMO_TRAIN
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import bundled_news, load_news
from sys2ft.replay import GenerateSettings
from sys2ft.runs import display
from sys2ft.training import TrainSettings

if TYPE_CHECKING:
    from sys2ft.news import News


@dataclass(frozen=True, kw_only=True, slots=True)
class Run(ModelOptions):
    """The main job: from news to adapters that know them, with a table and a report that prove it."""

    news: Positional[Path]
    """File of news, JSON Lines or YAML; or `new-news` or `demo`, which come with the package."""
    model: str = DEFAULT_MODEL
    """Embedded name, local folder, GGUF file or hub id."""
    out: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the news file>. A stopped run in it is gone on with."""
    seed: int = 0
    """Seed of everything that is random."""
    generate: GenerateSettings = GenerateSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def run(self) -> None:
        out = self.out or Path("sys2ft-runs") / self.news.stem
        _job(self, load_news(self.news), self.model, out, self.seed, self.generate, self.train, self.evaluate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo(ModelOptions):
    """The main job on ten bundled news with the embedded model, offline, in minutes on a laptop's CPU."""

    model: str = DEFAULT_MODEL
    """Embedded name, local folder, GGUF file or hub id."""
    out: Path = Path("sys2ft-runs/demo")
    """Run folder. A stopped run in it is gone on with."""
    seed: int = 0
    """Seed of everything that is random."""
    generate: GenerateSettings = DEMO_GENERATE
    train: TrainSettings = DEMO_TRAIN
    evaluate: EvaluateSettings = DEMO_EVALUATE

    def run(self) -> None:
        news = bundled_news(DEMO_NEWS)
        _job(self, news, self.model, self.out, self.seed, self.generate, self.train, self.evaluate)


def _job(
    options: ModelOptions,
    news: list[News],
    model: str,
    out: Path,
    seed: int,
    generate: GenerateSettings,
    train: TrainSettings,
    evaluate: EvaluateSettings,
) -> None:
    from sys2ft.job import require_protocols, run

    require_protocols(generate.protocols)  # before a model is loaded, or brought from a hub
    with display(options.quiet) as show:
        loaded = options.load(model, show)
        command = shlex.join(["sys2ft", *sys.argv[1:]])
        result = run(
            news,
            model=loaded,
            out=out,
            seed=seed,
            generate=generate,
            train=train,
            evaluate=evaluate,
            command=command,
            show=show,
        )
    print_result(result)
