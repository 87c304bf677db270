"""`sys2ft news probe`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from tyro.conf import Positional

from sys2ft.cli.common import ModelOptions
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import read_news, write_news
from sys2ft.probing import ProbeSettings
from sys2ft.runs import display
from sys2ft.terminal import Console, print

if TYPE_CHECKING:
    from sys2ft.probing import Probes

CHOICE = """\
The model's answers without the news decided nothing, so its closed-book accuracy before and after training can be
compared. With the news it is right by construction, so a report gives no change in context for this model."""
"""How the kept questions were chosen, and what follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsProbe(ModelOptions):
    """Let the model write held-out questions for news items without any, and keep those that the news item answers."""

    news: Positional[Path]
    """News file, JSON Lines or YAML."""
    out: Path | None = None
    """The news file to write; default: <name of the news file>.probed.jsonl in the same folder."""
    model: str = DEFAULT_MODEL
    """Name of an embedded model, local folder, GGUF file or hub id."""
    folder: Path | None = None
    """Run folder; default: sys2ft-runs/<name of the news file>.probe. A stopped run in it is resumed."""
    seed: int = 0
    """Seed of everything random. The seeds derived from it here are never used for training data."""
    probe: ProbeSettings = ProbeSettings()

    def run(self) -> None:
        from sys2ft.job import open_run, probe_stage

        news = read_news(self.news)
        out = self.out or self.news.with_name(f"{self.news.stem}.probed.jsonl")
        folder = self.folder or Path("sys2ft-runs") / f"{self.news.stem}.probe"
        with display(self.quiet) as show:
            model = self.load(self.model, show)
            run = open_run(folder, model, news, seed=self.seed, command=shlex.join(["sys2ft", *sys.argv[1:]]))
            with run.lock():
                probes = probe_stage(run, model, self.probe, show)
        write_news(out, probes.news)
        _print(probes, self.probe)
        print(f"candidates  {run.path / 'probes.jsonl'}")
        print(f"news        {out}")
        if probes.kept:
            print(f"next: sys2ft run {shlex.quote(str(out))} --model {shlex.quote(self.model)}")


def _print(probes: Probes, settings: ProbeSettings) -> None:
    from sys2ft.probing import REASONS

    reasons = probes.reasons()
    table = Table("candidates", "", "", box=None, pad_edge=False)
    table.add_row("drawn", str(len(probes.candidates)), "")
    for reason in (reason for reason in REASONS if reason in reasons):
        table.add_row(reason, str(reasons[reason]), REASONS[reason])
    table.add_row("kept", str(len(probes.kept)), "answered correctly with the news in context")
    Console().print(table)
    if probes.kept:
        print(CHOICE)
    for name, found in probes.withheld.items():
        print(f"skipped     {name}: {found}")
    tried = dict.fromkeys(candidate.news.id for candidate in probes.candidates)
    short = [item for item in probes.news if item.id in tried and len(item.questions) < settings.probes_per_news]
    if short:
        none = sum(not item.questions for item in short)
        print(
            f"{len(short)} of {len(tried)} news items got fewer than {settings.probes_per_news} probes; {none} got none"
        )
