"""`sys2ft news import`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from tyro.conf import Positional, arg

from sys2ft.news.importers import ImportSettings
from sys2ft.runs import display
from sys2ft.terminal import Console, print

if TYPE_CHECKING:
    from sys2ft.news.importers import ImportSummary
    from sys2ft.news.importers.summary import Tally

_FILES_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsImport:
    """Convert documents, tables and data sets into a news file, and report what was omitted and why."""

    sources: Annotated[Positional[tuple[str, ...]], arg(metavar="SOURCE [SOURCE ...]")]
    """Files, folders and web addresses: text, Markdown, HTML, PDF, DOCX, EPUB, CSV, spreadsheets, JSON Lines; SQuAD,
    CMRC, Fictional Knowledge, CounterFact, KnowEdit and ZsRE as JSON; any of them compressed (.gz)."""
    out: Path = Path("news.jsonl")
    """The news file to write."""
    tokenizer: str | None = None
    """Model whose tokenizer counts tokens (embedded name, folder, GGUF file or hub id); default: an estimate."""
    quiet: bool = False
    """Show no progress."""
    settings: ImportSettings = ImportSettings()

    def run(self) -> None:
        from sys2ft.news.importers import import_news, total_bytes

        with display(self.quiet) as show:
            count = None
            if self.tokenizer is not None:
                from sys2ft.models import load_tokenizer

                tokenizer, _ = load_tokenizer(self.tokenizer, progress=show.note)

                def count(text: str) -> int:
                    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

            with show.task("import (bytes)", total_bytes(self.sources, self.out, self.settings)) as advance:
                summary = import_news(
                    self.sources, self.out, self.settings, count=count, advance=advance, task=show.task
                )
        _print(summary, self.settings)


def _print(summary: ImportSummary, settings: ImportSettings) -> None:
    table = Table("file", "form", "news items", "questions", box=None, pad_edge=False)
    for one in summary.files[:_FILES_SHOWN]:
        table.add_row(one.name, one.form, str(one.news), str(one.questions))
    if len(summary.files) > _FILES_SHOWN:
        rest = summary.files[_FILES_SHOWN:]
        counts = (str(sum(one.news for one in rest)), str(sum(one.questions for one in rest)))
        table.add_row(f"... and {len(rest)} more", "", *counts)
    Console().print(table)
    reported = sorted(summary.reported.items(), key=lambda pair: -pair[1].count)
    _group("omitted:", ((what, tally) for what, tally in reported if tally.left_out))
    _group("changed:", ((what, tally) for what, tally in reported if not tally.left_out))
    _group("", [("repeated text: imported once", summary.duplicates)])
    _group("", [("not usable: skipped because of --skip-bad", summary.bad)])
    if summary.instructions.count:
        _group("", [("instruction-like text", summary.instructions)])
        print("  These news items are in the file. Generation skips them unless it is given --keep-instructions.")
    limits = f"at most {settings.max_tokens} tokens each, counted by {summary.tokens_by}"
    print(f"{summary.out}: {summary.news} news items ({limits}), {summary.questions} questions", end="")
    print(f", {summary.neighbours} neighbours" if summary.neighbours else "", end="")
    print(f", {summary.bad.count} not usable" if summary.bad.count else "")
    print(f"next: {_next(summary)}")


def _group(title: str, tallies: Iterable[tuple[str, Tally]]) -> None:
    lines = [line for what, tally in tallies if tally.count for line in _lines(what, tally)]
    if lines:
        print("\n".join([title, *lines] if title else lines))


def _lines(what: str, tally: Tally) -> list[str]:
    more = tally.count - len(tally.first)
    return [
        f"{tally.count} x {what}",
        *(f"    {place}" for place in tally.first),
        *([f"    ... {more} more"] if more else []),
    ]


def _next(summary: ImportSummary) -> str:
    out = shlex.quote(str(summary.out))
    if not summary.questions:
        return f"sys2ft news probe {out} --model MODEL (there are no questions to measure with)"
    return f"sys2ft run {out} --model MODEL{'' if summary.with_choices else ' --headline direct'}"
