"""The whole of `sys2ft run`, its phases timed and its work recorded; and the plain script on that work."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.clock import Clock
from benchmarks.context import Context
from benchmarks.jobs import plain_job
from benchmarks.jobs.decode import fastest
from benchmarks.jobs.job_order import Recording, sampled, work_of
from sys2ft.generators import EngineGenerator, Pair, Request, SamplingParams
from sys2ft.job import run
from sys2ft.job.demo import DEMO_EVALUATE, DEMO_GENERATE, DEMO_NEWS, DEMO_TRAIN
from sys2ft.models import LoadedModel, Message
from sys2ft.news import bundled_news
from sys2ft.runs import Display, write_json
from sys2ft.runs.progress import Advance

PROTOCOLS = ("naive", "paraphrase", "self_qa")
STAGES = ("generate", "train", "evaluate")
PHASES = ("generate", "judge", "train", "evaluate")
"""Of the plain script; a run's own stage `generate` includes judging what was written."""
_SAMPLE = 64  # prompts and options with which batch sizes are compared


class Phases:
    """Seconds, CPU seconds of all threads and peak memory of the whole and of each phase.

    `tasks` are the seconds of each task that was displayed.
    """

    def __init__(self, context: Context) -> None:
        self.clock, self.cpu = context.clock, dict.fromkeys((*PHASES, "seconds"), 0.0)
        self.clocks = {name: Clock(context.clock.device) for name in PHASES}
        self.tasks: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        before = time.process_time()
        with self.clocks[name].running():
            yield
        self.cpu[name] += time.process_time() - before

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The block with all phases."""
        before = time.process_time()
        with self.clock.running():
            yield
        self.cpu["seconds"] += time.process_time() - before
        self.clock.peak_bytes = max(self.clock.peak_bytes, *(clock.peak_bytes for clock in self.clocks.values()))

    def result(self) -> dict[str, Any]:
        """Of each phase, and what is left of the whole as `rest`."""
        seconds = {name: clock.seconds for name, clock in self.clocks.items()}
        return {
            "phases": seconds | {"rest": self.clock.seconds - sum(seconds.values())},
            "cpu": self.cpu | {"rest": self.cpu["seconds"] - sum(self.cpu[name] for name in PHASES)},
            "peaks": {name: clock.peak_bytes for name, clock in self.clocks.items()},
            "tasks": self.tasks,
        }


class _Watched(Display):
    """Measures the stages of a run, and hands on its tasks."""

    def __init__(self, show: Display, phases: Phases) -> None:
        self.show, self.phases = show, phases

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        begun = time.perf_counter()
        with self.show.task(name, total, passing=passing) as advance:
            yield advance
        spent = time.perf_counter() - begun
        self.phases.tasks[name] = self.phases.tasks.get(name, 0.0) + spent

    @contextmanager
    def stage(self, number: int, of: int) -> Iterator[None]:
        with self.phases(STAGES[number - 1]):
            yield


def ours(context: Context, *, news: int, tokens: int, folder: str) -> dict[str, Any]:
    """`sys2ft run` on the first `news` news items of the demo, `tokens` per news item and protocol, in a new folder.

    The report's `order` is the file with the work, for `plain`.
    """
    model, out = context.load(), Path(tempfile.mkdtemp(dir=folder))
    generate = replace(DEMO_GENERATE, protocols=PROTOCOLS, mix=(), tokens_per_news=tokens)
    phases, recording = Phases(context), Recording()
    _warm(model)
    items = bundled_news(DEMO_NEWS)[:news]
    with recording.running(), phases.whole():
        run(
            items,
            model=model,
            out=out / "run",
            generate=generate,
            train=DEMO_TRAIN,
            evaluate=DEMO_EVALUATE,
            seed=context.seed,
            show=_Watched(context.show, phases),
        )
    order = recording.order(model, out / "run" / "adapters")
    write_json(out / "order.json", order)
    return context.result(order=str(out / "order.json"), work=work_of(order), **phases.result())


def _warm(model: LoadedModel) -> None:
    writer, asked = EngineGenerator(model), (Message("user", "Say a word."),)
    writer.generate([Request(messages=asked, seed=0)] * 2, SamplingParams(max_new_tokens=4))
    writer.loglik([Pair(messages=asked, text="word")] * 2)


def plain(
    context: Context,
    *,
    order: str,
    share: float = 1.0,
    size: Mapping[str, int] | None = None,
    sizes: Sequence[int] = (),
) -> dict[str, Any]:
    """`plain_job.run` on a share of the work of our run; with `sizes`, determines the fastest batches of it instead."""
    model = context.load()
    work = json.loads(Path(order).read_text(encoding="utf-8"))
    plain_job.score(model.model, work["evaluate"][0]["options"][:2], 2)
    if sizes:
        return context.result(**_fastest(model, work, sizes))
    assert size is not None
    work, phases = sampled(work, share, size), Phases(context)
    with tempfile.TemporaryDirectory() as scratch, phases.whole():
        made = plain_job.run(work, model.model, model.tokenizer, size, Path(scratch), phases)
    return context.result(size=size, work=work_of(work), **_compared(model, work, made), **phases.result())


def _fastest(model: LoadedModel, work: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """The batch size with the highest rate of `generate`, on prompts of the largest call, and of scoring."""
    call = max((one for one in work["generate"] if "prompts" in one), key=lambda one: len(one["prompts"]))
    options = [option for one in work["evaluate"] for option in one["options"] if one["adapter"] is None]

    def writing(size: int) -> int:
        count = max(size, _SAMPLE)
        asked = _spread(call["prompts"], count)
        plain_job.write(model.model, model.tokenizer, {**call, "prompts": asked}, size)
        return len(asked)

    def scoring(size: int) -> int:
        asked = _spread(options, max(size, 2 * _SAMPLE))
        plain_job.score(model.model, asked, size)
        return len(asked)

    found = {"generate": fastest(sizes, writing), "score": fastest(sizes, scoring)}
    return {
        "best": {name: one["best"] for name, one in found.items()},
        "tried": {f"{name} {size}": rate for name, one in found.items() for size, rate in one["tried"].items()},
    }


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, neighbours kept together: every so many blocks of four."""
    blocks = [items[start : start + 4] for start in range(0, len(items), 4)]
    step = max(1, len(blocks) * 4 // max(1, count))
    return [one for block in blocks[::step] for one in block][:count]


def _compared(model: LoadedModel, work: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """What the plain script made, against our results."""
    written, greedy, same = 0, 0, 0
    off: dict[str, list[float]] = {"judged": [], "evaluate": []}
    for call, found in zip(work["generate"], made["generate"], strict=True):
        if "prompts" not in call:
            off["judged"] += _off(call, found)
            continue
        written += sum(map(len, found))
        if call["temperature"] == 0:
            texts = [model.tokenizer.decode([i for i in ids if i not in call["stop_ids"]]) for ids in found]
            greedy += len(texts)
            same += sum(_cut(a, call) == _cut(b, call) for a, b in zip(texts, call["texts"], strict=True))
    for one, found in zip(work["evaluate"], made["evaluate"], strict=True):
        off["evaluate"] += _off(one, found)
    return {
        "sampled": written,
        "greedy": greedy,
        "greedy_same": same,
        "difference": {
            name: {"mean": sum(d) / max(1, len(d)), "largest": max(d, default=0.0)} for name, d in off.items()
        },
        "steps": sum(one["steps"] for one in made["train"].values()),
        "trained": sum(one["tokens"] for one in made["train"].values()),
        "loss": {name: one["loss"] for name, one in made["train"].items()},
        "loss_ours": {name: one["loss"] for name, one in work["train"].items()},
    }


def _off(ours_: Mapping[str, Any], theirs: Sequence[float]) -> list[float]:
    """Differences of log-likelihoods, in nats a token."""
    return [
        abs(a - b) / supervised
        for a, b, (_, supervised) in zip(ours_["likelihoods"], theirs, ours_["options"], strict=True)
    ]


def _cut(text: str, call: Mapping[str, Any]) -> str:
    """A reply up to its first stop."""
    text = text.strip()
    for stop in call["stops"]:
        text = text.partition(stop)[0]
    return text.strip()
