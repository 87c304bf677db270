"""The low-rank products of many adapters in one batch: y += scaling * B A x, with each part's own slot.

A part is a run of rows (decoding) or of nodes (token trees) of one slot. The parts are padded to the slot with the most
nodes and multiplied as one batch; on a CPU long parts are multiplied one by one, without padding, and on some GPUs one
kernel multiplies parts of any length (`grouped.py`). Layers that read the same tensor share the products with it. The
gradient of a slot's weights is added to the step's gradient as it is computed: a layer never has a gradient of all
slots.

Shapes: K slots of the bank, S slots that a batch names, W nodes of the longest slot, T nodes of a batch, n those of a
part, P weights of a slot, r rank, R rank times the layers stacked, I and O a layer's input and output size. A batch has
units (rows, or nodes) of equally many nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sys2ft.engine.adapters import grouped
from sys2ft.engine.adapters.dropout import Dropout
from sys2ft.engine.transfer import send_integers

_LONG = 32  # nodes that the parts must have on average to be multiplied one by one


@dataclass(slots=True)
class Gradient:
    """Where a step's gradient is accumulated: row `places[slot]` of (S, P)."""

    places: dict[int, int]
    total_SP: Tensor


class Batch:
    """Which slot each unit of a batch uses, in order; -1 is the base alone."""

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        weights_KP: Tensor,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
        *,
        separate_parts: bool = False,
        grouped_products: bool = False,
    ) -> None:
        """`spans`: (slot, number of units). `weights_KP`: the bank's, which must not change during the batch.

        `separate_parts`: multiply long parts one by one. `grouped_products`: multiply all parts by one
        kernel, without padding.
        """
        self._separate_parts = separate_parts
        self.weights_KP, self.gradient, self.dropout = weights_KP, gradient, dropout
        self.device = weights_KP.device
        self.parts: list[tuple[int, int, int]] = []  # slot, first unit, end
        self.units = 0
        for slot, units in spans:
            if slot >= 0:
                joins = bool(self.parts) and self.parts[-1][0] == slot and self.parts[-1][2] == self.units
                first = self.parts.pop()[1] if joins else self.units
                self.parts.append((slot, first, self.units + units))
            self.units += units
        self.members: dict[int, list[int]] = {}  # the units of each slot
        for slot, first, end in self.parts:
            self.members.setdefault(slot, []).extend(range(first, end))
        # The kernel needs runs that follow one another from the first unit to the last, one of each slot.
        runs = len(self.members) == len(self.parts) and sum(map(len, self.members.values())) == self.units
        self.grouped = grouped_products and runs
        self._ends: dict[int, Tensor] = {}
        self._named: tuple[slice | Tensor, Tensor] | None = None
        self._padded: _Padded | None = None
        self._cast: dict[int, Tensor] = {}
        self._weights_SP: Tensor | None = None

    def weights_of(self, slot: int, dtype: torch.dtype) -> Tensor:
        """All weights (P,) of a slot in `dtype`, cast once for all layers."""
        if dtype == self.weights_KP.dtype:
            return self.weights_KP[slot]
        if slot not in self._cast:
            self._cast[slot] = self.weights_KP[slot].to(dtype)
        return self._cast[slot]

    def weights_SP(self, dtype: torch.dtype) -> Tensor:
        """All weights of the slots of the padded batch in `dtype`, gathered and cast once for all layers."""
        if self._weights_SP is None or self._weights_SP.dtype != dtype:
            self._weights_SP = self.weights_KP[self._slots_and_rows[0]].to(dtype)
        return self._weights_SP

    def separate(self, nodes: int) -> bool:
        """Whether to multiply the parts of a batch of `nodes` nodes one by one."""
        return self._separate_parts and nodes >= _LONG * len(self.parts)

    @property
    def _slots_and_rows(self) -> tuple[slice | Tensor, Tensor]:
        if self._named is None:
            order = list(self.members)
            rows = [] if self.gradient is None else [self.gradient.places[slot] for slot in order]
            order_S, rows_S = send_integers([order, rows], self.device)
            # A slice is a view; other slots copy their weights.
            consecutive = order == list(range(order[0], order[0] + len(order)))
            self._named = slice(order[0], order[0] + len(order)) if consecutive else order_S, rows_S
        return self._named

    @property
    def rows_S(self) -> Tensor:
        """The gradient's row of each slot."""
        return self._slots_and_rows[1]

    @property
    def padded(self) -> _Padded:
        """The parts as one batch."""
        if self._padded is None:
            self._padded = _Padded(self.members, self.units, self.device)
        return self._padded

    def ends_S(self, wide: int) -> Tensor:
        """Where each part ends, in nodes; a unit has `wide` nodes."""
        if wide not in self._ends:
            (ends_S,) = send_integers([[end * wide for _, _, end in self.parts]], self.device)
            self._ends[wide] = ends_S.int()
        return self._ends[wide]


