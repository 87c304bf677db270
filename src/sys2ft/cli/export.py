"""`sys2ft export`: one adapter of a run for another program, asked again before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from sys2ft.cli.common import console
from sys2ft.export import ExportSettings
from sys2ft.runs import Run, display
from sys2ft.terminal import print

if TYPE_CHECKING:
    from sys2ft.export import Exported


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """Write a run's adapter for PEFT, transformers, llama.cpp, Ollama or a trainer, and ask it the run's questions
    again through that program."""

    folder: Positional[Path]
    """Finished run folder."""
    out: Path | None = None
    """Folder to write; default: exports/<adapter>-<format> in the run folder. An earlier export there is replaced."""
    store: str = ""
    """Address of fsspec, such as `s3://BUCKET/MODEL`, to which a proven export is copied. Empty: none."""
    quiet: bool = False
    """Show no progress."""
    export: ExportSettings

    def run(self) -> int:
        from sys2ft.export import choose, export
        from sys2ft.report import markdown_table, summarise
        from sys2ft.stores import push, require_store

        require_store(self.store)
        run = Run.open(self.folder)
        with display(self.quiet) as show:
            chosen = choose(run, self.export.adapter, show)
            with run.lock():
                table = markdown_table(summarise(run.path))
                made = export(chosen, self.export, out=self.out, table=table, show=show)
        _print(made, self.export)
        if self.store and made.proven:
            print(f"copied    {push(made.folder, self.store)} files to {self.store}")
        return 0 if made.proven else 1


def _print(made: Exported, settings: ExportSettings) -> None:
    screen = console()
    if made.proofs:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("asked again through", overflow="fold")
        for name in ("questions", "right before", "right after", "answers changed", "largest shift, nats a token"):
            table.add_column(name, justify="right")
        for one in made.proofs:
            shift = "–" if one.shift is None else f"{one.shift:.3f}"
            counts = (one.asked, one.right_before, one.right_after, one.changed)
            table.add_row(Text(one.through), *map(str, counts), shift)
        screen.print(table)
        for one in made.proofs:
            if one.shift_at:
                print(f"largest shift, {one.through}: {one.shift_at}")
            for note in one.notes:
                print(f"{one.through}: {note}")
    for remark in made.remarks:
        print(remark)
    if not made.proven:
        limit = f"{settings.limit:g} nats a token (--max-drift)"
        print(f"not proven: beyond {limit}, or another input; kept as {made.folder}")
        return
    print(f"export    {made.folder}")
