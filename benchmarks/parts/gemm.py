"""The share of the machine's matrix rate that training reaches."""

from __future__ import annotations

from statistics import median

from benchmarks.parts.train import PAIRS, whole_batches
from benchmarks.report import Part
from benchmarks.runner import OURS, Bench, Side

WANTED = 0.45
_SECONDS = 2.0  # for each size of matrix, to find the best


def measure(bench: Bench) -> Part:
    """FLOP of the training by 4P a token and the head where needed, over seconds, over the matmul's rate meanwhile."""
    s = bench.settings
    pairs = whole_batches(s.scaled(PAIRS))
    args = {"adapters": s.adapters, "pairs": pairs, "rank": s.rank, "seconds": _SECONDS * min(1.0, 2 * s.scale)}
    runs = bench.compare("gemm", [Side(name=OURS, peer=False, job="gemm.ours", args=args)]).runs[OURS]
    dtype = runs[0]["dtype"]
    share = median(run["share"] for run in runs)
    part = Part(
        name="gemm",
        title=f"gemm: training {s.adapters} adapters, {pairs} pairs each, rank {s.rank}, in {dtype}",
        columns=("", "TFLOP", "seconds", "GFLOP/s", "share of matmul", "wanted"),
    )
    for number in runs[0]["gemm"]:
        rate, best = (median(run[kind][number] for run in runs) for kind in ("gemm", "gemm_best"))
        part.rows.append((f"matmul {number}", "–", "–", f"{rate / 1e9:,.0f}", "1", "–"))
        part.rows.append((f"matmul {number}, best moment", "–", "–", f"{best / 1e9:,.0f}", "–", "–"))
    spent, flop = median(run["seconds"] for run in runs), runs[0]["flop"]
    reached = "yes" if share >= WANTED else "no"
    rate = median(run["flop"] / run["seconds"] for run in runs)
    shares = f"{share:.2f} [{min(run['share'] for run in runs):.2f}, {max(run['share'] for run in runs):.2f}]"
    part.rows.append(
        (OURS, f"{flop / 1e12:,.2f}", f"{spent:,.1f}", f"{rate / 1e9:,.0f}", shares, f"{WANTED:g} {reached}")
    )
    part.checks[f"at least {WANTED:.0%} of the {dtype} GEMM rate"] = share >= WANTED
    part.notes += [
        "FLOP: 4 a body weight and token computed, 4 a head weight and prediction; low-rank terms not counted.",
        "matmul: square, the best of some sizes, run after every step of the training with the clock stopped; medians.",
    ]
    part.figures = {"work": {"adapters": s.adapters, "pairs": pairs}, "share": share, "runs": {OURS: runs}}
    return part
