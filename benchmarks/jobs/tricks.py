"""Training, scoring and decoding with one CPU optimisation off at a time, in turns in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from benchmarks import work
from benchmarks.clock import timed
from benchmarks.context import Context
from benchmarks.jobs import choice, decode as decoding, train as training
from sys2ft.engine import AdapterBank, DecodeRequest, Example, Sampling, backward, decode, prepare, score
from sys2ft.engine.cpu.plan import Plan, plan_of, set_plan
from sys2ft.models import LoadedModel

ALL, PLAIN = "all of them", "plain"
PLAN = tuple(field.name for field in fields(Plan))
_BATCH, _NEW_TOKENS, _WARM = 8, 16, 1


def measure(
    context: Context,
    *,
    adapters: int,
    rank: int,
    rounds: int,
    completions: int,
    questions: int,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """[seconds, CPU seconds] per token of each kind of work, by plan.

    `without`: also without these optimisations, one at a time, as far as the model's plan has them; PLAIN: without all.
    """
    model = context.load()
    prepare(model.model)
    decided = plan_of(model.model)
    plans = {ALL: decided}
    every = _without_one(decided) | {PLAIN: Plan()}
    plans |= {name: every[name] for name in without if name in every}
    works = {
        "train": _training(model, adapters, rank, (rounds + _WARM) * len(plans)),
        "score": _scoring(model, questions, (rounds + _WARM) * len(plans)),
        "decode": _decoding(model, completions),
    }
    found: dict[str, dict[str, list[tuple[float, float]]]] = {name: {work: [] for work in works} for name in plans}
    names = list(plans)
    with context.show.task("rounds", rounds) as advance, context.clock.running():
        for turn in range(rounds + _WARM):
            for kind, run in works.items():
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    set_plan(model.model, plans[name])
                    before = time.process_time()
                    tokens, seconds = timed(model.device, run)
                    if turn >= _WARM:
                        found[name][kind].append((seconds / tokens, (time.process_time() - before) / tokens))
            advance(turn >= _WARM)
    return context.result(per_token=found)


def _without_one(plan: Plan) -> dict[str, Plan]:
    """The plan without each of the optimisations that it has."""
    plain = Plan()
    used = [name for name in PLAN if getattr(plan, name) != getattr(plain, name)]
    return {name: replace(plan, **{name: getattr(plain, name)}) for name in used}


def _training(model: LoadedModel, adapters: int, rank: int, calls: int) -> Callable[[], int]:
    """Each call computes the gradients of a step with new pairs, and returns the number of its tokens."""
    how = training.settings(rank)
    own = [
        [Example(one["input_ids"], [label != -100 for label in one["labels"]], slot) for one in pairs]
        for slot, pairs in enumerate(training.rendered(model, adapters, _BATCH * calls))
    ]
    steps = iter(range(calls))
    weights = AdapterBank(model.model, adapters, rank=rank, alpha=how.alpha)
    for slot in range(adapters):
        weights.initialise(slot, slot)

    def step() -> int:
        bank = AdapterBank(model.model, adapters, rank=rank, alpha=how.alpha)  # uses the current plan
        bank.weights_KP.copy_(weights.weights_KP)
        start = _BATCH * next(steps)
        examples = [example for examples in own for example in examples[start : start + _BATCH]]
        parts = backward(model.model, bank, examples, tokens_at_once=how.tokens_a_pass(model.model))
        tokens = sum(part.cost.tokens_computed for part in parts)
        bank.close()
        return tokens

    return step


def _scoring(model: LoadedModel, questions: int, calls: int) -> Callable[[], int]:
    """Each call scores the choices of new questions."""
    asked = choice.examples(model, questions * calls, 1)
    parts = _in_turn(asked, work.CHOICES * questions)

    def run() -> int:
        return score(model.model, [replace(one, slot=-1) for one in next(parts)]).tokens_computed

    return run


def _in_turn(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def _decoding(model: LoadedModel, completions: int) -> Callable[[], int]:
    asked = decoding.prompts(model, completions)
    requests = [DecodeRequest(ids, seed=i, group="all") for i, ids in enumerate(asked)]

    def run() -> int:
        how = Sampling(temperature=decoding.TEMPERATURE)
        done = decode(model.model, requests, how, max_new_tokens=_NEW_TOKENS, stop_ids=frozenset())
        return done.tokens_computed

    return run
