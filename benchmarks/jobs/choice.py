"""Multiple choice by log-likelihood, in context, by eight adapters: ours, and one forward pass per option."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import work
from benchmarks.context import Context
from benchmarks.jobs.decode import fastest
from sys2ft.engine import AdapterBank, Example, load_adapter, prepare, save_adapter, score
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import item_seed

_STRENGTH = 0.02  # of the adapters' random B: enough to change the likelihoods without making them extreme


def examples(model: LoadedModel, count: int, adapters: int) -> list[Example]:
    """Every choice of `count` questions, after its news item and question, with its adapter."""
    questions = work.choices(count)
    found = []
    for one, slot in zip(questions, work.adapter_of(questions, adapters), strict=True):
        prompt = model.chat.prompt_ids([Message("user", f"News: {one.text}\n\n{one.question}")])
        for choice in one.choices:
            answer = model.chat.continuation_ids(choice)
            found.append(Example([*prompt, *answer], [False] * len(prompt) + [True] * len(answer), slot))
    return found


def adapters(context: Context, *, count: int, rank: int, folder: str) -> dict[str, Any]:
    """Write `count` adapters of random weights as PEFT folders, for both sides to load."""
    model = context.load()
    bank = AdapterBank(model.model, count, rank=rank, alpha=2.0 * rank)
    for slot in range(count):
        bank.initialise(slot, item_seed(context.seed, "choice", slot))
        generator = torch.Generator().manual_seed(item_seed(context.seed, "choice B", slot))
        with torch.no_grad():
            for b in bank.b.values():
                b[slot].copy_(torch.randn(b[slot].shape, generator=generator) * _STRENGTH)
        save_adapter(bank, slot, Path(folder) / str(slot), base_name=context.model)
    return {}


def ours(context: Context, *, count: int, adapters: int, rank: int, folder: str) -> dict[str, Any]:
    """`sys2ft.engine.trees.score`, every row with its own slot."""
    model = context.load()
    prepare(model.model)
    bank = AdapterBank(model.model, adapters, rank=rank, alpha=2.0 * rank)
    for slot in range(adapters):
        load_adapter(bank, slot, Path(folder) / str(slot))
    asked = examples(model, count, adapters)
    score(model.model, asked[:8], bank)
    with context.clock.running():
        scored = score(model.model, asked, bank)
    return context.result(
        likelihoods=[one.total for one in scored.likelihoods],
        tokens=sum(len(one.ids) for one in asked),
        tokens_computed=scored.tokens_computed,
        continuation_tokens=sum(sum(one.loss_mask) for one in asked),
    )


def per_option(
    context: Context,
    *,
    count: int,
    adapters: int,
    folder: str,
    only: int | None = None,
    size: int = 1,
    sizes: Sequence[int] = (),
    last_only: bool = False,
) -> dict[str, Any]:
    """peft and transformers: adapters swapped, options in padded batches of similar length, one forward pass each.

    `only`: the first so many adapters. `last_only`: padded on the left, and the head runs on as many last
    positions as the longest option needs (`logits_to_keep`) instead of on all.
    """
    from peft import PeftModel

    model = context.load()
    adapted = PeftModel.from_pretrained(model.model, Path(folder) / "0", adapter_name="0")
    for slot in range(1, adapters):
        adapted.load_adapter(Path(folder) / str(slot), adapter_name=str(slot))
    adapted.eval()
    asked = examples(model, count, adapters)
    likelihoods: list[float | None] = [None] * len(asked)

    def batch(which: Sequence[int]) -> int:
        totals = likelihoods_of(model, adapted, [asked[i] for i in which], last_only)
        for i, total in zip(which, totals, strict=True):
            likelihoods[i] = total
        return len(which)

    adapted.set_adapter("0")
    batch(range(2))
    if sizes:
        # A sample over all lengths, in the order of the run.
        whole = sorted(range(len(asked)), key=lambda i: len(asked[i].ids))

        def look(n: int) -> int:
            step = max(1, len(whole) // max(n, 64))
            sample = whole[::step][: max(n, 64)]
            return sum(batch(sample[start : start + n]) for start in range(0, len(sample), n))

        return context.result(**fastest(sizes, look))
    slots = range(adapters if only is None else only)
    with context.show.task("adapters", len(slots)) as advance, context.clock.running():
        for slot in slots:
            adapted.set_adapter(str(slot))
            own = sorted((i for i, one in enumerate(asked) if one.slot == slot), key=lambda i: len(asked[i].ids))
            for start in range(0, len(own), size):
                batch(own[start : start + size])
            advance(1)
    shown = [one for one in asked if one.slot in slots]
    return context.result(
        likelihoods=likelihoods,
        options=len(shown),
        tokens=sum(len(one.ids) for one in shown),
        size=size,
    )


@torch.inference_mode()
def likelihoods_of(loaded: LoadedModel, model: Any, batch: Sequence[Example], last_only: bool = False) -> list[float]:
    """Summed log-probability of each example's supervised tokens, by one padded forward pass."""
    width = max(len(one.ids) for one in batch)
    pads = [width - len(one.ids) for one in batch]
    before = pads if last_only else [0] * len(batch)
    after = [0] * len(batch) if last_only else pads
    rows = list(zip(before, batch, after, strict=True))
    ids = torch.tensor([[0] * a + [*one.ids] + [0] * b for a, one, b in rows], device=loaded.device)
    mask = torch.tensor([[0] * a + [1] * len(one.ids) + [0] * b for a, one, b in rows], device=loaded.device)
    on = torch.tensor(
        [[False] * a + [*one.loss_mask] + [False] * b for a, one, b in rows], dtype=torch.bool, device=loaded.device
    )
    keep = 0
    if last_only:
        keep = 1 + max(sum(one.loss_mask) for one in batch)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep).logits[:, :-1]
    on, targets = on[:, -logits.shape[1] :], ids[:, -logits.shape[1] :]
    picked = logits[on].float().log_softmax(-1).gather(1, targets[on][:, None]).squeeze(1).double()
    totals = torch.zeros(len(batch), dtype=torch.float64, device=loaded.device)
    totals.index_add_(0, on.nonzero()[:, 0], picked)
    return [float(value) for value in totals.tolist()]
