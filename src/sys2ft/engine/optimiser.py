"""AdamW over stacked slots: every slot has its own step count, learning rate, clipping and fate.

The update is elementwise and each slot is clipped by its own gradient norm, so that an adapter trained in company
takes the same steps as one trained alone. A slot whose loss or gradient is not finite is left as it was and reported.

AdamW: Loshchilov and Hutter, arXiv 1711.05101.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SlotAdamW:
    """AdamW for parameters of shape (K, ...), K slots."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps_K = torch.zeros(self.parameters[0].shape[0], device=self.parameters[0].device)

    def gradient_norms(self) -> Tensor:
        """L2 norm of each slot's gradient, (K,)."""
        total_K = torch.zeros_like(self.steps_K)
        for parameter in self.parameters:
            if parameter.grad is not None:
                total_K += parameter.grad.detach().flatten(1).square().sum(1)
        return total_K.sqrt()

    @torch.no_grad()
    def step(self, learning_rates: Sequence[float], active: Sequence[bool], max_norm: float | None) -> Tensor:
        """Update the active slots, clear all gradients, and return the gradient norms (K,) before clipping.

        `learning_rates` and `active` have K entries; `max_norm` clips each slot's gradient norm (None: no clipping).
        """
        norms_K = self.gradient_norms()
        live_K = torch.tensor(active, device=norms_K.device) & norms_K.isfinite()
        clip_K = torch.ones_like(norms_K)
        if max_norm is not None:
            clip_K = (max_norm / (norms_K + 1e-6)).clamp(max=1.0)
        rates_K = torch.tensor(learning_rates, dtype=torch.float32, device=norms_K.device)
        self.steps_K += live_K
        taken_K = self.steps_K.clamp(min=1.0)
        beta1, beta2 = self.betas
        correction1_K, correction2_K = 1 - beta1**taken_K, 1 - beta2**taken_K
        live = live_K.tolist()
        for parameter, first, second in zip(self.parameters, self.first, self.second, strict=True):
            if parameter.grad is None:
                continue
            shape = (-1,) + (1,) * (parameter.dim() - 1)
            gradient = parameter.grad * clip_K.view(shape)
            rate = rates_K.view(shape)
            moment1 = torch.lerp(first, gradient, 1 - beta1)
            moment2 = torch.lerp(second, gradient.square(), 1 - beta2)
            scale = (moment2 / correction2_K.view(shape)).sqrt_().add_(self.eps)
            update = moment1 / correction1_K.view(shape) / scale
            new = parameter * (1 - rate * self.weight_decay) - rate * update
            if all(live):
                first.copy_(moment1), second.copy_(moment2), parameter.copy_(new)
            else:  # a select, not a product: 0 * nan is nan
                keep = live_K.view(shape)
                first.copy_(torch.where(keep, moment1, first))
                second.copy_(torch.where(keep, moment2, second))
                parameter.copy_(torch.where(keep, new, parameter))
            parameter.grad = None
        return norms_K

    def state(self) -> dict[str, Tensor]:
        """Everything a checkpoint needs, by name."""
        tensors = {"steps": self.steps_K}
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            tensors[f"first.{index}"], tensors[f"second.{index}"] = first, second
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self.steps_K.copy_(tensors["steps"])
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            first.copy_(tensors[f"first.{index}"])
            second.copy_(tensors[f"second.{index}"])
