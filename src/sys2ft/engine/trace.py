"""Reading one long text while observing the residual stream of every layer.

The text is read in chunks, each continuing from a cache of the keys and values before it. Forward hooks on the decoder
layers pass every layer's residual stream to the caller, who keeps what is needed of it, so that memory does not grow
with layers times length. Interventions are here too: heads that are switched off, tokens whose representation is
shifted, and the attention weights of short texts.

Layers are counted as in transformers' hidden states: 0 is the input of the first block, l is the output of block l.

Shapes: T tokens, D hidden size, M moved tokens, H heads of a layer, K keys, d head size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from sys2ft.engine.adapters.bank import BASE, adapter_rows
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.attention import Pass, attending
from sys2ft.engine.forward import masks
from sys2ft.engine.preparing import prepare
from sys2ft.errors import ModelError

SeeLayer = Callable[[int, int, Tensor], None]
"""Called with the layer, the position of the chunk's first token, and the chunk's residual stream (T, D)."""
SeeLast = Callable[[int, Tensor], None]
"""Called with the position of the chunk's first token and the chunk's last hidden states (T, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How to read: a model, an adapter over it, the heads that are switched off, and the tokens of a chunk."""

    model: nn.Module
    bank: Bank | None = None
    slot: int = BASE
    heads_off: Mapping[int, Sequence[int]] | None = None
    """Heads whose output is zero, by block from 0."""
    tokens_at_once: int = 512

    def __post_init__(self) -> None:
        prepare(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def states(self, tokens_T: Sequence[int], positions_T: Tensor, mask_TK: Tensor, past: DynamicCache) -> Tensor:
        """Last hidden states (T, D) of one row of tokens after those in `past`, to which they are added.

        The mask says which keys each token sees: the P keys of the past, then the T tokens themselves.
        """
        off = {block: torch.tensor(list(heads), device=self.device) for block, heads in (self.heads_off or {}).items()}
        with torch.inference_mode(), adapter_rows(self.bank, [self.slot]), attending(Pass(heads_off=off)):
            output = cast(Any, self.model).base_model(
                input_ids=torch.tensor([list(tokens_T)], device=self.device),
                position_ids=positions_T[None],
                attention_mask=masks(self.model, mask_TK[None], positions_T[None]),
                past_key_values=past,
                use_cache=True,
            )
        return cast(Tensor, output.last_hidden_state[0])


def read_text(
    reader: Reader, tokens_T: Sequence[int], *, see_layer: SeeLayer | None = None, see_last: SeeLast | None = None
) -> DynamicCache:
    """Read a text once from its beginning; returns the keys and values of all its tokens."""
    # Without a configuration every layer keeps all keys, sliding-window layers too: the mask limits what they see.
    past = DynamicCache()
    for start in range(0, len(tokens_T), reader.tokens_at_once):
        chunk = tokens_T[start : start + reader.tokens_at_once]
        end = start + len(chunk)
        positions_T = torch.arange(start, end, device=reader.device)
        mask_TK = torch.arange(end, device=reader.device)[None] <= positions_T[:, None]
        with _watching(reader.model, see_layer, start):
            hidden_TD = reader.states(chunk, positions_T, mask_TK, past)
        if see_last is not None:
            see_last(start, hidden_TD)
    return past


@dataclass(frozen=True, slots=True)
class Move:
    """A token of a text that was read before; its residual stream after `layer` blocks is shifted by `shift_D`."""

    position: int
    layer: int
    shift_D: Tensor


def read_moved(reader: Reader, tokens_T: Sequence[int], past: DynamicCache, moves: Sequence[Move]) -> Tensor:
    """Last hidden states (M, D) of single tokens, each read again after its own past with its stream shifted.

    `past`: the result of `read_text` for the tokens; it is not changed, nor are the tokens before each shifted one.
    """
    done = []
    for start in range(0, len(moves), reader.tokens_at_once):
        part = moves[start : start + reader.tokens_at_once]
        positions_M = torch.tensor([move.position for move in part], device=reader.device)
        past_MK = torch.arange(len(tokens_T), device=reader.device)[None] < positions_M[:, None]
        itself_MM = torch.eye(len(part), dtype=torch.bool, device=reader.device)
        with _shifting(reader.model, part):
            tokens = [tokens_T[move.position] for move in part]
            done.append(reader.states(tokens, positions_M, torch.cat([past_MK, itself_MM], dim=1), past))
        past.crop(-len(part))
    return torch.cat(done)


def attention_weights(reader: Reader, tokens_T: Sequence[int]) -> list[Tensor]:
    """Each layer's attention weights (H, T, T) over a short text, by the model's own eager attention."""
    model = cast(Any, reader.model)
    engine = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        tokens_1T = torch.tensor([list(tokens_T)], device=reader.device)
        with torch.inference_mode(), adapter_rows(reader.bank, [reader.slot]):
            output = model.base_model(input_ids=tokens_1T, use_cache=False, output_attentions=True)
    finally:
        model.set_attn_implementation(engine)
    return [weights[0].float() for weights in output.attentions]


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder, first to last. Raises ModelError if the model has no list of them."""
    count = cast(Any, model).config.num_hidden_layers
    for module in cast(Any, model).base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise ModelError(
        f"{type(model).__name__} has no list of {count} layers",
        expected="a decoder-only causal language model of transformers",
        fix="use another model, or report the architecture",
    )


def _stream(output: Any) -> Tensor:
    """The residual stream in a block's output, which some families wrap in a tuple."""
    return cast(Tensor, output[0] if isinstance(output, tuple) else output)


@contextlib.contextmanager
def _watching(model: nn.Module, see: SeeLayer | None, start: int) -> Iterator[None]:
    """Pass every layer's residual stream to `see` within the block."""
    with contextlib.ExitStack() as stack:
        if see is not None:
            blocks = decoder_layers(model)
            stack.callback(blocks[0].register_forward_pre_hook(_entering(see, start), with_kwargs=True).remove)
            for layer, block in enumerate(blocks, start=1):
                stack.callback(block.register_forward_hook(_leaving(see, layer, start)).remove)
        yield


def _entering(see: SeeLayer, start: int) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(0, start, (args[0] if args else kwargs["hidden_states"])[0])

    return hook


def _leaving(see: SeeLayer, layer: int, start: int) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        see(layer, start, _stream(output)[0])

    return hook


@contextlib.contextmanager
def _shifting(model: nn.Module, moves: Sequence[Move]) -> Iterator[None]:
    """Shift the stream of row m after `moves[m].layer` blocks within the block."""
    by_layer: dict[int, list[int]] = {}
    for row, move in enumerate(moves):
        by_layer.setdefault(move.layer, []).append(row)
    blocks = decoder_layers(model)
    with contextlib.ExitStack() as stack:
        for layer, rows in by_layer.items():
            shift_MD = torch.stack([moves[row].shift_D for row in rows])
            if layer == 0:
                hook = blocks[0].register_forward_pre_hook(_shift_entering(rows, shift_MD), with_kwargs=True)
            else:
                hook = blocks[layer - 1].register_forward_hook(_shift_leaving(rows, shift_MD))
            stack.callback(hook.remove)
        yield


def _shifted(stream_1MD: Tensor, rows: list[int], shift_MD: Tensor) -> Tensor:
    moved = stream_1MD.clone()
    moved[0, rows] += shift_MD.to(moved)
    return moved


def _shift_entering(rows: list[int], shift_MD: Tensor) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (_shifted(args[0], rows, shift_MD), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": _shifted(kwargs["hidden_states"], rows, shift_MD)}

    return hook


def _shift_leaving(rows: list[int], shift_MD: Tensor) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        moved = _shifted(_stream(output), rows, shift_MD)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    return hook
