"""Files compressed with gzip: the name without `.gz` decides the form, the content is unpacked while it is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sys2ft.files import open_binary, storage_errors
from sys2ft.news.importers.pieces import Source

GZIP = ".gz"
_BLOCK = 1 << 20
_RATIO = 200
"""Real text shrinks to a tenth, tables to a fiftieth; gzip can shrink zeros to a thousandth."""
_ALWAYS = 100_000_000


def without_gzip(path: Path) -> Path:
    """The path without the ending `.gz`."""
    return path.with_suffix("") if path.suffix.lower() == GZIP else path


@contextmanager
def unpacked(source: Source) -> Iterator[Source]:
    """The source, or for a compressed file one of the same name whose content is unpacked while the block runs.

    Raises NewsError for damaged content, and for a file that unpacks to more than 200 times its size (and 100 MB).
    """
    if source.path.suffix.lower() != GZIP:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="sys2ft-") as folder:
        plain = Path(folder) / without_gzip(source.path).name
        _unpack(source, plain)
        yield replace(source, path=plain)


def _unpack(source: Source, plain: Path) -> None:
    try:
        limit = max(_ALWAYS, _RATIO * source.path.stat().st_size)
        complete = unpack(source.path, plain, limit)
    except OSError as error:
        raise source.error(
            f"a file that cannot be unpacked ({error.strerror or error})",
            expected="a file compressed with gzip",
            fix="download or compress it again, or rename it if it is not compressed",
        ) from error
    if not complete:
        raise source.error(
            f"a compressed file that unpacks to more than {limit // 1_000_000} MB",
            expected=f"at most {_ALWAYS // 1_000_000} MB, or {_RATIO} times its size",
            fix="unpack it yourself if it is what it should be, and import the unpacked file",
        )


def unpack(packed: Path, plain: Path, limit: float) -> bool:
    """Write the content of a file whose name ends in `.gz` to `plain`; False if it has more than `limit` bytes.

    Raises OSError if the file cannot be read or is damaged.
    """
    with open_binary(packed) as file, plain.open("wb") as out:
        while block := file.read(_BLOCK):
            with storage_errors(plain):
                out.write(block)
            if out.tell() > limit:
                return False
    return True
