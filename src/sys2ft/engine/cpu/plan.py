"""Which optimisations the passes over a model use: decided once by `prepare`, looked up by everything else."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from sys2ft.engine.adapters.grouped import grouped_works
from sys2ft.engine.adapters.linears import LinearGroup
from sys2ft.engine.cpu.kernels import keep_few_kernels
from sys2ft.engine.cpu.shared_inputs import SharedInputLinears, join, watching
from sys2ft.engine.cpu.shortcuts import find
from sys2ft.engine.patching import patched_forwards
from sys2ft.errors import out_of_memory
from sys2ft.models.allocator import keep_freed_memory, plain_wanted, return_freed_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the passes over one model use. The default is the plain path."""

    shared_inputs: Sequence[Sequence[str]] = ()
    """Names of linear layers that read the same tensor, two or more in a group, computed as one product."""
    shortcuts: Mapping[nn.Module, Any] = field(default_factory=dict)
    """A faster forward for each of these modules."""
    passes_at_once: int = 1
    """How many training passes run concurrently."""
    float32_attention: bool = False
    """Compute attention in float32 in passes with a gradient."""
    separate_parts: bool = False
    """Multiply each long part of a batch by its adapter on its own, without padding."""

    ragged_attention: bool = False
    """Compute the attention of token trees by one kernel (a GPU's, in half precision)."""

    grouped_products: bool = False
    """Multiply all parts of a batch by their adapters with one kernel (Hopper's and Blackwell's, in bfloat16)."""

    def base_forwards(self, model: nn.Module) -> dict[nn.Module, Any]:
        """Forwards of a pass without adapters. Autograd takes part in them as it does in a pass with adapters."""
        forwards = dict(self.shortcuts)
        tracked = torch.zeros((), device=next(model.parameters()).device, requires_grad=True)
        for names in self.shared_inputs:
            layers: list[Any] = [model.get_submodule(name) for name in names]
            group = LinearGroup(SharedInputLinears(layers))
            forwards |= {layer: group.forward_of(place, lambda: None, tracked) for place, layer in enumerate(layers)}
        return forwards


_PLANS: WeakKeyDictionary[nn.Module, Plan] = WeakKeyDictionary()


def plan_of(model: nn.Module) -> Plan:
    """The plan decided for `model`; the plain path if there is none."""
    return _PLANS.get(model, Plan())


def set_plan(model: nn.Module, plan: Plan) -> None:
    """Use `plan` in the passes over `model` from now on. Banks that exist keep the forwards they were built with."""
    _PLANS[model] = plan


def base_pass(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Within the block, passes without adapters use the model's plan; a bank's passes replace these forwards."""
    return patched_forwards(plan_of(model).base_forwards(model))


def prepare_process(model: nn.Module) -> None:
    """Settings of this process that must precede the first pass: the allocator, and the kernels that are kept."""
    if not _applies(model):
        return
    keep_freed_memory()
    if _half(model):
        keep_few_kernels()


def make_fast(model: nn.Module, agrees: Callable[[], bool]) -> None:
    """Decide the plan of `model`.

    `agrees` runs a pass of the engine and compares it with the model's own. Where the faster forwards do not agree, a
    warning says so, and the model computes layer by layer.
    """
    on_gpu = next(model.parameters()).is_cuda
    if plain_wanted() or not (on_gpu or _applies(model)):
        return
    with watching(model) as groups:
        agrees()
    for names in groups:
        layers: list[Any] = [model.get_submodule(name) for name in names]
        join(layers)
    half = _half(model)
    if on_gpu:
        # Fewer and larger products. What else a CPU computes faster would be more kernels, or of no use.
        weight = next(model.parameters())
        grouped = grouped_works(weight.device, weight.dtype)
        rest = Plan(ragged_attention=_ragged(model, agrees), grouped_products=grouped)
        plan = replace(rest, shared_inputs=groups)
    else:
        # The separate weights have left gaps of about their size, too scattered to be reused.
        return_freed_memory()
        passes = 2 if half and torch.get_num_threads() > 1 else 1
        rest = Plan(passes_at_once=passes, float32_attention=half, separate_parts=True)
        plan = replace(rest, shared_inputs=groups, shortcuts=find(model))
    try:
        with patched_forwards(plan.base_forwards(model)):
            held = agrees()
    except RuntimeError as error:  # the model changes an output in place, or needs it in a storage of its own
        if out_of_memory(error):
            raise
        held = False
    if not held:
        warnings.warn(
            f"{type(model).__name__} is computed layer by layer: its layers do more than linear products", stacklevel=3
        )
    set_plan(model, plan if held else rest)


def _ragged(model: nn.Module, agrees: Callable[[], bool]) -> bool:
    """Whether the ragged form of attention computes the model's own logits, and its own gradients."""
    from sys2ft.engine.trees.ragged_attention import ragged_works

    if not ragged_works(model):
        return False
    set_plan(model, Plan(ragged_attention=True))
    try:
        held = agrees()
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        held = False
    if not held:
        set_plan(model, Plan())
        warnings.warn(f"{type(model).__name__}: attention of token trees is computed in blocks", stacklevel=4)
    return held


def _applies(model: nn.Module) -> bool:
    return next(model.parameters()).device.type == "cpu" and not plain_wanted()


def _half(model: nn.Module) -> bool:
    return next(model.parameters()).dtype != torch.float32
