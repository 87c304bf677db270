"""What a teacher adds to a training: it reads the news item before the prompt, and its distributions are the target.

The teacher is the frozen base, or another model of the same tokenizer. It reads each completion once, however often the
adapter sees it, and a news item's text once for all its elements. An adapter is taught by itself, so that its targets do
not depend on its company, nor on an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sys2ft.engine import Example, Lesson, flops, prepare, teach
from sys2ft.errors import SettingsError
from sys2ft.languages import language_of
from sys2ft.models import ChatFormat, LoadedModel, Message, load_model, load_tokenizer
from sys2ft.training.adapter import Adapter
from sys2ft.training.jobs import TrainItem
from sys2ft.training.settings import TrainSettings

_FORWARD_ONLY = 4  # times the tokens of a training pass: nothing is kept for a backward pass


def messages_of(item: TrainItem, *, in_context: bool = False) -> list[Message]:
    """The item's prompt. In context, the news item precedes its first user turn, in the form that evaluation asks."""
    turns = [Message(turn["role"], turn["content"]) for turn in item.prompt]  # type: ignore[arg-type]
    if in_context:
        first = next((place for place, turn in enumerate(turns) if turn.role == "user"), 0)
        own = language_of(item.context).prompts
        asked = own.filled("ask_in_context", news=item.context, question=turns[first].content)
        turns[first] = Message("user", asked)
    return turns


def after(prompt_ids: Sequence[int], example: Example, slot: int = -1) -> Example:
    """The supervised end of `example` after another prompt."""
    count = example.supervised
    return Example([*prompt_ids, *example.ids[-count:]], [False] * len(prompt_ids) + [True] * count, slot)


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


class Teaching:
    """The teacher of one training, and its lesson; without a lesson, a batch has the elements alone."""

    def __init__(self, student: LoadedModel, teacher: LoadedModel, lesson: Lesson | None, tokens_at_once: int) -> None:
        self.student, self.teacher, self.lesson = student, teacher, lesson
        self.tokens_at_once = tokens_at_once

    def prepare(self, adapters: Sequence[Adapter]) -> None:
        """Compute what the next step of each adapter needs and does not have yet."""
        if self.lesson is None:
            return
        for adapter in adapters:
            if adapter.batch and not adapter.taught:
                self._teach(adapter, self.lesson)

    def _teach(self, adapter: Adapter, lesson: Lesson) -> None:
        shown = [
            after(prompt, example) for prompt, example in zip(adapter.prompts_in_context, adapter.examples, strict=True)
        ]
        taught, cost = teach(
            self.teacher.model,
            shown,
            top=lesson.top,
            vocabulary=self.student.model.config.vocab_size,
            tokens_at_once=_FORWARD_ONLY * self.tokens_at_once,
        )
        adapter.taught = dict(enumerate(taught))
        if not adapter.counted:
            adapter.read += cost
            adapter.other_flop += flops.forward(self.teacher.model, cost.tokens_computed, cost.predictions)
            adapter.counted = True

    def batch(self, adapter: Adapter) -> list[Example]:
        """The examples of an adapter's next step, with their teacher's distributions and weights."""
        lesson = self.lesson
        if lesson is None or not adapter.batch:
            return adapter.batch
        return [
            replace(
                adapter.examples[i], weight=1 - lesson.weight, teacher=adapter.taught[i], teacher_weight=lesson.weight
            )
            for i in adapter.batches[adapter.step]
        ]


def prompts_in_context(chat: ChatFormat, items: Sequence[TrainItem]) -> list[list[int]]:
    """Ids of each item's prompt with the news in context. Raises SettingsError if an item has no context."""
    without = sum(not item.context.strip() for item in items)
    if without:
        raise SettingsError(
            f"{without} of {len(items)} training examples have no context to show a teacher",
            expected="the news item's text as the `context` of each",
            fix="pass TrainItem(..., context=news.text), or train with the objective cross_entropy",
        )
    return [chat.prompt_ids(messages_of(item, in_context=True)) for item in items]
