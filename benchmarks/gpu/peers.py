"""The peers' training: TRL where it can be imported, else a plain loop with transformers and peft."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu.budget import Figures
from benchmarks.gpu.parity import batch_loss
from benchmarks.gpu.subjects import Given, given
from benchmarks.jobs import train as training
from sys2ft.engine import Example
from sys2ft.models import LoadedModel


def peer(subject: LoadedModel, *, pairs: int, rank: int, rates: Sequence[float]) -> Figures:
    """One adapter by TRL without checkpointing and in our dtype, or by the plain loop: `name`, seconds, peak."""
    missing = ""
    if importlib.util.find_spec("trl") and importlib.util.find_spec("datasets"):
        try:
            work: dict[str, Any] = {"adapters": 1, "pairs": pairs, "rank": rank, "only": 1, "rates": rates}
            return {"name": "trl-tuned", **training.trl(given(subject, plain=True), **work, tuned=True, bf16=False)}
        except Exception as error:  # any error of a library that this package does not pin here
            missing = f"TRL failed: {type(error).__name__}: {error}".partition("\n")[0][:300]
            print(missing, file=sys.stderr)
            subject.model.requires_grad_(False)
    else:
        missing = "TRL is not installed"
    return {
        "name": "peft loop",
        "why": missing,
        **_plain(given(subject, plain=True), pairs=pairs, rank=rank, rates=rates),
    }


def _plain(context: Given, *, pairs: int, rank: int, rates: Sequence[float]) -> Figures:
    """Padded batches in the order of the work, autograd through peft's layers, fused AdamW, clipping."""
    import peft

    model, how = context.load(), training.settings(rank)
    own = [
        Example(one["input_ids"], [label != -100 for label in one["labels"]])
        for one in training.rendered(model, 1, pairs)[0]
    ]
    config = peft.LoraConfig(
        r=rank, lora_alpha=how.alpha, lora_dropout=0.0, target_modules="all-linear", bias="none", task_type="CAUSAL_LM"
    )
    adapted = peft.get_peft_model(model.model, config)
    try:
        optimiser = torch.optim.AdamW(
            [weight for weight in adapted.parameters() if weight.requires_grad],
            lr=how.learning_rate, weight_decay=how.weight_decay, fused=True,
        )  # fmt: skip
        _step(adapted, optimiser, own[: how.batch_size], how.learning_rate, how.max_grad_norm)
        steps = len(rates)
        with context.clock.running():
            for number, rate in enumerate(rates):
                start = number * how.batch_size % pairs
                _step(adapted, optimiser, own[start : start + how.batch_size], rate, how.max_grad_norm)
    finally:
        adapted.unload()
        model.model.requires_grad_(False)
    return context.result(steps=[steps])


def _step(model: Any, optimiser: Any, batch: Sequence[Example], rate: float, most: float | None) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    torch.autograd.backward(batch_loss(model, batch, model.device))
    if most is not None:
        torch.nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], most)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
