"""AdapterBank: many LoRA adapters stacked over one frozen model, each row of a batch naming its own.

LoRA (Hu et al., arXiv 2106.09685): y = Wx + (alpha / r) B A x. The bank keeps A as (K, r, in) and B as (K, out, r) for
every linear layer it covers and adds each row's low-rank term by a forward hook, so that the model itself stays as
transformers built it.

Shapes: K slots, S slots that a batch names, R rows, T tokens in a row, r rank, I and O a layer's input and output size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.errors import ModelError, SettingsError

BASE = -1


class AdapterBank:
    """K LoRA slots over the linear layers of `model` whose last name is in `targets` (None: all but the head)."""

    def __init__(
        self,
        model: nn.Module,
        slots: int,
        *,
        rank: int,
        alpha: float,
        targets: Sequence[str] | None = None,
    ) -> None:
        if slots < 1 or rank < 1:
            raise SettingsError(f"slots={slots}, rank={rank}", expected="at least 1 of each", do="raise them")
        self.model, self.slots, self.rank, self.alpha = model, slots, rank, float(alpha)
        self.modules = linear_layers(model, targets)
        self.targets = sorted({name.rpartition(".")[2] for name in self.modules})
        device = next(model.parameters()).device
        self.a: dict[str, nn.Parameter] = {}
        self.b: dict[str, nn.Parameter] = {}
        for name, layer in self.modules.items():
            # float32 whatever the model's dtype: a small learning rate is lost in bfloat16's rounding.
            self.a[name] = nn.Parameter(torch.zeros(slots, rank, layer.in_features, device=device))
            self.b[name] = nn.Parameter(torch.zeros(slots, layer.out_features, rank, device=device))
        self._rows: _Rows | None = None
        self._hooks = [layer.register_forward_hook(self._hook(name)) for name, layer in self.modules.items()]

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    def parameters(self) -> list[nn.Parameter]:
        """All stacked parameters, each with the slot as its first dimension."""
        return [*self.a.values(), *self.b.values()]

    def initialise(self, slot: int, seed: int) -> None:
        """LoRA's start for one slot: A uniform as Kaiming with a=sqrt(5), B zero. Depends on `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, layer in self.modules.items():
                bound = 1.0 / math.sqrt(layer.in_features)
                drawn = torch.empty(self.rank, layer.in_features).uniform_(-bound, bound, generator=generator)
                self.a[name][slot].copy_(drawn)
                self.b[name][slot].zero_()

    @contextlib.contextmanager
    def rows(self, row_slots: Sequence[int]) -> Iterator[None]:
        """Within the block, row i of every batch goes through slot `row_slots[i]` (-1: the base alone)."""
        bad = [slot for slot in row_slots if not BASE <= slot < self.slots]
        if bad:
            raise ValueError(f"slot {bad[0]} named by a row: the bank has slots 0 to {self.slots - 1}, and -1 for none")
        before = self._rows
        self._rows = _Rows(row_slots, next(iter(self.a.values())).device)
        try:
            yield
        finally:
            self._rows = before

    def close(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _hook(self, name: str) -> Any:
        def add_low_rank(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            rows = self._rows
            if rows is None or rows.empty:
                return None
            x_RTI = inputs[0]
            a_SIr = self.a[name][rows.slots].to(x_RTI.dtype).transpose(1, 2)
            b_SrO = self.b[name][rows.slots].to(x_RTI.dtype).transpose(1, 2)
            if rows.index is None:
                return torch.baddbmm(output, torch.bmm(x_RTI, a_SIr), b_SrO, alpha=self.scaling)
            # One matrix product a slot: the rows of a slot are laid side by side, padded to the fullest slot.
            width = x_RTI.shape[1]
            x = x_RTI[rows.index].view(len(a_SIr), -1, x_RTI.shape[2])
            low = torch.bmm(torch.bmm(x, a_SIr) * self.scaling, b_SrO).view(-1, width, output.shape[2])
            return output.index_add(0, cast(Tensor, rows.where), low if rows.back is None else low[rows.back])

        return add_low_rank


def adapter_rows(bank: AdapterBank | None, row_slots: Sequence[int]) -> contextlib.AbstractContextManager[None]:
    """`bank.rows(row_slots)`, or nothing where there is no bank and every row asks for the base."""
    if bank is not None:
        return bank.rows(row_slots)
    if any(slot != BASE for slot in row_slots):
        raise ValueError("rows name adapter slots, but there is no bank")
    return contextlib.nullcontext()


class _Rows:
    """Where the rows of each slot stand in the batch."""

    __slots__ = ("back", "empty", "index", "slots", "where")

    def __init__(self, row_slots: Sequence[int], device: torch.device) -> None:
        members: dict[int, list[int]] = {}
        for row, slot in enumerate(row_slots):
            if slot != BASE:
                members.setdefault(slot, []).append(row)
        order = list(members)
        self.empty = not order
        consecutive = bool(order) and order == list(range(order[0], order[0] + len(order)))
        # A slice is a view; a list of slots would copy their weights in every layer.
        self.slots: slice | list[int] = slice(order[0], order[0] + len(order)) if consecutive else order
        self.index: Tensor | None = None  # (slots * fullest,) rows of the batch, padded with a row of the slot
        self.back: Tensor | None = None  # places in `index` that are no padding; None when none is
        self.where: Tensor | None = None  # the rows they came from
        if order == list(row_slots):
            return
        fullest = max((len(rows) for rows in members.values()), default=0)
        index: list[int] = []
        back: list[int] = []
        where: list[int] = []
        for place, rows in enumerate(members.values()):
            index.extend(rows + rows[:1] * (fullest - len(rows)))  # its own row: a neighbour's overflow stays there
            back.extend(range(place * fullest, place * fullest + len(rows)))
            where.extend(rows)
        self.index = torch.tensor(index, dtype=torch.long, device=device)
        self.where = torch.tensor(where, dtype=torch.long, device=device)
        if len(index) > len(where):
            self.back = torch.tensor(back, dtype=torch.long, device=device)


def linear_layers(model: nn.Module, targets: Sequence[str] | None = None) -> dict[str, nn.Linear]:
    """The linear layers a bank covers, by full name. Raises ModelError when a target names none."""
    head = cast(Any, model).get_output_embeddings()
    found = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head and (not targets or name.rpartition(".")[2] in targets)
    }
    present = {name.rpartition(".")[2] for name in found}
    missing = [target for target in targets or [] if target not in present]
    if missing or not found:
        every = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
        raise ModelError(
            f"{type(model).__name__} has no linear layer named {', '.join(missing) or 'anything'}",
            expected=f"some of: {', '.join(sorted(every)) or 'none at all'}",
            do="set --target-modules to names from that list",
        )
    return found
