"""A teacher's distributions over the tokens of continuations, with prompts and shared prefixes computed once.

Shapes: N targets, K most likely tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sys2ft.engine.cpu.plan import base_pass
from sys2ft.engine.trees.distributions import Distributions
from sys2ft.engine.trees.score import predictions, read_trees
from sys2ft.engine.trees.tree import Example, StepCost


def teach(
    model: torch.nn.Module,
    examples: Sequence[Example],
    *,
    top: int,
    vocabulary: int,
    tokens_at_once: int = 4096,
) -> tuple[list[Distributions], StepCost]:
    """The base model's distributions (P, K) at the P supervised tokens of each example, in host memory, and the cost.

    They are those of a full forward pass for each example, up to rounding. `top` is K. Only the first `vocabulary`
    tokens take part: a model of the same tokenizer may have more rows in its head. `tokens_at_once` bounds memory;
    examples that begin alike share their beginning as far as that allows, in any order.
    """
    # In order of their ids, so that those with a common prefix are neighbours.
    order = sorted(range(len(examples)), key=lambda place: list(examples[place].ids))
    shown = [Example(examples[place].ids, examples[place].loss_mask) for place in order]
    made: dict[int, Distributions] = {}
    costs: dict[int, StepCost] = {}
    with torch.no_grad(), base_pass(model):
        for packed, hidden_UD in read_trees(model, shown, None, costs, tokens_at_once=tokens_at_once):
            blocks = [
                Distributions.of(logits_uV[:, :vocabulary], top)[rows]
                for _, rows, logits_uV in predictions(model, hidden_UD, packed)
            ]
            # The blocks' targets together are those of `order_N`.
            every = Distributions.cat(blocks)[packed.order_N.argsort()].to("cpu")
            start = 0
            for owner in dict.fromkeys(packed.owners):  # an example's targets follow one another
                own = every[slice(start, start := start + shown[owner].supervised)]
                made[order[owner]] = Distributions(own.top_PK.clone(), own.log_PR.clone())
    return [made[place] for place in range(len(examples))], sum(costs.values(), StepCost())
