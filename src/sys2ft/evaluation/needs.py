"""Predicts what an evaluation unit will need: tokens, FLOP and memory, from its prompts and its token budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sys2ft.engine import Example
from sys2ft.engine.decoding.decode import key_value_bytes
from sys2ft.engine.flops import forward as forward_flop
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.evaluation.ask import messages, option_letters
from sys2ft.evaluation.probes import Asked
from sys2ft.evaluation.statements import COMPLETE, example
from sys2ft.models import LoadedModel
from sys2ft.runs import Needs, Unit

PASS = 4096
"""Tokens of a pass, as in `engine.score`."""


def unit_needs(model: LoadedModel, unit: Unit) -> Needs:
    """Tokens, FLOP and peak memory of a unit of `Questions` or `Statements`; for generated text, of the full budget."""
    batch = [Asked.from_dict(row) for row in unit.inputs["asked"]]
    settings = unit.inputs.get("settings")
    if unit.function == COMPLETE:
        examples = [example(model, item.text, choice, item.slot) for item in batch for choice in item.options]
    else:
        # For generated text this counts the prompt, up to the prediction of the first new token.
        said = _choices(model, batch) if settings is None else [[[0]]] * len(batch)
        examples = [_example(model, item, ids) for item, texts in zip(batch, said, strict=True) for ids in texts]
    trees = slot_trees(examples, PASS)
    tokens, predictions = sum(map(len, trees)), sum(len(tree.asked) for tree in trees)
    if settings is not None:
        budget = settings["reasoned_tokens" if batch and batch[0].scoring == "reasoned" else "direct_tokens"]
        tokens, predictions = tokens + budget * len(batch), budget * len(batch)
    return Needs(
        tokens=tokens,
        flop=forward_flop(model.model, tokens, predictions),
        memory=states(model, min(tokens, PASS) if settings is None else tokens),
    )


def _choices(model: LoadedModel, batch: Sequence[Asked]) -> list[list[list[int]]]:
    texts = [option_letters(len(i.options)) if i.scoring == "letter" else list(i.options) for i in batch]
    return [[model.chat.continuation_ids(text) for text in own] for own in texts]


def _example(model: LoadedModel, item: Asked, ids: Sequence[int]) -> Example:
    prompt = model.chat.prompt_ids(messages(item.text))
    return Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), item.slot)


def states(model: LoadedModel, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` tokens, and of a few hidden states per token."""
    config: Any = model.model.config
    number: int = next(model.model.parameters()).element_size()
    return tokens * (key_value_bytes(model.model) + 8 * number * int(config.hidden_size))
