"""What each CPU optimisation gives: the same work with one of them off at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.jobs.tricks import ALL, PLAIN, PLAN
from benchmarks.report import Part, gib
from benchmarks.runner import OURS, Bench, Side

COMPLETIONS, QUESTIONS = 64, 8
_WORKS = ("train", "score", "decode")
# What a process decides before its first pass is switched off by its environment, so it needs a separate process.
_ENVIRONMENTS = {
    "allocator": {"GLIBC_TUNABLES": ""},
    "kernels": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"},
    "SYS2FT_PLAIN=1": {"SYS2FT_PLAIN": "1"},
}


def measure(bench: Bench) -> Part:
    """Time per token without each optimisation, relative to that with all of them."""
    s = bench.settings
    args = {
        "adapters": s.adapters,
        "rank": s.rank,
        "rounds": 1,
        "completions": s.scaled(COMPLETIONS),
        "questions": s.scaled(QUESTIONS),
    }
    ours = Side(name=OURS, peer=False, job="tricks.measure", args=args)
    sides = [
        Side(name=name, job="tricks.measure", args=args, environment=environment)
        for name, environment in _ENVIRONMENTS.items()
    ]
    names = [name for name in (*PLAN, PLAIN) if not s.peers or name in s.peers]
    in_turns = bench.job("tricks.measure", {**args, "rounds": s.runs, "without": names}, "tricks in turns")
    chosen = [side for side in sides if not s.peers or side.name in s.peers]
    runs = bench.compare("tricks", [ours, *chosen]).runs if chosen else {}
    part = Part(
        name="tricks",
        title=f"tricks: time without one over time with all (CPU time in brackets), {in_turns['dtype']}",
        columns=("without", *_WORKS, "peak GiB"),
    )
    found = in_turns["per_token"]
    for name, own in found.items():
        if name != ALL:
            part.rows.append((name, *(_ratio(own[kind], found[ALL][kind]) for kind in _WORKS), "–"))
    with_all = {kind: _of(runs.get(OURS, []), kind) for kind in _WORKS}
    for name in runs:
        ratios = [_ratio(_of(runs[name], kind), with_all[kind]) for kind in _WORKS]
        peak = gib(median(run["peak_bytes"] for run in runs[name]))
        part.rows.append(("(with all)" if name == OURS else name, *ratios, peak))
    part.notes += [
        "Medians. Rows without a peak: in turns in one process; the others: a process for each run.",
        f"train: gradients of {s.adapters} adapters, 8 pairs each; score: choices with news in context.",
        "On a machine with other load, CPU time with OMP_NUM_THREADS=1 is more precise.",
    ]
    part.figures = {"in_turns": in_turns, "runs": runs}
    return part


def _of(runs: Sequence[Mapping[str, Any]], kind: str) -> list[list[float]]:
    return [spent for run in runs for spent in run["per_token"][ALL][kind]]


def _ratio(without: Sequence[Sequence[float]], with_all: Sequence[Sequence[float]]) -> str:
    """Of seconds, and in brackets of CPU seconds."""
    seconds, cpu = (
        median(one[clock] / other[clock] for one, other in zip(without, with_all, strict=True)) for clock in (0, 1)
    )
    return f"{seconds:.2f} ({cpu:.2f})"
