"""The training loss of each slot, and the gradient of its adapter's weights.

A slot's loss is the weighted mean over its own supervised tokens, so slots do not dilute one another. A pass takes as
many slots as fit, and a gradient exists for these only. The head runs on supervised positions only, a block at a time,
so that the logits of a whole batch never exist at once.

Shapes: T nodes, U supervised nodes, u some of them, N targets, D hidden size, V vocabulary, S slots of a pass, P
weights of a slot.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sys2ft.engine.adapters.dropout import Dropout, node_keys
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.adapters.low_rank import Gradient
from sys2ft.engine.cpu.parallel import run_in_parallel
from sys2ft.engine.cpu.plan import plan_of
from sys2ft.engine.forward import sliding_window, tree_states
from sys2ft.engine.head import head_output, head_rows, logits, pieces
from sys2ft.engine.transfer import send, send_integers
from sys2ft.engine.trees.objective import CROSS_ENTROPY, Objective, Targets
from sys2ft.engine.trees.tree import Example, Pack, SlotTree, StepCost, group_trees, pack, slot_trees


@dataclass(slots=True)
class SlotGradients:
    """The complete gradient of some slots' mean losses (nats per supervised token): row s is that of `slots[s]`.

    `costs` are those of each slot; padding, which the slots of a pass share, is divided among them by their nodes.
    """

    slots: list[int]
    gradient_SP: Tensor
    losses: dict[int, float]
    costs: dict[int, StepCost]

    @property
    def cost(self) -> StepCost:
        """That of all slots."""
        return sum(self.costs.values(), StepCost())


def backward(
    model: torch.nn.Module,
    bank: Bank,
    examples: Sequence[Example],
    *,
    tokens_at_once: int,
    dropout_seeds: Mapping[int, int] | None = None,
    objective: Objective = CROSS_ENTROPY,
) -> Iterator[SlotGradients]:
    """Each slot's mean loss and its gradient, as many slots at a time as fit into a pass of `tokens_at_once`.

    A slot with more tokens is computed alone, in several passes. If the bank has dropout, `dropout_seeds` is each
    slot's seed of this step. `objective` is the loss.
    """
    totals: dict[int, float] = {}
    for example in examples:
        weight = (example.weight + example.teacher_weight) * example.supervised
        totals[example.slot] = totals.get(example.slot, 0.0) + weight
    objective.prepare(model, examples)
    weights = [(e.weight / totals[e.slot], e.teacher_weight / totals[e.slot]) for e in examples]
    for passes in _flights(slot_trees(examples, tokens_at_once), tokens_at_once):
        yield _Flight(model, bank, examples, weights, dropout_seeds, objective).run(passes)


def _flights(trees: Sequence[SlotTree], max_nodes: int) -> Iterator[list[list[SlotTree]]]:
    """Lists of passes that complete the gradients of the slots in them; a pass has at most one tree of a slot."""
    single: list[SlotTree] = []
    for _, group in itertools.groupby(trees, lambda tree: tree.slot):
        own = list(group)
        if len(own) > 1:
            yield [[tree] for tree in own]
        else:
            single += own
    for batch in group_trees(single, max_nodes):
        yield [batch]


class _Flight:
    def __init__(
        self,
        model: torch.nn.Module,
        bank: Bank,
        examples: Sequence[Example],
        weights: Sequence[tuple[float, float]],
        dropout_seeds: Mapping[int, int] | None,
        objective: Objective,
    ) -> None:
        self.objective = objective
        self.model, self.bank, self.examples = model, bank, examples
        self.device = bank.weights_KP.device
        self.weights = send(torch.tensor(weights), self.device)
        self.seeds = dropout_seeds if bank.dropout else None
        self.costs: dict[int, StepCost] = {}

    def run(self, passes: Sequence[Sequence[SlotTree]]) -> SlotGradients:
        slots = sorted({tree.slot for trees in passes for tree in trees})
        places = {slot: place for place, slot in enumerate(slots)}
        gradient = Gradient(places, torch.zeros(len(slots), self.bank.size, device=self.device))
        losses_S = torch.zeros(len(slots), device=self.device)
        (place_of_example,) = send_integers([[places.get(example.slot, 0) for example in self.examples]], self.device)
        with self.bank.ready():
            for trees in passes:
                # A slot is in one share, so no two passes add to the same gradient.
                parts = _shares(trees, plan_of(self.model).passes_at_once)
                for part, (packed, losses_N) in zip(
                    parts,
                    run_in_parallel([partial(self._pass, part, gradient, len(parts)) for part in parts]),
                    strict=True,
                ):
                    losses_S.index_add_(0, place_of_example[packed.example_N], losses_N)
                    self._count(part, packed)
        losses = dict(zip(slots, losses_S.tolist(), strict=True))
        return SlotGradients(slots, gradient.total_SP, losses, self.costs)

    def _count(self, trees: Sequence[SlotTree], packed: Pack) -> None:
        before = done = 0
        for tree in trees:
            done += len(tree)
            padded = packed.padded * done // len(packed) - before
            before += padded
            shown = sum(len(self.examples[i].ids) for i in tree.members)
            cost = StepCost(len(tree), len(tree.asked), shown, padded)
            self.costs[tree.slot] = self.costs.get(tree.slot, StepCost()) + cost

    def _pass(self, trees: Sequence[SlotTree], gradient: Gradient, shares: int) -> tuple[Pack, Tensor]:
        """One of `shares` concurrent passes."""
        window, named = sliding_window(self.model), self.seeds is not None
        ragged = plan_of(self.model).ragged_attention
        packed = pack(self.examples, trees, self.device, window=window, ragged=ragged, named=named)
        dropout = None
        if self.seeds is not None:
            assert packed.names_T is not None
            seeds = [self.seeds[slot] for slot, _ in packed.segments]
            keys_T = send(node_keys(packed.names_T, packed.segments, seeds), self.device)
            dropout = Dropout(self.bank.dropout, keys_T)
        with self.bank.parts(packed.segments, gradient=gradient, dropout=dropout):
            hidden_TD = tree_states(self.model, packed.tokens_T, packed.positions_T, packed.paths)
            hidden_UD = hidden_TD[packed.asked_U]
            del hidden_TD
            rows = max(1, head_rows(self.model) // shares)
            losses_N, gradient_UD = _head_gradient(
                self.model, hidden_UD.detach(), packed, self.weights, rows, self.objective
            )
            torch.autograd.backward(hidden_UD, gradient_UD)
        return packed, losses_N


def _shares(trees: Sequence[SlotTree], most: int) -> list[list[SlotTree]]:
    """The trees, each of a different slot, in at most `most` shares with about as many nodes, in order of slot."""
    shares: list[list[SlotTree]] = [[] for _ in range(most)]
    # The largest first, each to the share with the fewest nodes: the share that ends first waits for the other.
    for tree in sorted(trees, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(tree)
    return [sorted(share, key=lambda tree: tree.slot) for share in shares if share]


def _head_gradient(
    model: torch.nn.Module, hidden_UD: Tensor, packed: Pack, weights: Tensor, rows: int, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Weighted losses (N,) and their sum's gradient in `hidden_UD`; `rows` of outputs at a time.

    `weights` has for each example that of its tokens' loss and that of the divergence from its teacher.
    """
    gradient_UD = torch.empty_like(hidden_UD)
    weight_N, teacher_weight_N = weights[packed.example_N].unbind(1)
    losses_N = torch.zeros_like(weight_N)
    for start in range(0, len(hidden_UD), rows):
        block_UD = hidden_UD[start : start + rows].requires_grad_()
        with torch.enable_grad():
            output_UV = head_output(model, block_UD)
        # The gradient overwrites the output, which is no longer needed: both are large.
        gradient_UV = output_UV.detach()
        for first, end in pieces(model, output_UV):
            piece_uV = gradient_UV[first:end].requires_grad_()
            with torch.enable_grad():
                logits_uV = logits(model, piece_uV)
            here = packed.targets(start + first, start + end)
            targets = Targets(
                row_n=packed.asked_N[here] - start - first,
                token_n=packed.target_N[here],
                example_n=packed.example_N[here],
                place_n=packed.place_N[here],
                weight_n=weight_N[here],
                teacher=None if packed.teacher_N is None else packed.teacher_N[here],
                teacher_weight_n=None if packed.teacher_N is None else teacher_weight_N[here],
            )
            losses_N[here], error_uV = objective.gradient(logits_uV.detach(), targets)
            (error_uV,) = torch.autograd.grad(logits_uV, piece_uV, error_uV)
            gradient_UV[first:end] = error_uV
        (gradient_UD[start : start + rows],) = torch.autograd.grad(output_UV, block_UD, gradient_UV)
    return losses_N, gradient_UD
