"""Linear layers of a frozen base and their adapters as one function, forward and backward.

What autograd would do layer by layer is written out: the base's product and the low-rank terms are written to one
output, the gradient of the input is accumulated in place, and only the input is kept.

Shapes: T nodes, I input size, O output size of a layer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sys2ft.engine.adapters.low_rank import Batch, Stack
from sys2ft.errors import ModelError


def is_linear(module: nn.Module) -> bool:
    """Whether the module computes what `torch.nn.Linear` does: a subclass with its own forward does not."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


class TransposedLinear:
    """A `Conv1D` of transformers (GPT-2) as a linear layer: it stores its weight as (I, O)."""

    def __init__(self, module: Conv1D) -> None:
        self.in_features, self.out_features = module.weight.shape
        self.weight: Tensor = module.weight.T
        self.bias: Tensor | None = module.bias


Linear = nn.Linear | TransposedLinear
"""A layer that computes x W^T + b, with `weight` W (O, I) and `bias` b (O)."""


def as_linear(module: nn.Module) -> Linear | None:
    """The module as a linear layer; None if it is something else."""
    if is_linear(module):
        return cast(nn.Linear, module)
    return TransposedLinear(module) if isinstance(module, Conv1D) else None


class Linears:
    """Frozen linear layers that read the same tensor, multiplied one by one."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.weights = [layer.weight.detach() for layer in layers]
        self.biases = [None if layer.bias is None else layer.bias.detach() for layer in layers]

    def outputs(self, x_TI: Tensor) -> Sequence[Tensor]:
        """The layers' outputs (T, O)."""
        return [nn.functional.linear(x_TI, *own) for own in zip(self.weights, self.biases, strict=True)]

    def gradient(self, gradients: Sequence[Tensor]) -> Tensor:
        """The gradient of the input (T, I), from those of the outputs (T, O)."""
        total_TI = gradients[0] @ self.weights[0]
        for gradient_TO, weight_OI in zip(gradients[1:], self.weights[1:], strict=True):
            total_TI.addmm_(gradient_TO, weight_OI)
        return total_TI


class _Pending(threading.local):
    """Outputs that a thread's pass has computed and not yet requested, by place, and the input they belong to."""

    def __init__(self) -> None:
        self.read: Tensor | None = None
        self.outputs: dict[int, Tensor] = {}


class LinearGroup:
    """Layers that read the same tensor, and the adapters of those that the bank covers. Often it is a single layer.

    `whole` is the stack of all covered layers, which are at `places` in the group. `single` holds a stack for each of
    them, which dropout needs. Without adapters the group computes the base alone.
    """

    def __init__(
        self, base: Linears, places: Sequence[int] = (), whole: Stack | None = None, single: Sequence[Stack] = ()
    ) -> None:
        self.base, self.places, self.whole, self.single = base, places, whole, single
        self._here = _Pending()

    def stacks(self, batch: Batch | None) -> list[tuple[Stack, Sequence[int]]]:
        """The stacks to compute, each with the places of its layers in the group."""
        if self.whole is None or batch is None or not batch.parts:
            return []
        if batch.dropout is None:
            return [(self.whole, self.places)]
        return [(stack, [place]) for stack, place in zip(self.single, self.places, strict=True)]

    def output(self, place: int, x: Tensor, batch: Batch | None, tracked: Tensor | None = None) -> Tensor:
        """Output of the layer at `place`. The first request computes all layers; the others take what is pending."""
        here = self._here
        if here.read is not x or place not in here.outputs:
            here.outputs = dict(enumerate(_GroupFunction.apply(x, self, batch, tracked)))  # type: ignore[no-untyped-call]
            here.read = x
        output = here.outputs.pop(place)
        if not here.outputs:
            self.forget()
        return output

    def forget(self) -> None:
        """Release all pending tensors."""
        self._here.read, self._here.outputs = None, {}

    def forward_of(self, place: int, batch: Callable[[], Batch | None], tracked: Tensor | None = None) -> Any:
        """A forward for the layer at `place`; `tracked` requires a gradient where the layer's input does not."""
        return lambda x: self.output(place, x, batch(), tracked)


class _GroupFunction(torch.autograd.Function):
    """The outputs of a group."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, group: LinearGroup, batch: Batch | None, _tracked: Tensor | None
    ) -> tuple[Tensor, ...]:
        x_TI = x.reshape(-1, x.shape[-1])
        outputs = group.base.outputs(x_TI)
        lows = []
        for stack, places in group.stacks(batch):
            assert batch is not None
            if len(x_TI) % batch.units:
                raise ModelError(
                    "a linear layer reads some tokens of a batch only, as the experts of some models do",
                    expected="layers that read every token, so that each token meets its own adapter",
                    fix="leave such layers out with --target-modules",
                )
            lows.append(stack.add([outputs[p] for p in places], x_TI, batch))
        ctx.group, ctx.batch = group, batch
        ctx.save_for_backward(x, *lows)
        return tuple(output_TO.view(*x.shape[:-1], -1) for output_TO in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        x, *lows = ctx.saved_tensors
        x_TI = x.reshape(-1, x.shape[-1])
        gradients_TO = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        grad_x_TI = ctx.group.base.gradient(gradients_TO) if ctx.needs_input_grad[0] else None
        for (stack, places), low in zip(ctx.group.stacks(ctx.batch), lows, strict=True):
            stack.backward([gradients_TO[p] for p in places], x_TI, low, ctx.batch, grad_x_TI)
        return None if grad_x_TI is None else grad_x_TI.view(x.shape), None, None, None
