"""AdamW over the slots of a bank: every slot has its own moments, step count, learning rate, clipping and fate.

Each slot is one vector and is updated by itself, so that an adapter trained in company takes the same steps as one
trained alone. A slot whose gradient is not finite is left as it was. Moments exist from `begin`, or a
slot's first step, until `forget`.

AdamW: Loshchilov and Hutter, arXiv 1711.05101. Shapes: K slots, S slots of a step, P weights of a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from sys2ft.engine.loss import SlotGradients


@dataclass(slots=True)
class Moments:
    """AdamW's state of one slot."""

    first_P: Tensor
    second_P: Tensor
    steps: Tensor


class SlotAdamW:
    """AdamW for `weights_KP`, in place."""

    def __init__(
        self,
        weights_KP: Tensor,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.weights_KP = weights_KP
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.moments: dict[int, Moments] = {}

    def begin(self, slot: int) -> Moments:
        """Moments of a slot before its first step."""
        weights_P = self.weights_KP[slot]
        steps = torch.zeros((), device=weights_P.device)
        self.moments[slot] = Moments(torch.zeros_like(weights_P), torch.zeros_like(weights_P), steps)
        return self.moments[slot]

    @torch.no_grad()
    def step(
        self, gradients: SlotGradients, learning_rates: Mapping[int, float], max_norm: float | None
    ) -> dict[int, float]:
        """Update the slots that have a rate, and return all gradient norms before clipping.

        `max_norm` clips each slot's gradient norm (None: no clipping). The gradients are used up.
        """
        norms = torch.linalg.vector_norm(gradients.gradient_SP, dim=1).tolist()
        for slot, norm, gradient_P in zip(gradients.slots, norms, gradients.gradient_SP, strict=True):
            if slot not in learning_rates or not norm < float("inf"):
                continue
            if max_norm is not None:
                gradient_P *= min(1.0, max_norm / (norm + 1e-6))
            self._update(slot, gradient_P, learning_rates[slot])
        return dict(zip(gradients.slots, norms, strict=True))

    def _update(self, slot: int, gradient_P: Tensor, rate: float) -> None:
        moments = self.moments[slot] if slot in self.moments else self.begin(slot)
        # Fused: one pass over the slot, and no temporary of its size.
        adamw(
            [self.weights_KP[slot]], [gradient_P], [moments.first_P], [moments.second_P], [], [moments.steps],
            fused=True, amsgrad=False, maximize=False, lr=rate, weight_decay=self.weight_decay,
            beta1=self.betas[0], beta2=self.betas[1], eps=self.eps,
        )  # fmt: skip

    def forget(self, slot: int) -> None:
        """Free the moments of a slot that is done."""
        self.moments.pop(slot, None)
