"""The low-rank products of many adapters in one batch: y += scaling * B A x, each part of the batch by its own slot.

A part is a run of rows (decoding) or of nodes (token trees) of one slot. Long parts are multiplied one by one, where
they lie; many short ones are laid side by side, padded to the fullest slot, and multiplied together. The gradient of a
slot's weights is added to the step's gradient where it is computed: no gradient of all slots is made for a layer.

Shapes: K slots of the bank, S slots that a batch names, W nodes of the fullest slot, P weights of a slot, r rank, I and
O a layer's input and output size. A batch has units (rows, or nodes) of equally many nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sys2ft.engine.dropout import Dropout

_LONG = 32  # nodes a part must have on average to be worth a product of its own


@dataclass(slots=True)
class Gradient:
    """Where a step's gradient is added up: row `places[slot]` of (S, P)."""

    places: dict[int, int]
    total_SP: Tensor


class Batch:
    """Which units of a batch go through which slot, in order; -1 is the base alone."""

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        device: torch.device,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        """`spans`: (slot, number of units)."""
        self.device, self.gradient, self.dropout = device, gradient, dropout
        self.parts: list[tuple[int, int, int]] = []  # slot, first unit, end
        self.units = 0
        for slot, units in spans:
            if slot >= 0:
                joins = bool(self.parts) and self.parts[-1][0] == slot and self.parts[-1][2] == self.units
                first = self.parts.pop()[1] if joins else self.units
                self.parts.append((slot, first, self.units + units))
            self.units += units
        self.covered = sum(end - first for _, first, end in self.parts) == self.units
        self._side: _Side | None = None
        self._rows_S: Tensor | None = None

    def one_by_one(self, nodes: int) -> bool:
        """Whether the parts of a batch of `nodes` nodes are long enough for a product each."""
        # On CUDA a call costs more than the padding does.
        return self.device.type == "cpu" and nodes >= _LONG * len(self.parts)

    @property
    def side(self) -> _Side:
        """The parts laid side by side."""
        if self._side is None:
            self._side = _Side(self.parts, self.units, self.device)
        return self._side

    @property
    def rows_S(self) -> Tensor:
        """The gradient's row of each slot that lies side by side."""
        assert self.gradient is not None
        if self._rows_S is None:
            rows = [self.gradient.places[slot] for slot in self.side.order]
            self._rows_S = torch.tensor(rows, dtype=torch.long, device=self.device)
        return self._rows_S


class _Side:
    """The units of each slot side by side, padded to the fullest slot."""

    def __init__(self, parts: Sequence[tuple[int, int, int]], units: int, device: torch.device) -> None:
        members: dict[int, list[int]] = {}
        for slot, first, end in parts:
            members.setdefault(slot, []).extend(range(first, end))
        self.order = list(members)
        consecutive = self.order == list(range(self.order[0], self.order[0] + len(self.order)))
        # A slice is a view; a list of slots copies their weights.
        self.slots: slice | list[int] = slice(self.order[0], self.order[0] + len(self.order))
        if not consecutive:
            self.slots = self.order
        self.index: Tensor | None = None  # units of the batch, padded; None where they lie side by side already
        self.back: Tensor | None = None  # places in `index` that are no padding; None where there is none
        self.padding: Tensor | None = None
        self.where: Tensor | None = None  # the units that `back` came from
        fullest = max(len(own) for own in members.values())
        if [unit for own in members.values() for unit in own] == list(range(units)) and units == fullest * len(members):
            return
        index: list[int] = []
        back: list[int] = []
        for place, own in enumerate(members.values()):
            index.extend(own + own[:1] * (fullest - len(own)))  # its own unit: a neighbour's overflow stays there
            back.extend(range(place * fullest, place * fullest + len(own)))
        self.index = torch.tensor(index, dtype=torch.long, device=device)
        self.where = torch.tensor([u for own in members.values() for u in own], dtype=torch.long, device=device)
        if len(back) < len(index):
            self.back = torch.tensor(back, dtype=torch.long, device=device)
            self.padding = torch.tensor(sorted(set(range(len(index))) - set(back)), dtype=torch.long, device=device)

    def split(self, x_UwI: Tensor, *, clear: bool = False) -> Tensor:
        """(units, nodes of a unit, I) to (S, W, I); `clear`: padding is 0."""
        if self.index is not None:
            x_UwI = x_UwI[self.index]
            if clear and self.padding is not None:
                x_UwI.index_fill_(0, self.padding, 0.0)
        return x_UwI.reshape(len(self.order), -1, x_UwI.shape[-1])

    def add(self, to_UwO: Tensor, y_SWO: Tensor) -> None:
        """Add (S, W, O) to the units it belongs to, in place."""
        if self.where is None:
            to_UwO += y_SWO.view_as(to_UwO)
            return
        y = y_SWO.reshape(-1, *to_UwO.shape[1:])
        to_UwO.index_add_(0, self.where, y if self.back is None else y[self.back])


