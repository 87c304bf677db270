"""The user's cache folder, and SHA-256 digests that are computed once per state of a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sys2ft.errors import StorageError

Progress = Callable[[str], None]


def cache_dir() -> Path:
    """`$SYS2FT_CACHE`, else `$XDG_CACHE_HOME/sys2ft`, else `~/.cache/sys2ft`; it need not exist yet."""
    if own := os.environ.get("SYS2FT_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "sys2ft"


def models_dir() -> Path:
    """Where converted models lie, one folder each."""
    return cache_dir() / "models"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, remembered in the cache folder by its path, size and time of last change."""
    path = path.resolve()
    if (digest := _read_digests().get(_digest_key(path))) is not None:
        return digest
    digest = hash_file(path)
    remember_sha256({path: digest})
    return digest


def remember_sha256(digests: dict[Path, str]) -> None:
    """Keep digests that were computed from files as they are now, and forget those of files that are gone."""
    fresh = {_digest_key(path.resolve()): digest for path, digest in digests.items()}
    replaced = {key.rpartition("|")[0].rpartition("|")[0] for key in fresh}
    kept = {}
    for key, digest in _read_digests().items():
        path = key.rpartition("|")[0].rpartition("|")[0]
        if path not in replaced and Path(path).exists():
            kept[key] = digest
    # Without a writable cache a digest is not remembered; nor is one that another process writes at the same moment.
    # Either costs only the time to compute it again.
    with contextlib.suppress(OSError):
        write_atomically(cache_dir() / "digests.json", json.dumps(kept | fresh, indent=0))


def hash_file(path: Path) -> str:
    """Hex SHA-256 of a file, computed now."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file so that readers see the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn failures to write below `folder` into StorageError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        # safetensors reports the system's error inside its own exception's text, without an errno.
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error) or "os error 122" in str(error):
            raise StorageError(
                f"no space left on the disk of {folder}",
                expected="room for the model's weights in bfloat16, 2 bytes a parameter",
                do="free some space, or set SYS2FT_CACHE to a folder on another disk; nothing half-written was kept",
            ) from error
        if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StorageError(
                f"the cache folder cannot be written: {error}",
                expected=f"a folder that can be written at {folder}",
                do="set SYS2FT_CACHE to a folder of yours",
            ) from error
        raise


def _digest_key(path: Path) -> str:
    stat = path.stat()
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}"


def _read_digests() -> dict[str, str]:
    # A missing or spoilt store costs only the time to hash again.
    try:
        known = json.loads((cache_dir() / "digests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str)} if isinstance(known, dict) else {}
