"""`sys2ft run` and `sys2ft demo`: the main job from news items to the report."""

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

from sys2ft.cli.common import WriterOptions, console, print_result
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
class Run(WriterOptions):
    """Run the main job: train adapters on news items, measure what they learnt, and write a table and a report."""

    news: Positional[Path]
    """News file (JSON Lines or YAML), or a bundled set: `new-news` or `demo`."""
    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    out: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the news file>. An interrupted run in it resumes."""
    seed: int = 0
    """Random seed."""
    dry_run: bool = False
    """Print the remaining work (units, tokens, FLOP, estimated time and memory) and exit."""
    generate: GenerateSettings
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def run(self) -> int:
        out = self.out or Path("sys2ft-runs") / self.news.stem
        return _job(self, load_news(self.news), out)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo(WriterOptions):
    """Run the main job on 25 bundled news items with the embedded model: offline, in minutes on a laptop's CPU."""

    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    out: Path = Path("sys2ft-runs/demo")
    """Run folder. An interrupted run in it resumes."""
    seed: int = 0
    """Random seed."""
    dry_run: bool = False
    """Print the remaining work (units, tokens, FLOP, estimated time and memory) and exit."""
    generate: GenerateSettings = DEMO_GENERATE
    train: TrainSettings = DEMO_TRAIN
    evaluate: EvaluateSettings = DEMO_EVALUATE

    def run(self) -> int:
        return _job(self, bundled_news(DEMO_NEWS), self.out)


def _job(options: Run | Demo, news: list[News], out: Path) -> int:
    """Run or plan the job; the exit code is 1 if every protocol was refused (`--max-drop`)."""
    from sys2ft.job import plan, require_protocols, require_writer, run, visible_difference

    require_protocols(options.generate)  # before loading or downloading a model
    require_writer(options.generator, options.generate)
    how: dict[str, Any] = {
        "out": out,
        "seed": options.seed,
        "generate": options.generate,
        "train": options.train,
        "evaluate": options.evaluate,
        "generator": options.generator,
        "server": options.server,
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
        console().print(Text(visible_difference(news, options.generate, options.evaluate, options.model)))
        return 0
    print_result(result)
    return int(result.all_refused)


def _plan_table(left: Sequence[Left]) -> Table:
    """The remaining work: one row per part of a stage, and the total."""
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
            duration(row.seconds) + (" + server" if row.elsewhere else ""),
            f"{row.needs.memory / 2**30:.2f} GiB",
        )
    total = sum((row.needs for row in left), Needs())
    table.add_section()
    table.add_row(
        "all", "", f"{sum(row.done for row in left):,}", f"{sum(row.units for row in left):,}", f"{total.tokens:,}",
        f"{total.flop / 1e12:.3g}", duration(sum(row.seconds for row in left)), f"{total.memory / 2**30:.2f} GiB",
    )  # fmt: skip
    table.caption = (
        "Units are batches (generate, evaluate) or adapters (train). Later rounds of generation are not counted."
        " FLOP and time of a server are not known. Times assume the rate measured just now; memory excludes"
        " the model."
    )
    table.caption_justify = "left"
    return table


def duration(seconds: float) -> str:
    """Seconds as text, in the unit that fits."""
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
