"""Runs the sides of a comparison in turns, each in a new process, and collects their reports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.settings import BenchSettings
from sys2ft.errors import Sys2ftError
from sys2ft.runs import Display

OURS = "ours"
_ROOT = Path(__file__).resolve().parent.parent

Report = dict[str, Any]


class JobFailed(Sys2ftError):
    """A job's process ended without a result."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison."""

    name: str
    job: str = ""
    """`module.function` below benchmarks.jobs."""
    args: Mapping[str, Any]
    peer: bool = True
    """False: the comparison fails without it."""
    share: float = 1.0
    """Share of the work that it does."""
    target: float | None = None
    """How many times faster ours should be."""
    needs: str | None = None
    """A package that it requires."""
    install: str = ""
    """The command that installs the package."""
    python: Path | None = None
    script: str | None = None
    """Interpreter and script of a package with a separate environment."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables of its processes."""
    sizes: tuple[int, ...] = ()
    """Batch sizes of which the best is determined before its first measured run."""
    after: Callable[[Report], Mapping[str, Any]] = lambda ours: {}
    """Further arguments, from the report of our first run."""
    remark: str = ""
    """A note for the table."""


@dataclass
class Outcome:
    """Every run of every side, in order, and why sides are missing."""

    runs: dict[str, list[Report]] = field(default_factory=dict)
    searches: dict[str, Report] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Bench:
    """Runs jobs by the settings and displays their progress.

    `runs`: a file that gets a line for every job that ends, so that an interruption loses none; it is begun anew.
    """

    def __init__(self, settings: BenchSettings, show: Display, runs: Path | None = None) -> None:
        self.settings, self.show, self.runs = settings, show, runs
        if runs is not None:
            runs.parent.mkdir(parents=True, exist_ok=True)
            runs.write_bytes(b"")
        self.about: Report = self.job("about.describe", {}, "machine and model")

    def job(self, job: str, args: Mapping[str, Any], title: str, side: Side | None = None) -> Report:
        """Run one job in a new process. Raises JobFailed with its last output."""
        s = self.settings
        context = {"model": s.model, "dtype": s.dtype, "device": s.device, "seed": s.seed}
        order = json.dumps({"job": job, "context": context, "args": args})
        command = [sys.executable, "-m", "benchmarks.worker"]
        if side is not None and side.python is not None and side.script is not None:
            command = [str(side.python), str(Path(__file__).parent / side.script)]
        paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with tempfile.TemporaryFile() as said:
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                env=os.environ | {"PYTHONPATH": paths} | dict(side.environment if side else {}),
            ) as process:
                try:
                    result, error = self._listen(process, order, title)
                except BaseException:
                    process.kill()
                    raise
            if result is not None:
                if self.runs is not None:
                    with self.runs.open("a", encoding="utf-8", newline="\n") as lines:
                        lines.write(json.dumps({"run": title, "job": job, "args": dict(args), "result": result}) + "\n")
                return result
            said.seek(0)
            last = said.read().decode("utf-8", "replace").strip().splitlines()[-12:]
        killed = f"ended by signal {-process.returncode}" if process.returncode < 0 else f"exit {process.returncode}"
        raise JobFailed(error or f"{title}: {killed}; it said last: " + " | ".join(last[-3:]))

    def _listen(self, process: subprocess.Popen[str], order: str, title: str) -> tuple[Report | None, str | None]:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the process ended before it read; its exit status says why
            process.stdin.write(order)
            process.stdin.close()
        result, error = None, None
        with contextlib.ExitStack() as tasks:
            advance = None
            for line in process.stdout:
                message = json.loads(line)
                if "task" in message:
                    tasks.close()
                    advance = tasks.enter_context(self.show.task(f"{title}: {message['task']}", message["total"]))
                elif "advance" in message and advance is not None:
                    advance(message["advance"])
                elif "note" in message:
                    self.show.note(message["note"])
                result, error = message.get("result", result), message.get("error", error)
        return result, error

    def compare(self, part: str, sides: Sequence[Side]) -> Outcome:
        """Run the sides in turns, `runs` times each. Ours comes first; a peer that fails is skipped from then on."""
        outcome = Outcome(runs={side.name: [] for side in sides})
        sides = [side for side in sides if self._can_run(side, outcome)]
        extra: dict[str, Report] = {}
        with self.show.task(part, self.settings.runs * len(sides)) as advance:
            for turn in range(self.settings.runs):
                for side in sides:
                    if side.name not in outcome.missing:
                        self._run(part, side, turn, outcome, extra)
                    advance(1)
        return outcome

    def _can_run(self, side: Side, outcome: Outcome) -> bool:
        chosen = self.settings.peers
        if side.peer and chosen and side.name not in chosen:
            del outcome.runs[side.name]
            return False
        present = side.python.exists() if side.python is not None else side.needs is None or find_spec(side.needs)
        if not present:
            outcome.missing[side.name] = f"not installed: {side.install}"
        return bool(present)

    def _run(self, part: str, side: Side, turn: int, outcome: Outcome, extra: dict[str, Report]) -> None:
        title = f"{part} {side.name}"
        try:
            if side.name not in extra:
                extra[side.name] = dict(side.after(outcome.runs[OURS][0])) if side.peer else {}
                if side.sizes:
                    search = {**side.args, **extra[side.name], "sizes": list(side.sizes)}
                    found = self.job(side.job, search, f"{title}: looking for the best batch", side)
                    outcome.searches[side.name] = found
                    extra[side.name]["size"] = found["best"]
            args = {**side.args, **extra[side.name]}
            label = f"{title} {turn + 1}/{self.settings.runs}"
            outcome.runs[side.name].append(self.job(side.job, args, label, side))
        except JobFailed as failure:
            if not side.peer:
                raise
            outcome.missing[side.name] = f"failed: {failure}"
