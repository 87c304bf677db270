"""The lines of a news file, and the endings it may have."""

from __future__ import annotations

import json
from pathlib import Path

from sys2ft.errors import NewsError
from sys2ft.news.problems import bad_input
from sys2ft.news.records import news_to_dict
from sys2ft.news.schema import News

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")


def wrong_ending(path: Path, endings: tuple[str, ...]) -> NewsError:
    """The error for a file name with none of these endings."""
    return bad_input(
        str(path),
        f"a file name that ends in {path.suffix or 'nothing'!r}",
        expected="a name that ends in " + ", ".join(endings),
        fix="convert it to JSON Lines or rename it",
    )


def json_line(news: News) -> bytes:
    """One line of a news file."""
    return (json.dumps(news_to_dict(news), ensure_ascii=False) + "\n").encode("utf-8")
