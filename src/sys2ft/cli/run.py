"""`sys2ft run` and `sys2ft demo`: the main job from documents or news items to an adapter and a verdict."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from sys2ft.cli.common import WriterOptions, console, keeping, print_result
from sys2ft.evaluation import EvaluateSettings
from sys2ft.executors import ExecutorSettings, require_executor
from sys2ft.job.demo import DEMO_EVALUATE, DEMO_GENERATE, DEMO_NEWS, DEMO_TRAIN
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import bundled_news
from sys2ft.news.importers import ImportSettings
from sys2ft.probing import ProbeSettings
from sys2ft.replay import GenerateSettings
from sys2ft.runs import Needs, display
from sys2ft.terminal import print
from sys2ft.training import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sys2ft.job import Given, Left
    from sys2ft.news import News


@dataclass(frozen=True, kw_only=True, slots=True)
class Run(WriterOptions):
    """Put documents or news items into one adapter, prove what it knows, and say what was lost and what to do next.

    Documents are imported; where there are no questions, the model writes some. Without arguments, `./sys2ft.yaml` is
    read (`sys2ft init` writes it).
    """

    sources: Annotated[Positional[tuple[str, ...]], arg(metavar="SOURCE [SOURCE ...]")] = ()
    """A news file (JSON Lines or YAML) or bundled set (`new-news`, `demo`); or files, folders and web addresses:
    everything that `sys2ft news import` reads."""
    config: Path | None = None
    """YAML file of flags of this command, such as `samples-per-news: 32`. Flags of the command line win over it."""
    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    out: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the first source>. An interrupted run in it resumes."""
    seed: int = 0
    """Random seed."""
    max_tokens: int = ImportSettings().max_tokens
    """Token budget of a news item made from a document (`sys2ft news import` has the other settings)."""
    skip_bad: bool = False
    """Skip and count documents that cannot be used."""
    probes_per_news: int = ProbeSettings().probes_per_news
    """Questions to write for each news item where there are none (`sys2ft news probe` has the other settings)."""
    log_to: str = ""
    """Experiment tracker that gets losses, yields and scores: tensorboard, trackio or wandb. Empty: none."""
    store: str = ""
    """Address of fsspec, such as `s3://BUCKET/RUN`, where a copy of the folder is kept: fetched first if there is no
    folder here, written when the command ends. Empty: none."""
    dry_run: bool = False
    """Print the remaining work (units, tokens, FLOP, estimated time and memory) and exit."""
    where: OmitArgPrefixes[ExecutorSettings] = ExecutorSettings()
    generate: GenerateSettings
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    def run(self) -> int:
        from sys2ft.job import out_of, require_sources

        if not self.sources:
            require_sources(self.sources)
        out = self.out or out_of(self.sources)
        with keeping(out, "" if self.dry_run else self.store, self.quiet):
            return self._in(out)

    def _in(self, out: Path) -> int:
        from sys2ft.job import fitted, given, require_settings

        importing = ImportSettings(max_tokens=self.max_tokens, skip_bad=self.skip_bad)
        probe = ProbeSettings(probes_per_news=self.probes_per_news)
        loading = {"dtype": self.dtype, "device": self.device, "log_to": self.log_to}
        require_settings(self.generate, self.train, self.evaluate, seed=self.seed, out=out, **loading)
        require_executor(self.where)
        with display(self.quiet) as show:
            what = given(self.sources, out, importing, show)
            for line in describe(what):
                show.note(line)
        evaluate, chosen = fitted(self.evaluate, what)
        how: dict[str, Any] = {"probe": probe, "where": self.where, "log_to": self.log_to}
        return _job(replace(self, evaluate=evaluate), what.news, out, chosen=chosen, **how)


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
        from sys2ft.job import require_settings

        require_settings(self.generate, self.train, self.evaluate, seed=self.seed, out=self.out)
        return _job(self, bundled_news(DEMO_NEWS), self.out)


def _job(
    options: Run | Demo,
    news: list[News],
    out: Path,
    *,
    probe: ProbeSettings | None = None,
    where: ExecutorSettings | None = None,
    chosen: Sequence[str] = (),
    log_to: str = "",
) -> int:
    """Run or plan the job; the exit code is 1 if every protocol was refused (`--max-drop`)."""
    from sys2ft.job import plan, require_measurable, require_writer, run, visible_difference

    asking = require_measurable(news, options.evaluate, probe, seed=options.seed) is not None
    require_writer(options.generator, options.generate)
    how: dict[str, Any] = {
        "out": out,
        "seed": options.seed,
        "generate": options.generate,
        "train": options.train,
        "evaluate": options.evaluate,
        "generator": options.generator,
        "server": options.server,
        "probe": probe,
    }
    with display(options.quiet) as show:
        loaded = options.load(options.model, show)
        if options.dry_run or not options.quiet:
            left = plan(news, model=loaded, show=show, **how)
        if not options.dry_run:
            if not options.quiet:
                for line in (*chosen, *outlook(left)):
                    show.note(line)
            command = shlex.join(["sys2ft", *sys.argv[1:]])
            result = run(news, model=loaded, command=command, log_to=log_to, where=where, show=show, **how)
    if options.dry_run:
        for line in chosen:
            print(line)
        console().print(_plan_table(left))
        if not asking:
            console().print(Text(visible_difference(news, options.generate, options.evaluate, options.model)))
        return 0
    print_result(result)
    return int(result.all_refused)


def describe(what: Given) -> list[str]:
    """What documents became, in a few lines; nothing of news items that were given as such."""
    if what.imported is None:
        return []
    size = f"{len(what.news)} news items, {sum(len(item.questions) for item in what.news)} questions"
    if what.summary is None:
        return [f"imported before: {size} ({what.imported})"]
    left_out = sum(tally.count for tally in what.summary.reported.values() if tally.left_out) + what.summary.bad.count
    said = [f"imported: {size} ({what.imported})"]
    if left_out:
        reasons = [f"{tally.count} x {why}" for why, tally in what.summary.reported.items() if tally.left_out]
        reasons += [f"{what.summary.bad.count} x not usable"] if what.summary.bad.count else []
        said.append(f"left out: {'; '.join(reasons)} (`sys2ft news import` names the places)")
    if what.summary.instructions.count:
        said.append(f"instruction-like text in {what.summary.instructions.count} news items: see docs/import.md")
    return said


_STAGES = {
    "probe": "write questions",
    "generate": "generate training data",
    "train": "train",
    "evaluate": "evaluate",
}


def outlook(left: Sequence[Left]) -> list[str]:
    """What a run will do and what it will cost, a line for each stage with work left; nothing if none has."""
    said = []
    for stage, title in _STAGES.items():
        rows = [row for row in left if row.stage == stage and row.units]
        if rows:
            parts = ", ".join(row.part for row in rows)
            said.append(f"  {title:<24}{parts:<40}about {duration(sum(row.seconds for row in rows))}")
    if not said:
        return []
    time, memory = sum(row.seconds for row in left), max(row.needs.memory for row in left)
    total = f"about {duration(time)} in all, and {memory / 2**30:.2f} GiB of memory beside the model"
    return ["what is left to do:", *said, f"  {total} (--dry-run shows more)"]


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
