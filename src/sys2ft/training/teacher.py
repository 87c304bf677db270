"""The teacher of a training: which model it is, and what it reads.

It is the frozen base, or another model of the same tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.engine import Example, prepare
from sys2ft.errors import SettingsError
from sys2ft.languages import language_of
from sys2ft.models import ChatFormat, LoadedModel, Message, load_model, load_tokenizer
from sys2ft.training.jobs import TrainItem
from sys2ft.training.settings import TrainSettings


def messages_of(item: TrainItem, *, in_context: bool = False) -> list[Message]:
    """The item's prompt. In context, the news item precedes its first user turn, in the form that evaluation asks."""
    turns = [Message(turn["role"], turn["content"]) for turn in item.prompt]  # type: ignore[arg-type]
    if in_context:
        first = next((place for place, turn in enumerate(turns) if turn.role == "user"), 0)
        own = language_of(item.context).prompts
        asked = own.filled("ask_in_context", news=item.context, question=turns[first].content)
        turns[first] = Message("user", asked)
    return turns


def after(prompt_ids: Sequence[int], answer_ids: Sequence[int], slot: int) -> Example:
    """An answer, which is supervised, after a prompt."""
    mask = [False] * len(prompt_ids) + [True] * len(answer_ids)
    return Example([*prompt_ids, *answer_ids], mask, slot)


def require_use_of_teacher(settings: TrainSettings, *, lesson: bool) -> None:
    """Raise SettingsError for a teacher that the settings name and the objective, if it has no lesson, does not use."""
    if settings.teacher and not lesson:
        raise SettingsError(
            f"a teacher ({settings.teacher}) for the objective {settings.objective}, which has no use for one",
            expected="an objective that compares with a teacher, such as distil",
            fix="add --objective distil, or leave out --teacher",
        )


def require_teacher(model: LoadedModel, settings: TrainSettings) -> None:
    """Raise SettingsError unless the teacher that the settings name has the model's tokens; it is not loaded."""
    if not settings.teacher:
        return
    tokenizer, chat = load_tokenizer(settings.teacher)
    own, other = model.tokenizer.get_vocab(), tokenizer.get_vocab()
    if own != other:
        apart = len(set(own.items()) ^ set(other.items()))
        raise SettingsError(
            f"the teacher {settings.teacher} has another tokenizer than {model.source.name}: "
            f"{len(other)} and {len(own)} tokens, {apart} of them different",
            expected="a model of the same family, whose tokens have the same ids",
            fix="correct --teacher, or leave it out: the model then teaches itself with the news in context",
        )
    if chat.end_of_turn_id != model.chat.end_of_turn_id:
        names = [model.tokenizer.convert_ids_to_tokens(c.end_of_turn_id) for c in (chat, model.chat)]
        raise SettingsError(
            f"the teacher {settings.teacher} ends its turns with {names[0]!r}, {model.source.name} with {names[1]!r}",
            expected="the same token",
            fix="use the instruction-tuned release of the teacher for an instruction-tuned model, or neither",
        )


def load_teacher(model: LoadedModel, settings: TrainSettings) -> LoadedModel:
    """The teacher that the settings name: `model` itself, or another one in its dtype and on its device."""
    if not settings.teacher:
        return model
    require_teacher(model, settings)
    dtype = str(model.dtype).removeprefix("torch.")
    teacher = load_model(settings.teacher, dtype=dtype, device=str(model.device))
    prepare(teacher.model)
    return teacher


def in_context(chat: ChatFormat, items: Sequence[TrainItem], examples: Sequence[Example]) -> list[Example]:
    """Each item's example with the news before its prompt. Raises SettingsError if an item has no context."""
    without = sum(not item.context.strip() for item in items)
    if without:
        raise SettingsError(
            f"{without} of {len(items)} training examples have no context to read before their prompt",
            expected="the news item's text as the `context` of each",
            fix="pass TrainItem(..., context=news.text); or train with --objective cross_entropy --stop-on held_out",
        )
    prompts = [chat.prompt_ids(messages_of(item, in_context=True)) for item in items]
    return [
        after(prompt, example.ids[-example.supervised :], example.slot)
        for prompt, example in zip(prompts, examples, strict=True)
    ]
