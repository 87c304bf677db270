"""Multiple choice: log-likelihoods of all choices, against one forward pass per option."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.report import Part, add_sides
from benchmarks.runner import OURS, Bench, Report, Side
from benchmarks.work import CHOICES, adapter_of, choices

QUESTIONS = 375
_SIZES = {"cpu": (4, 8, 16, 32, 64), "cuda": (32, 64, 128, 256)}
# Nats. In bfloat16 two orders of the same sums already differ by more than that: there it is nats a token, on average.
TOLERANCE, HALF_TOLERANCE = 1e-3, 0.05


def measure(bench: Bench) -> Part:
    """375 questions, four choices each, news in context, eight adapters."""
    s = bench.settings
    count = s.scaled(QUESTIONS, least=s.adapters)
    only = max(1, round(s.adapters * s.peer_share))
    with tempfile.TemporaryDirectory() as scratch:
        bench.job("choice.adapters", {"count": s.adapters, "rank": s.rank, "folder": scratch}, "choice")
        common = {"count": count, "adapters": s.adapters, "folder": scratch}
        options, kind = CHOICES * count, bench.about["device"].partition(":")[0]
        done = sum(slot < only for slot in adapter_of(choices(count), s.adapters))

        def peer(name: str, target: float | None, remark: str, **more: Any) -> Side:
            return Side(
                name=name,
                job="choice.per_option",
                args={**common, "only": only, **more},
                share=done / count,
                target=target,
                sizes=tuple(size for size in _SIZES[kind] if size <= options) or (options,),
                remark=remark,
            )

        sides = [
            Side(name=OURS, peer=False, job="choice.ours", args={**common, "rank": s.rank}),
            peer("per-option", 4.0, "one forward pass an option, batches of like length, logits at every position"),
            peer(
                "per-option-last",
                None,
                "the same with logits at the last positions only (logits_to_keep)",
                last_only=True,
            ),
        ]
        outcome = bench.compare("choice", sides)
    part = Part(
        name="choice",
        title=f"choice: {count} questions x {CHOICES} choices in context, {s.adapters} adapters of rank {s.rank}",
    )
    part.figures = {"work": {"questions": count, "adapters": s.adapters}}
    add_sides(part, sides, outcome)
    _compare(part, outcome.runs)
    ours = outcome.runs[OURS][0]
    part.notes.append(
        f"tokens/s counts every option with its whole prompt; ours read {ours['tokens_computed']:,} of "
        f"{ours['tokens']:,} tokens"
    )
    for runs in outcome.runs.values():
        for run in runs:
            run.pop("likelihoods")  # needed for the comparison only
    return part


def _compare(part: Part, runs: dict[str, list[Report]]) -> None:
    """The log-likelihoods of each peer against ours."""
    ours = runs[OURS][0]
    part.figures["difference"] = {}
    for name, done in runs.items():
        if name == OURS or not done:
            continue
        off = _differences(ours["likelihoods"], done[0]["likelihoods"])
        found = {"largest": max(off), "mean": mean(off), "options": len(off)}
        part.figures["difference"][name] = found
        if ours["dtype"] == "float32":
            said, holds = f"{TOLERANCE:g}", found["largest"] <= TOLERANCE
        else:
            a_token = found["mean"] * len(ours["likelihoods"]) / ours["continuation_tokens"]
            said, holds = f"{HALF_TOLERANCE:g} a token on average in {ours['dtype']}", a_token <= HALF_TOLERANCE
        what = (
            f"{name}: log-likelihoods of {len(off)} options within {said} (largest difference {found['largest']:.1e})"
        )
        part.checks[what] = holds


def _differences(ours: Sequence[float], theirs: Sequence[float | None]) -> list[float]:
    return [abs(a - b) for a, b in zip(ours, theirs, strict=True) if b is not None]
