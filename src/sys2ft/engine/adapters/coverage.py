"""What adapters do not reach: matrices outside linear layers, such as the fused experts of mixture-of-experts models.

transformers stores the experts of a layer as one tensor (experts, outputs, inputs). An adapter on each of them would
multiply the size of every adapter by their number, so they keep their weights; adapters change what reaches them, and
what the router chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from sys2ft.engine.adapters.linears import as_linear


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Matrices of a model that no adapter covers with any choice of target layers."""

    names: tuple[str, ...]
    """Of the parameters, with '*' for numbers of layers, largest first."""
    share: float
    """Their part of the model's parameters."""

    def __str__(self) -> str:
        return f"adapters do not cover {', '.join(self.names)} ({self.share:.0%} of the model's parameters)"


def outside_linears(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The matrices outside linear layers, embeddings and the head, with their names."""
    head = cast(Any, model).get_output_embeddings()
    known = {
        id(parameter)
        for module in model.modules()
        if module is head or isinstance(module, nn.Embedding) or as_linear(module) is not None
        for parameter in module.parameters(recurse=False)
    }
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and id(parameter) not in known:
            yield name, parameter


def uncovered(model: nn.Module) -> Uncovered | None:
    """What `outside_linears` finds; None if that is nothing."""
    sizes: dict[str, int] = {}
    for name, parameter in outside_linears(model):
        place = re.sub(r"\.\d+(?=\.)", ".*", name)
        sizes[place] = sizes.get(place, 0) + parameter.numel()
    if not sizes:
        return None
    share = sum(sizes.values()) / sum(parameter.numel() for parameter in model.parameters())
    return Uncovered(tuple(sorted(sizes, key=lambda name: (-sizes[name], name))), share)
