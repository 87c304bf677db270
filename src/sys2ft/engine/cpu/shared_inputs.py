"""Linear layers that read the same tensor, such as q, k and v, or gate and up, as one matrix product.

Their weights are stacked in one tensor, of which each layer's weight becomes a view: one product computes the outputs
of all layers, and one the gradient of their input. Nothing is stored twice, and each layer's weight looks as before.
Which layers share an input is found by watching a forward pass.

Shapes: T nodes, I input size, O output size of a layer, or of all layers of a group.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.engine.adapters.linears import Linears, is_linear


@contextlib.contextmanager
def watching(model: nn.Module) -> Iterator[list[list[str]]]:
    """Names of layers that share an input in the block's forward pass, two or more in a group.

    The list is filled at the end of the block. A layer that is called twice is in no group: the output of one call
    could be returned by the other.
    """
    groups: list[list[str]] = []
    calls: list[tuple[str, Tensor]] = []  # keeps the tensors: one that is freed could pass its id on to another

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
    """Stack the layers' weights, and their biases, in one tensor. Layers that do not fit are left as they are."""
    kinds = {(layer.in_features, layer.weight.dtype, layer.weight.device, layer.bias is None) for layer in layers}
    if len(kinds) > 1:
        return
    for kind in ("weight", "bias"):
        parameters = [cast(nn.Parameter, getattr(layer, kind)) for layer in layers if getattr(layer, kind) is not None]
        if parameters and stacked_rows(parameters) is None:
            whole = torch.cat([parameter.detach() for parameter in parameters])
            for parameter, view in zip(parameters, torch.split(whole, [len(p) for p in parameters]), strict=True):
                parameter.data = view


def groups_of(groups: Sequence[Sequence[str]], covered: Collection[str]) -> Iterator[Sequence[str]]:
    """Each group with a covered layer, in order of the covered layers; a covered layer of no group is one by itself."""
    group_of = {name: group for group in groups for name in group}
    done: set[str] = set()
    for name in covered:
        if name not in done:
            group = group_of.get(name, [name])
            done.update(group)
            yield group


class SharedInputLinears(Linears):
    """`Linears` as one product.

    Layers whose weights are not stacked (a model that was moved, or not prepared) are multiplied one by one.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__(layers)
        self.widths = [len(weight) for weight in self.weights]
        whole = stacked_rows(self.weights)
        bias = stacked_rows([bias for bias in self.biases if bias is not None])
        if None in self.biases and bias is not None:
            whole = None
        self.weight_OI, self.bias_O = whole, bias

    def outputs(self, x_TI: Tensor) -> Sequence[Tensor]:
        if self.weight_OI is None:
            return super().outputs(x_TI)
        return torch.split(nn.functional.linear(x_TI, self.weight_OI, self.bias_O), self.widths, dim=1)

    def gradient(self, gradients: Sequence[Tensor]) -> Tensor:
        whole_TO = adjacent_columns(gradients)
        if self.weight_OI is None or whole_TO is None:
            return super().gradient(gradients)
        return whole_TO @ self.weight_OI


def stacked_rows(tensors: Sequence[Tensor]) -> Tensor | None:
    """The tensor whose rows these are, in this order; None if they are not stacked in one."""
    if not tensors:
        return None
    first, end = tensors[0], tensors[0].storage_offset()
    for tensor in tensors:
        if not tensor.is_contiguous() or not _same_storage(tensor, first) or tensor.storage_offset() != end:
            return None
        end += tensor.numel()
    rows = sum(len(tensor) for tensor in tensors)
    return first.detach().as_strided((rows, *first.shape[1:]), first.stride())


def adjacent_columns(tensors: Sequence[Tensor]) -> Tensor | None:
    """The matrix whose columns these are, in this order; None if they are not adjacent in one."""
    first, end = tensors[0], tensors[0].storage_offset()
    for tensor in tensors:
        if tensor.stride() != first.stride() or not _same_storage(tensor, first) or tensor.storage_offset() != end:
            return None
        end += tensor.shape[1]
    columns = sum(tensor.shape[1] for tensor in tensors)
    return first.as_strided((len(first), columns), first.stride()) if columns <= first.stride(0) else None


def _same_storage(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
