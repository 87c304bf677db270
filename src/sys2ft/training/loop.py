"""The training loop: trains many adapters concurrently over one frozen base, each exactly as if it were trained alone.

Every adapter is a slot of one bank, and as many train concurrently as fit in memory. A round runs the next batch of
each adapter and updates it by its own mean loss and its own schedule. When an adapter finishes, the next waiting one
starts. The loss covers only the completion and its end-of-turn token; the news item is never in the prompt.
"""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from sys2ft.engine import Bank, Example, SlotAdamW, SlotGradients, backward, prepare, score
from sys2ft.engine.adapters import memory
from sys2ft.engine.adapters.moments import off_device
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.errors import MemoryShortage, StorageError, out_of_memory
from sys2ft.models import LoadedModel
from sys2ft.runs import Advance, Display, Stop, current_stop, item_seed
from sys2ft.training.adapter import Adapter
from sys2ft.training.checkpoint import Checkpoint
from sys2ft.training.ending import describe_end
from sys2ft.training.jobs import AdapterJob, check_jobs
from sys2ft.training.result import Training
from sys2ft.training.settings import IN_CONTEXT
from sys2ft.training.teacher import in_context, messages_of
from sys2ft.training.teaching import Teaching, memory_needs
from sys2ft.training.watching import Watch

CURVE = ("loss", "lr", "held_out_loss", "in_context_loss")
"""What of a step is handed to listeners."""


def train(
    model: LoadedModel,
    jobs: Sequence[AdapterJob],
    *,
    checkpoint: Path | None = None,
    show: Display | None = None,
    label: str = "train",
    watch: Watch | None = None,
) -> Training:
    """Train one adapter per job, all in one bank; slot i belongs to `jobs[i]`.

    Jobs may differ in group, seed, learning rate, batch size and number of epochs. They must have the same values of
    the settings in `SHARED`; `banks` splits jobs that do not. With `checkpoint` (a folder), an interrupted call
    resumes from its last checkpoint and ends with the same weights; one that was finished is only read. The folder
    remains until the caller has written the results (`Checkpoint.remove`). `watch` looks at the adapters between steps.
    Raises Stopped after the step in progress and a checkpoint if a stop is requested (see `runs.stops`). An adapter
    whose loss is not finite stops and is listed in `ended`; the others are unaffected. The caller closes the returned
    `bank`. Raises SettingsError for jobs
    that cannot share a bank or have no items, and MemoryShortage if memory does not hold the bank
    or the training of a single adapter.
    """
    check_jobs(jobs)
    prepare(model.model)
    teaching = Teaching(model, jobs, show)
    bank = _bank(model, jobs)
    try:
        adapters = [adapter_of(model, slot, job, teaching.teacher) for slot, job in enumerate(jobs)]
        trainer = _Trainer(Training(bank, adapters), teaching, checkpoint, show or Display(), label, watch)
        with contextlib.closing(trainer.optimiser.moments):
            return trainer.run()
    except BaseException:
        bank.close()
        raise


def _bank(model: LoadedModel, jobs: Sequence[AdapterJob]) -> Bank:
    try:
        return jobs[0].chosen_learner.bank(model.model, len(jobs))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryShortage(
            f"not enough memory for the weights of {len(jobs)} adapters of rank {jobs[0].settings.rank}",
            expected="enough memory for all of them: 4 bytes per weight",
            fix="lower --rank, name fewer --target-modules, or split the news items over several runs",
        ) from error


def adapter_of(model: LoadedModel, slot: int, job: AdapterJob, teacher: LoadedModel | None = None) -> Adapter:
    """The adapter of `job` in slot `slot`, with the job's items rendered by the model's chat template.

    With a lesson, `teacher` (None: the model) renders the prompts with the news in context.
    """
    examples = rendered_examples(model, slot, job)
    shown = in_context((teacher or model).chat, job.items, examples) if job.lesson else []
    probes = in_context(model.chat, job.items, examples) if job.settings.stop_on == IN_CONTEXT else []
    return Adapter.of(slot, job, examples, shown, probes)


