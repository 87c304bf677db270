"""The model's head, where predictions are wanted, and as few logits at a time as a product is worth.

A product of many rows reads the head's weights once, and leaves logits of hundreds of megabytes. What is computed of
them afterwards is computed a piece at a time, which stays in the cache, and is never there as a whole in float32.

Shapes: U nodes whose prediction is wanted, u those of a piece, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

_OUTPUT_AT_ONCE = {"cpu": 2**25, "cuda": 2**27}  # numbers: enough for a product to be worth its call
_LOGITS_AT_ONCE = {"cpu": 2**20, "cuda": 2**25}


def head_rows(model: nn.Module) -> int:
    """How many rows of the head's output are held at once."""
    return _rows(model, _OUTPUT_AT_ONCE)


def piece_rows(model: nn.Module) -> int:
    """How many rows of logits in float32 are held at once."""
    return _rows(model, _LOGITS_AT_ONCE)


def _rows(model: nn.Module, numbers: dict[str, int]) -> int:
    most = numbers["cuda" if next(model.parameters()).is_cuda else "cpu"]
    return max(1, most // int(cast(Any, model).config.vocab_size))


def head(model: nn.Module, hidden_UD: Tensor) -> Tensor:
    """Logits (U, V) in float32."""
    return logits(model, head_output(model, hidden_UD))


def head_output(model: nn.Module, hidden_UD: Tensor) -> Tensor:
    """What the head makes of hidden states: (U, V), in the model's numbers."""
    return cast(Tensor, cast(Any, model).get_output_embeddings()(hidden_UD))


def logits(model: nn.Module, output_UV: Tensor) -> Tensor:
    """Logits in float32 of the head's output, with the soft cap or scale that the architecture's configuration names.

    That may be the output itself.
    """
    logits_UV = output_UV.float()
    config = model.config
    scale = getattr(config, "logit_scale", None)
    if scale:
        logits_UV = logits_UV * scale
    divide = getattr(config, "logits_scaling", None)
    if divide:
        logits_UV = logits_UV / divide
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        logits_UV = torch.tanh(logits_UV / cap) * cap
    return logits_UV


def pieces(model: nn.Module, output_UV: Tensor) -> Iterator[tuple[int, int]]:
    """The first row and the end of each piece of the head's output."""
    rows = piece_rows(model)
    for first in range(0, len(output_UV), rows):
        yield first, min(first + rows, len(output_UV))
