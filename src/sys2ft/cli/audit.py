"""`sys2ft news audit`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from tyro.conf import Positional

from sys2ft.cli.common import ModelOptions, console
from sys2ft.evaluation import EvaluateSettings
from sys2ft.evaluation.settings import BY_CHOICE
from sys2ft.news import load_news
from sys2ft.runs import display
from sys2ft.terminal import Console, print

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sys2ft.job.audit import Baseline, Measured, ModelAudit, TextAudit
    from sys2ft.statistics import Score


_BLOCKS_A_TABLE = 6  # as many as fit in a hundred columns


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsAudit(ModelOptions):
    """Check that a set of news items is fit to measure with. Rules that see only the choices, and models that have not
    seen the news items, should be right at chance level; models with the news item in context should do better."""

    news: Positional[Path]
    """News file, JSON Lines or YAML; or `new-news` or `demo`, which are bundled with the package."""
    models: tuple[str, ...] = ()
    """Models to ask: embedded name, local folder, GGUF file or hub id. Without any, only the texts are checked."""
    out: Path = Path("sys2ft-runs/audit")
    """Folder, with a subfolder for each model. A stopped audit in it is resumed."""
    seed: int = 0
    """Seed of the order of options."""
    evaluate: EvaluateSettings = BY_CHOICE

    def run(self) -> None:
        from sys2ft.job import audit_model, audit_text

        news = load_news(self.news)
        screen = console()
        _print_text(screen, audit_text(news), len(news))
        for name in self.models:
            with display(self.quiet) as show:
                model = self.load(name, show)
                result = audit_model(
                    news,
                    model,
                    out=self.out,
                    settings=self.evaluate,
                    seed=self.seed,
                    command=shlex.join(["sys2ft", *sys.argv[1:]]),
                    show=show,
                )
            _print_model(screen, result)


def _print_text(screen: Console, audit: TextAudit, count: int) -> None:
    names = list(dict.fromkeys(name for baseline in audit.baselines for name in baseline.right))
    for start in range(0, len(names), _BLOCKS_A_TABLE):
        _print_baselines(screen, audit.baselines, names[start : start + _BLOCKS_A_TABLE])
    off = sum(len(baseline.outside) for baseline in audit.baselines)
    print(f"{off} of {sum(len(b.right) for b in audit.baselines)} outside the noise of chance (marked !)")
    for one in audit.found:
        print(f"warning: {one.what}: {one.where[0]} and {one.where[1]}: {one.text!r}")
    print(f"{count} news items: {len(audit.found)} repeated texts, or answers that appear in another news item\n")


def _print_baselines(screen: Console, baselines: Sequence[Baseline], names: Sequence[str]) -> None:
    table = Table("the choice that is", "n", *names, box=None, pad_edge=False)
    for one in baselines:
        cells = (f"{one.right[name]:.2f}{'!' * (name in one.outside)}" if name in one.right else "-" for name in names)
        table.add_row(one.rule, str(one.questions), *cells)
    for end, label in enumerate(("noise of chance, from", "noise of chance, to")):
        whole = max(baselines, key=lambda one: one.questions)
        table.add_row(label, str(whole.questions), *(f"{whole.noise[name][end]:.2f}" for name in names), style="dim")
    screen.print(table)
    print()


def _print_model(screen: Console, audit: ModelAudit) -> None:
    for scoring, measured in audit.scorings.items():
        screen.print(_measured_table(f"{audit.model}, by {scoring}", measured))
        off = [one.block for one in measured if one.off_chance]
        low = [one.block for one in measured if not (one.gain.excludes_zero and one.gain.estimate > 0)]
        print(f"closed book off chance (marked !): {', '.join(off) or 'nowhere'}")
        print(f"in context not above closed book by more than noise: {', '.join(low) or 'nowhere'}\n")
    if audit.selected:
        print(
            f"{audit.selected} of the questions were selected by this model's own answers, so that its accuracies on "
            "them say little: audit with another model\n"
        )
    if audit.probes:
        screen.print(_measured_table(f"{audit.model}, in other words", audit.probes))
        print()
    if audit.neighbours:
        known = audit.neighbours
        print(
            f"neighbours, whose answers the news item does not change ({known.closed_book.n_items}): closed book "
            f"{_score(known.closed_book)}, in context {_score(known.in_context)}, {_score(known.gain, '+')}\n"
        )


def _measured_table(title: str, measured: Sequence[Measured]) -> Table:
    table = Table("block", "n", "chance", "closed book", "in context", "gain", box=None, pad_edge=False, title=title)
    for one in measured:
        table.add_row(
            one.block,
            str(one.closed_book.n_items),
            "-" if one.chance is None else f"{one.chance:.2f}",
            _score(one.closed_book) + ("!" if one.off_chance else ""),
            _score(one.in_context),
            _score(one.gain, "+"),
        )
    return table


def _score(score: Score, sign: str = "") -> str:
    ends = "" if score.low is None else f" [{score.low:{sign}.2f}, {score.high:{sign}.2f}]"
    return f"{score.estimate:{sign}.2f}{ends}"
