"""Runs a study in a folder: its cells, then its results and its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sys2ft import files
from sys2ft.executors import ExecutorSettings, opened as opened_pool, require_executor
from sys2ft.runs import Display, provenance
from sys2ft.runs.exclusive import exclusive
from sys2ft.studies.opening import opened
from sys2ft.studies.page import write_results
from sys2ft.studies.results import Results, results
from sys2ft.studies.running import Failure, Runner
from sys2ft.studies.spec import Study
from sys2ft.studies.spreading import PooledRunner
from sys2ft.studies.store import RECORD, Store


@dataclass(frozen=True, slots=True)
class Studied:
    """A study that has run as far as it could."""

    folder: Path
    found: Results
    page: Path
    failures: tuple[Failure, ...]


def run_study(
    study: Study,
    out: str | Path,
    *,
    dtype: str = "auto",
    device: str = "auto",
    only: Mapping[str, str] | None = None,
    command: str = "",
    where: ExecutorSettings | None = None,
    show: Display | None = None,
) -> Studied:
    """Compute what is missing of the study's cells in the folder `out`, and write results.json and study.html.

    `only`: axis -> label; cells with other labels are left out. `where` says what computes; None: this process.

    A cell that fails is listed in `failures`; the others are kept. Raises SettingsError for cells that cannot exist,
    and for the folder of something else, before any work, StorageError if the disk is full, and Stopped.
    """
    where = where or ExecutorSettings()
    require_executor(where)
    store, cells = opened(study, out, dtype=dtype, device=device, only=only)
    show = show or Display()
    files.make_folder(store.path)
    with exclusive(store.path):
        files.remove_leftovers(store.path)
        write_record(store, study, command)
        with opened_pool(where, store.path, device=store.numbers[1], note=show.note) as pool:
            runner = PooledRunner(store, cells, show, pool=pool) if pool else Runner(store, cells, show)
            runner.run()
        failed = {failure.cell.key: failure.error.found for failure in runner.failures}
        found = results(store, study, cells, failed)
        page = write_results(store, found, len(cells))
    return Studied(store.path, found, page, tuple(runner.failures))


def write_record(store: Store, study: Study, command: str) -> None:
    """Write study.json: the study, and where and with what it ran last."""
    dtype, device = store.numbers
    record = {
        "format": 1,
        "name": study.name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "dtype": dtype,
        "device": device,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "git": provenance.git_revision(),
        "study": study.to_dict(),
    }
    files.write_json(store.path / RECORD, record)
