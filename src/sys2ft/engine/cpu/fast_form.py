"""How a model's modules compute in the engine's passes: faster than transformers wrote them, and the same.

`prepare` finds out about a model once, and keeps here what held against the model's own forward pass. Within a pass the
modules' forward is replaced; before and after it the model is as transformers built it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from sys2ft.engine.adapters.linears import Group
from sys2ft.engine.cpu.shortcuts import find
from sys2ft.engine.cpu.siblings import Siblings, join


@dataclass(frozen=True, slots=True)
class FastForm:
    """Names of siblings, two or more in a group, and a forward for each module that has a shortcut."""

    siblings: Sequence[Sequence[str]] = ()
    shortcuts: Mapping[nn.Module, Any] = field(default_factory=dict)

    def of_the_base(self, model: nn.Module) -> dict[nn.Module, Any]:
        """The forwards of a pass without adapters, in which autograd takes part as in one with them."""
        forwards = dict(self.shortcuts)
        tracked = torch.zeros((), device=next(model.parameters()).device, requires_grad=True)
        for names in self.siblings:
            layers: list[Any] = [model.get_submodule(name) for name in names]
            group = Group(Siblings(layers))
            forwards |= {layer: group.forward_of(place, lambda: None, tracked) for place, layer in enumerate(layers)}
        return forwards


_KNOWN: WeakKeyDictionary[nn.Module, FastForm] = WeakKeyDictionary()


def fast_form(model: nn.Module) -> FastForm:
    """What was kept for `model`; nothing where it was not prepared."""
    return _KNOWN.get(model, FastForm())


def keep(model: nn.Module, form: FastForm) -> None:
    """Let passes over `model` use `form` from now on."""
    _KNOWN[model] = form


def fast_passes(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Within the block the base computes in its fast form; a bank's passes in it put their own in its place."""
    return instead(fast_form(model).of_the_base(model))


def learn(model: nn.Module, siblings: Sequence[Sequence[str]]) -> FastForm:
    """The form of a model whose siblings are known; their weights are laid one under another."""
    for names in siblings:
        layers: list[Any] = [model.get_submodule(name) for name in names]
        join(layers)
    return FastForm(siblings, find(model))


@contextlib.contextmanager
def instead(forwards: Mapping[nn.Module, Any]) -> Iterator[None]:
    """Within the block these modules have the forwards given."""
    before = {module: module.__dict__.get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = forward
