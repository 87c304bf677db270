"""`sys2ft news check | example`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from sys2ft.news import bundled_lines, check, load_news, question_counts


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsCheck:
    """Read a file of news, say what is in it, and warn of what weakens it. Exit code 2 if it cannot be used."""

    file: Positional[Path]
    """File of news, JSON Lines or YAML; or `new-news` or `demo`, which come with the package."""

    def run(self) -> None:
        news = load_news(self.file)
        counts = question_counts(news)
        kinds = sorted({kind for by_kind in counts.values() for kind in by_kind})
        table = Table("domain", "news", "questions", *kinds, box=None, pad_edge=False)
        for domain, by_kind in counts.items():
            own = sum(item.domain == domain for item in news)
            table.add_row(domain, str(own), str(sum(by_kind.values())), *(str(by_kind.get(kind, 0)) for kind in kinds))
        Console().print(table)
        warnings = check(news)
        for warning in warnings:
            print(f"warning: {warning}")
        questions = sum(len(item.questions) for item in news)
        print(f"{self.file}: {len(news)} news, {questions} questions, {len(warnings)} warnings")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsExample:
    """Print news that come with the package, as JSON Lines: a file to start your own from."""

    set: str = "demo"
    """Which: `new-news`, the whole set of 75 with 375 questions, or `demo`, ten of them."""
    count: int = 2
    """How many news; 0: all of them."""

    def run(self) -> None:
        for line in bundled_lines(self.set)[: self.count or None]:
            print(line)
