"""Preparing a model: its attention is routed through the engine, and a model that would be computed wrong is refused.

The engine reads token trees, and decodes rows that share a prefix, so everything that a token's result depends on must
be on its path. Each model is therefore tried: two texts with one beginning, under a mask and as a tree, with a window
that is shorter than they are. The logits must be those of the model's own forward pass.

Shapes: R rows, T tokens of a row, N nodes of a tree, D hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sys2ft.engine.attention import NAME, KeysValues, UnknownTerm, attention
from sys2ft.engine.cpu.plan import make_fast, plan_of, prepare_process
from sys2ft.engine.forward import hidden_states, sliding_window, tree_states
from sys2ft.engine.head import head
from sys2ft.engine.trees.path_attention import lay_paths
from sys2ft.engine.trees.ragged_attention import lay_ragged
from sys2ft.errors import ModelError, out_of_memory

_SHARED, _OWN = 8, 8  # tokens of the beginning that the two texts share, and of the rest of each
_NOT_ROUTED = "its attention does not go through transformers' attention interface"
_WINDOW = 5  # of sliding layers while a model is tried


def prepare(model: nn.Module) -> None:
    """Freeze `model` and route its attention through the engine. Does nothing to a prepared model.

    Raises ModelError, with the reason, for an architecture whose logits would not be the model's own. On a CPU it then
    decides which optimisations the model's passes use (see `engine.cpu`).
    """
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    config = cast(Any, model).config
    if config._attn_implementation == NAME:
        return
    model.requires_grad_(False)
    model.eval()
    prepare_process(model)
    own = config._attn_implementation
    with _short_window(config):
        trial = _Trial.of(model)
        try:
            model.set_attn_implementation(NAME)  # type: ignore[operator]
            reason: str | None = _NOT_ROUTED
            if config._attn_implementation == NAME:
                with torch.inference_mode():
                    reason = trial.reason()
            if reason:
                raise ModelError(
                    f"{type(model).__name__} computes its logits in a way the engine does not know: {reason}",
                    expected="a decoder-only transformer: attention in every layer, without extra terms",
                    fix="use a model of another family (see the table of models in the README)",
                )
            make_fast(model, trial.tree_agrees)
        except BaseException:
            model.set_attn_implementation(own)  # type: ignore[operator]
            raise


@contextlib.contextmanager
def _short_window(config: Any) -> Iterator[None]:
    """Within the block, sliding layers look back only a few tokens, so that a short text shows how they are treated."""
    window = getattr(config, "sliding_window", None)
    if window is not None:
        config.sliding_window = min(window, _WINDOW)
    try:
        yield
    finally:
        if window is not None:
            config.sliding_window = window


@dataclass(frozen=True, slots=True)
class _Trial:
    """Two texts with one beginning, and the model's own logits of them.

    In half precision a different order of summation can change the logits of a small model at a token or two by as much
    as bfloat16 differs from float32. A wrong head, mask or layer changes them by more, and at every token it concerns.
    """

    model: nn.Module
    ids_RT: Tensor
    theirs_RTV: Tensor
    exact: bool

    @classmethod
    def of(cls, model: nn.Module) -> _Trial:
        """Read the texts by the model's own forward pass. Raises ModelError if that fails or is not finite."""
        place = next(model.parameters())
        # Drawn from the whole vocabulary: the first ids are special tokens, not text.
        drawn = torch.randint(
            cast(Any, model).config.vocab_size, (_SHARED + 2 * _OWN,), generator=torch.Generator().manual_seed(0)
        )
        shared_T, *own = torch.split(drawn, [_SHARED, _OWN, _OWN])
        ids_RT = torch.stack([torch.cat([shared_T, own_T]) for own_T in own]).to(place.device)
        try:
            with torch.inference_mode():
                theirs_RTV = model(input_ids=ids_RT, attention_mask=torch.ones_like(ids_RT), use_cache=False).logits
                theirs_RTV = theirs_RTV.float()
        except Exception as error:  # a model's code may raise anything
            if out_of_memory(error):
                raise
            raise ModelError(
                f"{type(model).__name__} cannot read a text by its own forward pass: {type(error).__name__}: {error}",
                expected="a model whose configuration fits its code and its weights",
                fix="check the model's config.json, or download the model again",
            ) from error
        if not theirs_RTV.isfinite().all():
            dtype = str(place.dtype).removeprefix("torch.")
            raise ModelError(
                f"{type(model).__name__} in {dtype} computes logits that are not finite, by its own forward pass",
                expected="finite logits",
                fix="use --dtype float32 (or bfloat16 instead of float16), or download the weights again",
            )
        return cls(model, ids_RT, theirs_RTV.clone(), exact=place.dtype == torch.float32)

    def reason(self) -> str | None:
        """Why the engine cannot compute this model; None if it can."""
        kept: list[KeysValues] = []
        try:
            self._masked(kept)
            return self._layers(kept) or self._logits()
        except UnknownTerm as error:
            return str(error)
        except Exception as error:  # a model's code may raise anything
            if out_of_memory(error):
                raise
            if isinstance(error, KeyError):  # what models look up by the kind of a layer is their mask
                return f"it has layers of the kind {error}"
            if not kept:
                return _NOT_ROUTED
            return f"{type(error).__name__}: {error}".partition("\n")[0]

    def _layers(self, kept: list[KeysValues]) -> str | None:
        layers = cast(Any, self.model).config.num_hidden_layers
        if len(kept) < layers:
            return f"only {len(kept)} of its {layers} layers compute attention by transformers' attention interface"
        if len(kept) > layers:
            return f"its {layers} layers compute attention {len(kept)} times"
        sizes = {(keys.shape[1], keys.shape[3], values.shape[3]) for keys, values in kept}
        if len(sizes) > 1:
            return "its layers differ in the number or the size of their heads"
        return None

    def _logits(self) -> str | None:
        off = self._off(self._masked())
        if not off < self._most:
            return f"logits under a mask differ by {off:.2g} from its own forward pass"
        off = self._off(self._tree())
        if not off < self._most:
            return f"logits of texts with one beginning, read as a tree, differ by {off:.2g} from its own forward pass"
        return None

    def tree_agrees(self) -> bool:
        """Whether a pass over the tree gives the model's own logits."""
        return self._off(self._tree()) < self._most

    @property
    def _most(self) -> float:
        """Differences below this are accepted."""
        return (1e-3 if self.exact else 5e-2) * max(1.0, self.theirs_RTV.abs().max().item())

    def _off(self, ours_RTV: Tensor) -> float:
        """The largest difference; in half precision, that of the median token of a beginning or of a rest."""
        off_RT = (ours_RTV - self.theirs_RTV).abs().amax(2)
        parts = torch.split(off_RT, [_SHARED, _OWN], dim=1)
        worst = [(part.amax(1) if self.exact else part.median(1).values).max() for part in parts]
        return cast(float, torch.stack(worst).max().item())

    def _masked(self, keep_kv: list[KeysValues] | None = None) -> Tensor:
        rows, tokens = self.ids_RT.shape
        positions_RT = torch.arange(tokens, device=self.ids_RT.device).expand(rows, -1)
        mask_RTT = torch.ones(rows, tokens, tokens, dtype=torch.bool, device=self.ids_RT.device).tril()
        ours_RTD = hidden_states(self.model, self.ids_RT, positions_RT, mask_RTT, keep_kv=keep_kv)
        return head(self.model, ours_RTD.flatten(0, 1)).view(rows, tokens, -1)

    def _tree(self) -> Tensor:
        tokens, device = _SHARED + _OWN, self.ids_RT.device
        other = [*range(_SHARED), *range(tokens, tokens + _OWN)]  # the nodes of the second text
        ids_N = torch.cat([self.ids_RT[0], self.ids_RT[1, _SHARED:]])
        positions_N = torch.tensor([*range(tokens), *range(_SHARED, tokens)], device=device)
        lay = lay_ragged if plan_of(self.model).ragged_attention else lay_paths
        paths = lay([range(tokens), other], [tokens, _OWN], device, sliding_window(self.model))
        ours_NV = head(self.model, tree_states(self.model, ids_N, positions_N, paths))
        return torch.stack([ours_NV[:tokens], ours_NV[other]])
