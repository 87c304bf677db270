"""The work of a run as an order for the plain script: recorded, rendered as JSON data, counted, and sampled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from sys2ft import engine, training
from sys2ft.engine import Example
from sys2ft.evaluation import scorings, statements
from sys2ft.generators import EngineGenerator
from sys2ft.job import stage_train, stages
from sys2ft.models import LoadedModel
from sys2ft.runs import item_seed


@dataclass
class Recording:
    """What a run asked of its model: kept as it is, and rendered when the run is over."""

    written: list[tuple[Any, ...]] = field(default_factory=list)
    trained: list[tuple[Any, ...]] = field(default_factory=list)
    answered: list[tuple[str, list[Example], list[float]]] = field(default_factory=list)
    """By subject: its options, and our log-likelihoods."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block in which everything is recorded."""
        generate, loglik = EngineGenerator.generate, EngineGenerator.loglik
        answers, train, score = stages.answers, training.train, engine.score

        def generating(self_: EngineGenerator, requests: Any, sampling: Any, **more: Any) -> Any:
            made = generate(self_, requests, sampling, **more)
            self.written.append((requests, sampling, made))
            return made

        def judging(self_: EngineGenerator, pairs: Any) -> Any:
            made = loglik(self_, pairs)
            if pairs:
                self.written.append((pairs, None, made))
            return made

        def learning(model: Any, jobs: Any, **more: Any) -> Any:
            done = train(model, jobs, **more)
            self.trained += [(one.job, one.examples, one.curve) for one in done.adapters]
            return done

        def asking(folder: Any, model: Any, who: Any, *more: Any) -> Any:
            if not self.answered or self.answered[-1][0] != who.name:
                self.answered.append((who.name, [], []))
            return answers(folder, model, who, *more)

        def scoring(model: Any, examples: Sequence[Example], bank: Any = None) -> Any:
            done = score(model, examples, bank)
            self.answered[-1][1].extend(examples)
            self.answered[-1][2].extend(one.total for one in done.likelihoods)
            return done

        with (
            mock.patch.object(EngineGenerator, "generate", generating),
            mock.patch.object(EngineGenerator, "loglik", judging),
            mock.patch.object(stage_train, "train", learning),
            mock.patch.object(stages, "answers", asking),
            mock.patch.object(scorings, "score", scoring),
            mock.patch.object(statements, "score", scoring),
        ):
            yield

    def order(self, model: LoadedModel, adapters: Path) -> dict[str, Any]:
        """The work as `plain_job` takes it, with our results."""
        folders = {job.group: str(adapters / job.key) for job, *_ in self.trained}
        return {
            "generate": [_call(model, *one) for one in self.written],
            "train": {one[0].group: _adapter(*one) for one in self.trained},
            "evaluate": [
                {
                    "adapter": folders.get(subject),  # None: the base, or a protocol without an element
                    "options": [_option(one) for one in examples],
                    "likelihoods": totals,
                }
                for subject, examples, totals in self.answered
            ],
        }


def _call(model: LoadedModel, asked: Sequence[Any], sampling: Any, made: Any) -> dict[str, Any]:
    chat = model.chat
    prompts = [chat.prompt_ids(one.messages) for one in asked]
    if sampling is None:
        texts = [chat.continuation_ids(one.text) for one in asked]
        options = [[[*prompt, *text], len(text)] for prompt, text in zip(prompts, texts, strict=True)]
        return {"options": options, "likelihoods": [one.total for one in made.values]}
    return {
        "prompts": prompts,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_new_tokens": sampling.max_new_tokens,
        "stops": list(sampling.stops),
        "stop_ids": sorted(chat.stop_ids),
        "texts": [one.text for one in made.replies],
        "tokens": [one.tokens + one.finished for one in made.replies],
    }


