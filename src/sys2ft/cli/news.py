"""`sys2ft news check | example`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from tyro.conf import Positional

from sys2ft.news import bundled_lines, check, load_news, question_counts
from sys2ft.terminal import Console, print, print_json


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsCheck:
    """Read a news file, count its contents, and warn of weaknesses. Exit code 2 if the file is not valid."""

    file: Positional[Path]
    """News file, JSON Lines or YAML; or `new-news` or `demo`, which are bundled with the package."""

    def run(self) -> None:
        news = load_news(self.file)
        counts = question_counts(news)
        kinds = sorted({kind for by_kind in counts.values() for kind in by_kind})
        table = Table("domain", "news items", "questions", *kinds, box=None, pad_edge=False)
        for domain, by_kind in counts.items():
            own = sum(item.domain == domain for item in news)
            table.add_row(domain, str(own), str(sum(by_kind.values())), *(str(by_kind.get(kind, 0)) for kind in kinds))
        Console().print(table)
        warnings = check(news)
        for warning in warnings:
            print(f"warning: {warning}")
        questions = sum(len(item.questions) for item in news)
        print(f"{self.file}: {len(news)} news items, {questions} questions, {len(warnings)} warnings")


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
