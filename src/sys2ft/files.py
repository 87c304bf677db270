"""Files that are either complete or absent, locks between processes, and content digests.

Every write goes to a temporary name beside the target and is renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from sys2ft.errors import SettingsError, StorageError, Sys2ftError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_BLOCK = 1 << 22

TEMPORARY = ".*.tmp"
"""Pattern of the names under which unfinished files and folders are written: `.NAME.RANDOM.tmp`."""


# Errors ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """How a kind of file got its place, for the errors about it."""

    elsewhere: str
    """What the user does to choose another place."""
    denied: type[Sys2ftError]
    """The error for a place that cannot be written."""


OUT = Place(elsewhere="choose another folder with --out", denied=SettingsError)


@contextlib.contextmanager
def storage_errors(path: Path, place: Place = OUT) -> Iterator[None]:
    """Turn the errors of the file system while `path` is written into one clear error."""
    try:
        yield
    except Sys2ftError:
        raise
    except Exception as error:
        code = _system_code(error)
        if code is None and not isinstance(error, OSError):
            raise
        why = os.strerror(code) if code else str(error)
        if code in _FULL:
            raise StorageError(
                f"the disk is full: {path} could not be written ({why})",
                expected="free space; no incomplete file is left, and everything that was finished is kept",
                fix=f"free some space and give the same command again, or {place.elsewhere}",
            ) from error
        if code in _DENIED:
            raise place.denied(
                f"{path} cannot be written ({why})",
                expected="a folder that this user may write to",
                fix=f"{place.elsewhere}, or change its permissions",
            ) from error
        raise StorageError(
            f"{path} cannot be written ({why})",
            expected="an existing folder on a file system that works",
            fix=f"check the file system, or {place.elsewhere}",
        ) from error


def _system_code(error: Exception) -> int | None:
    """The errno of an error, also of one from a Rust library (safetensors, tokenizers), which only prints it."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


# Writing and reading --------------------------------------------------------------------------------------------------


def make_folder(path: Path, place: Place = OUT) -> Path:
    """Create `path` and its parents."""
    with storage_errors(path, place):
        path.mkdir(parents=True, exist_ok=True)
    return path


def require_writable(path: Path, place: Place = OUT) -> None:
    """Raise what `make_folder` would raise for lack of a right to write, before there is anything to write."""
    with storage_errors(path, place):
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass


@contextlib.contextmanager
def atomic_file(path: Path, *, parents: bool = True) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` when the block succeeds, and is removed when it fails.

    Missing folders are created if `parents`. A symbolic link is kept, and the file it points to is replaced. Inside the
    block an OSError counts as a failure to write: errors of reading must be translated before they leave it.
    """
    if parents:
        make_folder(path.parent)
    with storage_errors(path):
        target = path.resolve() if path.is_symlink() else path
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # noqa: PTH101 - mkstemp makes files private; run folders are shared
            os.replace(name, target)  # noqa: PTH105
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise


@contextlib.contextmanager
def atomic_folder(path: Path, place: Place = OUT) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block succeeds, and is removed when it fails."""
    make_folder(path.parent, place)
    with storage_errors(path, place):
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o755)  # mkdtemp makes it private
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _sync(folder: Path) -> None:
    """Flush every file of a folder to the disk: a crash after the rename could otherwise leave empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 atomically. A lone surrogate, of a file name that is not UTF-8, becomes an escape."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write one indented JSON document atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines atomically, one row at a time."""
    with growing(path) as append:
        append(rows)


@contextlib.contextmanager
def growing(path: Path) -> Iterator[Callable[[Iterable[Mapping[str, Any]]], None]]:
    """Yield a function that appends rows to a JSON Lines file, which replaces `path` when the block succeeds.

    Unlike in `atomic_file`, errors of the block itself are not taken for those of writing.
    """
    make_folder(path.parent)
    target = path.resolve() if path.is_symlink() else path
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    file = os.fdopen(handle, "wb")

    def append(rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
            with storage_errors(path):
                file.write(line.encode("utf-8", "backslashreplace"))

    try:
        yield append
        with storage_errors(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.chmod(name, 0o644)  # noqa: PTH101 - mkstemp makes files private; run folders are shared
            os.replace(name, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()  # on a full disk this fails too
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; one whose name ends in `.gz` is decompressed while it is read.

    Raises:
        OSError: the file cannot be read, also if its compressed content is damaged.
    """
    return cast(BinaryIO, _Gzip(path)) if path.suffix.lower() == ".gz" else path.open("rb")


class _Gzip(io.BufferedIOBase):
    """A gzip file whose faults are OSErrors that say so: gzip raises three types of errors."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115 - closed by close()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._tried(self._file.read, -1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._tried(self._file.read1, size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._tried(self._file.readline, -1 if size is None else size)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _tried(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(errno.EBADMSG, f"its gzip compression is damaged: {error}") from error


def read_json(path: Path) -> Any:
    """Read one JSON document."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def damage_named(path: Path, fix: str) -> Iterator[None]:
    """Turn the errors of a block that reads what this package stored in `path` into one that names the file."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, Sys2ftError):
            raise
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise SettingsError(f"{path} is damaged: {why}", expected="what was stored there", fix=fix) from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return list(iterate_jsonl(path))


def iterate_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON Lines, one at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left below `folder`; the caller holds the folder's lock."""
    for leftover in folder.rglob(TEMPORARY):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


# Locks ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(file: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
    """Lock `file` against other processes while the block runs, and yield whether that succeeded.

    If another process holds the lock, `waiting` is called and the lock awaited; without `waiting` False is yielded at
    once. The system releases a lock when its holder dies.
    """
    import filelock  # on first use: its import takes longer than that of this whole module

    lock = filelock.FileLock(file)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if waiting is None:
            yield False
            return
        waiting()
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()


# Names ----------------------------------------------------------------------------------------------------------------


FILE_NAME_RULE = "1 to 64 letters (a-z, A-Z), digits, '.', '_' or '-', the first a letter or digit and the last no '.'"
RESERVED_NAMES = frozenset({"base", "joint", "withheld"})
"""Names with a meaning in a run folder (the base model, the one adapter of all news items, a file of `replay/`)."""
_FILE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # no file on Windows can have these


def is_file_name(name: str) -> bool:
    """Whether every file system accepts `name` as the name of one file: `FILE_NAME_RULE`, and no device of Windows."""
    return _FILE_NAME.fullmatch(name) is not None and _DEVICES.fullmatch(name) is None


# Digests --------------------------------------------------------------------------------------------------------------


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of the order of its keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8"))


def digest_bytes(data: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read block by block."""
    running = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            running.update(block)
    return running.hexdigest()
