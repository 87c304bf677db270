"""Training: all adapters at once, against TRL one after the other, to equal loss."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.report import Part, add_sides
from benchmarks.runner import OURS, Bench, Report, Side

PAIRS, BATCH = 64, 8
TOLERANCE = 0.02
TUNED = "trl-tuned"
SAME_BATCHES = f"{OURS} in the batches of {TUNED}"
_INSTALL = "pip install -r requirements-bench.txt (Python 3.11 or newer)"


def measure(bench: Bench) -> Part:
    """Eight adapters, 64 question-answer pairs each, three epochs."""
    s = bench.settings
    pairs = whole_batches(s.scaled(PAIRS))
    only = max(1, round(s.adapters * s.peer_share))
    with tempfile.TemporaryDirectory() as scratch:
        sides = _sides(bench, pairs, only, Path(scratch))
        outcome = bench.compare("train", sides)
        folders = {name: str(Path(scratch) / name) for name, runs in outcome.runs.items() if runs}
        work = {"adapters": s.adapters, "pairs": pairs}
        if outcome.runs.get(TUNED):
            folders[SAME_BATCHES] = str(Path(scratch) / SAME_BATCHES)
            same = {"adapters": only, "pairs": pairs, "rank": s.rank, "orders": outcome.runs[TUNED][0]["orders"]}
            bench.job("train.ours", {**same, "folder": folders[SAME_BATCHES]}, f"train {SAME_BATCHES}")
        scored = bench.job("train.losses", {**work, "folders": folders}, "train")["losses"]
    part = Part(name="train", title=f"train: {s.adapters} adapters, {pairs} pairs each, 3 epochs, rank {s.rank}")
    part.figures = {"work": work, "losses": scored}
    add_sides(part, sides, outcome)
    _compare_losses(part, scored)
    _compare_work(part, outcome.runs)
    return part


def whole_batches(pairs: int) -> int:
    """`pairs` rounded to full batches: a last short one is filled up from the next epoch here, not by TRL."""
    return BATCH * max(1, round(pairs / BATCH))


def _sides(bench: Bench, pairs: int, only: int, scratch: Path) -> list[Side]:
    s, about = bench.settings, bench.about
    work = {"adapters": s.adapters, "pairs": pairs, "rank": s.rank}
    native, dtype = about["native_bfloat16"], about["dtype"]

    def peer(name: str, tuned: bool, bf16: bool, target: float, remark: str) -> Side:
        return Side(
            name=name,
            job="train.trl",
            args={**work, "only": only, "tuned": tuned, "bf16": bf16, "folder": str(scratch / name)},
            after=lambda ours: {"rates": ours["rates"]},
            share=only / s.adapters,
            target=target,
            needs="trl",
            install=_INSTALL,
            remark=remark,
        )

    defaults = "SFTConfig's defaults: gradient checkpointing, random order, a log every 10 steps, float32 weights"
    sides = [
        Side(name=OURS, peer=False, job="train.ours", args={**work, "folder": str(scratch / OURS)}),
        peer("trl-defaults", False, True, 4.0, f"{defaults}, bf16 autocast"),
    ]
    if not native:
        slow = "; this hardware has no native bfloat16, so the next row is the default without it"
        sides[-1] = peer("trl-defaults", False, True, 4.0, f"{defaults}, bf16 autocast{slow}")
        sides.append(peer("trl-defaults-float32", False, False, 4.0, f"{defaults}, bf16=False"))
    tuned = f"no checkpointing, batches of similar length, nothing logged or saved, {dtype} weights"
    bf16 = dtype == "bfloat16"
    sides.append(peer(TUNED, True, bf16, 2.0, tuned + (", bf16 autocast" if bf16 else "")))
    return sides


def _compare_losses(part: Part, scored: dict[str, list[float]]) -> None:
    """Each peer's mean final loss against ours on the same adapters, one scorer for both.

    The tuned side has its own batches, and is compared with ours in those batches.
    """
    ours = scored[OURS]
    part.notes.append(f"mean loss on its own pairs: base {mean(scored['base']):.3f}, ours {mean(ours):.3f}")
    part.figures["loss_difference"] = {}
    for name, theirs in scored.items():
        if name in ("base", OURS, SAME_BATCHES):
            continue
        same = scored[SAME_BATCHES] if name == TUNED else ours[: len(theirs)]
        difference = mean(theirs) / mean(same) - 1
        part.figures["loss_difference"][name] = difference
        equal = abs(difference) <= TOLERANCE
        over = f" over the first {len(theirs)} adapters" if len(theirs) < len(ours) else ""
        batches = " in the same batches" if name == TUNED else ""
        said = f"{name}: final loss {mean(theirs):.3f} against {mean(same):.3f}{batches}{over} ({difference:+.1%})"
        part.checks[f"{said}, within 2%"] = equal
        if name == TUNED:
            own = mean(ours[: len(theirs)])
            part.notes.append(f"{name}: {mean(theirs) / own - 1:+.1%} against ours in our own batches ({own:.3f})")


def _compare_work(part: Part, runs: dict[str, list[Report]]) -> None:
    """Every side took as many steps and was shown as many tokens, adapter by adapter."""
    ours = runs[OURS][0]
    for name, done in runs.items():
        if name == OURS or not done:
            continue
        steps, tokens = done[0]["steps"], done[0]["tokens_each"]
        same = set(steps) == {len(ours["rates"])} and tokens == ours["tokens_each"][: len(tokens)]
        part.checks[f"{name}: as many steps ({steps[0]} an adapter) on as many tokens as ours"] = same
