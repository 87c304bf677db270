"""AdapterBank: many LoRA adapters stacked over one frozen model, each part of a batch naming its own.

LoRA (Hu et al., arXiv 2106.09685): y = Wx + (alpha / r) B A x. All weights of a slot lie in one row of one tensor, so
that an optimiser, a checkpoint or a copy deals with a slot as one vector; A (r, in) and B (out, r) of every linear
layer the bank covers are views of it, the A of siblings one under the other. For the length of a pass the layers get a
forward that computes base and term together; before and after it the model is as transformers built it.

Shapes: K slots, S slots of a step, P weights of a slot, r rank, I and O a layer's input and output size.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.engine.adapters.dropout import Dropout
from sys2ft.engine.adapters.linears import Group
from sys2ft.engine.adapters.low_rank import Batch, Gradient, Layer, Stack
from sys2ft.engine.cpu.fast_form import fast_form, instead
from sys2ft.engine.cpu.siblings import Siblings, groups_of, is_linear
from sys2ft.errors import ModelError, SettingsError

BASE = -1


class AdapterBank:
    """K LoRA slots over the linear layers of `model` whose last name is in `targets` (None: all but the head).

    `dropout` is the rate at which a training drops inputs of A; it changes nothing else. `weights_KP` are float32
    whatever the model's dtype: a small learning rate is lost in bfloat16's rounding.
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
                do="change the one that is out of range",
            )
        self.model, self.slots, self.rank, self.alpha, self.dropout = model, slots, rank, float(alpha), dropout
        self.modules = linear_layers(model, targets)
        form = fast_form(model)
        self.targets = sorted({name.rpartition(".")[2] for name in self.modules})
        device = next(model.parameters()).device
        self.size = weights_a_slot(self.modules.values(), rank)
        self.weights_KP = torch.zeros(slots, self.size, device=device)
        self.a: dict[str, Tensor] = {}
        self.b: dict[str, Tensor] = {}
        self._here = threading.local()  # the batch of a thread's pass
        # What makes autograd keep a layer's products, though neither weights nor base ask for a gradient.
        self._tracked = torch.zeros((), device=device, requires_grad=True)
        self._groups: list[Group] = []
        self._forwards: dict[nn.Module, Any] = dict(form.shortcuts)
        start = 0
        for names in groups_of(form.siblings, self.modules):
            start = self._cover(names, start)

    def _cover(self, names: Sequence[str], start: int) -> int:
        """Give the bank's layers among these siblings their weights from `start` on; where the next ones begin."""
        layers = [cast(nn.Linear, self.model.get_submodule(name)) for name in names]
        places = [place for place, name in enumerate(names) if name in self.modules]
        numbers = {name: number for number, name in enumerate(self.modules)}
        rank, slots, inputs = self.rank, self.slots, layers[0].in_features
        middle = start + len(places) * rank * inputs
        a_KRI = self.weights_KP[:, start:middle].view(slots, len(places) * rank, inputs)
        covered, single = list[Layer](), list[Stack]()
        for i, place in enumerate(places):
            name, outputs = names[place], layers[place].out_features
            self.a[name] = a_KRI[:, i * rank : (i + 1) * rank]
            end = middle + rank * outputs
            self.b[name] = self.weights_KP[:, middle:end].view(slots, outputs, rank)
            covered.append(Layer(numbers[name], self.b[name], middle))
            single.append(Stack(covered[-1:], self.a[name], start + i * rank * inputs, rank, self.scaling))
            middle = end
        group = Group(Siblings(layers), places, Stack(covered, a_KRI, start, rank, self.scaling), single)
        self._groups.append(group)
        for place, layer in enumerate(layers):
            self._forwards[layer] = group.forward_of(place, lambda: self._batch, self._tracked)
        return middle

    @property
    def _batch(self) -> Batch | None:
        return getattr(self._here, "batch", None)

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    def parameters(self) -> list[Tensor]:
        """A and B of every layer, each with the slot as its first dimension: views of `weights_KP`."""
        return [*self.a.values(), *self.b.values()]

    def initialise(self, slot: int, seed: int) -> None:
        """LoRA's start for one slot: A uniform as Kaiming with a=sqrt(5), B zero. Depends on `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        for name, layer in self.modules.items():
            bound = 1.0 / math.sqrt(layer.in_features)
            drawn = torch.empty(self.rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            self.a[name][slot].copy_(drawn)
            self.b[name][slot].zero_()

    def rows(self, row_slots: Sequence[int]) -> contextlib.AbstractContextManager[None]:
        """Within the block, row i of every batch goes through slot `row_slots[i]` (-1: the base alone)."""
        return self.parts([(slot, 1) for slot in row_slots])

    @contextlib.contextmanager
    def parts(
        self,
        spans: Sequence[tuple[int, int]],
        *,
        gradient: Gradient | None = None,
        dropout: Dropout | None = None,
    ) -> Iterator[None]:
        """Within the block, a batch is cut into runs of (slot, units): of its rows, or of the nodes of its one row.

        With `gradient` a backward pass adds that of each slot's weights to it.
        """
        bad = [slot for slot, _ in spans if not BASE <= slot < self.slots]
        if bad:
            raise ValueError(f"slot {bad[0]} is not in the bank: it has slots 0 to {self.slots - 1}, and -1 for none")
        before = self._batch
        self._here.batch = Batch(spans, self.weights_KP, gradient, dropout)
        try:
            with instead(self._forwards):
                yield
        finally:
            self._here.batch = before
            for group in self._groups:
                group.forget()

    def ready(self) -> contextlib.AbstractContextManager[None]:
        """Within the block several threads can be in `parts` at the same time."""
        return instead(self._forwards)  # what `parts` does again, and undoes, changes nothing then

    def close(self) -> None:
        """Let go of the model: passes within the bank's blocks are those of the base from now on."""
        self._groups, self._forwards = [], {}