class _Padded:
    """The units of each slot, padded to the slot with the most units."""

    def __init__(self, members: Mapping[int, list[int]], units: int, device: torch.device) -> None:
        longest = max(len(own) for own in members.values())
        where = [unit for own in members.values() for unit in own]
        index: list[int] = []
        back: list[int] = []
        for place, own in enumerate(members.values()):
            # Padding repeats a unit of the same slot: an overflow of another slot must not reach it.
            index.extend(own + own[:1] * (longest - len(own)))
            back.extend(range(place * longest, place * longest + len(own)))
        padding = sorted(set(range(len(index))) - set(back))
        index_T, where_T, back_T, padding_T = send_integers([index, where, back, padding], device)
        self.count = len(members)
        as_it_is = where == list(range(units)) and not padding
        # Units of the batch, padded; None if the batch has that form already.
        self.index = None if as_it_is else index_T
        self.where = None if as_it_is else where_T  # the units that `back` came from
        self.back = back_T if padding else None  # places in `index` that are not padding; None if there is none
        self.padding = padding_T if padding else None

    def split(self, x_UwI: Tensor, *, clear: bool = False) -> Tensor:
        """(units, nodes of a unit, I) to (S, W, I); `clear`: set padding to 0."""
        if self.index is not None:
            x_UwI = x_UwI[self.index]
            if clear and self.padding is not None:
                x_UwI.index_fill_(0, self.padding, 0.0)
        return x_UwI.reshape(self.count, -1, x_UwI.shape[-1])

    def add(self, to_UwO: Tensor, y_SWO: Tensor) -> None:
        """Add (S, W, O) to the units it belongs to, in place."""
        if self.where is None:
            to_UwO += y_SWO.view_as(to_UwO)
            return
        y = y_SWO.reshape(-1, *to_UwO.shape[1:])
        to_UwO.index_add_(0, self.where, y if self.back is None else y[self.back])


