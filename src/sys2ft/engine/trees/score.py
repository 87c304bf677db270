"""Log-likelihoods of continuations, with prompts and shared prefixes computed once.

Shapes: U supervised nodes, N targets, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sys2ft.engine.adapters.bank import adapter_parts
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.cpu.plan import base_pass, plan_of
from sys2ft.engine.forward import sliding_window, tree_states
from sys2ft.engine.head import head_output, head_rows, logits, pieces
from sys2ft.engine.trees.tree import Example, Pack, StepCost, group_trees, pack, slot_trees


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Sum of the log-probabilities (nats) of a continuation's tokens, and how many there are."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.total / self.tokens


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """One LogLikelihood per example, in order, and what each slot's examples cost."""

    likelihoods: list[LogLikelihood]
    costs: dict[int, StepCost]

    @property
    def tokens_computed(self) -> int:
        return sum(cost.tokens_computed for cost in self.costs.values())

    @property
    def predictions(self) -> int:
        return sum(cost.predictions for cost in self.costs.values())


def score(
    model: torch.nn.Module,
    examples: Sequence[Example],
    bank: Bank | None = None,
    *,
    tokens_at_once: int = 4096,
) -> ScoreResult:
    """Log-likelihood of each example's supervised tokens, under its slot's adapter.

    Examples that share a prefix should be neighbours: they then share its computation. The results are those of a full
    forward pass for each example, up to rounding. `tokens_at_once` bounds memory.
    """
    totals = [0.0] * len(examples)
    costs: dict[int, StepCost] = {}
    with torch.inference_mode(), base_pass(model):
        for packed, hidden_UD in read_trees(model, examples, bank, costs, tokens_at_once=tokens_at_once):
            values_N = torch.zeros(len(packed.target_N), device=hidden_UD.device)
            for here, rows, logits_uV in predictions(model, hidden_UD, packed):
                values_N[here] = logits_uV.log_softmax(-1)[rows, packed.target_N[here]]
            for example, value in zip(packed.owners, values_N.tolist(), strict=True):
                totals[example] += value
    likelihoods = [LogLikelihood(total, e.supervised) for total, e in zip(totals, examples, strict=True)]
    return ScoreResult(likelihoods, costs)


def read_trees(
    model: torch.nn.Module,
    examples: Sequence[Example],
    bank: Bank | None,
    costs: dict[int, StepCost],
    *,
    tokens_at_once: int,
) -> Iterator[tuple[Pack, Tensor]]:
    """The examples in passes without a gradient: each batch, and the hidden states (U, D) at its nodes that predict.

    The cost of each slot is added to `costs`. Call it within `base_pass`.
    """
    device, window = next(model.parameters()).device, sliding_window(model)
    ragged = plan_of(model).ragged_attention
    for trees in group_trees(slot_trees(examples, tokens_at_once), tokens_at_once):
        packed = pack(examples, trees, device, window=window, ragged=ragged)
        with adapter_parts(bank, packed.segments):
            hidden_TD = tree_states(model, packed.tokens_T, packed.positions_T, packed.paths)
        for tree in trees:
            cost = StepCost(len(tree), len(tree.asked))
            costs[tree.slot] = costs.get(tree.slot, StepCost()) + cost
        yield packed, hidden_TD[packed.asked_U]


def predictions(model: torch.nn.Module, hidden_UD: Tensor, packed: Pack) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of float32 logits (u, V): the numbers of the targets in it, and the row that predicts each."""
    rows = head_rows(model)
    for start in range(0, len(hidden_UD), rows):
        output_UV = head_output(model, hidden_UD[start : start + rows])
        for first, end in pieces(model, output_UV):
            here = packed.targets(start + first, start + end)
            yield here, packed.asked_N[here] - start - first, logits(model, output_UV[first:end])
