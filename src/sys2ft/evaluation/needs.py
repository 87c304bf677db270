"""What an evaluation unit will need: tokens and FLOP from its prompts, and the most that may be generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sys2ft.engine import Example
from sys2ft.engine.flops import forward as forward_flop
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.evaluation.ask import messages, option_letters
from sys2ft.evaluation.probes import Asked
from sys2ft.models import LoadedModel
from sys2ft.runs import Needs, Unit

_PASS = 4096  # tokens, as in `engine.score`


def unit_needs(model: LoadedModel, unit: Unit) -> Needs:
    """What a unit of `Questions` needs."""
    batch = [Asked.from_dict(row) for row in unit.inputs["asked"]]
    settings = unit.inputs.get("settings")
    # Of generated text the prompt is counted here: it is read up to the first token that is said.
    said = _choices(model, batch) if settings is None else [[[0]]] * len(batch)
    examples = [_example(model, item, ids) for item, texts in zip(batch, said, strict=True) for ids in texts]
    trees = slot_trees(examples, _PASS)
    tokens, predictions = sum(map(len, trees)), sum(len(tree.asked) for tree in trees)
    if settings is not None:
        room = settings["reasoned_tokens" if batch and batch[0].scoring == "reasoned" else "direct_tokens"]
        tokens, predictions = tokens + room * len(batch), room * len(batch)
    return Needs(
        tokens=tokens,
        flop=forward_flop(model.model, tokens, predictions),
        memory=_states(model, min(tokens, _PASS) if settings is None else tokens),
    )


def _choices(model: LoadedModel, batch: Sequence[Asked]) -> list[list[list[int]]]:
    texts = [option_letters(len(i.options)) if i.scoring == "letter" else list(i.options) for i in batch]
    return [[model.chat.continuation_ids(text) for text in own] for own in texts]


def _example(model: LoadedModel, item: Asked, ids: Sequence[int]) -> Example:
    prompt = model.chat.prompt_ids(messages(item.text))
    return Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), item.slot)


def _states(model: LoadedModel, tokens: int) -> int:
    """Bytes of keys and values of so many tokens, and of a few hidden states beside them."""
    config: Any = model.model.config
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys: int = 2 * config.num_hidden_layers * heads * size
    number: int = next(model.model.parameters()).element_size()
    return tokens * number * (keys + 8 * int(config.hidden_size))
