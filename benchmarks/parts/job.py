"""The whole job: `sys2ft run` beside a plain script of transformers, peft and TRL on the same work, phase by phase."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.report import Part, gib, ratios
from benchmarks.runner import OURS, Bench, Outcome, Report, Side

NEWS, TOKENS = 25, 800
PHASES = ("generate", "train", "evaluate", "rest", "seconds")
COMPARED = ("generate", "train", "evaluate", "seconds")
WANTED = 6.0
PLAIN = "plain"
# Of tokens sampled (each side draws its own random numbers), of training loss, of log-likelihoods (nats a token).
SAMPLED, LOSS, TOLERANCE, HALF_TOLERANCE = 0.1, 0.1, 1e-3, 0.05
SAME_GREEDY = 0.9
_SIZES = {"cpu": (8, 16, 32, 64), "cuda": (32, 64, 128, 256)}


def measure(bench: Bench) -> Part:
    """25 news items, three protocols, 800 tokens for each, one adapter a protocol, closed book and in context."""
    s = bench.settings
    news = s.scaled(NEWS, least=2)
    with tempfile.TemporaryDirectory() as scratch:
        args = {"news": news, "tokens": TOKENS, "folder": scratch}
        sides = [
            Side(name=OURS, peer=False, job="job.ours", args=args),
            Side(
                name=PLAIN,
                job="job.plain",
                args={"share": s.peer_share},
                after=lambda report: {"order": report["order"]},
                sizes=_SIZES[bench.about["device"].partition(":")[0]],
                share=s.peer_share,
                target=WANTED,
                needs="trl",
                install="pip install -r requirements-bench.txt (Python 3.11 or newer)",
            ),
        ]
        outcome = bench.compare("job", sides)
    return _part(outcome, news, s.peer_share)


def _part(outcome: Outcome, news: int, share: float) -> Part:
    part = Part(
        name="job",
        title=f"job: {news} news items, 3 protocols of {TOKENS} tokens each, training, evaluation in both conditions",
        columns=("", "share", *PHASES[:-1], "seconds", "ours faster by", "wanted", "peak GiB"),
    )
    part.figures = {
        "work": {"news": news, "tokens": TOKENS, "share": share},
        "runs": outcome.runs,
        "searches": outcome.searches,
        "missing": outcome.missing,
    }
    ours, theirs = outcome.runs[OURS], outcome.runs.get(PLAIN, [])
    work = ours[0]["work"]
    own, cpu = [_spent(run, "phases") for run in ours], [_spent(run, "cpu") for run in ours]
    part.rows += [_row(OURS, "1", own, ours, "–", "–"), _row(f"{OURS}, CPU", "1", cpu, ours, "–", "–")]
    part.notes.append(_described(work))
    part.notes.append("ours by task, seconds: " + _tasks(ours[0]))
    if PLAIN in outcome.missing:
        part.notes.append(f"{PLAIN}: {outcome.missing[PLAIN]}")
    if not theirs:
        return part
    for what, mine in (("phases", own), ("cpu", cpu)):
        spent = [_spent(run, what, work) for run in theirs]
        found = {name: ratios([run[name] for run in mine], [run[name] for run in spent]) for name in COMPARED}
        part.figures["faster" if what == "phases" else "faster_cpu"] = found
        whole, title = found["seconds"], PLAIN if what == "phases" else f"{PLAIN}, CPU"
        reached = whole["median"] >= WANTED
        between = "{median:.2f} [{low:.2f}, {high:.2f}]".format(**whole)
        wanted = f"{WANTED:g} {'yes' if reached else 'no'}" if what == "phases" else "–"
        part.rows.append(_row(title, f"{share:.3g}", spent, theirs, between, wanted))
        shown = [f"{found[name]['median']:.2f}" for name in COMPARED[:-1]]
        part.rows.append(("  ours faster by", "", *shown, *("",) * 5))
        if what == "phases":
            part.checks[f"{PLAIN}: at least {WANTED:g} times"] = reached
    _check(part, ours[0], theirs[0], share)
    part.notes += [
        "rest: opening the folder, summary and report. CPU: seconds of all threads; with OMP_NUM_THREADS=1 they are "
        "those of an idle machine.",
        f"{PLAIN}: generate, SFTTrainer with a peft LoRA, one adapter after the other, and one forward pass an option "
        "(options that differ in their last token share one); batches of like length.",
    ]
    if share < 1:
        part.notes.append(
            f"{PLAIN} did {_described(theirs[0]['work'])}. These are whole batches from all over the work; the time of "
            "generation, judging, training and evaluation is each scaled to the whole by its tokens."
        )
    search = outcome.searches.get(PLAIN)
    if search is not None:
        tried = ", ".join(f"{name}: {rate:.3g}" for name, rate in search["tried"].items())
        sizes = ", ".join(f"{name} {size}" for name, size in search["best"].items())
        part.notes.append(f"{PLAIN}: batches of {sizes} (rate by size {tried})")
    return part


def _spent(run: Report, what: str, whole: Mapping[str, int] | None = None) -> dict[str, float]:
    """Seconds (`phases`) or CPU seconds (`cpu`) of the phases and in all; each scaled to `whole` by its tokens."""
    done = run["work"]
    by = {
        name: whole[name] / max(1, done[name]) if whole else 1.0 for name in ("generate", "judge", "train", "evaluate")
    }
    found = {name: run[what].get(name, 0.0) * factor for name, factor in by.items()}
    found["generate"] += found.pop("judge")
    found["rest"] = run[what]["rest"]
    return found | {"seconds": sum(found.values())}


def _row(
    name: str, share: str, spent: Sequence[Mapping[str, float]], runs: Sequence[Report], ratio: str, wanted: str
) -> tuple[str, ...]:
    """Medians of the phases and of the whole."""
    cells = [f"{median(run[phase] for run in spent):,.1f}" for phase in PHASES]
    return (name, share, *cells, ratio, wanted, gib(median(run["peak_bytes"] for run in runs)))


def _described(work: Mapping[str, int]) -> str:
    return (
        f"{work['samples']:,} samples of {work['sampled']:,} tokens, {work['judged']:,} texts judged; "
        f"{work['elements']:,} elements of {work['supervised']:,} supervised tokens, {work['steps']:,} steps on "
        f"{work['train']:,} tokens; {work['options']:,} options of {work['evaluate']:,} tokens"
    )


def _tasks(run: Report) -> str:
    return ", ".join(f"{name.strip()} {seconds:,.1f}" for name, seconds in run["tasks"].items())


def _check(part: Part, ours: Report, theirs: Report, share: float) -> None:
    """The same amount of samples, the same steps, and the same answers of the same adapters."""
    work, checks = theirs["work"], part.checks
    more = theirs["sampled"] / work["sampled"] - 1
    checks[f"{PLAIN}: as many tokens sampled ({more:+.1%}), within {SAMPLED:.0%}"] = abs(more) <= SAMPLED
    if theirs["greedy"]:
        same = theirs["greedy_same"] / theirs["greedy"]
        said = f"{PLAIN}: {same:.1%} of {theirs['greedy']:,} greedy replies are ours, at least {SAME_GREEDY:.0%}"
        checks[said] = same >= SAME_GREEDY
    checks[f"{PLAIN}: as many steps ({work['steps']:,})"] = theirs["steps"] == work["steps"]
    checks[f"{PLAIN}: as many tokens trained ({work['train']:,})"] = theirs["trained"] == work["train"]
    losses = {name: theirs["loss"][name] / own - 1 for name, own in theirs["loss_ours"].items()}
    said = ", ".join(f"{name} {off:+.1%}" for name, off in losses.items())
    if share == 1:
        checks[f"{PLAIN}: mean training loss ({said}) within {LOSS:.0%}"] = max(map(abs, losses.values())) <= LOSS
    exact = ours["dtype"] == "float32"
    for name, found in theirs["difference"].items():
        off, wanted = (found["largest"], TOLERANCE) if exact else (found["mean"], HALF_TOLERANCE)
        kind = "" if exact else " on average"
        said = f"log-likelihoods ({name}) within {wanted:g} nats a token{kind} (largest difference"
        checks[f"{PLAIN}: {said} {found['largest']:.1e})"] = off <= wanted
