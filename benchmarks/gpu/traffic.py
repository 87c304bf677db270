"""What a pass costs a GPU apart from arithmetic: kernels launched, waits of the host, and bytes sent to the device.

The host queues kernels and runs ahead of the GPU. It must wait until the queue is empty where it needs a number from
the device (`.tolist()`, `.item()`, a comparison in an `if`), where an operation's result has a size that the device
decides (`nonzero`, a boolean index, `unique`), and where it copies from memory that is not pinned. `Traffic` counts all
three on the pretended device (`second_device.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

_SIZED_BY_DATA = frozenset(
    (
        *("nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount", "equal"),
        *("_local_scalar_dense", "is_nonzero"),
    )
)
_NO_KERNEL = frozenset(("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "resize_"))
_INDEXING = frozenset(("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"))


_PUTTING = frozenset(("index_put_", "_index_put_impl_", "index_copy_"))
_TAKING = frozenset(("index", "index_select", "gather", "embedding"))


@dataclass(slots=True)
class Traffic:
    """Counted since it was made, or since `reset`."""

    kernels: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    """Bytes that each kernel reads and writes."""
    sends: int = 0
    """Copies to the device that the host does not wait for."""
    sent_bytes: int = 0

    @property
    def launched(self) -> int:
        """Kernels in all. An operation of torch is counted as one; some are several."""
        return sum(self.kernels.values())

    @property
    def waited(self) -> int:
        return sum(self.waits.values())

    def reset(self) -> None:
        self.kernels, self.waits, self.moved, self.sends, self.sent_bytes = Counter(), Counter(), Counter(), 0, 0

    def as_one_kernel(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, which counts as a single kernel of that name."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            before = self.kernels.copy(), self.waits.copy(), self.moved.copy(), self.sends, self.sent_bytes
            result = work(*args, **kwargs)
            self.kernels, self.waits, self.moved, self.sends, self.sent_bytes = before
            self.kernels[name] += 1
            self.moved[name] += sum(one.nbytes for one in tree_leaves((args, result)) if isinstance(one, Tensor))
            return result

        return counted

    def operation(self, func: Any, indices: list[Tensor], given: list[Tensor], result: list[Tensor]) -> None:
        """An operation on tensors of the device."""
        name = func.overloadpacket.__name__
        if name in _SIZED_BY_DATA or (
            name in _INDEXING and any(one.dtype in (torch.bool, torch.uint8) for one in indices)
        ):
            self.waits[name] += 1
        views = [
            returned.alias_info is not None and not returned.alias_info.is_write for returned in func._schema.returns
        ]
        if name not in _NO_KERNEL and not (views and all(views)) and (result or not views):
            self.kernels[name] += 1
            # What is taken by an index is read as far as it is taken.
            read = result if name in _TAKING else given
            if name in _PUTTING:  # and what is put there is written
                read, result = given[1:], given[1:]
            self.moved[name] += sum(one.nbytes for one in (*read, *result))

    def send(self, what: str, tensor: Tensor, *, pinned: bool) -> None:
        """A copy from the host to the device."""
        self.sent_bytes += tensor.nbytes
        if pinned:
            self.sends += 1
        else:
            self.waits[f"{what} to the device"] += 1
