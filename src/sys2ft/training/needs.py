"""Predicts what a training will need: tokens and FLOP from its batches, memory from a short pass."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.engine import prepare
from sys2ft.engine.adapters import memory
from sys2ft.engine.flops import training as training_flop
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.models import LoadedModel
from sys2ft.runs import Needs
from sys2ft.training.jobs import AdapterJob
from sys2ft.training.loop import adapter_of


def training_needs(model: LoadedModel, jobs: Sequence[AdapterJob]) -> Needs:
    """Tokens, FLOP and memory that `train(model, jobs)` will need; tokens and FLOP are exact, memory is an estimate.

    Held-out losses are not counted, since they are a small part.
    """
    prepare(model.model)
    settings = jobs[0].settings
    tokens_at_once = settings.tokens_a_pass(model.model)
    tokens = predictions = steps = 0
    for job in jobs:
        adapter = adapter_of(model, 0, job)
        for batch in adapter.batches:
            trees = slot_trees([adapter.examples[i] for i in batch], tokens_at_once)
            tokens += sum(len(tree) for tree in trees)
            predictions += sum(len(tree.asked) for tree in trees)
            steps += 1
    bank = jobs[0].chosen_learner.bank(model.model, 1)
    try:
        need = memory.need(
            bank,
            tokens_at_once=tokens_at_once,
            tokens_a_step=max(1, tokens // steps),
            best=any(job.settings.held_out for job in jobs),
            offload=settings.offload_moments,
        )
        active = min(len(jobs), settings.max_adapters_at_once or len(jobs))
        active = need.fits(memory.free_memory(bank.weights_KP.device), active)
        size = bank.size
    finally:
        bank.close()
    return Needs(
        tokens=tokens,
        flop=training_flop(model.model, tokens, predictions),
        memory=need.total(active) + 4 * size * len(jobs),
    )
