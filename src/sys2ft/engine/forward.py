"""The one forward pass: hidden states of a frozen transformers model under a tree mask.

The model runs through transformers' own code. The engine uses two of its extension points: a 4-D mask (or a mapping of
them, for models that mix full and sliding-window layers), and the attention interface (`engine/attention.py`).

Shapes: R or B rows, T tokens in a row or nodes of a batch of trees, D hidden size, V vocabulary, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sys2ft.engine.attention import NAME, Form, KeysValues, Pass, attending, attention
from sys2ft.engine.cpu.plan import make_fast, plan_of, prepare_process
from sys2ft.engine.decoding.prefix_attention import DecodeState
from sys2ft.engine.head import head
from sys2ft.engine.trees.path_attention import Paths, lay_paths
from sys2ft.errors import ModelError

_PROBE = 16  # tokens on which a model is tried


def prepare(model: nn.Module) -> None:
    """Freeze `model` and route its attention through the engine. Does nothing to a prepared model.

    Checks that the engine's logits agree with the model's own, and raises ModelError for an architecture where they do
    not. On a CPU it then decides which optimisations the model's passes use (see `engine.cpu`).
    """
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    config = cast(Any, model).config
    if config._attn_implementation == NAME:
        return
    model.requires_grad_(False)
    model.eval()
    prepare_process(model)
    # Drawn from the whole vocabulary: the first ids are special tokens, not text.
    drawn_T = torch.randint(config.vocab_size, (_PROBE,), generator=torch.Generator().manual_seed(0))
    ids_T = drawn_T.to(next(model.parameters()).device)
    own = config._attn_implementation
    whole_T = torch.ones_like(ids_T)
    with torch.inference_mode():
        theirs_TV = model(input_ids=ids_T[None], attention_mask=whole_T[None], use_cache=False).logits[0].float()
    check = _Check(model, ids_T, theirs_TV.clone(), exact=next(model.parameters()).dtype == torch.float32)
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    try:
        try:
            with torch.inference_mode():
                worst = max(check.off(by_mask=True), check.off(by_mask=False))
        except (KeyError, ValueError, TypeError) as error:
            raise _unknown(model, str(error)) from error
        if not worst < check.most:
            raise _unknown(model, f"logits differ by {worst:.2g} from its own forward pass")
        make_fast(model, lambda: check.off(by_mask=False) < check.most)
    except BaseException:
        model.set_attn_implementation(own)  # type: ignore[operator]
        raise


@dataclass(frozen=True, slots=True)
class _Check:
    """Compares the engine's logits of some tokens with the model's own (T, V).

    In half precision a different order of summation can change the logits of a small model at a token or two by as much
    as bfloat16 differs from float32. A wrong head, mask or layer changes them by more, and at every token.
    """

    model: nn.Module
    ids_T: Tensor
    theirs_TV: Tensor
    exact: bool

    @property
    def most(self) -> float:
        """Differences below this are accepted."""
        return (1e-3 if self.exact else 5e-2) * max(1.0, self.theirs_TV.abs().max().item())

    def off(self, *, by_mask: bool) -> float:
        """The largest difference, under a mask or as a token tree; in half precision, that of the median token."""
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
        fix="use another model, or report the architecture",
    )


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


def tree_states(model: nn.Module, tokens_T: Tensor, positions_T: Tensor, paths: Paths) -> Tensor:
    """Last hidden states (T, D) of concatenated token trees."""
    paths.float32 = plan_of(model).float32_attention
    return _states_by(model, tokens_T[None], positions_T[None], paths)[0]


def decode_states(model: nn.Module, tokens_BT: Tensor, positions_BT: Tensor, state: DecodeState) -> Tensor:
    """Last hidden states (B, T, D) of new tokens that attend to `state`, which stores their keys and values."""
    return _states_by(model, tokens_BT, positions_BT, state)


def _states_by(model: nn.Module, tokens_RT: Tensor, positions_RT: Tensor, form: Form) -> Tensor:
    # The form masks by itself; a 4-D mask is passed so that the model builds none.
    unused = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=tokens_RT.device)
    layer_types = getattr(model.config, "layer_types", None)
    with attending(Pass(form=form)):
        output = cast(Any, model).base_model(
            input_ids=tokens_RT,
            position_ids=positions_RT,
            attention_mask=dict.fromkeys(("full_attention", "sliding_attention"), unused) if layer_types else unused,
            use_cache=False,
        )
    return cast(Tensor, output.last_hidden_state)
