"""The lines of a news file, and the endings it may have."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from sys2ft.errors import NewsError
from sys2ft.news.problems import bad_input
from sys2ft.news.records import news_to_dict
from sys2ft.news.schema import News

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")


_UNPACK = {".zst": "zstd -d", ".zip": "unzip", ".7z": "7z x", ".tar": "tar -xf", ".tgz": "tar -xzf", ".lz4": "lz4 -d"}


def wrong_ending(path: Path, endings: tuple[str, ...]) -> NewsError:
    """The error for a news file that cannot be written under a name with none of these endings."""
    return _other_ending(path, endings, f"choose another name, for example {path.with_suffix('.jsonl')}")


def not_a_news_file(path: Path, endings: tuple[str, ...]) -> NewsError:
    """The error for an existing file whose name has none of these endings."""
    name = shlex.quote(str(path))
    if path.suffix.lower() in _UNPACK:
        return _other_ending(path, endings, f"unpack it: {_UNPACK[path.suffix.lower()]} {name}")
    new = shlex.quote(str(path.with_suffix(".jsonl")))
    fix = f"if it holds JSON Lines: mv {name} {new}; documents and data sets: sys2ft news import {name} --out {new}"
    return _other_ending(path, endings, fix)


def _other_ending(path: Path, endings: tuple[str, ...], fix: str) -> NewsError:
    return bad_input(
        str(path),
        f"a file name that ends in {path.suffix or 'nothing'!r}",
        expected="a name that ends in " + ", ".join(endings),
        fix=fix,
    )


def json_line(news: News) -> bytes:
    """One line of a news file."""
    return (json.dumps(news_to_dict(news), ensure_ascii=False) + "\n").encode("utf-8")
