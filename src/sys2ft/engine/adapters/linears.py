"""Linear layers of a frozen base and their adapters as one function: forward and backward, siblings at once.

What autograd would do layer by layer is written out: the base's product and the low-rank terms go into one output, the
gradient of what siblings read is added up where it lies, and only that tensor is kept.

Shapes: T nodes, I input size, O output size of a layer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sys2ft.engine.adapters.low_rank import Batch, Stack
from sys2ft.engine.cpu.siblings import Siblings


class _Left(threading.local):
    """What a thread's pass has computed and not asked for yet: of which tensor, and the outputs by place."""

    def __init__(self) -> None:
        self.read: Tensor | None = None
        self.outputs: dict[int, Tensor] = {}


class Group:
    """Siblings, and the adapters of those that the bank covers.

    `whole` is the stack of all covered ones, whose outputs are at `places` among the siblings'; `single` are the stacks
    of each by itself, which dropout needs. Without either the siblings are the base alone.
    """

    def __init__(
        self, siblings: Siblings, places: Sequence[int] = (), whole: Stack | None = None, single: Sequence[Stack] = ()
    ) -> None:
        self.siblings, self.places, self.whole, self.single = siblings, places, whole, single
        self._here = _Left()

    def stacks(self, batch: Batch | None) -> list[tuple[Stack, Sequence[int]]]:
        """Stacks to compute, each with the places of its layers among the siblings."""
        if self.whole is None or batch is None or not batch.parts:
            return []
        if batch.dropout is None:
            return [(self.whole, self.places)]
        return [(stack, [place]) for stack, place in zip(self.single, self.places, strict=True)]

    def output(self, place: int, x: Tensor, batch: Batch | None, tracked: Tensor | None = None) -> Tensor:
        """Output of the sibling at `place`. The first that asks has those of all computed, the others take theirs."""
        here = self._here
        if here.read is not x or place not in here.outputs:
            here.outputs = dict(enumerate(_Linears.apply(x, self, batch, tracked)))  # type: ignore[no-untyped-call]
            here.read = x
        output = here.outputs.pop(place)
        if not here.outputs:
            self.forget()
        return output

    def forget(self) -> None:
        """Hold no tensor any longer."""
        self._here.read, self._here.outputs = None, {}

    def forward_of(self, place: int, batch: Callable[[], Batch | None], tracked: Tensor | None = None) -> Any:
        """A forward for the sibling at `place`; `tracked` asks for a gradient where the layer's input does not."""
        return lambda x: self.output(place, x, batch(), tracked)


class _Linears(torch.autograd.Function):
    """The outputs of a group."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, batch: Batch | None, _tracked: Tensor | None) -> tuple[Tensor, ...]:
        x_TI = x.reshape(-1, x.shape[-1])
        outputs = group.siblings.product(x_TI)
        lows = []
        for stack, places in group.stacks(batch):
            assert batch is not None
            lows.append(stack.add([outputs[p] for p in places], x_TI, batch))
        ctx.group, ctx.batch = group, batch
        ctx.save_for_backward(x, *lows)
        return tuple(output_TO.view(*x.shape[:-1], -1) for output_TO in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        x, *lows = ctx.saved_tensors
        x_TI = x.reshape(-1, x.shape[-1])
        gradients_TO = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        grad_x_TI = ctx.group.siblings.gradient(gradients_TO) if ctx.needs_input_grad[0] else None
        for (stack, places), low in zip(ctx.group.stacks(ctx.batch), lows, strict=True):
            stack.backward([gradients_TO[p] for p in places], x_TI, low, ctx.batch, grad_x_TI)
        return None if grad_x_TI is None else grad_x_TI.view(x.shape), None, None, None
