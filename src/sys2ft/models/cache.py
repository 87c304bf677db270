"""The user's cache folder, and SHA-256 digests of files that are computed again only when a file changes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from sys2ft.errors import StorageError, Sys2ftError
from sys2ft.files import Place, digest_file, write_json

Progress = Callable[[str], None]

CACHE = Place(elsewhere="set SYS2FT_CACHE to another folder", denied=StorageError)


def cache_dir() -> Path:
    """`$SYS2FT_CACHE`, else the system's folder for caches; it need not exist yet.

    On Linux that is `$XDG_CACHE_HOME/sys2ft` or `~/.cache/sys2ft`.
    """
    if own := os.environ.get("SYS2FT_CACHE"):
        return Path(own).expanduser()
    import platformdirs  # on first use: `--help` does not need it

    return platformdirs.user_cache_path("sys2ft", appauthor=False)


def models_dir() -> Path:
    """The folder of the converted models, which have one folder each."""
    return cache_dir() / "models"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, stored in the cache folder under its path, size and time of last change."""
    path = path.resolve()
    if (digest := _read_digests().get(_digest_key(path))) is not None:
        return digest
    digest = digest_file(path)
    remember_sha256({path: digest})
    return digest


def remember_sha256(digests: dict[Path, str]) -> None:
    """Store digests of files in their present state, and drop those of deleted files."""
    fresh = {_digest_key(path.resolve()): digest for path, digest in digests.items()}
    replaced = {key.rpartition("|")[0].rpartition("|")[0] for key in fresh}
    kept = {}
    for key, digest in _read_digests().items():
        path = key.rpartition("|")[0].rpartition("|")[0]
        if path not in replaced and Path(path).exists():
            kept[key] = digest
    # If the cache is not writable, or another process writes at the same moment, a digest is not stored. That costs
    # only the time to compute it again.
    with contextlib.suppress(Sys2ftError):
        write_json(cache_dir() / "digests.json", kept | fresh)


def _digest_key(path: Path) -> str:
    stat = path.stat()
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}"


def _read_digests() -> dict[str, str]:
    # A missing or corrupt store costs only the time to hash again.
    try:
        known = json.loads((cache_dir() / "digests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str)} if isinstance(known, dict) else {}
