"""Training: replay elements to adapters, one for each news or one for all.

Every adapter is a slot of one bank over the frozen base, and as many as memory holds train together: a round takes the
next batch of each, and updates each by its own mean loss and its own schedule. One that is done makes room for the
next. An adapter trained in company is the one that would have been trained alone. The loss lies on the completion and
its end-of-turn token only; the news is never shown.
"""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sys2ft.engine import AdapterBank, Example, SlotAdamW, SlotGradients, backward, flops as flop_counts, prepare, score
from sys2ft.engine.adapters import memory
from sys2ft.engine.adapters.moments import off_device
from sys2ft.engine.trees.loss import StepCost
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.errors import MemoryShortage, SettingsError, out_of_memory
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import Display, item_seed
from sys2ft.training.adapter import Adapter
from sys2ft.training.checkpoint import Checkpoint
from sys2ft.training.ending import told
from sys2ft.training.schedule import rate
from sys2ft.training.settings import TrainSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainItem:
    """One element as training takes it: the adapter's name, what is asked, and what is to be said."""

    adapter: str
    prompt: Sequence[dict[str, str]]
    completion: str


@dataclass(slots=True)
class Training:
    """Trained adapters: slot i of the bank is `names[i]`; the loss curve, how adapters ended, and what it cost.

    `ended` names the adapters that did not take all their steps: `how` (diverged, stopped), `step`, `epoch`, `why`.
    `kept_epochs` says at which epoch the weights of an adapter with held-out elements were best.
    """

    bank: AdapterBank
    names: list[str]
    curve: list[dict[str, Any]] = field(default_factory=list)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept_epochs: dict[str, float] = field(default_factory=dict)
    cost: StepCost = field(default_factory=StepCost)
    scored: StepCost = field(default_factory=StepCost)
    """What held-out losses cost."""
    adapters_at_once: int = 0
    halved: int = 0
    """How often memory ran out, and the number of adapters at once was halved."""
    seconds: float = 0.0

    @property
    def diverged(self) -> list[str]:
        return [name for name in self.names if self.ended.get(name, {}).get("how") == "diverged"]

    @property
    def totals(self) -> dict[str, Any]:
        """What the training cost. FLOP are those of the tokens computed (see `engine.flops`).

        `padding` is the share of padding (`StepCost`) in the tokens computed and it.
        """
        model = self.bank.model
        flop = flop_counts.training(model, self.cost.tokens_computed, self.cost.predictions)
        flop += flop_counts.forward(model, self.scored.tokens_computed, self.scored.predictions)
        places = self.cost.tokens_computed + self.cost.padded
        return {
            "adapters": len(self.names),
            "adapters_at_once": self.adapters_at_once,
            "halved": self.halved,
            "tokens_trained": self.cost.tokens_shown,
            "tokens_computed": self.cost.tokens_computed,
            "padding": round(self.cost.padded / places, 4) if places else 0.0,
            "tokens_scored": self.scored.tokens_computed,
            "flop": flop,
            "seconds": round(self.seconds, 3),
            "diverged": self.diverged,
            "ended": self.ended,
            "kept_epochs": self.kept_epochs,
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
    """Train one adapter for each name among `items`, in order of first appearance.

    With `checkpoint` (a folder) an interrupted call goes on from its last checkpoint to the same weights. An adapter
    whose loss is not finite is stopped, named in `ended`, and leaves the others untouched. Raises MemoryShortage where
    memory does not hold one adapter.
    """
    if not items:
        raise SettingsError("no replay element to train on", expected="at least one", do="generate some first")
    prepare(model.model)
    names = list(dict.fromkeys(item.adapter for item in items))
    examples = _examples(model, items, names)
    bank = _bank(model, len(names), settings)
    try:
        adapters = [Adapter.of(i, name, examples[i], settings, seed) for i, name in enumerate(names)]
        trainer = _Trainer(Training(bank, names), adapters, settings, seed, checkpoint, show or Display(), label)
        with contextlib.closing(trainer.optimiser.moments):
            return trainer.run()
    except BaseException:
        bank.close()
        raise


def _bank(model: LoadedModel, adapters: int, settings: TrainSettings) -> AdapterBank:
    try:
        return AdapterBank(
            model.model,
            adapters,
            rank=settings.rank,
            alpha=settings.alpha,
            targets=settings.target_modules or None,
            dropout=settings.dropout,
        )
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryShortage(
            f"memory does not hold the weights of {adapters} adapters of rank {settings.rank}",
            expected="room for all of them at once: 4 bytes a weight",
            do="lower --rank, name fewer --target-modules, or take fewer news at a time",
        ) from error


def _examples(model: LoadedModel, items: Sequence[TrainItem], names: Sequence[str]) -> list[list[Example]]:
    """Rendered examples, by slot."""
    by_slot: list[list[Example]] = [[] for _ in names]
    slot_of = {name: slot for slot, name in enumerate(names)}
    for item in items:
        messages = [Message(turn["role"], turn["content"]) for turn in item.prompt]  # type: ignore[arg-type]
        rendered = model.chat.render(messages, item.completion)
        slot = slot_of[item.adapter]
        by_slot[slot].append(Example(rendered.ids, rendered.loss_mask, slot))
    return by_slot


class _Trainer:
    """Adapters that wait, those that train, and the state they share."""

    def __init__(
        self,
        training: Training,
        adapters: list[Adapter],
        settings: TrainSettings,
        seed: int,
        checkpoint: Path | None,
        show: Display,
        label: str,
    ) -> None:
        self.training, self.adapters, self.settings, self.seed = training, adapters, settings, seed
        self.show, self.label = show, label
        self.bank = training.bank
        self.tokens_at_once = settings.tokens_a_pass(self.bank.model)
        moments = off_device(self.bank.weights_KP, checkpoint) if settings.offload_moments else None
        self.optimiser = SlotAdamW(self.bank.weights_KP, weight_decay=settings.weight_decay, moments=moments)
        self.checkpoint = None
        if checkpoint:
            self.checkpoint = Checkpoint(checkpoint, training, adapters, self.optimiser, settings, seed)
        self.active: list[Adapter] = []
        self.waiting: list[Adapter] = []

    def run(self) -> Training:
        self.active = self.checkpoint.load() if self.checkpoint else []
        self.waiting = [a for a in self.adapters if a not in self.active and not a.done]
        if self.settings.max_adapters_at_once:
            self.training.adapters_at_once = min(self.settings.max_adapters_at_once, len(self.adapters))
            self._put_back(self.training.adapters_at_once)
        elif not self.training.adapters_at_once:
            self.training.adapters_at_once = self._limit()
            if self.checkpoint and self.training.adapters_at_once < len(self.adapters):
                self.checkpoint.save([])  # whatever memory is free when it is resumed: the same batches
        saved, wait = time.perf_counter(), self.settings.checkpoint_seconds
        with self.show.task(self.label, sum(len(a.batches) for a in self.adapters)) as advance:
            shown = 0
            while self.active or self.waiting:
                done = sum(len(a.batches) if a.done else a.step for a in self.adapters)
                advance(done - shown)
                shown = done
                begun = time.perf_counter()
                self._round()
                self.training.seconds += time.perf_counter() - begun
                going_on = bool(self.active or self.waiting)
                if self.checkpoint and going_on and time.perf_counter() - saved > wait:
                    begun = time.perf_counter()
                    self.checkpoint.save(self.active)
                    saved = time.perf_counter()
                    # Many adapters are gigabytes: writing them shall take a twentieth of the time at most.
                    wait = max(self.settings.checkpoint_seconds, 20 * (saved - begun))
            advance(sum(len(a.batches) for a in self.adapters) - shown)
        self.training.curve.sort(key=lambda row: (row["step"], self.training.names.index(row["adapter"])))
        return self.training

    def _limit(self) -> int:
        """How many adapters to train at once."""
        if len(self.adapters) == 1:
            return 1
        nodes = [len(tree) for adapter in self.adapters for tree in slot_trees(adapter.batch, sys.maxsize)]
        need = memory.need(
            self.bank,
            tokens_at_once=self.tokens_at_once,
            tokens_a_step=sum(nodes) // len(nodes),
            best=bool(self.settings.patience),
            offload=self.settings.offload_moments,
        )
        fit = need.fits(memory.free_memory(self.bank.weights_KP.device), len(self.adapters))
        if fit < len(self.adapters):
            self.show.note(f"{self.label}: {fit} of {len(self.adapters)} adapters at once, by the memory that is free")
        return fit

    def _round(self) -> None:
        """One step of every adapter that trains; fewer of them where memory runs out."""
        short = False
        try:
            self._admit()
            self._measure()
            self._step()
            self._measure()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            short = True  # dealt with below, where the error no longer holds what was computed
        together = len(self.active)
        for adapter in self.active:
            if adapter.done:
                self._finish(adapter)
        self.active = [adapter for adapter in self.active if not adapter.done]
        if short:
            self._halve(together)

    def _admit(self) -> None:
        while self.waiting and len(self.active) < self.training.adapters_at_once:
            adapter = self.waiting.pop(0)
            self.active.append(adapter)
            self.bank.initialise(adapter.slot, item_seed(self.seed, "adapter", adapter.name))
            self.optimiser.begin(adapter.slot)
            if adapter.held:
                adapter.best_P = torch.zeros_like(self.bank.weights_KP[adapter.slot])

    def _step(self) -> None:
        steppers = {a.slot: a for a in self.active if not a.done and a.batch}
        parts = backward(
            self.bank.model,
            self.bank,
            [example for a in steppers.values() for example in a.batch],
            tokens_at_once=self.tokens_at_once,
            dropout_seeds={a.slot: a.dropout_seed for a in steppers.values()},
        )
        for part in parts:
            self.training.cost += part.cost
            self._update(part, [steppers[slot] for slot in part.slots])

    def _update(self, part: SlotGradients, adapters: Sequence[Adapter]) -> None:
        rates = {a.slot: rate(a.step, len(a.batches), self.settings) for a in adapters}
        finite = {slot: value for slot, value in rates.items() if math.isfinite(part.losses[slot])}
        norms = self.optimiser.step(part, finite, self.settings.max_grad_norm)
        for adapter in adapters:
            loss, norm = part.losses[adapter.slot], norms[adapter.slot]
            if not math.isfinite(loss):
                self._end(adapter, "diverged", f"the loss is {loss}")
            elif not math.isfinite(norm):
                self._end(adapter, "diverged", f"the gradient's norm is {norm}")
            else:
                self.training.curve.append(
                    {
                        "adapter": adapter.name,
                        "step": adapter.step,
                        "epoch": adapter.epoch(adapter.step + 1),
                        "loss": loss,
                        "lr": rates[adapter.slot],
                        "grad_norm": norm,
                        "tokens": sum(len(example.ids) for example in adapter.batch),
                    }
                )
                adapter.advance()

    def _measure(self) -> None:
        """Held-out losses of the adapters that have ended an epoch."""
        due = [adapter for adapter in self.active if adapter.due]
        if not due:
            return
        held = [example for adapter in due for example in adapter.held]
        result = score(self.bank.model, held, self.bank, tokens_at_once=self.tokens_at_once)
        self.training.scored += StepCost(result.tokens_computed, result.predictions)
        sums = {adapter.slot: [0.0, 0] for adapter in due}
        for example, got in zip(held, result.likelihoods, strict=True):
            sums[example.slot][0] -= got.total
            sums[example.slot][1] += got.tokens
        for adapter in due:
            total, tokens = sums[adapter.slot]
            loss = total / tokens
            adapter.judge(loss, self.bank.weights_KP[adapter.slot], self.settings.patience)
            if math.isfinite(loss):
                row = next(r for r in reversed(self.training.curve) if r["adapter"] == adapter.name)
                row["held_out_loss"] = loss
            if adapter.ended:
                self._told(adapter)

    def _end(self, adapter: Adapter, how: str, why: str) -> None:
        adapter.end(how, why)
        self._told(adapter)

    def _told(self, adapter: Adapter) -> None:
        assert adapter.ended is not None
        self.training.ended[adapter.name] = adapter.ended
        self.show.note(f"{self.label}: {told(adapter.name, adapter.ended)}")

    def _finish(self, adapter: Adapter) -> None:
        """Leave the adapter with its best weights and free what it needed to train."""
        if adapter.best_loss is not None and adapter.best_P is not None and adapter.name not in self.training.diverged:
            self.bank.weights_KP[adapter.slot].copy_(adapter.best_P)
            self.training.kept_epochs[adapter.name] = adapter.epoch(adapter.best_step)
        adapter.best_P = None
        self.optimiser.forget(adapter.slot)

    def _halve(self, together: int) -> None:
        """Go on with half of the adapters that were trained together; those that are done stay so."""
        gc.collect()
        if self.bank.weights_KP.is_cuda:
            torch.cuda.empty_cache()
        if together == 1:
            again = "lower --tokens-at-once or --rank, or give --offload-moments"
            if self.checkpoint:
                self.checkpoint.save(self.active)
                again = "lower --tokens-at-once or give --offload-moments; what was trained is kept and gone on with"
            name = "".join(f" ({adapter.name})" for adapter in self.active)
            raise MemoryShortage(
                f"memory ran out while one adapter was trained{name}",
                expected="room for one adapter and for one pass over --tokens-at-once tokens",
                do=again,
            )
        keep = together // 2
        self.training.adapters_at_once = keep
        self.training.halved += 1
        self.show.note(f"{self.label}: memory ran out; going on with {keep} adapters at once")
        self._put_back(keep)

    def _put_back(self, keep: int) -> None:
        """Let all but the first `keep` adapters wait, from their start again."""
        put_back = self.active[keep:]
        self.active = self.active[:keep]
        for adapter in put_back:
            adapter.reset()
            self.optimiser.forget(adapter.slot)
            self.training.ended.pop(adapter.name, None)
        names = {adapter.name for adapter in put_back}
        self.training.curve = [row for row in self.training.curve if row["adapter"] not in names]
        self.waiting = put_back + self.waiting
