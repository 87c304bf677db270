"""What each CPU optimisation gives: the same work with one of them off at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.jobs.tricks import ALL
from benchmarks.report import Part, gib
from benchmarks.runner import OURS, Bench, Side

ROUNDS, ROUNDS_OF_A_PROCESS, COMPLETIONS, QUESTIONS = 4, 2, 64, 8
_WORKS = ("train", "score", "decode")
# What a process decides before its first pass is switched off by the environment, in a process of its own.
_ENVIRONMENTS = {
    "allocator": {"GLIBC_TUNABLES": ""},
    "kernels": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"},
    "SYS2FT_PLAIN=1": {"SYS2FT_PLAIN": "1"},
}


def measure(bench: Bench) -> Part:
    """Seconds per token without each optimisation, over those with all of them."""
    s = bench.settings
    args = {
        "rank": s.rank,
        "rounds": ROUNDS_OF_A_PROCESS,
        "completions": s.scaled(COMPLETIONS),
        "questions": s.scaled(QUESTIONS),
    }
    sides = [Side(name=OURS, peer=False, job="tricks.measure", args={**args, "each": False})]
    sides += [
        Side(name=name, peer=False, job="tricks.measure", args={**args, "each": False}, environment=environment)
        for name, environment in _ENVIRONMENTS.items()
    ]
    in_turns = bench.job("tricks.measure", {**args, "rounds": ROUNDS, "each": True}, "tricks in turns")
    runs = bench.compare("tricks", sides).runs
    part = Part(
        name="tricks",
        title=f"tricks: time without one of them over time with all, in {in_turns['dtype']}, median (of the minima)",
        columns=("without", *_WORKS, "peak GiB"),
    )
    found = in_turns["per_token"]
    for name, own in found.items():
        if name != ALL:
            part.rows.append((name, *(_ratio(own[kind], found[ALL][kind]) for kind in _WORKS), "–"))
    with_all = {kind: _of(runs[OURS], kind) for kind in _WORKS}
    for name in (OURS, *_ENVIRONMENTS):
        ratios = [_ratio(_of(runs[name], kind), with_all[kind]) for kind in _WORKS]
        peak = gib(median(run["peak_bytes"] for run in runs[name]))
        part.rows.append(("(with all)" if name == OURS else name, *ratios, peak))
    part.notes += [
        "Rows without a peak: in turns in one process; the others: a process for each run.",
        "train: gradients of 4 adapters, 8 pairs each; score: choices with news in context; decode: 40 new tokens.",
    ]
    part.figures = {"in_turns": in_turns, "runs": runs}
    return part


def _of(runs: Sequence[Mapping[str, Any]], kind: str) -> list[float]:
    return [seconds for run in runs for seconds in run["per_token"][ALL][kind]]


def _ratio(without: Sequence[float], with_all: Sequence[float]) -> str:
    paired = median(one / other for one, other in zip(without, with_all, strict=True))
    return f"{paired:.2f} ({min(without) / min(with_all):.2f})"