def _adapter(job: Any, examples: Sequence[Example], curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    how = job.settings
    names = ("rank", "alpha", "learning_rate", "epochs", "batch_size", "weight_decay", "max_grad_norm", "strength")
    return {
        "examples": [
            {
                "input_ids": list(one.ids),
                "labels": [i if on else -100 for i, on in zip(one.ids, one.loss_mask, strict=True)],
            }
            for one in examples
        ],
        **{name: getattr(how, name) for name in names},
        "seed": item_seed(job.seed, "peer", job.key) % 2**31,
        "rates": [row["lr"] for row in curve],
        "loss": sum(row["loss"] for row in curve) / len(curve),
    }


def _option(example: Example) -> list[Any]:
    return [list(example.ids), sum(example.loss_mask)]


def work_of(order: Mapping[str, Any]) -> dict[str, int]:
    """Counts of an order: samples and their tokens, options; and tokens by phase, every prompt counted each time."""
    writes = [call for call in order["generate"] if "prompts" in call]
    judged = [option for call in order["generate"] if "options" in call for option in call["options"]]
    asked = [option for one in order["evaluate"] for option in one["options"]]
    jobs = order["train"].values()
    sampled = sum(sum(call["tokens"]) for call in writes)
    return {
        "samples": sum(len(call["prompts"]) for call in writes),
        "sampled": sampled,
        "judged": len(judged),
        "options": len(asked),
        "elements": sum(len(job["examples"]) for job in jobs),
        "supervised": sum(label >= 0 for job in jobs for one in job["examples"] for label in one["labels"]),
        "steps": sum(_steps(job) for job in jobs),
        "generate": sum(len(ids) for call in writes for ids in call["prompts"]) + sampled,
        "judge": sum(len(option[0]) for option in judged),
        "train": sum(round(sum(len(one["input_ids"]) for one in job["examples"]) * job["epochs"]) for job in jobs),
        "evaluate": sum(len(option[0]) for option in asked),
    }


def _steps(job: Mapping[str, Any]) -> int:
    an_epoch = math.ceil(len(job["examples"]) / int(job["batch_size"]))
    return an_epoch * round(float(job["epochs"]))


class _Sample:
    """Takes a share of the batches that are offered, evenly spread over all of them."""

    def __init__(self, share: float) -> None:
        self.share, self.due = share, 0.5

    def take(self) -> bool:
        self.due += self.share
        taken = self.due >= 1
        self.due -= taken
        return taken

    def places(self, lengths: Sequence[int], size: int) -> list[int]:
        """Of items of these lengths, those in the batches taken, in their order."""
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return sorted(i for batch in batches if self.take() for i in batch)


def sampled(order: Mapping[str, Any], share: float, size: Mapping[str, int]) -> dict[str, Any]:
    """A share of the order: whole batches of like length of each call, and whole batches of each adapter's elements."""
    if share == 1:
        return dict(order)
    calls, judged, asked = _Sample(share), _Sample(share), _Sample(share)
    generate = []
    for call in order["generate"]:
        if "prompts" in call:
            places = calls.places([len(ids) for ids in call["prompts"]], size["generate"])
            own = {name: [call[name][i] for i in places] for name in ("prompts", "texts", "tokens")}
            generate.append({**call, **own})
        else:
            generate.append(_options(call, judged, size["score"]))
    return {
        "generate": [call for call in generate if call.get("prompts") or call.get("options")],
        "train": {name: {**job, "examples": _elements(job, share)} for name, job in order["train"].items()},
        "evaluate": [_options(one, asked, size["score"]) for one in order["evaluate"]],
    }


def _options(call: Mapping[str, Any], sample: _Sample, size: int) -> dict[str, Any]:
    """The options in the batches taken; those that differ in their last token only stay together."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, (ids, _) in enumerate(call["options"]):
        alike.setdefault(tuple(ids[:-1]), []).append(place)
    groups = list(alike)
    places = [place for i in sample.places([len(ids) for ids in groups], size) for place in alike[groups[i]]]
    return {**call, **{name: [call[name][i] for i in places] for name in ("options", "likelihoods")}}


def _elements(job: Mapping[str, Any], share: float) -> list[Any]:
    """Elements of all lengths, as many as fill a share of the steps of an epoch; at least one step."""
    steps = max(1, round(len(job["examples"]) / job["batch_size"] * share))
    count = min(len(job["examples"]), steps * job["batch_size"])
    ordered = sorted(job["examples"], key=lambda one: len(one["input_ids"]))
    return [ordered[i * len(ordered) // count] for i in range(count)]
