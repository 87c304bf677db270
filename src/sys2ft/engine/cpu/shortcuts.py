"""Normalisation and gated activations with fewer passes over memory.

transformers computes each as a chain of operations that read and write the whole batch, and autograd does so again. On
a CPU they take as long as a fifth of the matrix products. Here each is one function with its gradient written out.
Modules are recognised by what they compute of random numbers, not by name, in float32 and bfloat16. A shortcut replaces
the module's forward during a pass only.

Shapes: T nodes, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

_AT_ONCE = 2**16  # numbers of a tensor computed at once: a few blocks of this size fit into a core's cache
_CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2**-6}  # relative: a shortcut rounds at other places


def find(model: nn.Module) -> dict[nn.Module, Any]:
    """A faster forward for each module that has one."""
    like = next(model.parameters())
    if like.dtype not in _CLOSE or like.device.type != "cpu":
        return {}
    found: dict[nn.Module, Any] = {}
    with torch.no_grad():
        for module in model.modules():
            forward = _norm(module) or _gated(module)
            if forward is not None:
                found[module] = forward
    return found


def _agrees(module: nn.Module, forward: Callable[[Tensor], Tensor], features: int) -> bool:
    """Whether both compute the same for a few vectors of very different norms."""
    generator = torch.Generator().manual_seed(0)
    dtype = next(module.parameters()).dtype
    x_TD = torch.randn(4, features, generator=generator) * torch.tensor([[1e-3], [0.1], [1.0], [30.0]])
    expected_TD = module(x_TD.to(dtype))
    got_TD = forward(x_TD.to(dtype))
    close = _CLOSE[dtype]
    return got_TD.shape == expected_TD.shape and torch.allclose(got_TD, expected_TD, rtol=close, atol=0.1 * close)


# Normalisation by the root of the mean square ---------------------------------------------------------------------


def _norm(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """RMSNorm (Zhang and Sennrich, arXiv 1910.07467), whose gain is its weight, or 1 + weight as in Gemma."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not isinstance(weight, Tensor) or weight.dim() != 1 or not isinstance(eps, float) or hasattr(module, "bias"):
        return None
    for more in (0.0, 1.0):

        def forward(x: Tensor, more: float = more) -> Tensor:
            gain_D = weight.detach().float()
            return cast(Tensor, _Norm.apply(x, gain_D + more if more else gain_D, eps))  # type: ignore[no-untyped-call]

        if _agrees(module, forward, len(weight)):
            return forward
    return None


class _Norm(torch.autograd.Function):
    """x * gain / sqrt(mean(x^2) + eps), the mean over the last dimension; computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = length.square_().mul_(1.0 / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain_D, scale)
        return cast(Tensor, (wide * scale).mul_(gain_D)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, gain_D, scale = ctx.saved_tensors
        wide = x.float()
        total = gradient.float() * gain_D
        along = torch.linalg.vecdot(total, wide).unsqueeze(-1)
        along.mul_(scale.pow(3)).mul_(1.0 / x.shape[-1])
        return total.mul_(scale).addcmul_(wide, along, value=-1.0).to(x.dtype), None, None


# Gated activations ----------------------------------------------------------------------------------------------------


def _gated(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """A feed-forward layer down(act(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202) with SiLU, or GELU by tanh."""
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    if not all(isinstance(part, nn.Linear) for part in parts):
        return None
    gate, up, down = cast(list[nn.Linear], parts)
    for kind in _ACTIVATIONS:

        def forward(x: Tensor, kind: _Activation = kind) -> Tensor:
            return cast(Tensor, down(_Gated.apply(gate(x), up(x), kind)))  # type: ignore[no-untyped-call]

        if _agrees(module, forward, gate.in_features):
            return forward
    return None


@dataclass(frozen=True, slots=True)
class _Activation:
    """`value(x, out)` and `gradient(gradient, x, out)` write to `out`, which may be their first argument."""

    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor], Tensor]


_aten = torch.ops.aten
_ACTIVATIONS = (
    _Activation(
        lambda x, out: _aten.silu.out(x, out=out),
        lambda gradient, x, out: _aten.silu_backward.grad_input(gradient, x, grad_input=out),
    ),
    _Activation(
        lambda x, out: _aten.gelu.out(x, approximate="tanh", out=out),
        lambda gradient, x, out: _aten.gelu_backward.grad_input(gradient, x, approximate="tanh", grad_input=out),
    ),
)


class _Gated(torch.autograd.Function):
    """act(gate) * up. Keeps both and nothing else; their gradients are adjacent, for one matrix product."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, kind: _Activation) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.kind = kind
        output = torch.empty_like(gate, memory_format=torch.contiguous_format)
        for gate_tD, up_tD, output_tD in _blocks(gate, up, output):
            kind.value(gate_tD, output_tD)
            output_tD.mul_(up_tD)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up = ctx.saved_tensors
        width = gate.shape[-1]
        both = gate.new_empty(*gate.shape[:-1], 2 * width)
        grad_gate, grad_up = both[..., :width], both[..., width:]
        for gate_tD, up_tD, grad_gate_tD, grad_up_tD, gradient_tD in _blocks(gate, up, grad_gate, grad_up, gradient):
            ctx.kind.value(gate_tD, grad_up_tD)
            grad_up_tD.mul_(gradient_tD)
            torch.mul(gradient_tD, up_tD, out=grad_gate_tD)
            ctx.kind.gradient(grad_gate_tD, gate_tD, grad_gate_tD)
        return grad_gate, grad_up, None


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same nodes (t, D) of each tensor, in blocks."""
    width = tensors[0].shape[-1]
    rows = max(1, _AT_ONCE // width)
    yield from zip(*(torch.split(tensor.reshape(-1, width), rows) for tensor in tensors), strict=True)