def adapter_rows(bank: AdapterBank | None, row_slots: Sequence[int]) -> contextlib.AbstractContextManager[None]:
    """`bank.rows(row_slots)`, or nothing where there is no bank and every row asks for the base."""
    return adapter_parts(bank, [(slot, 1) for slot in row_slots])


def adapter_parts(
    bank: AdapterBank | None, spans: Sequence[tuple[int, int]]
) -> contextlib.AbstractContextManager[None]:
    """`bank.parts(spans)`, or nothing where there is no bank and every part asks for the base."""
    if bank is not None:
        return bank.parts(spans)
    if any(slot != BASE for slot, _ in spans):
        raise ValueError("parts of the batch name adapter slots, but there is no bank")
    return contextlib.nullcontext()


def weights_a_slot(layers: Iterable[nn.Linear], rank: int) -> int:
    """Weights of one adapter over these layers."""
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def linear_layers(model: nn.Module, targets: Sequence[str] | None = None) -> dict[str, nn.Linear]:
    """The linear layers a bank covers, by full name. Raises ModelError when a target names none."""
    head = cast(Any, model).get_output_embeddings()
    found = {
        name: cast(nn.Linear, layer)
        for name, layer in model.named_modules()
        if is_linear(layer) and layer is not head and (not targets or name.rpartition(".")[2] in targets)
    }
    present = {name.rpartition(".")[2] for name in found}
    missing = [target for target in targets or [] if target not in present]
    if missing or not found:
        every = {n.rpartition(".")[2] for n, m in model.named_modules() if is_linear(m) and m is not head}
        raise ModelError(
            f"{type(model).__name__} has no linear layer named {', '.join(missing) or 'anything'}",
            expected=f"some of: {', '.join(sorted(every)) or 'none at all'}",
            do="set --target-modules to names from that list",
        )
    return found
