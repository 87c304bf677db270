"""Code shared by several commands: model options, reopening a run folder, printing a result."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sys2ft.generators import ServerSettings
from sys2ft.terminal import Console, print

if TYPE_CHECKING:
    from sys2ft.job import Result
    from sys2ft.models import LoadedModel
    from sys2ft.runs import Display, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """How a model is loaded, and whether progress is shown."""

    dtype: str = "auto"
    """auto, float32, bfloat16 or float16; auto: the type with native hardware support."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    quiet: bool = False
    """Show no progress."""

    def load(self, model: str, show: Display) -> LoadedModel:
        """Load `model` with these options."""
        from sys2ft.models import load_model

        return load_model(model, dtype=self.dtype, device=self.device, progress=show.note)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterOptions(ModelOptions):
    """Who writes the elements."""

    generator: str | None = None
    """Who writes the elements: the name of another model, `openai:MODEL@URL` for any OpenAI-compatible server (its key
    in the environment variable SYS2FT_GENERATOR_KEY or OPENAI_API_KEY), or `vllm:MODEL`. Default: the model that is
    trained."""
    server: ServerSettings = ServerSettings()


def reopen(path: Path, show: Display) -> tuple[Run, LoadedModel]:
    """Open an existing run folder and load its model. Raises SettingsError if the model has changed."""
    from sys2ft.errors import SettingsError
    from sys2ft.models import load_model
    from sys2ft.runs import Run

    run = Run.open(path)
    record = run.record
    model = load_model(record["model"]["name"], dtype=record["dtype"], device=record["device"], progress=show.note)
    if model.fingerprint != record["model"]["sha256"]:
        raise SettingsError(
            f"the model {record['model']['name']} differs from that of {path} "
            f"(SHA-256 {model.fingerprint[:12]}..., the folder has {record['model']['sha256'][:12]}...)",
            expected="the same weights",
            fix="restore the old model, or start a new run folder",
        )
    return run, model


def keeping(folder: Path, address: str, quiet: bool) -> AbstractContextManager[None]:
    """Keep a copy of a folder at an address (`--store`); empty: none."""
    from sys2ft.runs.progress import NotesDisplay
    from sys2ft.stores import require_store, stored

    require_store(address)
    return stored(folder, address, (lambda text: None) if quiet else NotesDisplay().note)


def console() -> Console:
    """A console on standard output."""
    return Console()


def print_result(result: Result) -> None:
    """Print the table, the paths of the report and the adapter, the verdict, what was lost, and the next commands."""
    from sys2ft.report import headline, lost, terminal_table

    console().print(terminal_table(result.summary))
    print(f"report    {result.report}")
    if result.adapters:
        more = f" and {len(result.adapters) - 1} more next to it" if len(result.adapters) > 1 else ""
        print(f"adapter   {result.adapters[0]}{more} (PEFT format)")
    print(f"verdict   {headline(result.summary)[0]}")
    for number, line in enumerate(lost(result.summary)):
        print(f"{'          ' if number else 'lost      '}{line}")
    if result.adapters:
        folder = shlex.quote(str(result.folder))
        print(f"next      sys2ft export {folder} --to gguf")
        print(f"          sys2ft serve {folder}")
