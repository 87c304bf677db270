"""The training loss, computed where it is needed and nowhere else.

Each slot's loss is its own mean over its own supervised tokens, and the gradients of all slots come from one sum of
those means: slots do not dilute one another. The head runs on supervised positions only, a block at a time, and its
gradient is taken block by block, so that the logits of a batch never exist together.

Shapes: U supervised nodes, N targets, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sys2ft.engine.bank import AdapterBank
from sys2ft.engine.forward import head, hidden_states
from sys2ft.engine.tree import Example, Pack, group_rows, pack, row_size

_HEAD_ROWS = 256


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step computed: tree nodes, head rows, and the tokens the examples hold when nothing is shared."""

    tokens_computed: int
    predictions: int
    tokens_shown: int


def backward(
    model: torch.nn.Module,
    bank: AdapterBank,
    examples: Sequence[Example],
    *,
    tokens_at_once: int,
    row_nodes: int = 384,
) -> tuple[dict[int, float], StepCost]:
    """Accumulate each slot's gradient of its mean loss (nats a supervised token); return the losses by slot."""
    device = next(model.parameters()).device
    supervised: dict[int, int] = {}
    for example in examples:
        supervised[example.slot] = supervised.get(example.slot, 0) + sum(example.loss_mask)
    rows = group_rows(examples, min(row_nodes, tokens_at_once))
    sizes = [row_size(examples, row) for row in rows]
    order = sorted(range(len(rows)), key=lambda r: (-sizes[r], examples[rows[r][0]].slot, r))
    weights = torch.tensor([1.0 / supervised[example.slot] for example in examples], device=device)
    losses = dict.fromkeys(supervised, 0.0)
    computed = predictions = 0
    while order:
        count = max(1, tokens_at_once // sizes[order[0]])
        batch, order = order[:count], order[count:]
        packed = pack(examples, [rows[r] for r in batch], device)
        with bank.rows(packed.row_slots):
            hidden = hidden_states(model, packed.tokens_RT, packed.positions_RT, packed.mask_RTT)
            hidden_UD = hidden.flatten(0, 1)[packed.unique_nodes_U]
            losses_N, gradient_UD = _head_gradient(model, hidden_UD.detach(), packed, weights)
            torch.autograd.backward(hidden_UD, gradient_UD)
        for example, loss in zip(packed.example_N.tolist(), losses_N.tolist(), strict=True):
            losses[examples[example].slot] += loss
        computed += packed.tokens_computed
        predictions += len(hidden_UD)
    return losses, StepCost(computed, predictions, sum(len(example.ids) for example in examples))


def _head_gradient(model: torch.nn.Module, hidden_UD: Tensor, packed: Pack, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted negative log-likelihoods (N,) and their sum's gradient in `hidden_UD`."""
    gradient_UD = torch.zeros_like(hidden_UD)
    losses_N = torch.zeros(len(packed.target_N), device=hidden_UD.device)
    for start in range(0, len(hidden_UD), _HEAD_ROWS):
        here = ((packed.unique_N >= start) & (packed.unique_N < start + _HEAD_ROWS)).nonzero().squeeze(1)
        block = hidden_UD[start : start + _HEAD_ROWS].requires_grad_()
        log_UV = head(model, block).log_softmax(-1)
        picked = -log_UV[packed.unique_N[here] - start, packed.target_N[here]] * weights[packed.example_N[here]]
        (gradient_UD[start : start + _HEAD_ROWS],) = torch.autograd.grad(picked.sum(), block)
        losses_N[here] = picked.detach()
    return losses_N, gradient_UD
