"""`sys2ft lint`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table
from tyro.conf import Positional

from sys2ft.runs import display
from sys2ft.terminal import Console, print, print_json

if TYPE_CHECKING:
    from sys2ft.lint import Example, LintReport, Shared, Tally

PLACES = {
    "system": "the system prompt",
    "user": "a user turn",
    "assistant": "an earlier answer",
    "tool": "the output of a tool",
}
COST = """\
What such samples say can be read from their prompt, so a model learns to read it there. A fact is then recalled only
while the text is in the prompt; without it the training is mostly lost (contextual shadowing, arXiv 2505.01812).
- To teach facts, take the text out of the prompt: `sys2ft generate` writes such data from the text.
- To teach a skill on a given text (summarise, correct, extract), the text belongs there: for this it is no fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lint:
    """Find training samples whose prompt already says what the completion teaches. No model is loaded."""

    files: Positional[tuple[Path, ...]]
    """Training data: JSON Lines, a JSON list or CSV, also compressed (.gz). Chats (`messages`, `conversations`), prompt
    and completion (texts or messages), instruction, input and output, or the replay elements of a run folder."""
    threshold: float = 0.6
    """Share of what a completion says that its prompt has, from which on the sample counts as shadowed."""
    strict: bool = False
    """Exit with 1 if any sample is shadowed."""
    json: bool = False
    """Print one JSON document instead of the table."""
    examples: int = 5
    """Number of examples to show, longest completions first."""
    quiet: bool = False
    """Show no progress."""

    def run(self) -> int:
        from sys2ft.lint import lint

        with display(self.quiet) as show, show.task("lint (bytes)", _size(self.files)) as advance:
            report = lint(self.files, threshold=self.threshold, examples=self.examples, advance=advance)
        if self.json:
            print_json(json.dumps(report.to_dict(), ensure_ascii=False))
        else:
            _print(report)
        return int(self.strict and report.total.shadowed > 0)


def _size(files: Sequence[Path]) -> int | None:
    """Bytes to read; None if that is not known before, as of compressed files."""
    known = all(file.is_file() and file.suffix.lower() != ".gz" for file in files)
    return sum(file.stat().st_size for file in files) if known else None


def _print(report: LintReport) -> None:
    columns = ("samples", "shadowed", "of samples", "of completion words")
    table = Table(
        Column("file", overflow="fold"), *(Column(name, justify="right") for name in columns), box=None, pad_edge=False
    )
    for one in [*report.files, *([report.total] if len(report.files) > 1 else [])]:
        shares = (f"{one.sample_share:.1%}", f"{one.word_share:.1%}") if one.samples else ("-", "-")
        table.add_row(one.file, f"{one.samples:,}", f"{one.shadowed:,}", *shares)
    Console().print(table)
    for line in _remarks(report.total):
        print(line)
    if report.examples:
        print("\nshadowed samples, those with the longest completions first:")
    for example in report.examples:
        _print_example(example)
    if report.shared:
        print("\nleading texts that several samples share:")
    for shared in report.shared:
        _print_shared(shared)
    total = report.total
    if not total.samples:
        return
    print(
        f"\n{total.shadowed:,} of {total.samples:,} samples ({total.sample_share:.1%}), with {total.word_share:.1%} of "
        f"the words to learn, are shadowed: their prompt has {report.threshold:.0%} or more of what they say."
    )
    if total.shadowed:
        print(COST)


def _remarks(total: Tally) -> list[str]:
    counted = (
        (total.forms["text"], "with a text alone: nothing precedes it, so nothing can shadow it"),
        (total.rejected, "left out: replay elements that were rejected are not trained on"),
        (total.not_text, "parts of messages left out: pictures and calls of tools are no text"),
        (
            total.without_own_words,
            "not judged: the completion is a letter or a common word, or only repeats the question",
        ),
        (total.about, "more with a text about their question in the prompt: the completion may follow from it"),
    )
    found = [f"{count:>6,} {what}" for count, what in counted if count]
    if total.by_place:
        places = ", ".join(f"{PLACES[role]} {count:,}" for role, count in total.by_place.most_common())
        found.append(f"the text is in: {places}")
    return found


def _print_example(example: Example) -> None:
    turn = f", answer {example.turn}" if example.turn > 1 else ""
    print(f"  {example.file}:{example.line}{turn}  {example.share:.0%} in {PLACES[example.role]}")
    print(f"    prompt      {example.prompt}")
    print(f"    completion  {example.completion}")


def _print_shared(shared: Shared) -> None:
    from sys2ft.lint.report import excerpt

    print(
        f"  {shared.samples:,} records from {shared.place} on, {len(shared.text):,} characters; it has what "
        f"{shared.shadowed:,} of their completions say"
    )
    print(f"    {excerpt(shared.text)}")
