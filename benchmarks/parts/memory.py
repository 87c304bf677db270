"""Memory of many adapters at once, against the base alone."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.report import Part, gib
from benchmarks.runner import Bench, Side

WANTED = 1.5
_BATCH = 8


def measure(bench: Bench) -> Part:
    """Peaks of the base, of one adapter and of many, with passes of equal size; activations are estimated separately.

    The adapters' state does not depend on the tokens of a pass, and activations are proportional to them. Training with
    passes of half as many tokens therefore saves half of the activations. Memory that remains after the training is
    subtracted first: libraries keep code and tables for the shapes they meet, which differ between passes.
    """
    s = bench.settings
    tokens = 1024 if s.scale == 1 else s.scaled(1024, least=256)
    many = {"adapters": s.many, "batch": _BATCH, "rank": s.rank}
    one = {"adapters": 1, "batch": _BATCH * s.many, "rank": s.rank}

    def trained(name: str, args: dict[str, Any]) -> Side:
        return Side(name=name, peer=False, job="memory.trained", args={"tokens_at_once": tokens, **args})

    sides = [
        Side(name="base", peer=False, job="memory.base", args={"tokens_at_once": tokens}),
        trained("1 adapter", one),
        trained(f"{s.many} adapters", many),
        trained(f"{s.many} adapters, offloaded", {**many, "offload": True}),
        trained(f"{s.many} adapters, half", {**many, "tokens_at_once": tokens // 2}),
    ]
    outcome = bench.compare("memory", sides)
    return _part(bench, outcome.runs, [side.name for side in sides], tokens)


def _part(bench: Bench, runs: dict[str, list[dict[str, Any]]], names: list[str], tokens: int) -> Part:
    base, one, many, offloaded, half = names
    peak = {name: median(run["peak_bytes"] for run in done) for name, done in runs.items()}
    spent = {name: median(run["seconds"] for run in done) for name, done in runs.items()}
    weights, state = runs[base][0]["base_bytes"], runs[many][0]["adapter_bytes"]
    kept = {name: median(run["kept_bytes"] for run in runs[name]) for name in (many, half)}
    activations = max(0.0, 2 * (peak[many] - kept[many] - (peak[half] - kept[half])))
    s = bench.settings
    part = Part(
        name="memory",
        title=f"memory: passes of {tokens} tokens, {_BATCH * s.many} pairs a step, rank {s.rank}",
        columns=("", "seconds", "peak GiB", "over base", "by arithmetic GiB", "wanted"),
    )
    arithmetic = {
        base: weights,
        one: weights + runs[one][0]["adapter_bytes"],
        many: weights + state,
        offloaded: weights + state // 3,
    }
    for name, least in arithmetic.items():
        cells = (gib(peak[name]), f"{peak[name] / peak[base]:.2f}", gib(least), "–")
        part.rows.append((name, f"{spent[name]:,.1f}", *cells))
    ratios = {}
    for name in (many, offloaded):
        without = peak[name] - activations
        ratios[name] = without / peak[base]
        reached = ratios[name] <= WANTED
        wanted = f"{WANTED:g} {'yes' if reached else 'no'}"
        part.rows.append((f"{name}, without activations", "–", gib(without), f"{ratios[name]:.2f}", "–", wanted))
        part.checks[f"{name}: at most {WANTED:g} times the base, activations aside"] = reached
        part.checks[f"{name}: all of them at once"] = all(run["at_once"] == s.many for run in runs[name])
    part.rows.append(("activations", "–", gib(activations), "–", "–", "–"))
    part.notes += [
        "peak: of the process (on CUDA: of torch's allocations), after loading.",
        "base: with one forward pass of as many tokens.",
        "by arithmetic: the base's weights, and for each adapter its weights and two moments in float32.",
        "offloaded: moments are stored off the device (--offload-moments), by arithmetic all of them.",
        "Gradients exist for the adapters of one pass only: they count with the activations.",
        f"activations: twice what passes of {tokens // 2} tokens save ({gib(peak[many])}, {gib(peak[half])} GiB)",
        f"over what is left when the training has ended ({gib(kept[many])}, {gib(kept[half])} GiB).",
    ]
    part.figures = {
        "work": {"adapters": s.many, "tokens_at_once": tokens, "rank": s.rank},
        "peak_bytes": peak,
        "kept_bytes": kept,
        "base_weight_bytes": weights,
        "adapter_state_bytes": state,
        "activation_bytes": activations,
        "seconds": spent,
        "ratios": ratios,
        "runs": runs,
    }
    return part
