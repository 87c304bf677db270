"""The whole job: `sys2ft run` beside a plain script of transformers, peft and TRL on the same work, phase by phase."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.report import Part, gib, ratios
from benchmarks.runner import OURS, Bench, Outcome, Report, Side

NEWS, TOKENS = 25, 800
PHASES = ("generate", "train", "evaluate")
WANTED = 6.0
PLAIN = "plain"
# Of tokens sampled (each side draws its own random numbers), of training loss, of log-likelihoods (nats a token).
SAMPLED, LOSS, TOLERANCE, HALF_TOLERANCE = 0.1, 0.1, 1e-3, 0.05
SAME_GREEDY = 0.9
_SIZES = {"cpu": (4, 8, 16, 32, 64), "cuda": (32, 64, 128, 256)}


def measure(bench: Bench) -> Part:
    """25 news items, three protocols, 800 tokens for each, one adapter a protocol, closed book and in context.

    The plain script does what our run on the first `peer_share` of the news items did: it is compared with that run,
    and its time is also scaled, phase by phase, to our run on all of them.
    """
    s = bench.settings
    news = s.scaled(NEWS, least=2)
    few = max(2, round(news * s.peer_share))
    shared = OURS if few == news else f"{OURS}, {few} news items"
    with tempfile.TemporaryDirectory() as scratch:

        def ours(name: str, count: int) -> Side:
            args = {"news": count, "tokens": TOKENS, "folder": scratch}
            return Side(name=name, peer=False, job="job.ours", args=args)

        sides = [ours(OURS, news)] if few == news else [ours(OURS, news), ours(shared, few)]
        orders: dict[str, str] = {}
        if few < news:  # the plain script's work is not that of our first run
            args = sides[1].args
            orders["order"] = bench.job("job.ours", args, f"job {shared}: the work")["order"]
        sides.append(
            Side(
                name=PLAIN,
                job="job.plain",
                args=orders,
                after=lambda report: orders or {"order": report["order"]},
                sizes=_SIZES[bench.about["device"].partition(":")[0]],
                share=few / news,
                target=WANTED,
                needs="trl",
                install="pip install -r requirements-bench.txt (Python 3.11 or newer)",
            )
        )
        outcome = bench.compare("job", sides)
    return _part(outcome, news, few, shared)


def _part(outcome: Outcome, news: int, few: int, shared: str) -> Part:
    part = Part(
        name="job",
        title=f"job: {news} news items, 3 protocols of {TOKENS} tokens each, training, evaluation in both conditions",
        columns=("", "news items", "generate", "train", "evaluate", "rest", "seconds", "peak GiB"),
    )
    part.figures = {
        "work": {"news": news, "peer_news": few},
        "runs": outcome.runs,
        "searches": outcome.searches,
        "missing": outcome.missing,
    }
    for name, runs in outcome.runs.items():
        if runs:
            part.rows.append(_row(name, few if name in (PLAIN, shared) else news, runs))
    ours, theirs = outcome.runs[shared], outcome.runs.get(PLAIN, [])
    _describe(part, outcome.runs[OURS][0], "the work")
    if PLAIN in outcome.missing:
        part.notes.append(f"{PLAIN}: {outcome.missing[PLAIN]}")
    if not theirs:
        return part
    found = _faster(part, "faster", f"ours faster by, {few} news items", ours, theirs)
    part.checks[f"{PLAIN}: at least {WANTED:g} times, on the same {few} news items"] = found >= WANTED
    if few < news:
        _describe(part, ours[0], f"{PLAIN}'s work")
        scaled = [_scaled(run, ours[0]["work"], outcome.runs[OURS][0]["work"]) for run in theirs]
        part.rows.append(_row(f"{PLAIN}, scaled by tokens", news, scaled))
        found = _faster(part, "faster_scaled", f"ours faster by, {news} news items", outcome.runs[OURS], scaled)
        part.checks[f"{PLAIN}: at least {WANTED:g} times, scaled to {news} news items"] = found >= WANTED
    _check(part, ours[0], theirs[0])
    part.notes.append(_cpu(part, ours, theirs))
    part.notes += [
        "seconds by phase; peak: of the process in any phase. rest: opening the folder, summary and report.",
        f"{PLAIN}: generate, SFTTrainer with a peft LoRA, one adapter after the other, and one forward pass an option "
        "(options that differ in their last token share one); batches of like length.",
    ]
    search = outcome.searches.get(PLAIN)
    if search is not None:
        tried = ", ".join(f"{name}: {rate:.3g}" for name, rate in search["tried"].items())
        sizes = ", ".join(f"{name} {size}" for name, size in search["best"].items())
        part.notes.append(f"{PLAIN}: batches of {sizes} (rate by size {tried})")
    return part


def _phase(runs: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [run["seconds"] if name == "seconds" else run["phases"][name] for run in runs]


def _row(name: str, news: int, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Medians of the phases and of the whole."""
    spent = [f"{median(_phase(runs, phase)):,.1f}" for phase in (*PHASES, "rest", "seconds")]
    return (name, str(news), *spent, gib(median(run["peak_bytes"] for run in runs)))


