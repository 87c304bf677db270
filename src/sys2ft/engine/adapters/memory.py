"""Memory that training needs, memory that is free, and so how many adapters can be trained at once.

The need consists of the weights of all adapters; AdamW's two moments (and the best weights and a teacher's
distributions, if they are kept) of those in training; the gradients of those that share a pass; the activations,
measured on a short pass, or what sampling needs between two steps; and the logits of a block. The base is in memory
already. `free_memory` respects the limits of a container and of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from sys2ft import machine
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.adapters.low_rank import Gradient
from sys2ft.engine.adapters.moments import staging_bytes
from sys2ft.engine.cpu.plan import plan_of
from sys2ft.engine.forward import sliding_window, tree_states
from sys2ft.engine.head import head_rows, piece_rows
from sys2ft.engine.trees.tree import Example, pack, slot_trees

_PROBE = 32  # tokens of the short pass
_BACKWARD = 1.3  # over what is kept: gradients that pass through the layers, and gaps of the allocator
_USABLE = 0.9  # of the free memory: allocators leave gaps


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Bytes that training needs beside the base and the adapters' weights."""

    tokens_at_once: int
    tokens_a_step: int
    """Tokens of one adapter's step."""
    activations: float
    """Per token of a pass."""
    logits: int
    """The head's output for a block, and float32 logits for a piece of it."""
    gradient: int
    """Per adapter in a pass; in half precision this includes its weights in the model's dtype."""
    state: int
    """Per adapter in training: moments, best weights, a teacher's distributions."""
    update: int
    """For the update of one adapter: the staging buffer for moments that are kept off the device."""
    sampling: int = 0
    """For the keys and values of samples that are drawn between two steps."""

    def total(self, adapters: int) -> int:
        """With `adapters` trained at once."""
        sharing = min(adapters, 1 + self.tokens_at_once // self.tokens_a_step)
        tokens = min(self.tokens_at_once, adapters * self.tokens_a_step)
        once = max(int(tokens * self.activations) + self.update, self.sampling) + self.logits
        return once + sharing * self.gradient + adapters * self.state

    def fits(self, free: int, wanted: int) -> int:
        """How many of `wanted` adapters to train at once in `free` bytes; at least one."""
        return next((n for n in range(wanted, 1, -1) if self.total(n) <= _USABLE * free), 1)


def need(
    bank: Bank,
    *,
    tokens_at_once: int,
    tokens_a_step: int,
    best: bool,
    offload: bool,
    taught: int = 0,
    sampling: int = 0,
) -> Need:
    """What training needs with passes of `tokens_at_once` tokens.

    `best`: a copy of the best weights is kept. `offload`: moments are kept off the device. `taught`: bytes of an
    adapter's distributions; `sampling`: bytes of the samples' keys and values.
    """
    slot = 4 * bank.size
    number = next(bank.model.parameters()).element_size()
    vocabulary = int(cast(Any, bank.model).config.vocab_size)
    pieces = 6 if taught else 3  # float32 tensors over the vocabulary that a loss needs
    return Need(
        tokens_at_once=tokens_at_once,
        tokens_a_step=tokens_a_step,
        activations=_BACKWARD * activations_a_token(bank),
        logits=vocabulary * (number * min(tokens_at_once, head_rows(bank.model)) + pieces * 4 * piece_rows(bank.model)),
        gradient=slot + (number * bank.size if number < 4 else 0),
        state=slot * ((1 if best else 0) + (0 if offload else 2)) + taught,
        update=staging_bytes(bank.size, bank.weights_KP.device) if offload else 0,
        sampling=sampling,
    )


def activations_a_token(bank: Bank) -> float:
    """Bytes per token that a forward pass keeps for its backward pass, measured on a short pass."""
    model, device = bank.model, bank.weights_KP.device
    ids = [token % int(cast(Any, model).config.vocab_size) for token in range(1, _PROBE + 2)]
    examples = [Example(ids, [False] * _PROBE + [True], 0)]
    ragged = plan_of(model).ragged_attention
    packed = pack(examples, slot_trees(examples, _PROBE), device, window=sliding_window(model), ragged=ragged)
    gradient = Gradient({0: 0}, torch.zeros(1, bank.size, device=device))
    held = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers(), bank.weights_KP)}
    with _kept_storages() as kept, bank.parts(packed.segments, gradient=gradient):
        tree_states(model, packed.tokens_T, packed.positions_T, packed.paths)
    return sum(size for place, size in kept.items() if place not in held) / len(packed)


@contextmanager
def _kept_storages() -> Iterator[dict[int, int]]:
    """Storages that autograd keeps within the block: address to bytes."""
    kept: dict[int, int] = {}
    tensors: list[Tensor] = []  # keeps them: a storage that is freed could pass its address on to another

    def note(tensor: Tensor) -> None:
        tensors.append(tensor)
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()

    try:
        # The graph is held by the pass's tensors, and holds these functions and what the first returns. If that were a
        # tensor, the cycle would never be freed.
        with torch.autograd.graph.saved_tensors_hooks(note, _no_backward):
            yield kept
    finally:
        tensors.clear()


def _no_backward(_: None) -> Tensor:
    raise RuntimeError("this pass was only measured and has kept nothing for a backward pass")


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take on `device`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch's allocator has reserved and does not use is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return machine.free_memory()