@dataclass(frozen=True, slots=True)
class Layer:
    """The adapters of one linear layer, its number in the bank, and where its B begins in a slot's weights."""

    number: int
    b_KOr: Tensor
    b_start: int

    def b_of(self, weights: Tensor) -> Tensor:
        """B (O, r) in a vector (P,) of a slot's weights, or (S, O, r) in those of several slots (S, P)."""
        own = weights[..., self.b_start : self.b_start + self.b_KOr[0].numel()]
        return own.view(*weights.shape[:-1], *self.b_KOr.shape[1:])


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers that read the same tensor. Their A are stacked in a_KRI, from `a_start` of a slot's weights.

    Columns `i * rank` to `(i + 1) * rank` of the product with A belong to layer i.
    """

    layers: Sequence[Layer]
    a_KRI: Tensor
    a_start: int
    rank: int
    scaling: float

    def _columns(self, low: Tensor, i: int) -> Tensor:
        return low[..., i * self.rank : (i + 1) * self.rank]

    def _input(self, x_TI: Tensor, batch: Batch) -> Tensor:
        """What A reads. Each layer has its own dropout, so with dropout a stack has one layer."""
        if batch.dropout is None:
            return x_TI
        (layer,) = self.layers
        return batch.dropout(x_TI, layer.number)

    def add(self, outputs: Sequence[Tensor], x_TI: Tensor, batch: Batch) -> Tensor:
        """Add every part's term to each layer's output (T, O) in place; returns A x for the backward pass."""
        x_TI = self._input(x_TI, batch)
        dtype, wide = x_TI.dtype, len(x_TI) // batch.units
        if batch.separate(len(x_TI)):
            low_TR = x_TI.new_empty(len(x_TI), self.a_KRI.shape[1])
            for slot, first, end in batch.parts:
                here, weights_P = slice(first * wide, end * wide), batch.weights_of(slot, dtype)
                low_nR = torch.mm(x_TI[here], self._a_of(weights_P).T, out=low_TR[here])
                for i, (layer, output_TO) in enumerate(zip(self.layers, outputs, strict=True)):
                    b_Or = layer.b_of(weights_P)
                    output_TO[here].addmm_(self._columns(low_nR, i), b_Or.T, alpha=self.scaling)
            return low_TR
        weights_SP = batch.weights_SP(dtype)
        if batch.grouped:
            ends_S = batch.ends_S(wide)
            low_TR = grouped.product(x_TI, self._a_of(weights_SP).transpose(1, 2), ends_S)
            for i, (layer, output_TO) in enumerate(zip(self.layers, outputs, strict=True)):
                y_TO = grouped.product(self._columns(low_TR, i), layer.b_of(weights_SP).transpose(1, 2), ends_S)
                output_TO.add_(y_TO, alpha=self.scaling)
            return low_TR
        padded = batch.padded
        x_SWI = padded.split(x_TI.view(batch.units, wide, -1))
        low_SWR = torch.bmm(x_SWI, self._a_of(weights_SP).transpose(1, 2))
        for i, (layer, output_TO) in enumerate(zip(self.layers, outputs, strict=True)):
            b_SrO = layer.b_of(weights_SP).transpose(1, 2)
            y_SWO = torch.bmm(self._columns(low_SWR, i) * self.scaling, b_SrO)
            padded.add(output_TO.view(batch.units, wide, -1), y_SWO)
        return low_SWR

    def backward(
        self, gradients: Sequence[Tensor], x_TI: Tensor, low: Tensor, batch: Batch, grad_x_TI: Tensor | None
    ) -> None:
        """Add the gradient of A and B to the step's, and that of x to `grad_x_TI` if it is given.

        `gradients` are those of the layers' outputs (T, O); `low` is what `add` returned.
        """
        term_TI = grad_x_TI
        if grad_x_TI is not None and batch.dropout is not None:
            term_TI = torch.zeros_like(grad_x_TI)
        x_TI = self._input(x_TI, batch)
        if batch.separate(len(x_TI)):
            self._backward_separate(gradients, x_TI, low, batch, term_TI)
        elif batch.grouped:
            self._backward_grouped(gradients, x_TI, low, batch, term_TI)
        else:
            self._backward_padded(gradients, x_TI, low, batch, term_TI)
        if grad_x_TI is not None and term_TI is not None and term_TI is not grad_x_TI:
            grad_x_TI += self._input(term_TI, batch)

    def _backward_separate(
        self, gradients: Sequence[Tensor], x_TI: Tensor, low_TR: Tensor, batch: Batch, term_TI: Tensor | None
    ) -> None:
        assert batch.gradient is not None
        places, total_SP = batch.gradient.places, batch.gradient.total_SP
        dtype, wide = x_TI.dtype, len(x_TI) // batch.units
        grad_low_TR = torch.empty_like(low_TR)
        for slot, first, end in batch.parts:
            here, weights_P = slice(first * wide, end * wide), batch.weights_of(slot, dtype)
            grad_P, grad_low_nR, low_nR = total_SP[places[slot]], grad_low_TR[here], low_TR[here]
            for i, (layer, gradient_TO) in enumerate(zip(self.layers, gradients, strict=True)):
                b_Or, gradient_nO = layer.b_of(weights_P), gradient_TO[here]
                self._columns(grad_low_nR, i).addmm_(gradient_nO, b_Or, beta=0, alpha=self.scaling)
                _add_product(layer.b_of(grad_P), gradient_nO.T, self._columns(low_nR, i), self.scaling)
            _add_product(self._a_of(grad_P), grad_low_nR.T, x_TI[here])
            if term_TI is not None:
                term_TI[here].addmm_(grad_low_nR, self._a_of(weights_P))

    def _backward_grouped(
        self, gradients: Sequence[Tensor], x_TI: Tensor, low_TR: Tensor, batch: Batch, term_TI: Tensor | None
    ) -> None:
        weights_SP, ends_S = batch.weights_SP(x_TI.dtype), batch.ends_S(len(x_TI) // batch.units)
        grad_low_TR = torch.empty_like(low_TR)
        for i, (layer, gradient_TO) in enumerate(zip(self.layers, gradients, strict=True)):
            grad_low_Tr = grouped.product(gradient_TO, layer.b_of(weights_SP), ends_S)
            torch.mul(grad_low_Tr, self.scaling, out=self._columns(grad_low_TR, i))
            grad_b_SOr = grouped.outer(gradient_TO, self._columns(low_TR, i), ends_S)
            _add_gradient(batch, layer.b_start, grad_b_SOr, self.scaling)
        _add_gradient(batch, self.a_start, grouped.outer(grad_low_TR, x_TI, ends_S))
        if term_TI is not None:
            term_TI += grouped.product(grad_low_TR, self._a_of(weights_SP), ends_S)

    def _backward_padded(
        self, gradients: Sequence[Tensor], x_TI: Tensor, low_SWR: Tensor, batch: Batch, term_TI: Tensor | None
    ) -> None:
        padded = batch.padded
        weights_SP, wide = batch.weights_SP(x_TI.dtype), len(x_TI) // batch.units
        grad_low_SWR = torch.empty_like(low_SWR)
        for i, (layer, gradient_TO) in enumerate(zip(self.layers, gradients, strict=True)):
            gradient_SWO = padded.split(gradient_TO.view(batch.units, wide, -1), clear=True)
            b_SOr = layer.b_of(weights_SP)
            self._columns(grad_low_SWR, i).copy_(torch.bmm(gradient_SWO, b_SOr)).mul_(self.scaling)
            grad_b_SOr = torch.bmm(gradient_SWO.transpose(1, 2), self._columns(low_SWR, i)).mul_(self.scaling)
            _add_gradient(batch, layer.b_start, grad_b_SOr)
        x_SWI = padded.split(x_TI.view(batch.units, wide, -1))
        grad_a_SRI = torch.bmm(grad_low_SWR.transpose(1, 2), x_SWI)
        _add_gradient(batch, self.a_start, grad_a_SRI)
        if term_TI is not None:
            grad_x_SWI = torch.bmm(grad_low_SWR, self._a_of(weights_SP))
            padded.add(term_TI.view(batch.units, wide, -1), grad_x_SWI)

    def _a_of(self, weights: Tensor) -> Tensor:
        """A (R, I) in a vector (P,) of a slot's weights, or (S, R, I) in those of several slots (S, P)."""
        own = weights[..., self.a_start : self.a_start + self.a_KRI[0].numel()]
        return own.view(*weights.shape[:-1], *self.a_KRI.shape[1:])


def _add_gradient(batch: Batch, start: int, gradient_SXY: Tensor, scaling: float = 1.0) -> None:
    """Add the gradient of every slot's weights from `start` on to the step's, times `scaling`."""
    assert batch.gradient is not None
    own_SP = gradient_SXY.flatten(1).float()
    here_SP = batch.gradient.total_SP[:, start : start + own_SP.shape[1]]
    here_SP.index_add_(0, batch.rows_S, own_SP, alpha=scaling)


def _add_product(total: Tensor, left: Tensor, right: Tensor, scaling: float = 1.0) -> None:
    """total += scaling * left @ right, accumulated in float32 for factors of any dtype."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, alpha=scaling)
    elif len(left) > right.shape[1]:
        # The narrow factor first: the product then reads the wide one in its own layout.
        total.add_((right.T @ left.T).T, alpha=scaling)
    else:
        total.add_(left @ right, alpha=scaling)
