"""The share of the machine's matrix product rate that training reaches."""

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
    part = Part(
        name="gemm",
        title=f"gemm: training {s.adapters} adapters, {pairs} pairs each, rank {s.rank}, in {dtype}",
        columns=("", "TFLOP", "seconds", "GFLOP/s", "training's share of it", "wanted"),
    )
    spent, flop = median(run["seconds"] for run in runs), runs[0]["flop"]
    trained = median(run["flop"] / run["seconds"] for run in runs)
    part.rows.append((OURS, f"{flop / 1e12:,.2f}", f"{spent:,.1f}", f"{trained / 1e9:,.0f}", "–", "–"))
    for number in runs[0]["gemm"]:
        rate, best = (median(run[kind][number] for run in runs) for kind in ("gemm", "gemm_best"))
        shares = [run["share"][number] for run in runs]
        emulated = number == "bfloat16" and not bench.about["native_bfloat16"]
        share, name = median(shares), f"{number}, emulated" if emulated else number
        reached = "yes" if share >= WANTED else "no"
        between = f"{share:.2f} [{min(shares):.2f}, {max(shares):.2f}]"
        part.rows.append((f"matmul {name}", "–", "–", f"{rate / 1e9:,.0f}", between, f"{WANTED:g} {reached}"))
        part.rows.append((f"matmul {name}, best moment", "–", "–", f"{best / 1e9:,.0f}", "–", "–"))
        part.checks[f"at least {WANTED:.0%} of the {name} GEMM rate"] = share >= WANTED
        part.figures.setdefault("share", {})[number] = share
    part.notes += [
        "FLOP: 4 a body weight and token computed, 4 a head weight and prediction; low-rank terms not counted.",
        "matmul: square, the best of some sizes, run after every step of the training with the clock stopped.",
    ]
    part.figures |= {"work": {"adapters": s.adapters, "pairs": pairs}, "runs": {OURS: runs}}
    return part
