"""Before any work: the folder and the cells of a study, and what is wrong with either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from pathlib import Path

from sys2ft.errors import SettingsError, UserError
from sys2ft.files import TEMPORARY
from sys2ft.news import load_news
from sys2ft.replay import protocols_for
from sys2ft.runs.exclusive import LOCK_FILES
from sys2ft.studies.cells import Cell
from sys2ft.studies.labels import asked_for
from sys2ft.studies.spec import Study
from sys2ft.studies.store import KINDS, RECORD, Store
from sys2ft.training import JOINT, learner_of, objective_of

RESULTS = ("results.json", "figure.svg", "study.md", "study.html", RECORD)
"""Files of a study's folder besides its parts."""


def opened(
    study: Study, out: str | Path, *, dtype: str, device: str, only: Mapping[str, str] | None
) -> tuple[Store, list[Cell]]:
    """The folder `out` and the cells to compute; nothing is written.

    Raises SettingsError for cells that cannot exist and for the folder of something else, and ModelError for a number
    format or device that does not exist. Models and files that are not there cost their cells only, later.
    """
    cells = selected(study, only or {})
    for cell in cells:
        _require_known(cell, study)
    store = Store(Path(out), dtype, device)
    store.numbers  # noqa: B018 - raises for a number format or device that does not exist
    require_own(study, store)
    for cell in {(cell.options.news, cell.options.take): cell for cell in cells}.values():
        _require_enough(cell, study)
    return store, cells


def selected(study: Study, only: Mapping[str, str]) -> list[Cell]:
    """The cells with these labels. Raises SettingsError if there is none."""
    cells = study.cells()
    found = [
        cell
        for cell in cells
        if all(axis in cell.at and asked_for(axis, cell.at[axis], asked) for axis, asked in only.items())
    ]
    if not found:
        labels = {axis: ", ".join(dict.fromkeys(cell.at[axis] for cell in cells)) for axis in cells[0].at}
        raise SettingsError(
            f"{study.name} has no cell with {', '.join(f'{axis}={label}' for axis, label in only.items())}",
            expected="; ".join(f"{axis}: {values}" for axis, values in labels.items()),
            fix="correct --only",
        )
    return found


def _require_known(cell: Cell, study: Study) -> None:
    """Raise SettingsError for a protocol, objective or learner that is not installed."""
    checks: Sequence[Callable[[], object]] = (
        lambda: protocols_for(cell.generate),
        lambda: objective_of(cell.train),
        lambda: learner_of(cell.train),
    )
    for check in checks:
        try:
            check()
        except SettingsError as error:
            where = f"{study.name}, cell {cell.title}"
            raise SettingsError(f"{where}: {error.found}", expected=error.expected, fix=error.fix) from error


def _require_enough(cell: Cell, study: Study) -> None:
    """Raise SettingsError if the news items are fewer than the cell takes. What cannot be read costs its cells only."""
    try:
        count = len(load_news(cell.options.news)) if cell.options.take else 0
    except UserError:  # the work reports it with the cells
        return
    if cell.options.take > count:
        where = f"{study.name}, cell {cell.title}"
        raise SettingsError(
            f"{where}: take {cell.options.take}, and {cell.options.news} has {count} news items",
            expected=f"at most {count}, or 0 for all",
            fix="lower `take` (--take)",
        )


def require_own(study: Study, store: Store) -> None:
    """Raise SettingsError if the folder is that of another study, or has files and is none of a study."""
    folder = store.path
    name = store.record_name()
    if name is not None and name != study.name:
        raise SettingsError(
            f"{folder} is the folder of the study {name!r}, not of {study.name!r}",
            expected=f"a new or empty folder, or that of an earlier run of {study.name}",
            fix="choose another folder with --out",
        )
    known = {*KINDS, *RESULTS, *LOCK_FILES}
    if name is not None or not folder.exists():
        return
    if not folder.is_dir() or any(one.name not in known and not one.match(TEMPORARY) for one in folder.iterdir()):
        raise SettingsError(
            f"{folder} exists and is not the folder of a study",
            expected=f"a new or empty folder, or that of an earlier run of {study.name}",
            fix="choose another folder with --out",
        )


def late_steps(store: Store, cells: Sequence[Cell]) -> list[int]:
    """The steps at which no cell can be asked, because every training ends before; none if that is not known yet."""
    most = max(_most_steps(cell, len(store.news(cell))) for cell in cells)
    return sorted({step for cell in cells for step in cell.steps if step > most})


def _most_steps(cell: Cell, items: int) -> float:
    """No update of a cell has more steps; infinity where the number of its samples is not set."""
    options, train = cell.options, cell.train
    if options.written or cell.generate.samples_per_news is None:
        return inf
    elements = min(cell.generate.samples_per_news, options.elements or cell.generate.samples_per_news)
    samples: float = {"elements": elements, "pieces": elements + 1}.get(options.layout, 1)
    if train.adapters == JOINT:
        samples *= ceil(items / min(options.updates, items))
    if options.updates > 1 and cell.rehearsal.rehearsal != "none":
        samples *= 1 + cell.rehearsal.rehearsal_share
    return ceil(train.epochs) * ceil(samples / train.batch_size)
