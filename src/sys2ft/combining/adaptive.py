"""Learns the weights of a merge without labels (AdaMerging, arXiv 2310.02575, layer-wise, equation 7 and section 3.2).

The weights of each layer and adapter minimise the entropy of the merged model's predictions. The paper's predictions
are of classes; here they are of the next tokens of the elements' completions, whose tokens are no targets: they only
say where to look. No question of the evaluation is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sys2ft.combining.merging import concatenated, require_lora
from sys2ft.engine import AdapterBank, Bank, Differentiated, Example, Targets, backward
from sys2ft.runs import Display, current_stop, item_seed

START, RATE, BATCH = 0.3, 1e-2, 8
"""The first weight (the paper's), Adam's learning rate (ten times the paper's, for a tenth of its steps), and the
examples of a step."""


class Entropy(Differentiated):
    """Entropy of the predicted distribution, in nats; the target tokens do not count."""

    name = "entropy"

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        log_uV = logits_uV.log_softmax(-1)
        return -(log_uV.exp() * log_uV).sum(-1)[targets.row_n]


def learn_weights(
    bank: Bank, examples: Sequence[Example], *, steps: int, tokens_at_once: int, seed: int, show: Display | None = None
) -> tuple[dict[str, list[float]], list[float]]:
    """The weights of each layer, from 0 to 1, and the mean entropy (nats) of the batch of each step.

    A pass reads all adapters at once, as one adapter with the sum of their ranks (`cat`). Its gradient with
    respect to A gives that of the weights: A of adapter k is its own A times the weight.
    """
    bank = require_lora(bank)
    size = bank.slots * bank.rank
    # The second bank gives views of the gradient, a vector in the same order as a slot's weights.
    banks = [AdapterBank(bank.model, 1, rank=size, alpha=size, targets=bank.targets) for _ in range(2)]
    joined, gradient = banks
    weights_LK = torch.full((len(bank.modules), bank.slots), START, device=bank.weights_KP.device, requires_grad=True)
    optimiser = torch.optim.Adam([weights_LK], lr=RATE)
    order = _order(len(examples), steps, seed)
    entropies = []
    try:
        with (show or Display()).task("adamerging (steps)", steps) as advance:
            for chosen in order:
                current_stop().check()
                _join(bank, joined, weights_LK.detach())
                batch = [replace(examples[i], slot=0) for i in chosen]
                (part,) = backward(bank.model, joined, batch, tokens_at_once=tokens_at_once, objective=Entropy())
                gradient.weights_KP.copy_(part.gradient_SP)
                weights_LK.grad = _gradient(bank, gradient)
                optimiser.step()
                with torch.no_grad():
                    weights_LK.clamp_(0, 1)
                entropies.append(part.losses[0])
                advance()
    finally:
        for one in banks:
            one.close()
    return dict(zip(bank.modules, weights_LK.tolist(), strict=True)), entropies


def _order(count: int, steps: int, seed: int) -> list[list[int]]:
    """The examples of each step: passes over all of them, each in another order."""
    passes = -(-steps * BATCH // count)
    order = [i for n in range(passes) for i in np.random.default_rng(item_seed(seed, "merge", n)).permutation(count)]
    return [[int(i) for i in order[step * BATCH : (step + 1) * BATCH]] for step in range(steps)]


def _join(bank: AdapterBank, joined: AdapterBank, weights_LK: Tensor) -> None:
    with torch.no_grad():
        for name, weights_K in zip(bank.modules, weights_LK, strict=True):
            a, b = concatenated(bank, name, weights_K)
            joined.a[name][0].copy_(a)
            joined.b[name][0].copy_(b)


def _gradient(bank: AdapterBank, gradient: AdapterBank) -> Tensor:
    """The gradient (L, K) of the weights, from that of the concatenated A."""
    return torch.stack(
        [bank.scaling * (gradient.a[name][0].view_as(bank.a[name]) * bank.a[name]).sum((1, 2)) for name in bank.modules]
    )
