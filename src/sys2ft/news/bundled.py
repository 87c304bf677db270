"""The bundled news items: short, invented, and written for small models (docs/data-card.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from sys2ft.news.problems import bad_input
from sys2ft.news.reader import parse_text, read_news
from sys2ft.news.schema import News

NEW_NEWS = "new-news"
DEVELOPMENT, TEST, DEMO = "new-news-dev", "new-news-test", "demo"
_DEVELOPMENT_PLACES = (0, 1, 3, 5, 7, 9, 11)
"""Places within a domain of the news items of the development half; the first three domains have one more, at 13."""
_DEMO_EACH = 5


def _parts(lines: Sequence[str]) -> dict[str, list[str]]:
    """The lines of New News, and of its named parts, in the order of the set."""
    parts: dict[str, list[str]] = {NEW_NEWS: list(lines), DEVELOPMENT: [], TEST: [], DEMO: []}
    domains: dict[str, list[str]] = {}
    for line in lines:
        domains.setdefault(json.loads(line)["domain"], []).append(line)
    for number, own in enumerate(domains.values()):
        places = _DEVELOPMENT_PLACES + ((13,) if number < 3 else ())
        test = [line for place, line in enumerate(own) if place not in places]
        parts[DEVELOPMENT] += [own[place] for place in places]
        parts[TEST] += test
        parts[DEMO] += test[:_DEMO_EACH]
    return parts


def bundled_names() -> list[str]:
    """The names that `bundled_news` accepts, sorted."""
    return sorted([NEW_NEWS, DEVELOPMENT, TEST, DEMO])


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
    return _parts(text.splitlines())[name]


def bundled_news(name: str = "demo") -> list[News]:
    """The bundled news items of this name.

    'new-news' is the whole set of 75. Settings are chosen on 'new-news-dev' (38 of them), and results are reported on
    'new-news-test' (the other 37); 'demo' is 25 of these.

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
