"""The one forward pass: hidden states of a frozen transformers model under a tree mask.

The model runs through transformers' own code. Two of its extension points are used: a prepared 4-D mask (or a mapping
of them, for models that mix full and sliding-window layers), and the attention interface, where the name 'sys2ft'
means SDPA, except in token trees, where a node attends to its own path, and inside the decode loop, which attends to
a shared prefix and to each row's own tokens.

Shapes: R or B rows, T tokens in a row or nodes of a batch of trees, D hidden size, V vocabulary, d head size.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sys2ft.engine.cpu.fast_form import instead, keep, learn
from sys2ft.engine.cpu.kernels import keep_few_kernels
from sys2ft.engine.cpu.siblings import watching
from sys2ft.engine.decoding.prefix_attention import DecodeState, KeysValues, prefix_attention
from sys2ft.engine.head import head
from sys2ft.engine.trees.path_attention import Paths, lay_paths, path_attention
from sys2ft.errors import ModelError, out_of_memory
from sys2ft.models.allocator import give_back_freed_memory, keep_freed_memory

_NAME = "sys2ft"
_PROBE = 16  # tokens on which a model is tried
# What a model may ask of its attention beyond scaled products under a mask. At small scores such a term changes logits
# by less than is checked for, and not every transformers release refuses what its sdpa leaves out (5.17: a soft cap).
_UNKNOWN_TERMS = ("softcap", "s_aux", "sinks", "position_bias", "block_indices")


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
    for term in _UNKNOWN_TERMS:
        if kwargs.get(term) is not None:
            raise ValueError(f"its attention has the term {term}")
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
    """Freeze `model`, route its attention through the engine, and learn how to compute it fast.

    Checks that all of it agrees with the model's own forward pass. Raises ModelError for an architecture whose logits
    are not its output embedding of the last hidden state. On a CPU the process keeps from then on what it frees, and in
    half precision few compiled products (see `engine.kernels`).
    """
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    config = cast(Any, model).config
    if config._attn_implementation == _NAME:
        return
    model.requires_grad_(False)
    model.eval()
    device = next(model.parameters()).device
    if device.type == "cpu":
        keep_freed_memory()
    if half_on_cpu(model):
        keep_few_kernels()
    # From all over the vocabulary: what stands at its beginning is special, and no text.
    drawn_T = torch.randint(config.vocab_size, (_PROBE,), generator=torch.Generator().manual_seed(0))
    ids_T = drawn_T.to(device)
    own = config._attn_implementation
    whole_T = torch.ones_like(ids_T)
    with torch.inference_mode(), watching(model) as siblings:
        theirs_TV = model(input_ids=ids_T[None], attention_mask=whole_T[None], use_cache=False).logits[0].float()
    check = _Check(model, ids_T, theirs_TV.clone(), exact=next(model.parameters()).dtype == torch.float32)
    model.set_attn_implementation(_NAME)  # type: ignore[operator]
    try:
        try:
            with torch.inference_mode():
                worst = max(check.off(by_mask=True), check.off(by_mask=False))
        except (KeyError, ValueError, TypeError) as error:
            raise _unknown(model, str(error)) from error
        if not worst < check.most:
            raise _unknown(model, f"logits differ by {worst:.2g} from its own forward pass")
        form = learn(model, siblings)
        if device.type == "cpu":
            # Where siblings lay: gaps the size of most weights, too scattered to be used again.
            give_back_freed_memory()
        try:
            with instead(form.of_the_base(model)):
                held = check.off(by_mask=False) < check.most
        except RuntimeError as error:  # an output that the model changes in place, or wants to lie by itself
            if out_of_memory(error):
                raise
            held = False
    except BaseException:
        model.set_attn_implementation(own)  # type: ignore[operator]
        raise
    if held:
        keep(model, form)
    else:
        warnings.warn(f"{type(model).__name__} computes layer by layer: its layers do more than they say", stacklevel=2)


@dataclass(frozen=True, slots=True)
class _Check:
    """Some tokens and the model's own logits (T, V) of them.

    In half precision a sum in another order can send a small model elsewhere for a token or two, as far as its own
    bfloat16 logits are from its float32 ones. A wrong head, mask or layer is off by more, and at every token.
    """

    model: nn.Module
    ids_T: Tensor
    theirs_TV: Tensor
    exact: bool

    @property
    def most(self) -> float:
        return (1e-3 if self.exact else 5e-2) * max(1.0, self.theirs_TV.abs().max().item())

    def off(self, *, by_mask: bool) -> float:
        """How far the engine's logits are from them, under a mask or as a token tree.

        That is the largest difference; in half precision, the median token's largest.
        """
        tokens, device = len(self.ids_T), self.ids_T.device
        positions_T = torch.arange(tokens, device=device)
        if by_mask:
            mask_BTT = torch.ones(1, tokens, tokens, dtype=torch.bool, device=device).tril()
            ours_TD = hidden_states(self.model, self.ids_T[None], positions_T[None], mask_BTT)[0]
        else:
            paths = lay_paths([range(tokens)], [tokens], device, sliding_window(self.model))
            ours_TD = tree_states(self.model, self.ids_T, positions_T, paths)
        off_T = (head(self.model, ours_TD) - self.theirs_TV).abs().amax(1)
        return (off_T.max() if self.exact else off_T.median()).item()


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


def few_shapes(model: nn.Module) -> bool:
    """Whether matrix products should have few different shapes.

    On a CPU oneDNN writes and compiles code for each shape in half precision, which takes as long as some products.
    """
    return half_on_cpu(model)


def half_on_cpu(model: nn.Module) -> bool:
    """Whether the model computes in half precision on a CPU."""
    like = next(model.parameters())
    return like.device.type == "cpu" and like.dtype != torch.float32
