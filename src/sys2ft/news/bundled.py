"""The news that come with the package: small, invented, and written for small models."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from sys2ft.errors import NewsError
from sys2ft.news.reader import parse_text
from sys2ft.news.schema import News


def bundled_names() -> list[str]:
    """The names that `bundled_news` takes, sorted."""
    folder = files("sys2ft.news").joinpath("bundled")
    return sorted(PurePath(file.name).stem for file in folder.iterdir() if file.name.endswith(".jsonl"))


def bundled_news(name: str = "demo") -> list[News]:
    """The bundled news of this name.

    Raises:
        NewsError: there are none of this name.
    """
    names = bundled_names()
    if name not in names:
        raise NewsError(
            f"found no bundled news named {name!r}",
            expected="one of " + ", ".join(names),
            do="choose one of these, or read your own file with read_news",
        )
    text = files("sys2ft.news").joinpath("bundled").joinpath(f"{name}.jsonl").read_text(encoding="utf-8")
    return parse_text(text, source=f"bundled news {name!r}", ending=".jsonl")
