"""What retention items need: whether they fit into a model, and tokens, FLOP and memory of their units."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.engine import Example
from sys2ft.engine.flops import forward as forward_flop
from sys2ft.engine.trees.tree import slot_trees
from sys2ft.errors import SettingsError
from sys2ft.evaluation import needs
from sys2ft.evaluation.ask import messages
from sys2ft.models import LoadedModel, Reader
from sys2ft.retention.measuring import Asked, document, prompt
from sys2ft.retention.sets import RetentionSet
from sys2ft.runs import Needs, Unit

_OWN = "sys2ft.retention.measuring:"
_SHOWN = 5


def unit_needs(model: LoadedModel, unit: Unit) -> Needs:
    """Tokens, FLOP and peak memory of a unit of an evaluation, of retention items or of questions.

    For generated text, of the full budget.
    """
    if not unit.function.startswith(_OWN):
        return needs.unit_needs(model, unit)
    form, settings = unit.function.removeprefix(_OWN), unit.inputs.get("settings")
    examples = []
    for one in (Asked.from_dict(row) for row in unit.inputs["asked"]):
        if form == "text":
            examples.append(document(model, one.item, one.slot, unit.inputs["positions"]))
        else:
            ids = model.chat.prompt_ids(messages(prompt(one.item, "numbers" if form == "numbers" else "instructions")))
            examples.append(Example([*ids, 0], [False] * len(ids) + [True], one.slot))
    trees = slot_trees(examples, needs.PASS)
    tokens, predictions = sum(map(len, trees)), sum(len(tree.asked) for tree in trees)
    if settings is not None:
        said = settings["max_new_tokens"] * len(examples)
        tokens, predictions = tokens + said, said
    read = min(tokens, needs.PASS) if settings is None else tokens
    return Needs(tokens=tokens, flop=forward_flop(model.model, tokens, predictions), memory=needs.states(model, read))


def require_items_fit(reader: Reader, sets: Sequence[RetentionSet], *, tokens: int) -> None:
    """Raise SettingsError for items whose prompt and answer exceed the model's positions, or texts of a single token.

    Longer texts are cut.
    """
    found = []
    for one in sets:
        for item in one.items:
            if one.form == "text":
                size = len(reader.chat.plain_ids(item.text[:200]))
                found += [f"{item.id}: {size} token in {item.text[:40]!r}"] if size < 2 else []
                continue
            size = len(reader.chat.prompt_ids(messages(prompt(item, one.form)))) + tokens
            if reader.positions is not None and size > reader.positions:
                found.append(f"{item.id}: {size:,} tokens with an answer of {tokens}")
    if found:
        more = [f"  ... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise SettingsError(
            "\n".join(
                [f"retention items that {reader.name} cannot be asked:", *(f"  {x}" for x in found[:_SHOWN]), *more]
            ),
            expected="a document of two tokens or more; prompt and answer within the model's "
            f"{'unlimited' if reader.positions is None else f'{reader.positions:,}'} positions",
            fix="remove them, lower --retention-tokens, or use a model with more positions",
        )