@dataclass(slots=True)
class Layer:
    """The adapters of one linear layer. a_KrI and b_KOr are views of the bank's weights, which begin at `start`."""

    number: int
    a_KrI: Tensor
    b_KOr: Tensor
    start: int
    scaling: float
    middle: int = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.middle = self.start + self.a_KrI[0].numel()
        self.end = self.middle + self.b_KOr[0].numel()

    def add(self, output: Tensor, x: Tensor, batch: Batch) -> list[Tensor]:
        """Add every part's term to `output` in place; what A made of x is returned for the backward pass."""
        x_TI, output_TO = x.reshape(-1, x.shape[-1]), output.view(-1, output.shape[-1])
        if batch.dropout is not None:
            x_TI = batch.dropout(x_TI, self.number)
        dtype, wide = x.dtype, len(x_TI) // batch.units
        if batch.one_by_one(len(x_TI)):
            lows = []
            for slot, first, end in batch.parts:
                low_nr = x_TI[first * wide : end * wide] @ self.a_KrI[slot].T.to(dtype)
                output_TO[first * wide : end * wide].addmm_(low_nr, self.b_KOr[slot].T.to(dtype), alpha=self.scaling)
                lows.append(low_nr)
            return lows
        side = batch.side
        x_SWI = side.split(x_TI.view(batch.units, wide, -1))
        low_SWr = torch.bmm(x_SWI, self.a_KrI[side.slots].transpose(1, 2).to(dtype))
        y_SWO = torch.bmm(low_SWr * self.scaling, self.b_KOr[side.slots].transpose(1, 2).to(dtype))
        side.add(output_TO.view(batch.units, wide, -1), y_SWO)
        return [low_SWr]

    def backward(self, gradient: Tensor, x: Tensor, lows: Sequence[Tensor], batch: Batch) -> Tensor:
        """Add the gradient of A and B to the step's; return that of x."""
        assert batch.gradient is not None
        places, total_SP = batch.gradient.places, batch.gradient.total_SP
        x_TI, gradient_TO = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        if batch.dropout is not None:
            x_TI = batch.dropout(x_TI, self.number)
        dtype, wide = x.dtype, len(x_TI) // batch.units
        grad_x_TI = torch.empty_like(x_TI) if batch.covered else torch.zeros_like(x_TI)
        if batch.one_by_one(len(x_TI)):
            for (slot, first, end), low_nr in zip(batch.parts, lows, strict=True):
                here = slice(first * wide, end * wide)
                grad_low_nr = (gradient_TO[here] @ self.b_KOr[slot].to(dtype)).mul_(self.scaling)
                grad_P = total_SP[places[slot]]
                _add_product(grad_P[self.start : self.middle].view(self.a_KrI.shape[1:]), grad_low_nr.T, x_TI[here])
                grad_b_Or = grad_P[self.middle : self.end].view(self.b_KOr.shape[1:])
                _add_product(grad_b_Or, gradient_TO[here].T, low_nr, self.scaling)
                torch.mm(grad_low_nr, self.a_KrI[slot].to(dtype), out=grad_x_TI[here])
        else:
            side = batch.side
            gradient_SWO = side.split(gradient_TO.view(batch.units, wide, -1), clear=True)
            x_SWI = side.split(x_TI.view(batch.units, wide, -1))
            grad_low_SWr = torch.bmm(gradient_SWO, self.b_KOr[side.slots].to(dtype)).mul_(self.scaling)
            grad_a_SrI = torch.bmm(grad_low_SWr.transpose(1, 2), x_SWI)
            grad_b_SOr = torch.bmm(gradient_SWO.transpose(1, 2), lows[0]).mul_(self.scaling)
            total_SP[:, self.start : self.middle].index_add_(0, batch.rows_S, grad_a_SrI.flatten(1).float())
            total_SP[:, self.middle : self.end].index_add_(0, batch.rows_S, grad_b_SOr.flatten(1).float())
            grad_x_SWI = torch.bmm(grad_low_SWr, self.a_KrI[side.slots].to(dtype))
            side.add(grad_x_TI.zero_().view(batch.units, wide, -1), grad_x_SWI)
        if batch.dropout is not None:
            grad_x_TI = batch.dropout(grad_x_TI, self.number)
        return grad_x_TI.view(x.shape)


def _add_product(total: Tensor, left: Tensor, right: Tensor, scaling: float = 1.0) -> None:
    """total += scaling * left @ right, into float32 whatever the factors are."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, alpha=scaling)
    else:
        total.add_(left @ right, alpha=scaling)


class AddLowRank(torch.autograd.Function):
    """`Layer.add` with a gradient. The base's output is changed in place: nothing else has seen it yet."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, layer: Layer, batch: Batch, _tracked: Tensor) -> Tensor:
        ctx.lows = layer.add(output, x, batch)
        ctx.layer, ctx.batch = layer, batch
        ctx.mark_dirty(output)
        ctx.save_for_backward(x)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        (x,) = ctx.saved_tensors
        grad_x = ctx.layer.backward(gradient, x, ctx.lows, ctx.batch)
        return gradient, grad_x if ctx.needs_input_grad[1] else None, None, None, None
