"""Objectives compute the training loss and its gradient from logits; `CrossEntropy` is the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from sys2ft.engine.trees.tree import Example


@dataclass(frozen=True, slots=True)
class Targets:
    """The n target tokens of a block of logits; several targets may belong to one row.

    All tensors have shape (n,). Target i is the token `token_n[i]`, predicted by row `row_n[i]` of the logits, at
    position `place_n[i]` of example `example_n[i]` (an index into the examples passed to `backward`). `weight_n[i]` is
    its weight in its slot's mean loss: 1 / number of supervised tokens of that slot in this step.
    """

    row_n: Tensor
    token_n: Tensor
    example_n: Tensor
    place_n: Tensor
    weight_n: Tensor


class Objective(Protocol):
    """The loss of a pass as a sum over targets, and its gradient with respect to the logits.

    The training loop calls `prepare` before the passes of every step, and `gradient` for one block of rows after
    another, since the logits of a whole pass are never in memory at once. Calls may come from several threads.
    """

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Compute what the loss needs besides the logits, such as a teacher's logits. No adapter is active."""
        ...

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """The weighted loss of each target (n,), in nats, and the gradient of their sum w.r.t. the logits (u, V).

        `logits_uV` is float32 and may be overwritten.
        """
        ...


class CrossEntropy:
    """Negative log-likelihood of the targets."""

    name = "cross_entropy"

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Does nothing."""

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        log_uV = logits_uV.log_softmax(-1)
        losses_n = -log_uV[targets.row_n, targets.token_n] * targets.weight_n
        weight_u = torch.zeros(len(log_uV), device=log_uV.device).index_add_(0, targets.row_n, targets.weight_n)
        # d(sum of weighted losses) / d(logits) = probability - target, written over the log-probabilities.
        error_uV = log_uV.exp_().mul_(weight_u[:, None])
        error_uV.index_put_((targets.row_n, targets.token_n), -targets.weight_n, accumulate=True)
        return losses_n, error_uV


class Differentiated:
    """Base class of objectives that define only the loss: autograd computes its gradient w.r.t. the logits."""

    name = "differentiated"

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Does nothing; a subclass may override it."""

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        """The unweighted loss of each target (n,), in nats, differentiable w.r.t. the logits (u, V)."""
        raise NotImplementedError

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf_uV = logits_uV.detach().requires_grad_()
            losses_n = self.losses(leaf_uV, targets)
            if losses_n.shape != targets.weight_n.shape:
                raise ValueError(
                    f"the objective {self.name!r} returned losses of shape {tuple(losses_n.shape)}: "
                    f"one for each of the {len(targets.weight_n)} targets is needed"
                )
            losses_n = losses_n * targets.weight_n
            (error_uV,) = torch.autograd.grad(losses_n.sum(), leaf_uV)
        return losses_n.detach(), error_uV


CROSS_ENTROPY = CrossEntropy()
