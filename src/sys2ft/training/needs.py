"""Predicts what a training will need: tokens and FLOP from its batches, memory from a short pass."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.engine import StepCost, flops, prepare
from sys2ft.engine.adapters import memory
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.models import LoadedModel
from sys2ft.runs import Needs
from sys2ft.training.adapter import Adapter
from sys2ft.training.anchors import TOKENS
from sys2ft.training.jobs import AdapterJob
from sys2ft.training.loop import adapter_of
from sys2ft.training.schedule import refresh_of
from sys2ft.training.teaching import FORWARD_ONLY, memory_needs


def training_needs(model: LoadedModel, jobs: Sequence[AdapterJob]) -> Needs:
    """Tokens, FLOP and memory that `train(model, jobs)` will need.

    Tokens and FLOP are exact for training on elements, and with a teacher; samples are taken to be as long as the
    elements' completions, and anchors to have half their greatest length. Memory is an estimate. Held-out losses are
    not counted, since they are a small part.
    """
    prepare(model.model)
    settings = jobs[0].settings
    tokens_at_once = settings.tokens_a_pass(model.model)
    tokens = predictions = steps = 0
    other = StepCost()
    adapters = [adapter_of(model, 0, job) for job in jobs]
    for adapter in adapters:
        other += _besides(adapter, tokens_at_once)
        for batch in adapter.batches:
            trees = slot_trees([adapter.examples[i] for i in batch], tokens_at_once)
            tokens += sum(len(tree) for tree in trees)
            predictions += sum(len(tree.asked) for tree in trees)
            steps += 1
            if settings.anchor:
                anchored = TOKENS // 2 * round(len(batch) * settings.anchor_share / (1 - settings.anchor_share))
                tokens, predictions = tokens + anchored, predictions + anchored
    bank = jobs[0].chosen_learner.bank(model.model, 1)
    try:
        need = memory.need(
            bank,
            tokens_at_once=tokens_at_once,
            tokens_a_step=max(1, tokens // steps),
            best=any(job.settings.held_out for job in jobs),
            offload=settings.offload_moments,
            **memory_needs(model, adapters),
        )
        active = min(len(jobs), settings.max_adapters_at_once or len(jobs))
        active = need.fits(memory.free_memory(bank.weights_KP.device), active)
        size = bank.size
    finally:
        bank.close()
    return Needs(
        tokens=tokens + other.tokens_computed,
        flop=flops.training(model.model, tokens, predictions)
        + flops.forward(model.model, other.tokens_computed, other.predictions),
        memory=need.total(active) + 4 * size * len(jobs),
    )


def _besides(adapter: Adapter, tokens_at_once: int) -> StepCost:
    """What a teacher reads and the adapter samples."""
    lesson = adapter.job.lesson
    if lesson is None:
        return StepCost()
    shown = sorted(adapter.shown, key=lambda example: list(example.ids))
    trees = slot_trees(shown, FORWARD_ONLY * tokens_at_once)
    cost = StepCost(sum(len(tree) for tree in trees), sum(len(tree.asked) for tree in trees))
    if not lesson.sampled:
        return cost
    prompts = slot_trees(adapter.examples, FORWARD_ONLY * tokens_at_once)
    cost += StepCost(sum(len(tree) for tree in prompts), sum(len(tree.asked) for tree in prompts))
    count, refresh = len(adapter.examples), adapter.job.settings.refresh
    times = len({refresh_of(step, adapter.seen, count, refresh) for step in range(len(adapter.batches))})
    # More refreshes than epochs share an epoch's elements among them.
    times = min(times, len(adapter.batches) * adapter.job.settings.batch_size // count + 1)
    return StepCost(times * cost.tokens_computed, times * cost.predictions)
