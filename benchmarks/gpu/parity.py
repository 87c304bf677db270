"""Whether the engine computes on this device what plain transformers and peft compute: training, scoring, decoding.

In float32 both sides agree up to rounding. In half precision they round differently, so both are compared with plain
float32 over the same (rounded) weights: the engine may be off by a few times as much as the plain side is.

Shapes: S slots, P weights of a slot.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.budget import Figures, Wrong
from benchmarks.gpu.subjects import build, plainly
from benchmarks.jobs import choice, train as training
from sys2ft.engine import (
    AdapterBank,
    DecodeRequest,
    Example,
    Sampling,
    SlotAdamW,
    backward,
    decode,
    prepare,
    save_adapter,
    score,
)
from sys2ft.models import LoadedModel

_SLOTS, _RANK, _RATE = 3, 8, 2e-3
_EXACT = 2e-4  # relative, in float32
_TIMES = 3.0  # as far off as the plain side in half precision


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side computed: losses of each slot and step, the first step's gradients, and log-likelihoods."""

    losses: list[list[float]]
    gradient_SP: Tensor
    likelihoods: list[float]


def parity(
    device: torch.device, dtype: torch.dtype, *, size: str = "small", pairs: int = 8, steps: int = 4, **changes: Any
) -> Figures:
    """Compare both sides; raises Wrong where they do not agree."""
    ours = build(size, device, dtype, spread=0.08, **changes)
    plain = LoadedModel(
        copy.deepcopy(ours.model), ours.tokenizer, ours.chat, ours.source, ours.fingerprint, device, dtype
    )
    examples = _examples(plain, pairs)
    # Four options of a question, each question by the next adapter.
    asked = [replace(one, slot=n // 4 % _SLOTS) for n, one in enumerate(choice.examples(plain, 2 * _SLOTS, 1))]
    asked.sort(key=lambda one: one.slot)
    prepare(ours.model)
    bank = _bank(ours)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(slot) for slot in range(_SLOTS)]
        for slot, folder in enumerate(folders):
            save_adapter(bank, slot, folder, base_name="random")
        figures = _decoding(ours, plain, bank, folders, exact=dtype == torch.float32)
        engine = _engine(ours, bank, examples, asked, steps)
        bank.close()
        theirs = _plain(plain, folders, examples, asked, steps)
        if dtype == torch.float32:
            exact = theirs
        else:
            plain.model.float()
            exact = _plain(plain, folders, examples, asked, steps)
    off = {"engine": _off(engine, exact), "transformers + peft": _off(theirs, exact)}
    figures |= {"off float32" if dtype != torch.float32 else "off": off}
    for name, value in off["engine"].items():
        most = _EXACT if dtype == torch.float32 else _TIMES * off["transformers + peft"][name] + _EXACT
        if not value <= most:
            raise Wrong(f"{name}: off by {value:.2g}, at most {most:.2g} is accepted", figures)
    return figures


def _examples(model: LoadedModel, pairs: int) -> list[Example]:
    return [
        Example(one["input_ids"], [label != -100 for label in one["labels"]], slot)
        for slot, own in enumerate(training.rendered(model, _SLOTS, pairs + 3))
        for one in own[: pairs + slot]  # slots of different sizes, so that a batch has padding
    ]


def _bank(model: LoadedModel) -> AdapterBank:
    """Adapters whose B is not zero: with B zero a wrong A would change nothing."""
    bank = AdapterBank(model.model, _SLOTS, rank=_RANK, alpha=2.0 * _RANK)
    generator = torch.Generator().manual_seed(1)
    for slot in range(_SLOTS):
        bank.initialise(slot, slot)
        for b_KOr in bank.b.values():
            b_KOr[slot].copy_(0.02 * torch.randn(b_KOr[slot].shape, generator=generator))
    return bank


def _engine(
    model: LoadedModel, bank: AdapterBank, examples: Sequence[Example], asked: Sequence[Example], steps: int
) -> _Side:
    likelihoods = [one.total for one in score(model.model, asked, bank).likelihoods]
    optimiser = SlotAdamW(bank.weights_KP)
    losses: list[list[float]] = [[] for _ in range(_SLOTS)]
    first: Tensor | None = None
    for _ in range(steps):
        for part in backward(model.model, bank, examples, tokens_at_once=4096):
            assert part.slots == [*range(_SLOTS)], "all slots fit into one pass"
            if first is None:
                first = part.gradient_SP.clone()
            for slot in part.slots:
                losses[slot].append(part.losses[slot])
            optimiser.step(part, dict.fromkeys(part.slots, _RATE), 1.0)
    assert first is not None
    return _Side(losses, _by_name(bank, first), likelihoods)


def _by_name(bank: AdapterBank, gradient_SP: Tensor) -> Tensor:
    """The columns in the order of the layers' names, A before B."""
    start, bank_views = bank.weights_KP.storage_offset(), []
    for name in sorted(bank.modules):
        for part in (bank.a[name], bank.b[name]):
            at = part.storage_offset() - start
            bank_views.append(gradient_SP[:, at : at + part[0].numel()])
    return torch.cat(bank_views, dim=1)


def _plain(
    model: LoadedModel, folders: Sequence[Path], examples: Sequence[Example], asked: Sequence[Example], steps: int
) -> _Side:
    """One adapter after the other, padded batches, autograd, torch's AdamW."""
    from peft import PeftModel

    base = plainly(model)
    losses, gradients, likelihoods = [], [], list[float]()
    for slot, folder in enumerate(folders):
        adapted = PeftModel.from_pretrained(base, folder, is_trainable=True)
        own = [one for one in asked if one.slot == slot]
        likelihoods += choice.likelihoods_of(model, adapted, own)
        weights = {
            name.removeprefix("base_model.model.").replace(".default.weight", ""): weight
            for name, weight in adapted.named_parameters()
            if weight.requires_grad
        }
        order = [weights[name] for name in sorted(weights, key=lambda name: (name.rpartition(".")[0], name[-1]))]
        optimiser = torch.optim.AdamW(order, lr=_RATE, weight_decay=0.0)
        mine, curve = [one for one in examples if one.slot == slot], list[float]()
        for step in range(steps):
            loss = batch_loss(adapted, mine, model.device)
            torch.autograd.backward(loss)
            if step == 0:
                gradients.append(
                    torch.cat([weight.grad.flatten().float() for weight in order if weight.grad is not None])
                )
            torch.nn.utils.clip_grad_norm_(order, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            curve.append(float(loss.detach()))
        losses.append(curve)
        adapted.unload()
        base.requires_grad_(False)
    return _Side(losses, torch.stack(gradients), likelihoods)


def batch_loss(model: Any, examples: Sequence[Example], device: torch.device) -> Tensor:
    """The mean cross-entropy over the supervised tokens of a padded batch."""
    width = max(len(one.ids) for one in examples)
    pads = [[0] * (width - len(one.ids)) for one in examples]
    ids = torch.tensor([[*one.ids, *pad] for one, pad in zip(examples, pads, strict=True)], device=device)
    mask = torch.tensor([[1] * len(one.ids) + pad for one, pad in zip(examples, pads, strict=True)], device=device)
    labels = [
        [*(i if on else -100 for i, on in zip(one.ids, one.loss_mask, strict=True)), *(-100 for _ in pad)]
        for one, pad in zip(examples, pads, strict=True)
    ]
    wanted = torch.tensor(labels, device=device)[:, 1:]
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=-100)


def _off(side: _Side, exact: _Side) -> dict[str, float]:
    """How far a side is from the exact one, relative to the size of what is compared."""
    gradients = (side.gradient_SP - exact.gradient_SP).norm(dim=1) / exact.gradient_SP.norm(dim=1)
    losses, right = torch.tensor(side.losses), torch.tensor(exact.losses)
    likelihoods, true = torch.tensor(side.likelihoods), torch.tensor(exact.likelihoods)
    return {
        "gradients of the first step": float(gradients.max()),
        "losses of all steps": float(((losses - right).abs() / right).max()),
        "log-likelihoods of options": float(((likelihoods - true).abs() / true.abs()).max()),
    }


def _decoding(
    ours: LoadedModel, plain: LoadedModel, bank: AdapterBank, folders: Sequence[Path], *, exact: bool
) -> Figures:
    """Greedy texts of every adapter. `short` is how far a chosen token's logit is below the plain side's best one."""
    from peft import PeftModel

    prompts = [one.ids[: len(one.ids) - 3 - n % 5] for n, one in enumerate(choice.examples(plain, 4, 1))]
    requests = [DecodeRequest(ids, seed=0, group=slot, slot=slot) for slot in range(_SLOTS) for ids in prompts]
    done = decode(
        ours.model, requests, Sampling(temperature=0), max_new_tokens=12, stop_ids=frozenset(), bank=bank,
        rows_at_once=20,
    )  # fmt: skip
    base, short, same = plainly(plain), 0.0, 0
    for slot, folder in enumerate(folders):
        adapted = PeftModel.from_pretrained(base, folder)
        own = done.decoded[slot * len(prompts) : (slot + 1) * len(prompts)]
        for ids, made in zip(prompts, own, strict=True):
            with torch.inference_mode():
                logits = adapted(torch.tensor([[*ids, *made.ids]], device=plain.device)).logits[0].float()
            there = logits[len(ids) - 1 : -1]
            chosen = there.gather(1, torch.tensor(made.ids, device=plain.device)[:, None])[:, 0]
            below = (there.amax(1) - chosen) / there.std(1)
            short, same = max(short, float(below.max())), same + int((below == 0).sum())
        adapted.unload()
    made_tokens = sum(len(one.ids) for one in done.decoded)
    figures = {"decode": {"tokens": made_tokens, "best of the plain side": same, "short by, in deviations": short}}
    # In half precision two tokens can have nearly the same logit, and a logit is rounded to a 256th.
    most = 1e-3 if exact else 0.25
    if short > most:
        raise Wrong(f"decoding: a chosen token is {short:.2g} deviations below the best, accepted: {most:g}", figures)
    return figures
