"""Peak memory of the base alone, and of adapters trained on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks import highwater
from benchmarks.context import Context
from benchmarks.jobs.train import items, settings
from sys2ft.engine import Example, prepare, score
from sys2ft.models import Message
from sys2ft.models.allocator import return_freed_memory
from sys2ft.training import jobs_of, train

STEPS = 3  # from the second on, what the first allocated exists from the start


def base(context: Context, *, tokens_at_once: int) -> dict[str, Any]:
    """The model, loaded, and one forward pass over as many tokens as a training pass reads."""
    model = context.load()
    prepare(model.model)
    examples, tokens = list[Example](), 0
    for item in items(8, 64):
        shown = model.chat.render([Message(turn["role"], turn["content"]) for turn in item.prompt], item.completion)  # type: ignore[arg-type]
        if tokens + len(shown.ids) > tokens_at_once:
            break
        examples.append(Example(shown.ids, shown.loss_mask))
        tokens += len(shown.ids)
    with context.clock.running():
        score(model.model, examples, tokens_at_once=tokens_at_once)
    weights = sum(p.numel() * p.element_size() for p in model.model.parameters())
    return context.result(tokens=tokens, base_bytes=weights)


def trained(
    context: Context, *, adapters: int, batch: int, rank: int, tokens_at_once: int, offload: bool = False
) -> dict[str, Any]:
    """Three steps of `adapters` adapters at once, each with `batch` pairs a step. `offload`: the moments."""
    model = context.load()
    how = replace(settings(rank), epochs=1, batch_size=batch, tokens_at_once=tokens_at_once, offload_moments=offload)
    with context.clock.running():
        training = train(model, jobs_of(items(adapters, STEPS * batch), how, seed=context.seed), show=context.show)
    kept = _kept(context)
    state = sum(p.numel() * p.element_size() for p in training.bank.parameters())
    # Weights and AdamW's two moments, all float32.
    at_once = training.totals.get("adapters_at_once", adapters)  # they train in groups if memory is scarce
    return context.result(
        tokens=training.totals["tokens_trained"], adapter_bytes=3 * state, kept_bytes=kept, at_once=at_once
    )


def _kept(context: Context) -> int:
    """Memory in use after the training, with its weights, without its moments, and with free pages returned."""
    if context.clock.device.type == "cuda":
        return torch.cuda.memory_allocated(context.clock.device)
    return_freed_memory()
    return highwater.resident_bytes() or 0
