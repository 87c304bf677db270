"""Floating-point operations of a pass by the usual count: 2 per weight and token.

With P weights in the transformer's body and H in its head, reading a token costs 2P and predicting at a position 2H.
Training an adapter on a frozen base doubles both: the gradient flows back through the base, whose weights get none. The
products of attention, embeddings and low-rank terms are not counted: a few per cent at the lengths used here.
"""

from __future__ import annotations

from torch import nn

from sys2ft.engine.adapters.coverage import outside_linears
from sys2ft.engine.adapters.linears import as_linear


def weights(model: nn.Module) -> tuple[int, int]:
    """Weights of the body that a token is multiplied with, and of the head.

    Of the experts of a layer, only those are counted that a token is sent to.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    layers = [as_linear(module) for module in model.modules() if module is not head]
    body = sum(layer.weight.numel() for layer in layers if layer is not None)
    for _, parameter in outside_linears(model):
        sent = getattr(model.config, "num_experts_per_tok", None) if parameter.dim() == 3 else None
        body += parameter.numel() * sent // len(parameter) if sent else parameter.numel()
    return body, int(head.weight.numel())


def forward(model: nn.Module, tokens: int, predictions: int) -> float:
    """FLOP of reading `tokens` and predicting at `predictions` positions."""
    body, head = weights(model)
    return 2.0 * (body * tokens + head * predictions)


def training(model: nn.Module, tokens: int, predictions: int) -> float:
    """FLOP of a forward and backward pass that trains adapters only."""
    return 2.0 * forward(model, tokens, predictions)
