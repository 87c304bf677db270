"""The one forward pass: hidden states of a frozen transformers model under a tree mask, and its head where needed.

The model runs through transformers' own code. Two of its extension points are used: a prepared 4-D mask (or a mapping
of them, for models that mix full and sliding-window layers), and the attention interface, where the name 'sys2ft'
means SDPA, except in token trees, where a node attends to its own path, and inside the decode loop, which attends to
a shared prefix and to each row's own tokens.

Shapes: R or B rows, T tokens in a row or nodes of a batch of trees, D hidden size, V vocabulary, U nodes whose
prediction is wanted, d head size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sys2ft.engine.path_attention import Paths, lay_paths, path_attention
from sys2ft.engine.prefix_attention import DecodeState, KeysValues, prefix_attention
from sys2ft.errors import ModelError

_NAME = "sys2ft"
_LOGITS_AT_ONCE = {"cpu": 2**25, "cuda": 2**27}  # enough for a product to be worth its call


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    paths: Paths | None = None,
    decode_state: DecodeState | None = None,
    prefix: list[KeysValues] | None = None,
    keep_kv: list[KeysValues] | None = None,
    heads_off: Mapping[int, Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if keep_kv is not None:
        keep_kv.append((key, value))
    sliding = kwargs.get("sliding_window") is not None
    if paths is not None:
        return path_attention(query, key, value, paths, scaling=kwargs["scaling"], sliding=sliding), None
    if decode_state is not None:
        return prefix_attention(module, query, key, value, decode_state, kwargs["scaling"], sliding), None
    if prefix is not None:
        before_keys, before_values = prefix[int(cast(Any, module).layer_idx)]
        rows = key.shape[0]
        key = torch.cat([before_keys.transpose(1, 2).expand(rows, -1, -1, -1), key], dim=2)
        value = torch.cat([before_values.expand(rows, -1, -1, -1), value], dim=2)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    off = heads_off.get(int(cast(Any, module).layer_idx)) if heads_off else None  # by block: heads whose output is zero
    return (output if off is None else output.index_fill(2, off, 0.0)), None


def prepare(model: nn.Module) -> None:
    """Freeze `model` and route its attention through the engine; checks that both agree with its own forward pass.

    Raises ModelError for an architecture whose logits are not its output embedding of the last hidden state.
    """
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    config = cast(Any, model).config
    if config._attn_implementation == _NAME:
        return
    model.requires_grad_(False)
    model.eval()
    device = next(model.parameters()).device
    ids_BT = torch.arange(1, 5, device=device)[None] % config.vocab_size
    mask_BTT = torch.ones(1, 4, 4, dtype=torch.bool, device=device).tril()
    own = config._attn_implementation
    try:
        worst, scale = _difference(model, ids_BT, mask_BTT)
    except (KeyError, ValueError, TypeError) as error:
        model.set_attn_implementation(own)  # type: ignore[operator]
        raise _unknown(model, str(error)) from error
    # Half precision rounds differently under another mask: a wrong head or mask is off by far more than that.
    tolerance = 1e-3 if next(model.parameters()).dtype == torch.float32 else 5e-2
    if not worst < tolerance * max(1.0, scale):
        model.set_attn_implementation(own)  # type: ignore[operator]
        raise _unknown(model, f"logits differ by {worst:.2g} from its own forward pass")


def _difference(model: nn.Module, ids_BT: Tensor, mask_BTT: Tensor) -> tuple[float, float]:
    """Largest difference between the engine's logits and the model's own, and the largest of the latter."""
    positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]
    with torch.inference_mode():
        theirs_TV = model(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT), use_cache=False).logits[0].float()
        model.set_attn_implementation(_NAME)  # type: ignore[operator]
        ways_TD = [hidden_states(model, ids_BT, positions_BT, mask_BTT)[0]]
        paths = lay_paths([range(len(theirs_TV))], [len(theirs_TV)], ids_BT.device, sliding_window(model))
        ways_TD.append(tree_states(model, ids_BT[0], positions_BT[0], paths))
        worst = torch.stack([(head(model, ours_TD) - theirs_TV).abs().max() for ours_TD in ways_TD]).max()
    return worst.item(), theirs_TV.abs().max().item()


def _unknown(model: nn.Module, why: str) -> ModelError:
    return ModelError(
        f"{type(model).__name__} computes its attention or its logits in a way the engine does not know: {why}",
        expected="a decoder-only causal language model of transformers whose head is its output embedding",
        do="use another model, or report the architecture",
    )


def masks(model: nn.Module, mask_RTK: Tensor, positions_RT: Tensor) -> Tensor | dict[str, Tensor]:
    """The prepared boolean mask(s) (R, 1, T, K) in the form the model's class takes.

    Where K > T, the first K - T keys are those of a prefix that begins at position 0.
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
    """How many tokens back a sliding-window layer looks; None where the model has no such layer."""
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
    """Last hidden states (R, T, D).

    `prefix`: each layer's keys (heads, d, P) and values (heads, P, d) of tokens that stand before all rows; the mask
    then has K = P + T keys (else K = T). To `keep_kv` each layer's keys and values (R, heads, T, d) of the new tokens
    are added.
    """
    output = cast(Any, model).base_model(
        input_ids=tokens_RT,
        position_ids=positions_RT,
        attention_mask=masks(model, mask_RTK, positions_RT),
        use_cache=False,
        prefix=prefix,
        keep_kv=keep_kv,
    )
    return cast(Tensor, output.last_hidden_state)


def tree_states(model: nn.Module, tokens_T: Tensor, positions_T: Tensor, paths: Paths) -> Tensor:
    """Last hidden states (T, D) of token trees laid end to end."""
    output = cast(Any, model).base_model(
        input_ids=tokens_T[None],
        position_ids=positions_T[None],
        attention_mask=_no_mask(model, tokens_T.device),
        use_cache=False,
        paths=paths,
    )
    return cast(Tensor, output.last_hidden_state)[0]


def decode_states(model: nn.Module, tokens_BT: Tensor, positions_BT: Tensor, state: DecodeState) -> Tensor:
    """Last hidden states (B, T, D) of new tokens that attend to `state`, which takes up their keys and values."""
    output = cast(Any, model).base_model(
        input_ids=tokens_BT,
        position_ids=positions_BT,
        attention_mask=_no_mask(model, tokens_BT.device),
        use_cache=False,
        decode_state=state,
    )
    return cast(Tensor, output.last_hidden_state)


def _no_mask(model: nn.Module, device: torch.device) -> Tensor | dict[str, Tensor]:
    """For attention that masks itself: a 4-D mask is handed over so that the model builds none of its own."""
    unused = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    layer_types = getattr(model.config, "layer_types", None)
    return dict.fromkeys(("full_attention", "sliding_attention"), unused) if layer_types else unused


def head_rows(model: nn.Module) -> int:
    """How many rows of logits are held at once."""
    most = _LOGITS_AT_ONCE["cuda" if next(model.parameters()).is_cuda else "cpu"]
    return max(1, most // int(cast(Any, model).config.vocab_size))


def head(model: nn.Module, hidden_UD: Tensor) -> Tensor:
    """Logits (U, V) in float32, with the soft cap or scale that the architecture's configuration names."""
    logits_UV = cast(Tensor, cast(Any, model).get_output_embeddings()(hidden_UD)).float()
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
