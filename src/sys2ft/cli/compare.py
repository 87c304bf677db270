"""`sys2ft compare`: one adapter for all news items beside the other ways, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from sys2ft.cli.common import console, reopen
from sys2ft.combining import CompareSettings
from sys2ft.runs import Run, display
from sys2ft.terminal import print

if TYPE_CHECKING:
    from sys2ft.job import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """Compare a joint adapter with an adapter per news item, a retriever in front of these, their merges, and texts
    retrieved into the context: accuracy, errors of the retriever, and what each needs."""

    runs: Positional[tuple[Path, Path]]
    """Two finished run folders on the same news items: one with --adapters per-news, where the results are written, and
    one with --adapters joint."""
    quiet: bool = False
    """Show no progress."""
    compare: CompareSettings = CompareSettings()

    def run(self) -> None:
        from sys2ft.job import compare, pair_of

        per_news, joint = pair_of(*map(Run.open, self.runs))
        with display(self.quiet) as show:
            run, model = reopen(per_news.path, show)
            comparison = compare(run, joint, model, self.compare, show)
        _print(comparison)
        print(f"tables    {run.path / 'compare.md'}")


def _print(comparison: Comparison) -> None:
    from sys2ft.job.compared import COLUMNS

    screen = console()
    for table in comparison.tables:
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
        grid.add_column(Text(table.protocol), overflow="fold")
        for column in COLUMNS:
            grid.add_column(Text(column), justify="right", overflow="fold")
        for cells in comparison.cells(table):
            grid.add_row(*(Text(cell) for cell in cells))
        screen.print(grid)
    screen.print(Text("\n".join([comparison.caption, *comparison.remarks]), style="dim"))
