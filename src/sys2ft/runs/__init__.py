"""Room `runs`: run folders, atomic files, resume, provenance, progress."""

from sys2ft.runs.atomic import (
    atomic_folder,
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
from sys2ft.runs.provenance import digest, item_seed

__all__ = [
    "Advance",
    "Display",
    "Run",
    "atomic_folder",
    "digest",
    "display",
    "item_seed",
    "make_folder",
    "read_json",
    "read_jsonl",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_text",
]
