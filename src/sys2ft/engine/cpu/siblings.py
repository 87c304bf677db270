"""Siblings: linear layers of one module that read the same tensor, such as q, k and v, or gate and up.

Their weights lie one under the other in one tensor, of which each layer's weight is a view, so that one product makes
the outputs of all, and one the gradient of what they read. Nothing is stored twice, and whoever looks at a layer sees
its weight as before. Which layers are siblings is found by watching a forward pass.

Shapes: T nodes, I input size, O output size of a layer, or of all siblings together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


def is_linear(module: nn.Module) -> bool:
    """Whether the module computes what `torch.nn.Linear` does: a subclass with a forward of its own does not."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


@contextlib.contextmanager
def watching(model: nn.Module) -> Iterator[list[list[str]]]:
    """Names of siblings in the forward pass within the block, two or more in a group; the list is filled at its end.

    A layer that is called twice has no siblings: what one call computed would be handed to the other.
    """
    groups: list[list[str]] = []
    calls: list[tuple[str, Tensor]] = []  # the tensors too: one that is freed could lend its identity to another

    def note(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs:
                calls.append((name, inputs[0]))

        return hook

    hooks = [
        module.register_forward_pre_hook(note(name)) for name, module in model.named_modules() if is_linear(module)
    ]
    try:
        yield groups
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for name, _ in calls]
    found: dict[tuple[str, int], list[str]] = {}
    for name, tensor in calls:
        if names.count(name) == 1:
            found.setdefault((name.rpartition(".")[0], id(tensor)), []).append(name)
    groups += [group for group in found.values() if len(group) > 1]


def join(layers: Sequence[nn.Linear]) -> None:
    """Lay the layers' weights, and their biases, one under the other. Layers that do not fit are left as they are."""
    kinds = {(layer.in_features, layer.weight.dtype, layer.weight.device, layer.bias is None) for layer in layers}
    if len(kinds) > 1:
        return
    for kind in ("weight", "bias"):
        parameters = [cast(nn.Parameter, getattr(layer, kind)) for layer in layers if getattr(layer, kind) is not None]
        if parameters and one_under_another(parameters) is None:
            whole = torch.cat([parameter.detach() for parameter in parameters])
            for parameter, view in zip(parameters, torch.split(whole, [len(p) for p in parameters]), strict=True):
                parameter.data = view


def groups_of(groups: Sequence[Sequence[str]], covered: Collection[str]) -> Iterator[Sequence[str]]:
    """Each group that has a covered layer, in order of the covered; a covered layer without siblings alone."""
    group_of = {name: group for group in groups for name in group}
    done: set[str] = set()
    for name in covered:
        if name not in done:
            group = group_of.get(name, [name])
            done.update(group)
            yield group


class Siblings:
    """The product of some layers with the one tensor they read, and its gradient in that tensor.

    Where the weights do not lie one under the other (a model that was moved, or never prepared), each layer is
    multiplied by itself.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.weights = [layer.weight.detach() for layer in layers]
        self.biases = [None if layer.bias is None else layer.bias.detach() for layer in layers]
        self.widths = [len(weight) for weight in self.weights]
        whole = one_under_another(self.weights)
        bias = one_under_another([bias for bias in self.biases if bias is not None])
        if None in self.biases and bias is not None:
            whole = None
        self.weight_OI, self.bias_O = whole, bias

    def product(self, x_TI: Tensor) -> Sequence[Tensor]:
        """The layers' outputs (T, O)."""
        if self.weight_OI is not None:
            return torch.split(nn.functional.linear(x_TI, self.weight_OI, self.bias_O), self.widths, dim=1)
        return [nn.functional.linear(x_TI, *own) for own in zip(self.weights, self.biases, strict=True)]

    def gradient(self, gradients: Sequence[Tensor]) -> Tensor:
        """That of x (T, I), from those of the outputs (T, O)."""
        together = side_by_side(gradients)
        if self.weight_OI is not None and together is not None:
            return together @ self.weight_OI
        total_TI = gradients[0] @ self.weights[0]
        for gradient_TO, weight_OI in zip(gradients[1:], self.weights[1:], strict=True):
            total_TI.addmm_(gradient_TO, weight_OI)
        return total_TI


def one_under_another(tensors: Sequence[Tensor]) -> Tensor | None:
    """The tensor of which these are the rows, in this order; None where they do not lie so."""
    if not tensors:
        return None
    first, end = tensors[0], tensors[0].storage_offset()
    for tensor in tensors:
        if not tensor.is_contiguous() or not _same_storage(tensor, first) or tensor.storage_offset() != end:
            return None
        end += tensor.numel()
    rows = sum(len(tensor) for tensor in tensors)
    return first.detach().as_strided((rows, *first.shape[1:]), first.stride())


def side_by_side(tensors: Sequence[Tensor]) -> Tensor | None:
    """The matrix of which these are the columns, in this order; None where they do not lie so."""
    first, end = tensors[0], tensors[0].storage_offset()
    for tensor in tensors:
        if tensor.stride() != first.stride() or not _same_storage(tensor, first) or tensor.storage_offset() != end:
            return None
        end += tensor.shape[1]
    columns = sum(tensor.shape[1] for tensor in tensors)
    return first.as_strided((len(first), columns), first.stride()) if columns <= first.stride(0) else None


def _same_storage(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
