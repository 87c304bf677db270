"""AdamW over the slots of a bank, each with its own moments, step count, learning rate and clipping.

Each slot is one vector and is updated on its own, so that an adapter trained beside others takes the same steps as one
trained alone. A slot whose gradient is not finite is left unchanged. Moments exist from `begin`, or a slot's first
step, until `forget`.

AdamW: Loshchilov and Hutter, arXiv 1711.05101. Shapes: K slots, S slots of a step, P weights of a slot, p some of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from sys2ft.engine.adapters.moments import Moments, OnDevice
from sys2ft.engine.trees.loss import SlotGradients


class SlotAdamW:
    """AdamW for `weights_KP`, in place. `moments` stores the moments (None: with the weights)."""

    def __init__(
        self,
        weights_KP: Tensor,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        moments: Moments | None = None,
    ) -> None:
        self.weights_KP = weights_KP
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.moments = OnDevice(weights_KP.shape[1], weights_KP.device) if moments is None else moments
        self.steps: dict[int, Tensor] = {}
        """Steps taken by each slot that has moments."""

    def begin(self, slot: int) -> None:
        """Zero moments for a slot before its first step."""
        self.moments.begin(slot)
        self._count(slot, 0)

    def load_state(self, slot: int, moments_2P: Tensor, steps: int) -> None:
        """Moments of a slot after `steps` steps. The optimiser owns the tensor from now on."""
        self.moments.write(slot, moments_2P)
        self._count(slot, steps)

    def _count(self, slot: int, steps: int) -> None:
        self.steps[slot] = torch.full((), float(steps), device=self.weights_KP.device)

    @torch.no_grad()
    def step(
        self, gradients: SlotGradients, learning_rates: Mapping[int, float], max_norm: float | None
    ) -> dict[int, float]:
        """Update the slots that have a rate, and return all gradient norms before clipping.

        `max_norm` clips each slot's gradient norm (None: no clipping). The gradients are overwritten.
        """
        norms = torch.linalg.vector_norm(gradients.gradient_SP, dim=1).tolist()
        for slot, norm, gradient_P in zip(gradients.slots, norms, gradients.gradient_SP, strict=True):
            if slot not in learning_rates or not norm < float("inf"):
                continue
            if max_norm is not None and (factor := max_norm / (norm + 1e-6)) < 1.0:
                gradient_P *= factor
            self._update(slot, gradient_P, learning_rates[slot])
        return dict(zip(gradients.slots, norms, strict=True))

    def _update(self, slot: int, gradient_P: Tensor, rate: float) -> None:
        if slot not in self.steps:
            self.begin(slot)
        for here, moments_2p in self.moments.pieces(slot):
            # Fused: one pass over the weights, no temporaries. It counts a step for each piece, so it gets a copy.
            adamw(
                [self.weights_KP[slot, here]], [gradient_P[here]], [moments_2p[0]], [moments_2p[1]], [],
                [self.steps[slot].clone()],
                fused=True, amsgrad=False, maximize=False, lr=rate, weight_decay=self.weight_decay,
                beta1=self.betas[0], beta2=self.betas[1], eps=self.eps,
            )  # fmt: skip
        self.steps[slot] += 1

    def forget(self, slot: int) -> None:
        """Free the moments of a slot whose training has ended."""
        self.moments.forget(slot)
        self.steps.pop(slot, None)
