"""The model's head at the positions that predict, in blocks of rows that bound the size of the logits.

One product of many rows reads the head's weights once, but its logits take hundreds of megabytes. They are processed in
pieces that stay in the cache, and never exist as a whole in float32.

Shapes: U nodes that predict, u those of a piece, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

_OUTPUT_AT_ONCE = {"cpu": 2**25, "cuda": 2**27}  # numbers: enough for an efficient product
_LOGITS_AT_ONCE = {"cpu": 2**20, "cuda": 2**25}


def head_rows(model: nn.Module) -> int:
    """How many rows of the head's output are computed at once."""
    return _rows(model, _OUTPUT_AT_ONCE)


def piece_rows(model: nn.Module) -> int:
    """How many rows of float32 logits are computed at once."""
    return _rows(model, _LOGITS_AT_ONCE)


def _rows(model: nn.Module, numbers: dict[str, int]) -> int:
    most = numbers["cuda" if next(model.parameters()).is_cuda else "cpu"]
    return max(1, most // int(cast(Any, model).config.vocab_size))


def head(model: nn.Module, hidden_UD: Tensor) -> Tensor:
    """Logits (U, V) in float32."""
    return logits(model, head_output(model, hidden_UD))


def head_output(model: nn.Module, hidden_UD: Tensor) -> Tensor:
    """The head's output (U, V) in the model's dtype."""
    return cast(Tensor, cast(Any, model).get_output_embeddings()(hidden_UD))


def logits(model: nn.Module, output_UV: Tensor) -> Tensor:
    """Float32 logits of the head's output, with the scale or soft cap of the model's configuration.

    The result can share memory with the output.
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
