"""`sys2ft news check | example`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table
from tyro.conf import Positional

from sys2ft.news import News, bundled_lines, check, load_news, question_counts
from sys2ft.runs import display
from sys2ft.terminal import Console, print, print_json

if TYPE_CHECKING:
    from sys2ft.runs import Display

_LONGEST = 20  # news items whose tokens are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsCheck:
    """Read a news file, count its contents, and warn of weaknesses. Exit code 2 if the file is not valid."""

    file: Positional[Path]
    """News file, JSON Lines or YAML; or `new-news` or `demo`, which are bundled with the package."""
    model: str | None = None
    """Model whose tokens are counted, to find news items that it cannot read: embedded name, folder, GGUF file or hub
    id. Its weights are not loaded."""
    quiet: bool = False
    """Show no progress."""

    def run(self) -> None:
        from sys2ft.evaluation.answerable import too_many_choices, unanswerable

        news = load_news(self.file)
        _print_counts(news)
        warnings = [*check(news), *too_many_choices(news), *unanswerable(news)]
        if self.model is not None:
            with display(self.quiet) as show:
                warnings += _print_tokens(news, self.model, show)
        for warning in warnings:
            print(f"warning: {warning}")
        questions = sum(len(item.questions) for item in news)
        print(f"{self.file}: {len(news)} news items, {questions} questions, {len(warnings)} warnings")


def _print_counts(news: Sequence[News]) -> None:
    counts = question_counts(news)
    kinds = sorted({kind for by_kind in counts.values() for kind in by_kind})
    table = Table(Column("domain", overflow="fold"), "news items", "questions", *kinds, box=None, pad_edge=False)
    for domain, by_kind in counts.items():
        own = sum(item.domain == domain for item in news)
        table.add_row(domain, str(own), str(sum(by_kind.values())), *(str(by_kind.get(kind, 0)) for kind in kinds))
    Console().print(table)


def _print_tokens(news: Sequence[News], model: str, show: Display) -> list[str]:
    """Print the tokens of the longest news items; return warnings of those that do not fit into the model."""
    from sys2ft.evaluation import EvaluateSettings
    from sys2ft.job import too_long
    from sys2ft.models import Reader
    from sys2ft.replay import GenerateSettings

    reader = Reader.named(model, progress=show.note)
    tokens = {item.id: len(reader.chat.plain_ids(item.text)) for item in news}
    longest = sorted(tokens, key=lambda name: -tokens[name])
    table = Table("news item", "tokens", box=None, pad_edge=False)
    for name in longest[:_LONGEST]:
        table.add_row(name, f"{tokens[name]:,}")
    if len(longest) > _LONGEST:
        table.add_row(f"... and {len(longest) - _LONGEST} more", f"at most {tokens[longest[_LONGEST]]:,}")
    Console().print(table)
    limit = "no limit of positions" if reader.positions is None else f"{reader.positions:,} positions"
    print(f"{model}: {limit}")
    return [
        f"{need.news_id}: {need.use} needs {need.tokens:,} tokens with the default settings, "
        f"and {model} has {reader.positions:,} positions"
        for need in too_long(reader, news, generate=GenerateSettings(), evaluate=EvaluateSettings())
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsExample:
    """Print bundled news items as JSON Lines, as a pattern for a file of your own."""

    set: str = "demo"
    """`new-news`, the whole set of 75 news items with 375 questions, or `demo`, ten of them."""
    count: int = 2
    """Number of news items; 0: all of them."""

    def run(self) -> None:
        for line in bundled_lines(self.set)[: self.count or None]:
            print_json(line)
