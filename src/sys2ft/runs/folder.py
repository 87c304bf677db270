"""The run folder: settings and provenance in run.json, finished units of work as files, and a lock.

Work is split into units whose content depends only on the settings, not on when or how often the process was started.
Each unit's result is written atomically under its key. A resumed run computes only the missing units, in the same
batches, and therefore ends with the same elements, adapters and predictions (only the seconds differ).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar, cast

from sys2ft import files
from sys2ft.errors import SettingsError
from sys2ft.runs import provenance
from sys2ft.runs.exclusive import LOCK_FILES, exclusive
from sys2ft.runs.units import FolderMemo, memoise

Kind = TypeVar("Kind")

_FORMAT = 1


class Run:
    """A run folder, created or opened by `Run.open`.

    `record` is run.json as it was last read: when the folder was opened, and again when it was locked.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self._locked = False

    @classmethod
    def open(
        cls, path: str | Path, identity: Mapping[str, Any] | None = None, about: Mapping[str, Any] | None = None
    ) -> Run:
        """Open the run folder at `path`, or create it if `identity` is given.

        `identity` holds everything that decides the results (model, news, seed, dtype). `about` is only recorded.
        Raises SettingsError if the folder is not a run folder, cannot be read or written, or has another identity (the
        message lists the differences), and StorageError if the disk is full.
        """
        folder = Path(path)
        file = folder / "run.json"
        if not file.is_file():
            if identity is None:
                raise SettingsError(
                    f"{folder} is not a run folder: it contains no run.json",
                    expected="a folder created by `sys2ft run` or `sys2ft generate`",
                    fix="check the path, or start a run there with `sys2ft run NEWS --out FOLDER`",
                )
            cls.begun(folder)
            with exclusive(folder):
                if not file.is_file():  # another process may have created the run since
                    files.write_json(file, _new_record(folder, identity, about or {}))
        run = cls(folder, _read_record(file))
        if identity is not None:
            run._require_same("identity", dict(identity))
        return run

    @staticmethod
    def begun(path: str | Path) -> bool:
        """Whether there is a run at `path`. Raises SettingsError if something else is there."""
        folder = Path(path)
        if (folder / "run.json").is_file():
            return True
        if folder.exists() and (not folder.is_dir() or any(not _unfinished(p.name) for p in folder.iterdir())):
            raise SettingsError(
                f"{folder} exists and is not a run folder",
                expected="a new or empty folder, or the folder of an earlier run",
                fix="choose another folder with --out",
            )
        return False

    def stage(self, name: str, settings: Mapping[str, Any], free: Collection[str] = ()) -> None:
        """Record that the stage `name` runs with `settings`.

        Settings named in `free` change no result that is kept, beyond rounding, so they may differ from those recorded
        and replace them. Raises SettingsError if the folder has the stage with other settings, or if another process
        works in the folder.
        """
        with self.lock():
            self.check(name, settings, free)
            newest = json.loads(json.dumps(settings))  # as a later process reads it
            if self.record["settings"].get(name) == newest:
                return
            self.record["settings"][name] = newest
            files.write_json(self.path / "run.json", self.record)

    def settings(self, name: str, kind: Callable[..., Kind]) -> Kind:
        """The settings of the stage `name`, as the dataclass `kind`.

        Raises SettingsError if a version with other settings recorded them: a missing one has no value that is right.
        """
        held = self.record["settings"][name]
        if differing := sorted({field.name for field in fields(cast(Any, kind))} ^ held.keys()):
            raise SettingsError(
                f"the settings of the stage {name!r} in {self.path} are those of another version of "
                f"sys2ft: they differ in {', '.join(differing)}",
                expected="a run folder of this version; one of another version can be reported, not resumed",
                fix="finish it with the version that made it, or choose another folder with --out",
            )
        return kind(**held)

    def note(self, name: str, value: Any) -> None:
        """Record a finding under `name`, a field of its own in run.json. It decides nothing and may change."""
        with self.lock():
            if self.record.get(name) != value:
                self.record[name] = value
                files.write_json(self.path / "run.json", self.record)

    def check(self, name: str, settings: Mapping[str, Any], free: Collection[str] = ()) -> bool:
        """Whether the folder has the stage `name`. Raises SettingsError if it has it with other settings."""
        known: dict[str, Any] = self.record["settings"]
        if name not in known:
            return False
        fixed = {key: known[name][key] for key in free if key in known[name]}
        self._require_same(name, {**settings, **fixed})
        return True

    def get(self, key: str) -> dict[str, Any] | None:
        """The result of the unit `key`, or None if it is not finished (see `sys2ft.runs.units.Memo`)."""
        return FolderMemo(self.path).get(key)

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        """Write the result of the unit `key` atomically, and return it as `get` will read it."""
        return FolderMemo(self.path).put(key, result)

    def memoise(self, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of the unit `key`: read if finished, else computed and written."""
        return memoise(self, key, compute)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder against other processes, read its record again, remove temporary files of a killed process.

        Within the block, locking again does nothing. Raises SettingsError if another process has the lock (the message
        names it), or if the folder has become that of another run since it was opened.
        """
        if self._locked:
            yield
            return
        with exclusive(self.path):
            # Settings that another process has recorded since the folder was opened count.
            newest = Run(self.path, _read_record(self.path / "run.json"))
            newest._require_same("identity", self.record["identity"])
            self.record = newest.record
            files.remove_leftovers(self.path)
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def _require_same(self, part: str, asked: Mapping[str, Any]) -> None:
        held = self.record["identity"] if part == "identity" else self.record["settings"][part]
        differences = list(_differences(held, json.loads(json.dumps(asked))))
        if differences:
            raise SettingsError(
                f"{self.path} was created with other settings:\n  " + "\n  ".join(differences),
                expected="the same settings, to resume that run",
                fix="use those settings, or choose another folder with --out",
            )


def _new_record(folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "name": folder.resolve().name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **about,
        "identity": dict(identity),
        "settings": {},
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "git": provenance.git_revision(),
    }


def _unfinished(name: str) -> bool:
    """Whether `name` is a file left by a run that was killed before its first write finished."""
    return name in LOCK_FILES or (name.startswith((".run.json.", "..holder.json.")) and name.endswith(".tmp"))


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = files.read_json(file)
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise ValueError(f"format {record.get('format') if isinstance(record, dict) else record!r}")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{file} cannot be read as a run's record: {error}",
            expected=f"a run.json in this version's format ({_FORMAT})",
            fix="choose another folder with --out, or use the version that created it",
        ) from error
    return record


def _differences(held: Any, asked: Any, at: str = "") -> Iterator[str]:
    if isinstance(held, dict) and isinstance(asked, dict):
        for key in sorted(held.keys() | asked.keys()):
            yield from _differences(held.get(key), asked.get(key), f"{at}.{key}" if at else key)
    elif held != asked:
        yield f"{at}: the folder has {json.dumps(held)}, requested: {json.dumps(asked)}"
