"""`sys2ft models list | pull | info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from rich.table import Column, Table
from tyro.conf import Positional, arg

from sys2ft.runs import display
from sys2ft.terminal import Console, print


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsList:
    """List the models that are available without a download."""

    def run(self) -> None:
        from sys2ft.models import list_models

        table = Table(Column("name", overflow="fold"), "kind", "size", "note", box=None, pad_edge=False)
        for entry in list_models():
            size = f"{entry.size_bytes / 1e6:.0f} MB" if entry.size_bytes else ""
            table.add_row(entry.name, entry.kind, size, entry.note)
        Console().print(table)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsPull:
    """Download or convert a model into the local cache."""

    name: Annotated[Positional[str], arg(metavar="MODEL")]
    """Name of an embedded model, local folder, GGUF file or hub id."""

    def run(self) -> None:
        from sys2ft.models import pull

        with display() as show:
            folder = pull(self.name, progress=show.note)
        print(folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsInfo:
    """Describe a model, and how it would be loaded on this machine."""

    name: Annotated[Positional[str], arg(metavar="MODEL")]
    """Name of an embedded model, local folder, GGUF file or hub id."""

    def run(self) -> None:
        from dataclasses import fields

        from sys2ft.models import info

        with display() as show:
            found = info(self.name, progress=show.note)
        table = Table("", "", box=None, show_header=False, pad_edge=False)
        for entry in fields(found):
            value = getattr(found, entry.name)
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
            table.add_row(entry.name.replace("_", " "), shown)
        Console().print(table)
