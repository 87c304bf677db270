"""`sys2ft run` and `sys2ft demo`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from sys2ft.cli.common import ModelOptions, console, print_result
from sys2ft.evaluation import EvaluateSettings
from sys2ft.job.demo import DEMO_EVALUATE, DEMO_GENERATE, DEMO_NEWS, DEMO_TRAIN
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import bundled_news, load_news
from sys2ft.replay import GenerateSettings
from sys2ft.runs import Needs, display
from sys2ft.training import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sys2ft.job import Left
    from sys2ft.news import News


@dataclass(frozen=True, kw_only=True, slots=True)
class Run(ModelOptions):
    """The main job: from news to adapters that know them, with a table and a report that prove it."""

    news: Positional[Path]
    """File of news, JSON Lines or YAML; or `new-news` or `demo`, which come with the package."""
    model: str = DEFAULT_MODEL
    """Embedded name, local folder, GGUF file or hub id."""
    out: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the news file>. An interrupted run in it is resumed."""
    seed: int = 0
    """Seed of everything that is random."""
    dry_run: bool = False
    """Print what is left to do (units, tokens, FLOP, an estimate of time and memory), and do nothing."""
    generate: GenerateSettings = GenerateSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def run(self) -> None:
        out = self.out or Path("sys2ft-runs") / self.news.stem
        _job(self, load_news(self.news), out)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo(ModelOptions):
    """The main job on ten bundled news with the embedded model, offline, in minutes on a laptop's CPU."""

    model: str = DEFAULT_MODEL
    """Embedded name, local folder, GGUF file or hub id."""
    out: Path = Path("sys2ft-runs/demo")
    """Run folder. An interrupted run in it is resumed."""
    seed: int = 0
    """Seed of everything that is random."""
    dry_run: bool = False
    """Print what is left to do (units, tokens, FLOP, an estimate of time and memory), and do nothing."""
    generate: GenerateSettings = DEMO_GENERATE
    train: TrainSettings = DEMO_TRAIN
    evaluate: EvaluateSettings = DEMO_EVALUATE

    def run(self) -> None:
        _job(self, bundled_news(DEMO_NEWS), self.out)


def _job(options: Run | Demo, news: list[News], out: Path) -> None:
    from sys2ft.job import plan, require_protocols, run

    require_protocols(options.generate.protocols)  # before a model is loaded, or downloaded
    how: dict[str, Any] = {
        "out": out,
        "seed": options.seed,
        "generate": options.generate,
        "train": options.train,
        "evaluate": options.evaluate,
    }
    with display(options.quiet) as show:
        loaded = options.load(options.model, show)
        if options.dry_run:
            left = plan(news, model=loaded, show=show, **how)
        else:
            command = shlex.join(["sys2ft", *sys.argv[1:]])
            result = run(news, model=loaded, command=command, show=show, **how)
    if options.dry_run:
        console().print(_plan_table(left))
    else:
        print_result(result)


def _plan_table(left: Sequence[Left]) -> Table:
    """What is left, a row for each part of a stage, and the sum."""
    table = Table(box=box.SIMPLE_HEAD, title="Left to do", title_justify="left")
    for name in ("stage", "part"):
        table.add_column(name)
    for name in ("done", "left", "tokens", "TFLOP", "time", "memory"):
        table.add_column(name, justify="right")
    for row in left:
        about = "about " if row.estimated else ""
        table.add_row(
            row.stage,
            Text(row.part),
            f"{row.done:,}",
            f"{row.units:,}",
            f"{about}{row.needs.tokens:,}",
            f"{row.needs.flop / 1e12:.3g}",
            _time(row.seconds),
            f"{row.needs.memory / 2**30:.2f} GiB",
        )
    total = sum((row.needs for row in left), Needs())
    table.add_section()
    table.add_row(
        "all", "", f"{sum(row.done for row in left):,}", f"{sum(row.units for row in left):,}", f"{total.tokens:,}",
        f"{total.flop / 1e12:.3g}", _time(sum(row.seconds for row in left)), f"{total.memory / 2**30:.2f} GiB",
    )  # fmt: skip
    table.caption = (
        "Units: batches of generation and evaluation, adapters of training. Further rounds of generation are not"
        " counted. Time by a rate that was just measured; memory besides the model."
    )
    table.caption_justify = "left"
    return table


def _time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
