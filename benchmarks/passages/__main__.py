"""python -m benchmarks.passages PASSAGES.json: trains one learner on the texts of several writers, and asks it."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from benchmarks.passages import study, table
from benchmarks.passages.passages import Passage, read_passages
from benchmarks.passages.settings import PassagesSettings
from benchmarks.report import Part, table as rendered
from sys2ft.cli.signals import describe_stop, stopping_on_signals
from sys2ft.errors import Sys2ftError
from sys2ft.files import digest_file
from sys2ft.models import LoadedModel, load_model
from sys2ft.runs import Display, Run, display, write_json, write_text

_COLUMNS = 150


@dataclass(frozen=True, slots=True)
class Command:
    """Train one learner on what several writers wrote about the same passages, and ask it the passages' questions."""

    passages: Annotated[Path, tyro.conf.Positional]
    """JSON file of passages with questions and the writers' texts."""
    settings: tyro.conf.OmitArgPrefixes[PassagesSettings] = field(default_factory=PassagesSettings)


def main(arguments: list[str] | None = None) -> int:
    command = tyro.cli(Command, prog="python -m benchmarks.passages", args=arguments)
    settings = command.settings
    try:
        with stopping_on_signals(), display(settings.quiet) as show:
            passages = read_passages(command.passages, settings.passages)
            study.row_names(passages, settings)  # a wrong name is reported before the model is loaded
            model = load_model(settings.model, dtype=settings.dtype, device=settings.device, progress=show.note)
            if settings.plan:
                part = planned(model, passages, settings)
            else:
                folder = settings.out or Path("sys2ft-runs") / f"passages-{Path(settings.model).stem}"
                part = measure(model, command.passages, passages, settings, folder, show)
    except Sys2ftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stopped:
        text, code = describe_stop(stopped)
        print(text, file=sys.stderr)
        return code
    console = Console() if sys.stdout.isatty() else Console(width=_COLUMNS)
    console.print(rendered(part))
    return 0


def measure(
    model: LoadedModel,
    file: Path,
    passages: list[Passage],
    settings: PassagesSettings,
    folder: Path,
    show: Display,
) -> Part:
    """Compute what is missing in `folder`, and write answers and tables there after each row."""
    identity = {
        "model": {**model.described(), "name": settings.model},
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
    }
    run = Run.open(folder, identity, {"passages": file.name})
    done: list[study.Outcome] = []
    with run.lock():
        for outcome in study.outcomes(model, passages, settings, run, show):
            done.append(outcome)
            rows = table.scored(done, passages)
            table.write_answers(folder, outcome, passages)
            write_text(folder / "table.md", table.markdown(rows))
            write_json(folder / "table.json", _record(run, file, settings, rows))
    part = Part(name="passages", title=f"{settings.model} on {file.name}", columns=table.COLUMNS)
    part.rows += [table.cells(row) for row in rows]
    part.notes += [*table.notes(rows), f"results: {folder / 'table.md'}, {folder / 'table.json'}, {folder / 'answers'}"]
    return part


def _record(run: Run, file: Path, settings: PassagesSettings, rows: list[table.Row]) -> dict[str, object]:
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    record = {name: run.record[name] for name in ("identity", "versions", "hardware", "git")}
    about = {"file": file.name, "sha256": digest_file(file)}
    return {"format": 1, **record, "passages": about, "settings": chosen, "sets": table.as_json(rows)}


def planned(model: LoadedModel, passages: list[Passage], settings: PassagesSettings) -> Part:
    """Tokens and FLOP of each training, before any is started."""
    part = Part(
        name="plan", title=f"plan: {settings.model}, {len(passages)} passages", columns=("set", "tokens", "TFLOP")
    )
    total = 0.0
    for name, tokens, flop in study.plan(model, passages, settings):
        part.rows.append((name, f"{tokens:,}", f"{flop / 1e12:,.1f}"))
        total += flop
    part.rows.append(("all", "", f"{total / 1e12:,.1f}"))
    part.notes.append(
        f"At 100 GFLOP/s {total / 6e12:,.0f} minutes, at 250 {total / 15e12:,.0f}; "
        "writing our own sets and the answers are not counted."
    )
    return part


if __name__ == "__main__":
    sys.exit(main())
