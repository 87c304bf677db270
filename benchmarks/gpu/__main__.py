"""python -m benchmarks.gpu: parity, speed and memory on one GPU, in one JSON file and one table.

Parts run in order of value. What the time budget does not allow is skipped and named; a part that fails is recorded,
the others still run, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.budget import Outcome, run_parts
from benchmarks.gpu.parts import parts
from benchmarks.gpu.speed import TINY, Machine, Sizes
from sys2ft.files import write_json
from sys2ft.models import pick_device, pick_dtype
from sys2ft.runs.provenance import git_revision, hardware, versions

_STARTED = time.monotonic()
_IN_TABLE = ("TFLOP/s", "tokens a second", "options a second", "of the GEMM rate", "of the copy's rate", "peak GiB")


def main() -> int:
    options = _options()
    if options.count:
        from benchmarks.gpu import counting

        print(counting.report())
        return 0
    device = pick_device(options.device)
    dtype = pick_dtype("auto", device) if not options.tiny else torch.float32
    machine = Machine(device, dtype, TINY if options.tiny else Sizes())
    listed = parts(machine, tiny=options.tiny)
    if options.only:
        listed = [part for part in listed if any(word in part.name for word in options.only)]
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": str(device),
        "card": _card(device),
        "hardware": hardware(),
        "versions": versions() | {"cuda": torch.version.cuda},
        "git": git_revision(),
        "tiny": options.tiny,
        "minutes": options.minutes,
        "parts": {},
    }

    def done(outcome: Outcome) -> None:
        report["parts"][outcome.name] = {
            "state": outcome.state,
            "seconds": round(outcome.seconds, 1),
            **({"error": outcome.error} if outcome.error else {}),
            **outcome.figures,
        }
        # After each part, so that a process that is killed leaves what it has measured.
        write_json(options.out, report)
        print(f"{outcome.name}: {outcome.state} {outcome.error}", file=sys.stderr, flush=True)

    outcomes = run_parts(listed, until=_STARTED + 60 * options.minutes, done=done)
    print(table(outcomes))
    print(f"\n{report['card'] or device}, {time.monotonic() - _STARTED:.0f} s; every figure: {options.out}")
    return int(any(outcome.bad for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--minutes", type=float, default=8.0, help="time budget, from the start of Python")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the JSON file that is written")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only parts whose name contains one of these")
    parser.add_argument("--count", action="store_true", help="kernels, waits and bytes, counted without a GPU")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the benchmark itself on any machine")
    return parser.parse_args()


def _card(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    about = torch.cuda.get_device_properties(device)
    return {
        "name": about.name,
        "GiB": round(about.total_memory / 2**30, 1),
        "capability": f"{about.major}.{about.minor}",
        "multiprocessors": about.multi_processor_count,
    }


def table(outcomes: list[Outcome]) -> str:
    """One line a part: its state, its main figures, and how much faster than which peer."""
    lines = [f"{'part':34}{'state':9}{'s':>6}  figures"]
    for one in outcomes:
        figures = [f"{one.figures[name]:.3g} {name}" for name in _IN_TABLE if name in one.figures]
        if "faster by" in one.figures:
            figures.append(f"{one.figures['faster by']:.2f} x {one.figures['peer']}")
        off = one.figures.get("off") or one.figures.get("off float32")
        if off:
            worst = {side: max(values.values()) for side, values in off.items()}
            figures.append(f"off by {', '.join(f'{value:.1e} ({side})' for side, value in worst.items())}")
        said = "; ".join([*figures, *([one.error] if one.error else [])])
        lines.append(f"{one.name:34}{one.state:9}{one.seconds:6.1f}  {said}")
    return "\n".join(lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    sys.exit(main())
