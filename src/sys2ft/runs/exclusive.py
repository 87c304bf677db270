"""One process per folder: the lock, and a note of who holds it, for the error that another process gets."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from sys2ft import files
from sys2ft.errors import SettingsError, Sys2ftError

_LOCK, _HOLDER = ".lock", ".holder.json"
LOCK_FILES = frozenset({_LOCK, _HOLDER})
"""Names of the files that a lock leaves in its folder, or that a killed process left."""


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock `folder`, which is created if necessary, against other processes and other threads.

    The system releases the lock of a killed process. Raises SettingsError, which names the holder, if the folder is
    locked already.
    """
    file, holder = files.make_folder(folder) / _LOCK, folder / _HOLDER
    with contextlib.ExitStack() as stack:
        with files.storage_errors(file):
            mine = stack.enter_context(files.locked(file))
        if not mine:
            raise SettingsError(
                f"{folder} is in use by another process{_described(holder)}",
                expected="one process per run folder",
                fix="wait for the other process or stop it, or choose another folder with --out",
            )
        # The note serves messages alone: a disk without room for it is reported by the next write that matters.
        with contextlib.suppress(Sys2ftError):
            files.write_json(holder, _this_process())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                holder.unlink()


def _this_process() -> dict[str, str | int]:
    return {
        "process": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _described(holder: Path) -> str:
    """' (process ...)', or nothing if the holder has not written its note yet."""
    try:
        note = files.read_json(holder)
        return f": process {note['process']} on {note['host']}, since {note['since']}: {note['command']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
