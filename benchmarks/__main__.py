"""python -m benchmarks [parts]: runs the parts, prints their tables, writes every run as JSON."""

from __future__ import annotations

import importlib
import signal
import sys
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from benchmarks.report import Part, table
from benchmarks.runner import Bench
from benchmarks.settings import PARTS, BenchSettings
from sys2ft.errors import Sys2ftError
from sys2ft.runs import display, write_json

_COLUMNS = 110
Name = Literal["train", "decode", "choice", "gemm", "memory", "tricks", "job"]


@dataclass(frozen=True, slots=True)
class Command:
    """Measure this package's engine against other libraries on the same work."""

    parts: Annotated[
        tuple[Literal["train", "decode", "choice", "gemm", "memory", "tricks", "job"], ...], tyro.conf.Positional
    ] = ()
    """Which comparisons; none named: all."""
    settings: tyro.conf.OmitArgPrefixes[BenchSettings] = field(default_factory=BenchSettings)


def main() -> int:
    command = tyro.cli(Command, prog="python -m benchmarks")
    settings, parts = command.settings, command.parts or PARTS
    out = settings.out or Path("sys2ft-runs") / f"bench-{'-'.join(command.parts) or 'all'}.json"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so that no worker is left behind
    console = Console() if sys.stdout.isatty() else Console(width=_COLUMNS)
    try:
        with display(settings.quiet) as show:
            bench = Bench(settings, show, out.with_suffix(".runs.jsonl"))
        console.print(heading(bench), highlight=False)
        measured: list[Part] = []
        for name in parts:
            with display(settings.quiet) as show:
                bench.show = show
                measured.append(importlib.import_module(f"benchmarks.parts.{name}").measure(bench))
            console.print(table(measured[-1]))
            write(out, bench, measured)  # after each part, so that an interruption loses none
    except Sys2ftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(f"results   {out}")
    return 0


def heading(bench: Bench) -> str:
    """Model, machine and versions, in a few lines."""
    about, s = bench.about, bench.settings
    machine, versions = about["hardware"], about["versions"]
    lines = [
        f"{about['model']['name']}, {about['model']['parameters'] / 1e6:.0f}M parameters, {about['dtype']} on "
        f"{machine.get('accelerator') or machine['processor']}, {about['threads']} threads",
        f"torch {versions['torch']}, transformers {versions['transformers']}, peft {versions['peft']}, "
        f"trl {versions['trl']}; medians of {s.runs} runs, sides alternating",
    ]
    if s.scale < 1:
        lines.append(f"SCALE {s.scale:g}: a share of the work, for a quick look; no figure to quote")
    return "\n".join(lines) + "\n"


def write(out: Path, bench: Bench, measured: list[Part]) -> None:
    """Settings, machine and every run."""
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(bench.settings).items()
    }
    write_json(
        out,
        {
            "format": 1,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "settings": settings,
            **bench.about,
            "parts": {part.name: part.as_json() for part in measured},
        },
    )


if __name__ == "__main__":
    sys.exit(main())