def rendered_examples(model: LoadedModel, slot: int, job: AdapterJob) -> list[Example]:
    """The items of `job` as the model's chat template renders them, for the adapter in slot `slot`."""
    rendered = [model.chat.render(messages_of(item), item.completion) for item in job.items]
    return [Example(one.ids, one.loss_mask, slot) for one in rendered]


def begin(bank: Bank, slot: int, job: AdapterJob) -> None:
    """Set a slot to the weights that the job begins with: new ones, or those of a saved adapter.

    A saved adapter keeps a share of its update, `strength`; training continues from the whole of it.
    """
    if job.start is None:
        bank.initialise(slot, item_seed(job.seed, "adapter", job.name))
        return
    job.chosen_learner.load(bank, slot, job.start)
    if job.settings.strength != 1:
        bank.scale(slot, 1 / job.settings.strength)


class _Trainer:
    """Waiting adapters, adapters in training, and the state they share."""

    def __init__(
        self,
        training: Training,
        teaching: Teaching,
        checkpoint: Path | None,
        show: Display,
        label: str,
        watch: Watch | None,
    ) -> None:
        self.training, self.teaching, self.show, self.label, self.watch = training, teaching, show, label, watch
        self.bank, self.adapters = training.bank, training.adapters
        self.settings = settings = self.adapters[0].job.settings  # only settings in SHARED are read from it
        self.objective = teaching.objective(self.adapters[0].job.chosen_objective)
        self.tokens_at_once = settings.tokens_a_pass(self.bank.model)
        moments = off_device(self.bank.weights_KP, checkpoint) if settings.offload_moments else None
        self.optimiser = SlotAdamW(self.bank.weights_KP, weight_decay=settings.weight_decay, moments=moments)
        self.checkpoint = None
        if checkpoint:
            self.checkpoint = Checkpoint(checkpoint, training, self.optimiser)
        self.active: list[Adapter] = []
        self.waiting: list[Adapter] = []
        self.handed: dict[int, int] = {}

    def run(self) -> Training:
        self.active = self.checkpoint.load() if self.checkpoint else []
        self.waiting = [a for a in self.adapters if a not in self.active and not a.done]
        if self.settings.max_adapters_at_once:
            self.training.adapters_at_once = min(self.settings.max_adapters_at_once, len(self.adapters))
            self._put_back(self.training.adapters_at_once)
        elif not self.training.adapters_at_once:
            self.training.adapters_at_once = self._limit()
            if self.checkpoint and self.training.adapters_at_once < len(self.adapters):
                # A resumed training has the same batches, however much memory is free then.
                self.checkpoint.save([])
        stop, total = current_stop(), sum(len(a.batches) for a in self.adapters)
        with self.show.task(f"{self.label} (steps)", total) as advance, stop.finish_steps():
            self._hand_on()
            self._rounds(stop, advance)
        return self.training

    def _rounds(self, stop: Stop, advance: Advance) -> None:
        """Train to the end, or to the end of the step in progress when a stop is requested, and write checkpoints."""
        shown, changed = 0, False
        saved, wait = time.perf_counter(), self.settings.checkpoint_seconds
        while True:
            done = sum(len(a.batches) if a.done else a.step for a in self.adapters)
            advance(done - shown)
            shown = done
            if not (self.active or self.waiting):
                if self.checkpoint and changed:
                    self._save_finished(self.checkpoint)
                return
            if self.checkpoint and changed and (stop.requested or time.perf_counter() - saved > wait):
                begun = time.perf_counter()
                self.checkpoint.save(self.active)
                saved = time.perf_counter()
                # Many adapters amount to gigabytes: spend at most a twentieth of the time writing them.
                wait = max(self.settings.checkpoint_seconds, 20 * (saved - begun))
            if stop.requested:
                return
            self._round()
            changed = True

    def _hand_on(self) -> None:
        """Hand the new rows of the loss curves on, and show the mean of the last losses.

        At the beginning all rows are new, those of a checkpoint too: what a killed process had not handed on still is.
        """
        for adapter in self.adapters:
            for row in adapter.curve[self.handed.get(adapter.slot, 0) :]:
                values = {name: row[name] for name in CURVE if name in row}
                self.show.measured(f"train/{adapter.job.key}", row["step"], values)
            self.handed[adapter.slot] = len(adapter.curve)
        last = [adapter.curve[-1]["loss"] for adapter in self.active if adapter.curve]
        if last:
            self.show.live(f"loss {sum(last) / len(last):.2f}")

    def _save_finished(self, checkpoint: Checkpoint) -> None:
        """Write the finished adapters, in case the caller fails to: nothing is trained again then."""
        try:
            checkpoint.save([])
        except StorageError as error:
            # There may still be room for the results themselves, which are smaller than those and an older checkpoint.
            self.show.note(f"{self.label}: the last checkpoint was not written: {error.found}")

    def _limit(self) -> int:
        """How many adapters to train concurrently, from the estimated and the free memory."""
        if len(self.adapters) == 1:
            return 1
        nodes = [len(tree) for adapter in self.adapters for tree in slot_trees(adapter.batch, sys.maxsize)]
        need = memory.need(
            self.bank,
            tokens_at_once=self.tokens_at_once,
            tokens_a_step=sum(nodes) // len(nodes),
            best=any(adapter.held for adapter in self.adapters),
            offload=self.settings.offload_moments,
            **memory_needs(self.teaching.model, self.adapters),
        )
        fit = need.fits(memory.free_memory(self.bank.weights_KP.device), len(self.adapters))
        if fit < len(self.adapters):
            self.show.note(
                f"{self.label}: training {fit} of {len(self.adapters)} adapters at once (limited by free memory)"
            )
        return fit

    def _round(self) -> None:
        """Run one step of every active adapter; if memory runs out, reduce the number of active adapters."""
        short = False
        before, begun = self._computed(), time.perf_counter()
        try:
            self._admit()
            self._measure()
            self.teaching.prepare([adapter for adapter in self.active if not adapter.done], self.bank)
            self._step()
            self._measure()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            short = True  # handled below, after the error has released the tensors it references
        self._count_seconds(time.perf_counter() - begun, before)
        active = len(self.active)
        if self.watch is not None and not short:
            self.watch.see(self.bank, self.active)
        self._hand_on()
        for adapter in self.active:
            if adapter.done:
                self._finish(adapter)
        self.active = [adapter for adapter in self.active if not adapter.done]
        if short:
            self._halve(active)

    def _computed(self) -> list[int]:
        return [sum(cost.tokens_computed for cost in (a.cost, a.scored, a.read, a.sampled)) for a in self.adapters]

    def _count_seconds(self, seconds: float, before: Sequence[int]) -> None:
        """Divide the time of a round among the adapters in proportion to the tokens computed for each."""
        shares = [now - then for now, then in zip(self._computed(), before, strict=True)]
        for adapter, share in zip(self.adapters, shares, strict=True):
            adapter.seconds += seconds * share / max(1, sum(shares))

    def _admit(self) -> None:
        while self.waiting and len(self.active) < self.training.adapters_at_once:
            adapter = self.waiting.pop(0)
            self.active.append(adapter)
            begin(self.bank, adapter.slot, adapter.job)
            self.optimiser.begin(adapter.slot)
            if adapter.held:
                adapter.best_P = torch.zeros_like(self.bank.weights_KP[adapter.slot])
            if adapter.held_in_context:
                # An adapter before its first step is the base, or the one that it continues from.
                (loss,) = self._losses([adapter], [adapter.held_in_context])
                adapter.begin_in_context(loss, self.bank.weights_KP[adapter.slot])

    def _step(self) -> None:
        steppers = {a.slot: a for a in self.active if not a.done and a.batch}
        parts = backward(
            self.bank.model,
            self.bank,
            [example for a in steppers.values() for example in self.teaching.batch(a)],
            tokens_at_once=self.tokens_at_once,
            dropout_seeds={a.slot: a.dropout_seed for a in steppers.values()},
            objective=self.objective,
        )
        for part in parts:
            self._update(part, [steppers[slot] for slot in part.slots])

    def _update(self, part: SlotGradients, adapters: Sequence[Adapter]) -> None:
        rates = {a.slot: a.rate for a in adapters}
        finite = {slot: value for slot, value in rates.items() if math.isfinite(part.losses[slot])}
        norms = self.optimiser.step(part, finite, self.settings.max_grad_norm)
        for adapter in adapters:
            adapter.cost += part.costs[adapter.slot]
            loss, norm = part.losses[adapter.slot], norms[adapter.slot]
            if not math.isfinite(loss):
                self._end(adapter, "diverged", f"the loss is {loss}")
            elif not math.isfinite(norm):
                self._end(adapter, "diverged", f"the gradient's norm is {norm}")
            else:
                adapter.advance(loss, norm, part.costs[adapter.slot].tokens_shown)

    def _measure(self) -> None:
        """Measure the held-out losses of adapters that have just finished an epoch."""
        due = [adapter for adapter in self.active if adapter.due]
        if not due:
            return
        losses = self._losses(due, [a.held for a in due])
        probed = [a for a in due if a.held_in_context]
        in_context = dict(zip(probed, self._losses(probed, [a.held_in_context for a in probed]), strict=True))
        for adapter, loss in zip(due, losses, strict=True):
            adapter.judge(loss, self.bank.weights_KP[adapter.slot], in_context.get(adapter))
            if adapter.ended:
                self._report(adapter)

    def _losses(self, adapters: Sequence[Adapter], examples: Sequence[Sequence[Example]]) -> list[float]:
        """The mean loss (nats per token) of each adapter's examples; the cost is counted as the adapter's."""
        every = [example for own in examples for example in own]
        result = score(self.bank.model, every, self.bank, tokens_at_once=self.tokens_at_once)
        got, losses = iter(result.likelihoods), []
        for own in examples:
            likelihoods = [next(got) for _ in own]
            losses.append(-sum(one.total for one in likelihoods) / sum(one.tokens for one in likelihoods))
        for adapter in adapters:
            adapter.scored += result.costs[adapter.slot]
        return losses

    def _end(self, adapter: Adapter, how: str, why: str) -> None:
        adapter.end(how, why)
        self._report(adapter)

    def _report(self, adapter: Adapter) -> None:
        assert adapter.ended is not None
        self.show.note(f"{self.label}: {describe_end(adapter.job.key, adapter.ended)}")

    def _finish(self, adapter: Adapter) -> None:
        """Restore the adapter's best weights, keep the share of them that is wanted, and free its training state."""
        if adapter.best_loss is not None and adapter.best_P is not None and not adapter.diverged:
            self.bank.weights_KP[adapter.slot].copy_(adapter.best_P)
            adapter.kept_epoch = adapter.epoch(adapter.best_step)
        if adapter.job.settings.strength != 1:
            self.bank.scale(adapter.slot, adapter.job.settings.strength)
        adapter.best_P, adapter.taught = None, {}
        self.optimiser.forget(adapter.slot)

    def _halve(self, active: int) -> None:
        """Continue with half as many adapters; finished ones are kept. Raises MemoryShortage if there was only one."""
        gc.collect()
        if self.bank.weights_KP.is_cuda:
            torch.cuda.empty_cache()
        if active == 1:
            again = "lower --tokens-at-once or --rank, or give --offload-moments"
            if self.checkpoint:
                self.checkpoint.save(self.active)
                again = "lower --tokens-at-once or give --offload-moments; the training resumes from its checkpoint"
            name = "".join(f" ({adapter.job.key})" for adapter in self.active)
            raise MemoryShortage(
                f"memory ran out while one adapter was trained{name}",
                expected="enough memory for one adapter and one pass over --tokens-at-once tokens",
                fix=again,
            )
        keep = active // 2
        self.training.adapters_at_once = keep
        self.training.halved += 1
        self.show.note(f"{self.label}: memory ran out; continuing with {keep} adapters at once")
        self._put_back(keep)

    def _put_back(self, keep: int) -> None:
        """Reset all but the first `keep` active adapters and return them to the queue."""
        put_back = self.active[keep:]
        self.active = self.active[:keep]
        for adapter in put_back:
            adapter.reset()
            self.optimiser.forget(adapter.slot)
        self.waiting = put_back + self.waiting
