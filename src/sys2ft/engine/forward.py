"""The one forward pass: hidden states of a frozen transformers model under a tree mask.

The model runs through transformers' own code. The engine uses two of its extension points: a 4-D mask (or a mapping of
them, for models that mix full and sliding-window layers), and the attention interface (`engine/attention.py`).

Shapes: R or B rows, T tokens in a row or nodes of a batch of trees, D hidden size, V vocabulary, d head size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from sys2ft.engine.attention import Form, KeysValues, Pass, attending
from sys2ft.engine.cpu.plan import plan_of
from sys2ft.engine.decoding.prefix_attention import DecodeState
from sys2ft.engine.trees.path_attention import Paths
from sys2ft.engine.trees.ragged_attention import RaggedPaths


def masks(model: nn.Module, mask_RTK: Tensor, positions_RT: Tensor) -> Tensor | dict[str, Tensor]:
    """Boolean mask(s) (R, 1, T, K) as the model's class expects them.

    If K > T, the first K - T keys are those of a prefix that starts at position 0.
    """
    full = mask_RTK[:, None]
    window = sliding_window(model)
    near = full
    if window is not None:
        rows, tokens, keys = mask_RTK.shape
        prefix_RP = torch.arange(keys - tokens, device=positions_RT.device).expand(rows, -1)
        key_positions_RK = torch.cat([prefix_RP, positions_RT], dim=1)
        near = full & ((positions_RT[:, None, :, None] - key_positions_RK[:, None, None, :]) < window)
    if getattr(model.config, "layer_types", None):
        return {"full_attention": full, "sliding_attention": near}
    return near


def sliding_window(model: nn.Module) -> int | None:
    """How many tokens back a sliding-window layer looks; None if the model has no such layer."""
    config = cast(Any, model).config
    layer_types = getattr(config, "layer_types", None)
    slides = "sliding_attention" in layer_types if layer_types else getattr(config, "use_sliding_window", True)
    window: int | None = getattr(config, "sliding_window", None)
    return window if slides else None


def hidden_states(
    model: nn.Module,
    tokens_RT: Tensor,
    positions_RT: Tensor,
    mask_RTK: Tensor,
    prefix: list[KeysValues] | None = None,
    keep_kv: list[KeysValues] | None = None,
) -> Tensor:
    """Last hidden states (R, T, D) of rows of tokens under a mask.

    `prefix`: each layer's keys (heads, d, P) and values (heads, P, d) of tokens that precede all rows; the mask then
    has K = P + T keys (else K = T). Each layer's keys and values (R, heads, T, d) of the new tokens are appended to
    `keep_kv`.
    """
    with attending(Pass(prefix=prefix, keep_kv=keep_kv)):
        output = cast(Any, model).base_model(
            input_ids=tokens_RT,
            position_ids=positions_RT,
            attention_mask=masks(model, mask_RTK, positions_RT),
            use_cache=False,
        )
    return cast(Tensor, output.last_hidden_state)


def tree_states(model: nn.Module, tokens_T: Tensor, positions_T: Tensor, paths: Paths | RaggedPaths) -> Tensor:
    """Last hidden states (T, D) of concatenated token trees."""
    if isinstance(paths, Paths):
        paths.float32 = plan_of(model).float32_attention
    return _states_by(model, tokens_T[None], positions_T[None], paths)[0]


def decode_states(model: nn.Module, tokens_BT: Tensor, positions_BT: Tensor, state: DecodeState) -> Tensor:
    """Last hidden states (B, T, D) of new tokens that attend to `state`, which stores their keys and values."""
    return _states_by(model, tokens_BT, positions_BT, state)


def _states_by(model: nn.Module, tokens_RT: Tensor, positions_RT: Tensor, form: Form) -> Tensor:
    # The form masks by itself; a 4-D mask is passed so that the model builds none.
    unused = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=tokens_RT.device)
    layer_types = getattr(model.config, "layer_types", None) or None
    all_slide = layer_types is None and sliding_window(model) is not None
    with attending(Pass(form=form, all_slide=all_slide)):
        output = cast(Any, model).base_model(
            input_ids=tokens_RT,
            position_ids=positions_RT,
            attention_mask=dict.fromkeys(("full_attention", "sliding_attention"), unused) if layer_types else unused,
            use_cache=False,
        )
    return cast(Tensor, output.last_hidden_state)
