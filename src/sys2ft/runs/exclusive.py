"""One process per folder, on this machine by a lock and between machines by a lease, which names who holds it.

A lock of the system ends with its process, but on many network file systems it is not seen by other machines. The
lease is a file that only one of several can create, and that its holder changes every few seconds: one that another
machine left and that no longer changes is taken over.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sys2ft import files
from sys2ft.errors import SettingsError, StorageError, Sys2ftError
from sys2ft.runs.stops import Stop, Stopped, current_stop, stoppable

_LOCK, _HOLDER = ".lock", ".holder.json"
LOCK_FILES = frozenset({_LOCK, _HOLDER})
"""Names of the files that a lock leaves in its folder, or that a killed process left."""
BEAT = 5.0
"""Seconds between two changes of a lease."""
_SILENCE = 3  # so many beats without a change, and the holder is taken for dead


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock `folder`, which is created if necessary, against other processes, threads and machines that share it.

    A killed process loses its lock. Raises SettingsError, which names the holder, if the folder is locked already; and
    at the end of the block if another machine has taken the folder over, because this process stood still for long:
    work that polls `runs.stops` is then asked to stop at once.
    """
    file, holder = files.make_folder(folder) / _LOCK, folder / _HOLDER
    with contextlib.ExitStack() as stack:
        with files.storage_errors(file):
            mine = stack.enter_context(files.locked(file))
        stop = stack.enter_context(stoppable(current_stop()))  # so that the lease can ask for it
        lease = _Lease(holder, stop)
        if not mine or not _is_free(holder, lease):
            raise SettingsError(
                f"{folder} is in use by another process{_described(holder)}",
                expected="one process per run folder",
                fix="wait for the other process or stop it, or choose another folder with --out",
            )
        try:
            yield
        except Stopped:
            if lease.taken_by is None:
                raise
        finally:
            lease.end()
        if lease.taken_by is not None:
            raise StorageError(
                f"{folder} was taken over by process {lease.taken_by} while this process stood still",
                expected="one process per run folder",
                fix="let the other process finish; this one wrote nothing after it saw that",
            )


def _is_free(holder: Path, lease: _Lease) -> bool:
    """Take the lease where there is none, or one of a dead process of this machine (whose lock is ours), or one that is
    silent for long. False: another process has it."""
    left = _text(holder)
    if left is not None and (_note(left) or {}).get("host") != platform.node():
        end = time.monotonic() + _SILENCE * BEAT
        while time.monotonic() < end:
            time.sleep(BEAT / 5)
            if _text(holder) != left:
                return False
            current_stop().check()
    return lease.take(left)


class _Lease:
    """The note of who holds a folder, changed by a thread as long as that is so."""

    def __init__(self, file: Path, stop: Stop) -> None:
        self.file = file
        self.taken_by: str | None = None
        self._note: dict[str, Any] = _this_process()
        self._end, self._stop = threading.Event(), stop
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def take(self, left: str | None) -> bool:
        """Create the note in place of one that was `left` (None: there was none); False if another was faster."""
        if left is not None and _text(self.file) == left:
            with contextlib.suppress(OSError):
                self.file.unlink()
        temporary = self.file.with_name(f".{_HOLDER}.{os.getpid()}-{threading.get_ident()}.tmp")
        # A disk without room for the note is reported by the next write that matters; the lock holds on this machine.
        with contextlib.suppress(Sys2ftError, OSError):
            files.write_json(temporary, self._note)
            try:
                os.link(temporary, self.file)  # unlike a rename this fails where there is one
            except FileExistsError:
                return False
            except OSError:  # a file system without links
                files.write_json(self.file, self._note)
            finally:
                temporary.unlink(missing_ok=True)
        self._thread.start()
        return True

    def _keep(self) -> None:
        while not self._end.wait(BEAT):
            note = _note(_text(self.file) or "")
            if note is not None and not _same(note, self._note):
                self.taken_by = f"{note.get('process')} on {note.get('host')}"
                self._stop.request()
                return
            self._note["beat"] += 1
            with contextlib.suppress(Sys2ftError, OSError):
                files.write_json(self.file, self._note)

    def end(self) -> None:
        """Stop changing the note, and delete it if it is still this process's."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.taken_by is None:
            with contextlib.suppress(OSError):
                self.file.unlink()


def _same(note: dict[str, Any], own: dict[str, Any]) -> bool:
    return all(note.get(name) == own[name] for name in ("process", "host", "since", "thread"))


def _this_process() -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "thread": threading.get_ident(),
        "beat": 0,
    }


def _text(holder: Path) -> str | None:
    """The text of a lease; None only if there is none: one that cannot be read just now counts as held."""
    try:
        return holder.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"? {error.errno}"


def _note(text: str) -> dict[str, Any] | None:
    """What a lease says; None if it cannot be read."""
    try:
        note = json.loads(text)
    except ValueError:
        return None
    return note if isinstance(note, dict) else None


def _described(holder: Path) -> str:
    """' (process ...)', or nothing if the holder has not written its note yet."""
    note = _note(_text(holder) or "") or {}
    try:
        return f": process {note['process']} on {note['host']}, since {note['since']}: {note['command']}"
    except KeyError:
        return ""
