"""Objectives compute the training loss and its gradient from logits; `CrossEntropy` is the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from sys2ft.engine.trees.distributions import Distributions
from sys2ft.engine.trees.tree import Example


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The n target tokens of a block of logits; several targets may belong to one row.

    All tensors have shape (n,). Target i is the token `token_n[i]`, predicted by row `row_n[i]` of the logits, at
    position `place_n[i]` of example `example_n[i]` (an index into the examples passed to `backward`). `weight_n[i]` is
    its weight in its slot's mean loss: 1 / number of supervised tokens of that slot in this step, if these have no
    other weights. If any example has a teacher, `teacher` has a distribution for each target, and `teacher_weight_n[i]`
    is the weight of the divergence from it, 0 where the example has none.
    """

    row_n: Tensor
    token_n: Tensor
    example_n: Tensor
    place_n: Tensor
    weight_n: Tensor
    teacher: Distributions | None = None
    teacher_weight_n: Tensor | None = None

    def some(self, which_n: Tensor) -> Targets:
        """Those where `which_n` is True."""
        return Targets(
            row_n=self.row_n[which_n],
            token_n=self.token_n[which_n],
            example_n=self.example_n[which_n],
            place_n=self.place_n[which_n],
            weight_n=self.weight_n[which_n],
            teacher=None if self.teacher is None else self.teacher[which_n],
            teacher_weight_n=None if self.teacher_weight_n is None else self.teacher_weight_n[which_n],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What an objective needs besides the elements: a teacher's distributions over their completions' tokens."""

    top: int = 64
    """Most likely tokens that are kept of a distribution."""
    weight: float = 1.0
    """Weight of the divergence from the teacher; the rest is the weight of the loss on the elements' own tokens."""
    sampled: bool = False
    """Whether the teacher judges completions that the adapter samples during training, in place of the elements'."""


class Objective(Protocol):
    """The loss of a pass as a sum over targets, and its gradient with respect to the logits.

    The training loop calls `prepare` before the passes of every step, and `gradient` for one block of rows after
    another, since the logits of a whole pass are never in memory at once. Calls may come from several threads. An
    objective that compares with a teacher also has an attribute `lesson`, a `Lesson`: the targets then have
    distributions.
    """

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Compute what the loss needs besides the logits and the targets. No adapter is active."""
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


class Taught:
    """Targets with a teacher's distribution by `soft`, and all that have a weight of their own by `hard`.

    `soft` sees the weight of the teacher as `weight_n`.
    """

    def __init__(self, soft: Objective, hard: Objective = CROSS_ENTROPY, *, name: str, lesson: Lesson | None) -> None:
        self.soft, self.hard, self.name, self.lesson = soft, hard, name, lesson

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        self.soft.prepare(model, examples)
        self.hard.prepare(model, examples)

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        if targets.teacher_weight_n is None:
            return self.hard.gradient(logits_uV, targets)
        taught = replace(targets, weight_n=targets.teacher_weight_n)
        losses_n = torch.zeros_like(targets.weight_n)
        error_uV = torch.zeros_like(logits_uV)
        for objective, those in ((self.hard, targets), (self.soft, taught)):
            counted_n = those.weight_n > 0
            if counted_n.any():
                losses, error = objective.gradient(logits_uV.clone(), those.some(counted_n))
                losses_n[counted_n] += losses
                error_uV += error
        return losses_n, error_uV


class KullbackLeibler:
    """The divergence between a teacher's distribution and the model's, in nats, over the teacher's parts.

    Forward: sum of p (log p - log q), reverse: sum of q (log q - log p), with p the teacher's and q the model's
    probabilities of the teacher's K most likely tokens, each a part, and of all other tokens together as one more. By
    the log-sum inequality that is at most the divergence over the vocabulary, and it is 0 only if all parts agree.
    Within the last part, the model's proportions are not changed. Forward: Hinton et al., arXiv 1503.02531; reverse, on
    the model's own samples: Agarwal et al., arXiv 2306.13649.
    """

    def __init__(self, *, reverse: bool) -> None:
        self.reverse = reverse

    @property
    def name(self) -> str:
        return "reverse_kl" if self.reverse else "forward_kl"

    def prepare(self, model: nn.Module, examples: Sequence[Example]) -> None:
        """Does nothing."""

    def gradient(self, logits_uV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        assert targets.teacher is not None
        rows_n, top_nK, log_p_nR = targets.row_n, targets.teacher.top_PK.long(), targets.teacher.normal_PR
        log_nV = logits_uV.log_softmax(-1)[rows_n]
        log_q_nK = log_nV.gather(1, top_nK)
        log_nV.scatter_(1, top_nK, -torch.inf)
        log_rest_n1 = log_nV.logsumexp(1, keepdim=True)
        log_q_nR = torch.cat([log_q_nK, log_rest_n1], dim=1)
        p_nR, q_nR, apart_nR = log_p_nR.exp(), log_q_nR.exp(), log_q_nR - log_p_nR
        losses_n = ((q_nR if self.reverse else -p_nR) * apart_nR).sum(1)
        # d(loss) / d(logit of v) = pull(part of v) * q(v) / q(part of v)
        pull_nR = q_nR * (apart_nR - losses_n[:, None]) if self.reverse else q_nR - p_nR
        pull_nR *= targets.weight_n[:, None]
        error_nV = log_nV.sub_(log_rest_n1).exp_().mul_(pull_nR[:, -1:]).scatter_(1, top_nK, pull_nR[:, :-1])
        return losses_n * targets.weight_n, torch.zeros_like(logits_uV).index_add_(0, rows_n, error_nV)


FORWARD_KL = KullbackLeibler(reverse=False)
REVERSE_KL = KullbackLeibler(reverse=True)
