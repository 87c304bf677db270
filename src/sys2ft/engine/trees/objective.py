"""Objectives: the loss of a slot's pass, from its logits. Cross-entropy on the completion is the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from sys2ft.engine.trees.tree import Example


@dataclass(frozen=True, slots=True)
class Targets:
    """What some rows of logits are to predict: n targets, several of which may belong to one row.

    Target i is token `token_n[i]`, predicted by row `row_n[i]`, in place `place_n[i]` of the example numbered
    `example_n[i]` (in the list that `backward` was given). `weight_n` is its share of its slot's mean: 1 over the
    number of supervised tokens of the slot's step.
    """

    row_n: Tensor
    token_n: Tensor
    example_n: Tensor
    place_n: Tensor
    weight_n: Tensor


class Objective(Protocol):
    """The loss of a pass, as a sum over targets, and its gradient in the logits.

    The loop calls `prepare` before the passes of every step and `gradient` for a block of rows at a time, since the
    logits of a whole pass are never held together. Calls may come from several threads.
    """

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Compute what the loss needs besides the logits (a teacher's, say). No adapter is active."""
        ...

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Each target's weighted loss (n,), in nats, and the gradient (u, V) of their sum in the logits.

        The logits are float32 and belong to the callee, which may overwrite them.
        """
        ...


class CrossEntropy:
    """Negative log-likelihood of the targets."""

    name = "cross_entropy"

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Nothing is needed."""

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        log_uV = logits_uV.log_softmax(-1)
        losses_n = -log_uV[targets.row_n, targets.token_n] * targets.weight_n
        weight_u = torch.zeros(len(log_uV), device=log_uV.device).index_add_(0, targets.row_n, targets.weight_n)
        # d(sum of weighted losses) / d(logits) = probability - target, written over the log-probabilities.
        error_uV = log_uV.exp_().mul_(weight_u[:, None])
        error_uV.index_put_((targets.row_n, targets.token_n), -targets.weight_n, accumulate=True)
        return losses_n, error_uV


class Differentiated:
    """Base class of objectives that give the loss alone: autograd computes its gradient in the logits."""

    name = "differentiated"

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Nothing is needed, unless a subclass says so."""

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        """Each target's loss (n,), unweighted, in nats; differentiable in the logits."""
        raise NotImplementedError

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf_uV = logits_uV.detach().requires_grad_()
            losses_n = self.losses(leaf_uV, targets) * targets.weight_n
            (error_uV,) = torch.autograd.grad(losses_n.sum(), leaf_uV)
        return losses_n.detach(), error_uV


CROSS_ENTROPY = CrossEntropy()