def _faster(part: Part, key: str, title: str, ours: Sequence[Report], theirs: Sequence[Mapping[str, Any]]) -> float:
    """A row of ratios of neighbouring runs; the median of the whole is returned."""
    found = {name: ratios(_phase(ours, name), _phase(theirs, name)) for name in (*PHASES, "seconds")}
    part.figures[key] = found
    shown = {name: f"{one['median']:.2f}" for name, one in found.items()}
    whole = "{median:.2f} [{low:.2f}, {high:.2f}]".format(**found["seconds"])
    part.rows.append((title, "", *(shown[name] for name in PHASES), "", whole, ""))
    return found["seconds"]["median"]


def _cpu(part: Part, ours: Sequence[Report], theirs: Sequence[Report]) -> str:
    """CPU seconds of both sides on the same work, and their ratios."""
    found = {
        name: ratios([run["cpu"][name] for run in ours], [run["cpu"][name] for run in theirs])
        for name in (*PHASES, "seconds")
    }
    part.figures["faster_cpu"] = found
    own, other = (median(run["cpu"]["seconds"] for run in runs) for runs in (ours, theirs))
    phases = ", ".join(f"{name} {found[name]['median']:.2f}" for name in PHASES)
    return (
        f"CPU seconds of all threads: ours {own:,.0f}, {PLAIN} {other:,.0f}, ours faster by "
        "{median:.2f} [{low:.2f}, {high:.2f}]".format(**found["seconds"])
        + f" ({phases}). With OMP_NUM_THREADS=1 other load on the machine does not change these."
    )


def _scaled(run: Mapping[str, Any], done: Mapping[str, int], whole: Mapping[str, int]) -> dict[str, Any]:
    """A run of the plain script with every phase in proportion to its tokens."""
    phases = {name: run["phases"][name] * whole[name] / done[name] for name in PHASES} | {"rest": run["phases"]["rest"]}
    return {"phases": phases, "seconds": sum(phases.values()), "peak_bytes": run["peak_bytes"]}


def _describe(part: Part, run: Report, title: str) -> None:
    work = run["work"]
    part.notes.append(
        f"{title}: {work['samples']:,} samples of {work['sampled']:,} tokens, {work['judged']:,} texts judged; "
        f"{work['elements']:,} elements of {work['supervised']:,} supervised tokens, {work['steps']:,} steps, "
        f"{work['train']:,} tokens; {work['options']:,} options evaluated, {work['evaluate']:,} tokens"
    )


def _check(part: Part, ours: Report, theirs: Report) -> None:
    """The same amount of samples, the same steps, and the same answers of the same adapters."""
    work = ours["work"]
    more = theirs["sampled"] / work["sampled"] - 1
    part.checks[f"{PLAIN}: as many tokens sampled ({more:+.1%}), within {SAMPLED:.0%}"] = abs(more) <= SAMPLED
    if theirs["greedy"]:
        same = theirs["greedy_same"] / theirs["greedy"]
        part.checks[
            f"{PLAIN}: {same:.1%} of {theirs['greedy']:,} greedy replies are ours, at least {SAME_GREEDY:.0%}"
        ] = same >= SAME_GREEDY
    part.checks[f"{PLAIN}: as many steps ({work['steps']:,})"] = theirs["steps"] == work["steps"]
    part.checks[f"{PLAIN}: as many tokens trained ({work['train']:,})"] = theirs["trained"] == work["train"]
    losses = {name: theirs["loss"][name] / own - 1 for name, own in theirs["loss_ours"].items()}
    said = ", ".join(f"{name} {off:+.1%}" for name, off in losses.items())
    part.checks[f"{PLAIN}: mean training loss ({said}) within {LOSS:.0%}"] = max(map(abs, losses.values())) <= LOSS
    exact = ours["dtype"] == "float32"
    for name, found in theirs["difference"].items():
        off, wanted = (found["largest"], TOLERANCE) if exact else (found["mean"], HALF_TOLERANCE)
        part.checks[
            f"{PLAIN}: log-likelihoods ({name}) within {wanted:g} nats a token"
            f"{'' if exact else ' on average'} (largest difference {found['largest']:.1e})"
        ] = off <= wanted
