"""Run folders, units of work, provenance, progress and requests to stop; re-exports the functions of `files`."""

from sys2ft.files import (
    atomic_folder,
    digest,
    growing,
    iterate_jsonl,
    make_folder,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)
from sys2ft.runs.folder import Run
from sys2ft.runs.progress import Advance, Display, display
from sys2ft.runs.provenance import item_seed
from sys2ft.runs.stops import Stop, Stopped, current_stop, stoppable
from sys2ft.runs.trackers import TRACKERS, require_tracker, tracked
from sys2ft.runs.units import (
    NO_MEMO,
    Below,
    Executor,
    FolderMemo,
    LocalExecutor,
    Memo,
    Needs,
    Unit,
    compute_units,
    memoise,
)

__all__ = [
    "NO_MEMO",
    "TRACKERS",
    "Advance",
    "Below",
    "Display",
    "Executor",
    "FolderMemo",
    "LocalExecutor",
    "Memo",
    "Needs",
    "Run",
    "Stop",
    "Stopped",
    "Unit",
    "atomic_folder",
    "compute_units",
    "current_stop",
    "digest",
    "display",
    "growing",
    "item_seed",
    "iterate_jsonl",
    "make_folder",
    "memoise",
    "read_json",
    "read_jsonl",
    "require_tracker",
    "stoppable",
    "tracked",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_text",
]
