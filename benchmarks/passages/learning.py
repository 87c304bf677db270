"""Units of work: train an adapter for each of some passages, and ask the learner questions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.passages.passages import Element
from sys2ft.engine import Bank, flops
from sys2ft.generators import EngineGenerator, Request, SamplingParams
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import Display, item_seed
from sys2ft.training import AdapterJob, TrainItem, TrainSettings, messages_of, train


@dataclass(frozen=True, slots=True)
class Learner:
    """What units compute with: the model in the form that it reads, and where progress is shown."""

    model: LoadedModel
    show: Display


def learn(
    learner: Learner,
    *,
    label: str,
    prompts: Mapping[str, Sequence[str]],
    elements: Mapping[str, Sequence[Element]],
    training: Mapping[str, Any],
    equal_tokens: int,
    max_new_tokens: int,
    whole_answer: bool,
    seed: int,
) -> dict[str, Any]:
    """What the learner says to the prompts of each passage, after training an adapter on the passage's elements.

    The result has `said` (passage -> answers), `tokens_trained`, `flop` of training, `seconds`, and `ended`: adapters
    whose training diverged.
    """
    begun = time.perf_counter()
    jobs = jobs_of(learner.model, elements, training, equal_tokens, seed)
    trained = train(learner.model, jobs, show=learner.show, label=label)
    try:
        said = _answers(learner, label, prompts, trained.slots, trained.bank, max_new_tokens, whole_answer)
    finally:
        trained.bank.close()
    totals = trained.totals
    return {
        "said": said,
        "tokens_trained": totals["tokens_trained"],
        "flop": totals["flop"],
        "seconds": round(time.perf_counter() - begun, 3),
        "ended": totals["ended"],
    }


def ask(
    learner: Learner,
    *,
    label: str,
    prompts: Mapping[str, Sequence[str]],
    max_new_tokens: int,
    whole_answer: bool,
) -> dict[str, Any]:
    """What the base says to the prompts of each passage, in the form of `learn`'s result."""
    begun = time.perf_counter()
    said = _answers(learner, label, prompts, {}, None, max_new_tokens, whole_answer)
    seconds = round(time.perf_counter() - begun, 3)
    return {"said": said, "tokens_trained": 0, "flop": 0.0, "seconds": seconds, "ended": {}}


def jobs_of(
    model: LoadedModel,
    elements: Mapping[str, Sequence[Element]],
    training: Mapping[str, Any],
    equal_tokens: int,
    seed: int,
) -> list[AdapterJob]:
    """One job per passage. With `equal_tokens`, each has the number of epochs that comes closest to these tokens."""
    jobs = []
    for name, own in elements.items():
        items = tuple(TrainItem(adapter=name, prompt=one["prompt"], completion=one["completion"]) for one in own)
        settings = TrainSettings(adapters="per-news", strength=1.0, **training)
        if equal_tokens:
            settings = replace(settings, epochs=equal_tokens / size_of(model, items)[0])
        jobs.append(AdapterJob(name=name, items=items, settings=settings, seed=seed))
    return jobs


def size_of(model: LoadedModel, items: Sequence[TrainItem]) -> tuple[int, int]:
    """Tokens of an epoch, and how many of them are predicted."""
    rendered = [model.chat.render(messages_of(item), item.completion) for item in items]
    return sum(len(one.ids) for one in rendered), sum(sum(one.loss_mask) for one in rendered)


def training_cost(model: LoadedModel, jobs: Sequence[AdapterJob]) -> tuple[int, float]:
    """Tokens and FLOP of a training, computed from its sequences."""
    tokens = predictions = 0.0
    for job in jobs:
        read, predicted = size_of(model, job.items)
        tokens, predictions = tokens + read * job.settings.epochs, predictions + predicted * job.settings.epochs
    return round(tokens), flops.training(model.model, round(tokens), round(predictions))


def _answers(
    learner: Learner,
    label: str,
    prompts: Mapping[str, Sequence[str]],
    slots: Mapping[str, int],
    bank: Bank | None,
    max_new_tokens: int,
    whole_answer: bool,
) -> dict[str, list[str]]:
    """The answers by greedy decoding: of each the first line that is not blank, or all of it."""
    requests = [
        Request(
            messages=(Message("user", prompt),),
            seed=item_seed(name, number),  # no choice depends on it
            group=name,
            slot=slots.get(name, -1),
        )
        for name, own in prompts.items()
        for number, prompt in enumerate(own)
    ]
    sampling = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens, stops=() if whole_answer else ("\n",))
    with learner.show.task(f"{label} (questions)", len(requests), passing=True) as advance:
        generator = EngineGenerator(learner.model, bank, skip_special_tokens=True)
        taken = str.strip if whole_answer else first_line
        replies = iter(generator.generate(requests, sampling, advance=advance).replies)
    return {name: [taken(next(replies).text) for _ in own] for name, own in prompts.items()}


def first_line(text: str) -> str:
    """The first line that is not blank; empty if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
