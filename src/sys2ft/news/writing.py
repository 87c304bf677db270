"""A news file that appears whole or not at all, however long it takes to write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sys2ft.errors import NewsError, StorageError
from sys2ft.news.records import news_to_dict
from sys2ft.news.schema import News

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")


def wrong_ending(path: Path, endings: tuple[str, ...]) -> NewsError:
    """The error for a file name that none of these endings fits."""
    return NewsError(
        f"{path}: found a file name that ends in {path.suffix or 'nothing'!r}",
        expected="a name that ends in " + ", ".join(endings),
        do="convert it to JSON Lines or rename it",
    )


def json_line(news: News) -> bytes:
    """One line of a news file."""
    return (json.dumps(news_to_dict(news), ensure_ascii=False) + "\n").encode("utf-8")


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well and vanishes when it does not.

    Raises StorageError where it cannot be written. Errors of reading have to be turned into errors of this package
    inside the block: an OSError that leaves it is taken for one of writing.
    """
    # A symbolic link stays a link: the file it points to is replaced.
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error})",
            expected="a folder that exists, is writable and has space",
            do=f"check the folder {target.parent}, or write to another one",
        ) from error
