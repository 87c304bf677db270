"""AdapterBank: many LoRA adapters over one frozen model, where each part of a batch names the adapter it uses.

LoRA (Hu et al., arXiv 2106.09685): y = Wx + (alpha / r) B A x. All weights of a slot are one row of one tensor, so that
the optimiser, a checkpoint or a copy handles a slot as one vector. A (r, in) and B (out, r) of each linear layer that
the bank covers are views of it. During a pass the layers have a forward that computes base and low-rank term; before
and after it the model is as transformers built it.

Shapes: K slots, S slots of a step, P weights of a slot, r rank, I and O a layer's input and output size.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.engine.adapters.coverage import uncovered
from sys2ft.engine.adapters.dropout import Dropout
from sys2ft.engine.adapters.grouped import aligned
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.adapters.linears import Linear, LinearGroup, Linears, as_linear
from sys2ft.engine.adapters.low_rank import Batch, Gradient, Layer, Stack
from sys2ft.engine.cpu.plan import plan_of
from sys2ft.engine.cpu.shared_inputs import SharedInputLinears, groups_of
from sys2ft.engine.patching import patched_forwards
from sys2ft.errors import ModelError, SettingsError

BASE = -1


class AdapterBank:
    """K LoRA slots over the linear layers of `model` whose last name is in `targets` (None: all but the head).

    `dropout` is the rate at which training drops inputs of A; it changes nothing else. `weights_KP` are float32 in any
    dtype of the model: the steps of a small learning rate would be lost in bfloat16's rounding.
    """

    def __init__(
        self,
        model: nn.Module,
        slots: int,
        *,
        rank: int,
        alpha: float,
        targets: Sequence[str] | None = None,
        dropout: float = 0.0,
    ) -> None:
        if slots < 1 or rank < 1 or not 0 <= dropout < 1:
            raise SettingsError(
                f"slots={slots}, rank={rank}, dropout={dropout}",
                expected="at least 1 slot and rank 1; dropout at least 0 and below 1",
                fix="change the one that is out of range",
            )
        self.model, self.slots, self.rank, self.alpha, self.dropout = model, slots, rank, float(alpha), dropout
        self.modules = linear_layers(model, targets)
        self._plan = plan_of(model)
        sizes = {size for layer in self.modules.values() for size in (layer.in_features, layer.out_features)}
        self._grouped = self._plan.grouped_products and aligned(rank, *sizes)
        self.fused = uncovered(model) is not None
        """Whether the model has fused experts, or other matrices outside linear layers."""
        self.targets = sorted({name.rpartition(".")[2] for name in self.modules})
        device = next(model.parameters()).device
        self.size = weights_a_slot(self.modules.values(), rank)
        self.weights_KP = torch.zeros(slots, self.size, device=device)
        self.a: dict[str, Tensor] = {}
        self.b: dict[str, Tensor] = {}
        self._here = threading.local()  # the batch of a thread's pass
        # Makes autograd record the layers, although neither the weights nor the base require a gradient.
        self._tracked = torch.zeros((), device=device, requires_grad=True)
        self._groups: list[LinearGroup] = []
        self._forwards: dict[nn.Module, Any] = dict(self._plan.shortcuts)
        self._starts: dict[str, tuple[int, int]] = {}
        self._lay_out()
        for names in groups_of(self._plan.shared_inputs, self.modules):
            covered = [name for name in names if name in self.modules]
            for group in [names] if self._stacked(covered) else [[name] for name in covered]:
                self._cover(group)

    def _lay_out(self) -> None:
        """Assign a slot's weights: of the layers of one module first every A, then every B.

        That depends on the model alone, so a slot's vector is the same with every plan and on every device.
        """
        start = 0
        for _, group in itertools.groupby(self.modules, key=lambda name: name.rpartition(".")[0]):
            names = list(group)
            a_starts, start = _successive(start, [self.rank * self.modules[name].in_features for name in names])
            b_starts, start = _successive(start, [self.rank * self.modules[name].out_features for name in names])
            self._starts |= dict(zip(names, zip(a_starts, b_starts, strict=True), strict=True))
        for name, (a_start, b_start) in self._starts.items():
            inputs, outputs = self.modules[name].in_features, self.modules[name].out_features
            a_KP = self.weights_KP[:, a_start : a_start + self.rank * inputs]
            b_KP = self.weights_KP[:, b_start : b_start + self.rank * outputs]
            self.a[name] = a_KP.view(self.slots, self.rank, inputs)
            self.b[name] = b_KP.view(self.slots, outputs, self.rank)

    def _stacked(self, names: Sequence[str]) -> bool:
        """Whether the A of these layers, which have one input size, follow one another."""
        starts = [self._starts[name][0] for name in names]
        return starts == _successive(starts[0], [self.a[name][0].numel() for name in names])[0]

    def _cover(self, names: Sequence[str]) -> None:
        """Build the forwards of layers that read the same tensor, some of which the bank covers."""
        modules = [self.model.get_submodule(name) for name in names]
        layers = [cast(Linear, as_linear(module)) for module in modules]
        places = [place for place, name in enumerate(names) if name in self.modules]
        numbers = {name: number for number, name in enumerate(self.modules)}
        covered, single = list[Layer](), list[Stack]()
        for name in (names[place] for place in places):
            a_start, b_start = self._starts[name]
            covered.append(Layer(numbers[name], self.b[name], b_start))
            single.append(Stack(covered[-1:], self.a[name], a_start, self.rank, self.scaling))
        first, size = single[0].a_start, sum(stack.a_KRI[0].numel() for stack in single)
        a_KRI = self.weights_KP[:, first : first + size].view(self.slots, -1, layers[0].in_features)
        base = SharedInputLinears(cast(list[nn.Linear], modules)) if len(layers) > 1 else Linears(layers)
        group = LinearGroup(base, places, Stack(covered, a_KRI, first, self.rank, self.scaling), single)
        self._groups.append(group)
        for place, module in enumerate(modules):
            self._forwards[module] = group.forward_of(place, lambda: self._batch, self._tracked)

    @property
    def _batch(self) -> Batch | None:
        return getattr(self._here, "batch", None)

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    def parameters(self) -> list[Tensor]:
        """A and B of every layer, each with the slot as its first dimension: views of `weights_KP`."""
        return [*self.a.values(), *self.b.values()]

    def scale(self, slot: int, share: float) -> None:
        """Multiply the update BA of every layer of a slot by `share`."""
        for b_KOR in self.b.values():
            b_KOR[slot].mul_(share)

    def initialise(self, slot: int, seed: int) -> None:
        """LoRA's start for one slot: A uniform as Kaiming with a=sqrt(5), B zero. Depends on `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        for name, layer in self.modules.items():
            bound = 1.0 / math.sqrt(layer.in_features)
            drawn = torch.empty(self.rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            self.a[name][slot].copy_(drawn)
            self.b[name][slot].zero_()

    def rows(self, row_slots: Sequence[int]) -> contextlib.AbstractContextManager[None]:
        """Within the block, row i of every batch uses slot `row_slots[i]` (-1: the base alone)."""
        return self.parts([(slot, 1) for slot in row_slots])

    @contextlib.contextmanager
    def parts(
        self,
        spans: Sequence[tuple[int, int]],
        *,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
    ) -> Iterator[None]:
        """Within the block, a batch consists of runs of (slot, units), of its rows or of the nodes of its only row.

        A backward pass adds the gradient of each slot's weights to `gradient`.
        """
        bad = [slot for slot, _ in spans if not BASE <= slot < self.slots]
        if bad:
            raise ValueError(f"slot {bad[0]} is not in the bank: it has slots 0 to {self.slots - 1}, and -1 for none")
        before = self._batch
        self._here.batch = self._batch_of(spans, gradient, dropout)
        try:
            with patched_forwards(self._forwards):
                yield
        finally:
            self._here.batch = before
            for group in self._groups:
                group.forget()

    def _batch_of(self, spans: Sequence[tuple[int, int]], gradient: Gradient | None, dropout: Dropout | None) -> Batch:
        """The batch of these parts. Without a gradient it is that of the last call if nothing has changed.

        In decoding, one step is like the next: the indices and the weights in the model's dtype are still right.
        """
        last: tuple[Any, Batch] | None = getattr(self._here, "last", None)
        self._here.last = None  # released before another is made
        weights_KP = self.weights_KP
        lasting = gradient is None and dropout is None and not weights_KP.is_inference()
        key = (tuple(spans), weights_KP._version, weights_KP.data_ptr()) if lasting else None
        if last is None or key is None or last[0] != key:
            last = key, Batch(
                spans, weights_KP, gradient, dropout,
                separate_parts=self._plan.separate_parts, grouped_products=self._grouped,
            )  # fmt: skip
        if lasting:
            self._here.last = last
        return last[1]

    def ready(self) -> contextlib.AbstractContextManager[None]:
        """Within the block several threads can use `parts` concurrently."""
        return patched_forwards(self._forwards)  # so that `parts` patches, and restores, what is there already

    def close(self) -> None:
        """Release the model: passes within the bank's blocks are those of the base from now on."""
        self._groups, self._forwards, self._here.last = [], {}, None


def adapter_rows(bank: Bank | None, row_slots: Sequence[int]) -> contextlib.AbstractContextManager[None]:
    """`bank.parts` of single rows, or nothing if there is no bank and every row uses the base."""
    return adapter_parts(bank, [(slot, 1) for slot in row_slots])


def adapter_parts(bank: Bank | None, spans: Sequence[tuple[int, int]]) -> contextlib.AbstractContextManager[None]:
    """`bank.parts(spans)`, or nothing if there is no bank and every part uses the base."""
    if bank is not None:
        return bank.parts(spans)
    if any(slot != BASE for slot, _ in spans):
        raise ValueError("parts of the batch name adapter slots, but there is no bank")
    return contextlib.nullcontext()


def _successive(start: int, sizes: Iterable[int]) -> tuple[list[int], int]:
    """Where consecutive stretches of these sizes begin, and where the last one ends."""
    *starts, end = itertools.accumulate(sizes, initial=start)
    return starts, end


def weights_a_slot(layers: Iterable[Linear], rank: int) -> int:
    """Number of weights of one adapter over these layers."""
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def linear_layers(model: nn.Module, targets: Sequence[str] | None = None) -> dict[str, Linear]:
    """The linear layers a bank covers, by full name. Raises ModelError if a target matches none."""
    head = cast(Any, model).get_output_embeddings()
    every = {
        name: layer
        for name, module in model.named_modules()
        if module is not head and (layer := as_linear(module)) is not None
    }
    found = {name: layer for name, layer in every.items() if not targets or name.rpartition(".")[2] in targets}
    present = {name.rpartition(".")[2] for name in found}
    missing = [target for target in targets or [] if target not in present]
    if missing or not found:
        raise ModelError(
            f"{type(model).__name__} has no linear layer named {', '.join(missing) or 'anything'}",
            expected=f"some of: {', '.join(sorted({name.rpartition('.')[2] for name in every})) or 'none at all'}",
            fix="set --target-modules to names from that list",
        )
    return found
