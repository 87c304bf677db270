"""Copies of a folder's results at an fsspec address, such as `s3://BUCKET/RUN`, and back.

Work happens in a local folder: locks and renames need a file system. What changed is copied when a command ends, with a
list of the files and their digests written last, so a copy that was cut short is continued and never taken for whole.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sys2ft import files
from sys2ft.errors import SettingsError, StorageError, Sys2ftError, UserError

LIST, COMING = "files.json", "files.next.json"
"""Names of the list (path below the folder -> SHA-256), and of the one of a copy in progress."""
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "az", "oci", "oss"}
"""Kinds of stores without folders: making one there would make a bucket, which a wrong address must not."""
_UNFINISHED = ("checkpoint", ".checkpoint")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.DOTALL)


def is_address(text: str) -> bool:
    """Whether a text is an fsspec address, and not a path."""
    return _ADDRESS.fullmatch(text) is not None


def require_store(address: str) -> None:
    """Raise SettingsError for an address that cannot be used here, before any work. Empty: none is wanted."""
    if address:
        _opened(address)


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there."""
    import fsspec

    if not is_address(address):
        raise SettingsError(
            f"the store {address!r}", expected="an address such as s3://BUCKET/RUN", fix="correct --store"
        )
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"the store {address}: {error}",
            expected="an address of fsspec, and the package that serves it",
            fix="install that package (for s3://: pip install 's3fs'), or correct --store",
        ) from error
    return system, str(path).rstrip("/")


@contextlib.contextmanager
def _errors(address: str) -> Iterator[None]:
    """Turn what a store raises into one clear error."""
    try:
        yield
    except Sys2ftError:
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise StorageError(
            f"the store {address} cannot be used: {type(error).__name__}: {error}",
            expected="a place that can be read and written, with the credentials that its package looks for",
            fix="check address and credentials; the local folder is complete, and the same command copies it again",
        ) from error


def _listed(system: Any, path: str, name: str = LIST) -> dict[str, str]:
    if not system.exists(f"{path}/{name}"):
        return {}
    listed: dict[str, str] = json.loads(system.cat_file(f"{path}/{name}"))
    return listed


def _seen(folder: Path) -> Path:
    """Where it is kept beside a folder which lists it last read or wrote, by address."""
    return folder.absolute().with_name(f".{folder.absolute().name}.store.json")


def _remember(folder: Path, address: str, listed: dict[str, str]) -> None:
    file = _seen(folder)
    known = files.read_json(file) if file.is_file() else {}
    files.write_json(file, {**known, address: files.digest(listed)})


def _require_own(folder: Path, address: str) -> None:
    """Raise SettingsError if the store has results that were not read into this folder, or written from it."""
    system, path = _opened(address)
    listed, file = _listed(system, path), _seen(folder)
    known = files.read_json(file).get(address) if file.is_file() else None
    if listed and known != files.digest(listed):
        raise SettingsError(
            f"the store {address} holds results that are not those of {folder}",
            expected="a store that is empty, or that this folder was last copied to or fetched from",
            fix="choose another --store, or another --out to go on from what the store has",
        )


def _own(folder: Path) -> dict[str, str]:
    """The files of a folder that are results: no locks, unfinished files or checkpoints."""
    found = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") or part.endswith(_UNFINISHED) for part in parts):
            found["/".join(parts)] = files.digest_file(file)
    return found


def push(folder: Path, address: str, progress: Callable[[int, int], None] = lambda done, of: None) -> int:
    """Copy what the store lacks or has otherwise, delete there what the folder no longer has; return files copied.

    Raises StorageError if the store cannot be used.
    """
    with _errors(address):
        system, path = _opened(address)
        there, own = _listed(system, path), _own(folder)
        changed = [name for name, found in own.items() if there.get(name) != found]
        if own != there:  # a copy that is cut short holds files of both lists
            _write_list(system, path, COMING, own)
        for done, name in enumerate(changed):
            progress(done, len(changed))
            if not _BUCKETS.intersection([system.protocol] if isinstance(system.protocol, str) else system.protocol):
                system.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), f"{path}/{name}")
        if own != there:
            _write_list(system, path, LIST, own)
        for name in there.keys() - own.keys():
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{path}/{name}")
        _remember(folder, address, own)
    return len(changed)


def _write_list(system: Any, path: str, name: str, listed: dict[str, str]) -> None:
    system.pipe_file(f"{path}/{name}", json.dumps(listed, indent=1, ensure_ascii=False).encode())


def pull(address: str, folder: Path) -> int:
    """Copy a store's files into a folder that does not exist yet; return their number, 0 if the store has none.

    Raises StorageError if the store cannot be used or a file there is not the one that its list names.
    """
    with _errors(address):
        system, path = _opened(address)
        listed, coming = _listed(system, path), _listed(system, path, COMING)
        if not listed:
            return 0
        with files.atomic_folder(folder) as temporary:
            for name, expected in listed.items():
                if not (temporary / name).resolve().is_relative_to(temporary.resolve()):
                    raise StorageError(f"{address}: the list names {name!r}, which lies outside of the folder")
                files.write_bytes(temporary / name, system.cat_file(f"{path}/{name}"))
                if files.digest_file(temporary / name) not in (expected, coming.get(name)):
                    raise StorageError(
                        f"{address}/{name} is not the file that {LIST} names",
                        expected="what was copied there",
                        fix="copy the folder again from the machine that has it, or choose another --store",
                    )
        _remember(folder, address, listed)
    return len(listed)


@contextlib.contextmanager
def stored(folder: Path, address: str, note: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Keep a copy of `folder` at `address` (empty: none): fetched first if there is no folder, written at the end.

    Also where the block fails or is stopped, so that what was finished is not lost with the machine.
    """
    if not address:
        yield
        return
    if not folder.exists():
        if fetched := pull(address, folder):
            note(f"{fetched} files fetched from {address}")
    else:
        with _errors(address):
            _require_own(folder, address)
    try:
        yield
    except UserError:
        raise  # refused before any work, perhaps because the folder is another's
    except BaseException:
        if folder.exists():
            try:
                push(folder, address)
            except Sys2ftError as second:
                note(f"not copied: {second.found}")
        raise
    note(f"{push(folder, address)} files copied to {address}")
