"""Training: replay elements to adapters, one for each news or one for all.

Every adapter is a slot of one bank over the frozen base, and all of them train together: a step takes the next batch
of each adapter, sums their own mean losses, and updates each by its own schedule. An adapter trained in company is the
one that would have been trained alone. The loss lies on the completion and its end-of-turn token only; the news is
never shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sys2ft.engine import AdapterBank, Example, SlotAdamW, backward, prepare
from sys2ft.engine import flops as flop_counts
from sys2ft.engine.checkpoint import load_checkpoint, save_checkpoint
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel
from sys2ft.runs import Display, item_seed
from sys2ft.training.settings import TrainSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainItem:
    """One element as training takes it: the adapter's name, what is asked, and what is to be said."""

    adapter: str
    prompt: Sequence[dict[str, str]]
    completion: str


@dataclass(slots=True)
class Training:
    """Trained adapters: slot i of the bank is `names[i]`; the loss curve, and what it cost."""

    bank: AdapterBank
    names: list[str]
    curve: list[dict[str, Any]] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    tokens_trained: int = 0
    tokens_computed: int = 0
    predictions: int = 0
    seconds: float = 0.0

    @property
    def totals(self) -> dict[str, Any]:
        """What the training cost. FLOP are those of the tokens computed (see `engine.flops`)."""
        return {
            "adapters": len(self.names),
            "tokens_trained": self.tokens_trained,
            "tokens_computed": self.tokens_computed,
            "flop": flop_counts.training(self.bank.model, self.tokens_computed, self.predictions),
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
        }


def train(
    model: LoadedModel,
    items: Sequence[TrainItem],
    settings: TrainSettings,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    show: Display | None = None,
    label: str = "train",
) -> Training:
    """Train one adapter for each name among `items`, in order of first appearance, all at once.

    With `checkpoint` (a folder) an interrupted call goes on from its last checkpoint to the same weights. An adapter
    whose loss is not finite is stopped, named in `diverged`, and leaves the others untouched.
    """
    if not items:
        raise SettingsError("no replay element to train on", expected="at least one", do="generate some first")
    prepare(model.model)
    names = list(dict.fromkeys(item.adapter for item in items))
    bank = AdapterBank(
        model.model, len(names), rank=settings.rank, alpha=settings.alpha, targets=settings.target_modules or None
    )
    try:
        return _fit(
            model, bank, names, _examples(model, items, names), settings, seed, checkpoint, show or Display(), label
        )
    except BaseException:
        bank.close()
        raise


def _examples(model: LoadedModel, items: Sequence[TrainItem], names: Sequence[str]) -> list[list[Example]]:
    """Rendered examples, by slot."""
    from sys2ft.models import Message

    by_slot: list[list[Example]] = [[] for _ in names]
    slot_of = {name: slot for slot, name in enumerate(names)}
    for item in items:
        messages = [Message(turn["role"], turn["content"]) for turn in item.prompt]  # type: ignore[arg-type]
        rendered = model.chat.render(messages, item.completion)
        slot = slot_of[item.adapter]
        by_slot[slot].append(Example(rendered.ids, rendered.loss_mask, slot))
    return by_slot


def _fit(
    model: LoadedModel,
    bank: AdapterBank,
    names: list[str],
    examples: list[list[Example]],
    settings: TrainSettings,
    seed: int,
    checkpoint: Path | None,
    show: Display,
    label: str,
) -> Training:
    optimiser = SlotAdamW(bank.parameters(), weight_decay=settings.weight_decay)
    batches = [_batches(name, len(own), settings, seed) for name, own in zip(names, examples, strict=True)]
    training = Training(bank, names)
    for slot, name in enumerate(names):
        bank.initialise(slot, item_seed(seed, "adapter", name))
    start = load_checkpoint(checkpoint, bank, optimiser, training) if checkpoint else 0
    steps = max(len(own) for own in batches)
    saved = time.perf_counter()
    with show.task(label, steps) as advance:
        advance(start)
        for step in range(start, steps):
            begun = time.perf_counter()
            active = [step < len(own) and names[slot] not in training.diverged for slot, own in enumerate(batches)]
            batch = [examples[slot][i] for slot, on in enumerate(active) if on for i in batches[slot][step]]
            if batch:
                rates = [_rate(step, len(own), settings) for own in batches]
                losses, cost = backward(model.model, bank, batch, tokens_at_once=settings.tokens_at_once)
                finite = [on and math.isfinite(losses[slot]) for slot, on in enumerate(active)]
                norms = optimiser.step(rates, finite, settings.max_grad_norm).tolist()
                _record(training, step, batches, examples, active, losses, norms, rates)
                training.tokens_trained += cost.tokens_shown
                training.tokens_computed += cost.tokens_computed
                training.predictions += cost.predictions
            training.seconds += time.perf_counter() - begun
            advance(1)
            if checkpoint and step + 1 < steps and time.perf_counter() - saved > settings.checkpoint_seconds:
                save_checkpoint(checkpoint, step + 1, bank, optimiser, training)
                saved = time.perf_counter()
    return training


def _record(
    training: Training,
    step: int,
    batches: list[list[list[int]]],
    examples: list[list[Example]],
    active: list[bool],
    losses: dict[int, float],
    norms: list[float],
    rates: list[float],
) -> None:
    for slot, name in enumerate(training.names):
        if not active[slot]:
            continue
        if not (math.isfinite(losses[slot]) and math.isfinite(norms[slot])):
            training.diverged.append(name)
            continue
        per_epoch = len(examples[slot])
        seen = sum(len(own) for own in batches[slot][: step + 1])
        training.curve.append(
            {
                "adapter": name,
                "step": step,
                "epoch": round(seen / per_epoch, 4),
                "loss": losses[slot],
                "lr": rates[slot],
                "grad_norm": norms[slot],
                "tokens": sum(len(examples[slot][i].ids) for i in batches[slot][step]),
            }
        )


def _batches(name: str, count: int, settings: TrainSettings, seed: int) -> list[list[int]]:
    """The batches of one adapter over all epochs: its own order, which depends on its name and the seed alone."""
    order: list[int] = []
    total = max(1, round(count * settings.epochs))
    epoch = 0
    while len(order) < total:
        generator = np.random.default_rng(item_seed(seed, "order", name, epoch))
        order.extend(generator.permutation(count).tolist())
        epoch += 1
    order = order[:total]
    return [order[start : start + settings.batch_size] for start in range(0, total, settings.batch_size)]


def _rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Learning rate of a step (from 0): linear rise over the warm-up, then linear fall to 0 after the last step."""
    if step >= steps:
        return 0.0
    rise = max(1, round(settings.warmup * steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * (steps - step) / max(1, steps - rise + 1)
