"""The bundled news items: short, invented, and written for small models (docs/data-card.md)."""

from __future__ import annotations

import json
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from sys2ft.news.problems import bad_input
from sys2ft.news.reader import parse_text, read_news
from sys2ft.news.schema import News

NEW_NEWS = "new-news"
SUBSETS: dict[str, tuple[str, ...]] = {
    "demo": (
        "math-trelk",
        "math-brindle",
        "coding-dorvel",
        "coding-murn",
        "discovery-tamber-frog",
        "discovery-velquin",
        "leaderboard-corvane",
        "leaderboard-pellucid",
        "event-ardenna-bridge",
        "event-hallowick",
    )
}
"""Named parts of New News, by the ids of their news items."""


def bundled_names() -> list[str]:
    """The names that `bundled_news` accepts, sorted."""
    return sorted([NEW_NEWS, *SUBSETS])


def bundled_lines(name: str = "demo") -> list[str]:
    """The bundled news items of this name as JSON Lines, with the same fields on every line, even empty ones.

    Raises:
        NewsError: the name is unknown.
    """
    if name not in bundled_names():
        raise bad_input(
            "bundled news",
            f"no set named {name!r}",
            expected="one of " + ", ".join(bundled_names()),
            fix="choose one of these, or read your own file with read_news",
        )
    text = files("sys2ft.news").joinpath("bundled").joinpath(f"{NEW_NEWS}.jsonl").read_text(encoding="utf-8")
    by_id = {json.loads(line)["id"]: line for line in text.splitlines()}
    return [by_id[id] for id in SUBSETS.get(name, by_id)]


def bundled_news(name: str = "demo") -> list[News]:
    """The bundled news items of this name: 'new-news' is the whole set, 'demo' ten of them.

    Raises:
        NewsError: the name is unknown.
    """
    return parse_text("\n".join(bundled_lines(name)), source=f"bundled news {name!r}", ending=".jsonl")


def load_news(source: str | Path) -> list[News]:
    """The news items of a file, or the bundled ones of this name if there is no such file.

    Raises:
        NewsError: neither exists, or the file is not valid.
    """
    path, name = Path(source), str(source)
    if name in bundled_names() and not path.is_file():
        return bundled_news(name)
    if not path.suffix and not path.exists():
        near = get_close_matches(name, bundled_names(), n=1)
        raise bad_input(
            name,
            "neither a file nor bundled news items of this name",
            expected="a news file, or one of " + ", ".join(bundled_names()),
            fix=f"did you mean {near[0]}?" if near else "check the path and the folder you are in",
        )
    return read_news(path)
