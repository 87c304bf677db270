"""A simulated CUDA device, which enforces CUDA's rules about tensors of different devices.

`second_device()` lets a machine without a GPU run code with `device="cuda"`. Such tensors are stored and computed in
the host's memory but report `cuda:0` as their device, and an operation on a mixture of them and the host's tensors
fails, as on a GPU. What the host would wait for is counted (`traffic.py`). The results and speed of CUDA's kernels are
not simulated. If there is a GPU, it is used instead, and nothing is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu import flash
from benchmarks.gpu.traffic import Traffic
from sys2ft.engine.trees import ragged_attention

HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)
_READ_BY_THE_HOST = (
    Tensor.tolist, Tensor.item, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__,
    Tensor.__contains__,
)  # fmt: skip
_COPIES = ("copy_", "_to_copy")  # from one device to another
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")  # takes indices of the host


@contextlib.contextmanager
def second_device() -> Iterator[Traffic]:
    """Within the block there is a CUDA device."""
    traffic = Traffic()
    if torch.cuda.is_available():
        yield traffic
        return
    held = _Held(traffic)
    run_backward: Any = torch.autograd._engine_run_backward  # type: ignore[attr-defined]

    def run(*args: Any, **kwargs: Any) -> Any:
        with held.called_by("autograd"), _Names(held):
            return run_backward(*args, **kwargs)

    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda *_: "none",
        "get_device_capability": lambda *_: (9, 0),
        "empty_cache": lambda: None,
        "mem_get_info": lambda *_: (2**30, 2**30),
        "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
    }
    with contextlib.ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch.autograd, "_engine_run_backward", run))
        for name, kernel in (("flash_forward", flash.forward), ("flash_backward", flash.backward)):
            stack.enter_context(mock.patch.object(ragged_attention, name, traffic.as_one_kernel(name, kernel)))
        stack.enter_context(_Operations(held))
        stack.enter_context(_Names(held))
        yield traffic


class _Held:
    """The tensors on the device, by storage, so that views are included."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self._storages: dict[int, Any] = {}  # kept, so that no other storage gets the address of one that was freed
        self._pinned: dict[int, Any] = {}
        self.callers = ["python"]

    def __contains__(self, tensor: Tensor) -> bool:
        return self._storage(tensor)._cdata in self._storages

    def take(self, tensor: Tensor) -> Tensor:
        storage = self._storage(tensor)
        self._storages[storage._cdata] = storage
        return tensor

    def pin(self, tensor: Tensor) -> None:
        """Remember memory of the host that the device reads by itself."""
        storage = self._storage(tensor)
        self._pinned[storage._cdata] = storage

    def pinned(self, tensor: Tensor) -> bool:
        return self._storage(tensor)._cdata in self._pinned

    @staticmethod
    def _storage(tensor: Tensor) -> Any:
        with torch._C.DisableTorchFunction():
            return tensor.untyped_storage()

    @contextlib.contextmanager
    def called_by(self, caller: str) -> Iterator[None]:
        self.callers.append(caller)
        try:
            yield
        finally:
            self.callers.pop()


class _Operations(TorchDispatchMode):
    """What torch computes: of tensors of one device, on that device."""

    def __init__(self, held: _Held) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = held

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        given = _tensors((args, kwargs))
        there = [tensor for tensor in given if tensor in self.held]
        if there and name not in _COPIES:
            free = _tensors(args[1]) if name in _INDEXING else []
            strangers = [t for t in given if t not in self.held and t.dim() and not any(t is f for f in free)]
            if strangers:
                sizes = [(tuple(t.shape), str(DEVICE if t in self.held else HOST)) for t in given]
                raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found {sizes}")
        indices = _tensors(args[1]) if name in _INDEXING and len(args) > 1 else []
        # What derivatives make in C++ they make where the gradient is, and that torch thinks on the host.
        makes_there = bool(there) or self.held.callers[-1] == "autograd"
        pin = kwargs.pop("pin_memory", None)
        makes_there = makes_there and not pin
        result = func(*args, **kwargs)
        if pin:
            self.held.pin(result)
        if name == "copy_":
            self._copied(args[0], args[1], bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2])))
        elif makes_there:
            self.held.traffic.operation(func, indices, given, _tensors(result))
        if makes_there and name != "copy_":
            for tensor in _tensors(result):
                self.held.take(tensor)
        return result

    def _copied(self, to: Tensor, source: Tensor, non_blocking: bool) -> None:
        traffic = self.held.traffic
        if to in self.held and source in self.held:
            traffic.kernels["copy_"] += 1
        elif to in self.held:
            traffic.send("copy_", source, pinned=non_blocking and self.held.pinned(source))
        elif source in self.held and not (non_blocking and self.held.pinned(to)):
            traffic.waits["copy_ to the host"] += 1


class _Names(TorchFunctionMode):
    """What Python sees of a tensor, and asks for by the device's name."""

    def __init__(self, held: _Held) -> None:
        super().__init__()
        self.held = held

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with self.held.called_by("python"):
            return self._call(func, args, dict(kwargs or {}))

    def _call(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func == Tensor.to:
            return self._to(*args, **kwargs)
        if func in (Tensor.cpu, Tensor.cuda):
            return self._to(args[0], HOST if func == Tensor.cpu else DEVICE)
        there = bool(args) and isinstance(args[0], Tensor) and args[0] in self.held
        if there and func == Tensor.device.__get__:
            return DEVICE
        if there and func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return True
        if there and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")
        if there and func in _READ_BY_THE_HOST:
            self.held.traffic.waits[func.__name__] += 1
        asked = kwargs.get("device")
        if asked is not None and torch.device(asked).type == DEVICE.type:
            result = func(*args, **kwargs | {"device": HOST})
            if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
                self.held.traffic.send(func.__name__, result, pinned=False)
            elif func.__name__ not in ("empty", "empty_like", "new_empty"):
                self.held.traffic.kernels[func.__name__] += 1
            return self.held.take(result)
        result = func(*args, **kwargs)
        if there and func == Tensor.new_tensor:
            self.held.traffic.send("new_tensor", result, pinned=False)
            return self.held.take(result)
        return result

    def _to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            place, number, unblocked = (DEVICE if args[0] in self.held else HOST), args[0].dtype, False
        else:
            place, number, unblocked, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if number is not None and number != tensor.dtype:
            tensor = tensor.type(number)
        was = DEVICE if tensor in self.held else HOST
        if place is None or place.type == was.type:
            return tensor
        if was == HOST:
            self.held.traffic.send("to", tensor, pinned=unblocked and self.held.pinned(tensor))
            return self.held.take(tensor.clone())
        return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
