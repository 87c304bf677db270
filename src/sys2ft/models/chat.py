"""Render conversations as token ids, for training and for evaluation alike.

The text follows the tokenizer's chat template. A model without one (a base model) gets a plain
`Question: ... / Answer: ...` rendering. The assistant's answer is tokenised separately from the prompt and never merged
into it, so the model is trained on exactly the ids that it will be asked to continue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Literal

from sys2ft.errors import ModelError

Role = Literal["system", "user", "assistant"]

# Placeholder for the assistant's answer while a template is analysed. Letters only: no template trims or escapes it.
SENTINEL = "Zanswerzoneqx"

TEMPLATE_DATE = date(2024, 7, 26)
"""The day on which every conversation takes place, for templates that write the date: the default of Llama 3.1's."""

# A rendering must not depend on the clock nor open a reasoning trace. Templates that do not use these names ignore
# them.
TEMPLATE_SETTINGS: dict[str, Any] = {"date_string": TEMPLATE_DATE.strftime("%d %b %Y"), "enable_thinking": False}

_CLOCK = "strftime_now"  # the function that transformers offers to templates


def _fixed_clock() -> str:
    """A Jinja macro in place of `strftime_now`, which writes midnight of the fixed day.

    transformers passes plain data to templates only, so the function itself cannot be replaced.
    """
    now = datetime.combine(TEMPLATE_DATE, time())
    forms = [f"%{letter}" for letter in "aAbBcdefFDgGhHIjklmMpPrRSTuUVwWxXyYzZ"] + [f"%-{x}" for x in "demyHIjMS"]
    percent = "\ue000"  # in no template: '%%' must not take part in what follows it
    chain = "".join(f"|replace('{form}', '{now.strftime(form)}')" for form in forms)
    return (
        f"{{% macro {_CLOCK}(form) %}}"
        f"{{{{ form|replace('%%', '{percent}'){chain}|replace('{percent}', '%') }}}}"
        "{% endmacro %}\n"
    )


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation with its answer; `loss_mask` is True on the answer's tokens and on the end-of-turn token."""

    ids: list[int]
    loss_mask: list[bool]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The parts of a rendering, found by analysing one.

    A full rendering is: prompt + lead + answer + end of turn (+ trailing template text, which is omitted).
    """

    anchor: str  # the end of every prompt; answers are tokenised after it, since some tokenizers look back
    anchor_ids: tuple[int, ...]
    lead: str  # blank text that belongs to the answer, such as the space in "Answer: Paris"
    header: str  # template text between the generation prompt and the answer; part of the prompt
    own_header: bool  # False: full renderings do not start with the generation prompt, so the prompt is cut from one
    folds_system: bool  # the template refuses or drops a system turn
    end_of_turn_id: int


class ChatFormat:
    """Renders conversations for one model. Create it with `ChatFormat.of(tokenizer)`."""

    end_of_turn_id: int
    stop_ids: frozenset[int]  # ids that end an answer when sampled: end of turn, and the model's end-of-text ids
    stop_texts: tuple[str, ...]  # texts that end an answer; empty for a model with a chat template
    has_template: bool

    def __init__(self, tokenizer: Any, shape: _Shape, *, has_template: bool, stop_ids: Iterable[int]) -> None:
        self._tokenizer, self._shape = tokenizer, shape
        self.has_template = has_template
        self.end_of_turn_id = shape.end_of_turn_id
        self.stop_ids = frozenset(stop_ids) | {shape.end_of_turn_id}
        self.stop_texts = () if has_template else ("\nQuestion:",)
        # A prompt is scored with many answers, and a news item has many questions: most renderings repeat.
        self._cached_prompt_ids = lru_cache(maxsize=16384)(self._prompt_ids)

    @classmethod
    def of(cls, tokenizer: Any, *, eos_ids: Iterable[int] = ()) -> ChatFormat:
        """The format of a transformers tokenizer; `eos_ids` adds ids from the model's generation settings.

        Raises ModelError if the tokenizer has no way to end a turn, or its template cannot be rendered.
        """
        eos = {i for i in (*eos_ids, tokenizer.eos_token_id) if i is not None}
        has_template = bool(tokenizer.chat_template)
        shape = _template_shape(tokenizer) if has_template else _plain_shape(tokenizer)
        return cls(tokenizer, shape, has_template=has_template, stop_ids=eos)

    @property
    def date(self) -> str | None:
        """The fixed date (ISO 8601) that renderings contain; None if the template does not ask for one."""
        template = str(self._tokenizer.chat_template or "")
        return TEMPLATE_DATE.isoformat() if _CLOCK in template or "date_string" in template else None

    def prompt_text(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """The text of `prompt_ids`, without a begin-of-text token that only the tokenizer adds."""
        _check(messages)
        if not self.has_template:
            return _plain_text(messages)
        if self._shape.folds_system:
            messages = _fold_system(messages)
        if thinking:
            # The header, which comes before an answer without a thought, is left out.
            return _apply(self._tokenizer, messages, generation_prompt=True, thinking=True)
        if self._shape.own_header:
            return _apply(self._tokenizer, messages, generation_prompt=True) + self._shape.header
        whole = _apply(self._tokenizer, [*messages, Message("assistant", SENTINEL)], generation_prompt=False)
        return whole[: whole.rindex(SENTINEL)]

    def prompt_ids(self, messages: Sequence[Message], *, thinking: bool = False, remember: bool = True) -> list[int]:
        """Ids of a conversation that ends with a user turn, up to the start of the assistant's answer.

        `thinking` asks the chat template to let the model think first; templates without that option ignore it.
        `remember`: keep the result for the next call, which costs memory where prompts do not repeat.
        """
        ids = self._cached_prompt_ids if remember else self._prompt_ids
        return list(ids(tuple(messages), thinking))

    def continuation_ids(self, text: str) -> list[int]:
        """Ids of `text` (stripped) as the start of the assistant's answer to any prompt, without end of turn."""
        words, shape = text.strip(), self._shape
        if not words:
            return []
        joint = _encode(self._tokenizer, shape.anchor + shape.lead + words)
        n = len(shape.anchor_ids)
        if tuple(joint[:n]) == shape.anchor_ids:
            return joint[n:]
        # The first word would merge into the prompt's last token. The prompt's ids are fixed, as they are when the
        # model generates, so the text is tokenised separately.
        return _encode(self._tokenizer, shape.lead + words)

    def render(self, messages: Sequence[Message], completion: str) -> Rendered:
        """`prompt_ids(messages)`, then `completion` (stripped) and the end-of-turn token, both with loss."""
        prompt = self.prompt_ids(messages)
        answer = [*self.continuation_ids(completion), self.end_of_turn_id]
        return Rendered(prompt + answer, [False] * len(prompt) + [True] * len(answer))

    def plain_ids(self, text: str) -> list[int]:
        """Ids of a text outside any conversation, with the begin-of-text token if the tokenizer adds one."""
        ids = _encode(self._tokenizer, text)
        return [self._tokenizer.bos_token_id, *ids] if _adds_bos(self._tokenizer) else ids

    def _prompt_ids(self, messages: tuple[Message, ...], thinking: bool) -> tuple[int, ...]:
        ids = _encode(self._tokenizer, self.prompt_text(messages, thinking=thinking))
        if not self.has_template and _adds_bos(self._tokenizer):
            ids = [self._tokenizer.bos_token_id, *ids]
        return tuple(ids)


def _check(messages: Sequence[Message]) -> None:
    roles = [m.role for m in messages]
    known = set(roles) <= {"system", "user", "assistant"}
    if not roles or roles[-1] != "user" or not known or "system" in roles[1:]:
        raise ModelError(
            f"a conversation with the turns {', '.join(roles) or 'none'}",
            expected="an optional system turn first, then user and assistant turns, a user turn last",
            fix="end with a user turn, and pass the answer as `completion`",
        )


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _adds_bos(tokenizer: Any) -> bool:
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]


def _apply(tokenizer: Any, messages: Sequence[Message], *, generation_prompt: bool, thinking: bool = False) -> str:
    turns = [{"role": m.role, "content": m.content} for m in messages]
    settings = {**TEMPLATE_SETTINGS, "enable_thinking": thinking}
    template = tokenizer.get_chat_template()
    if _CLOCK in template:
        settings["chat_template"] = _fixed_clock() + template
    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=generation_prompt, **settings
    )
    return text


def _fold_system(messages: Sequence[Message]) -> list[Message]:
    """Prepend the system turn to the first user turn, for templates without a system role."""
    if messages[0].role != "system":
        return list(messages)
    system, first, *rest = messages
    return [Message(first.role, f"{system.content}\n\n{first.content}"), *rest]


def _plain_text(messages: Sequence[Message]) -> str:
    parts = {"system": "{}\n\n", "user": "Question: {}\nAnswer:", "assistant": " {}\n\n"}
    return "".join(parts[m.role].format(m.content.strip()) for m in messages)


def _plain_shape(tokenizer: Any) -> _Shape:
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "a tokenizer with neither a chat template nor an end-of-text token",
            expected="`chat_template` or `eos_token` in tokenizer_config.json",
            fix="set `eos_token` in the model folder's tokenizer_config.json, or use another model",
        )
    anchor = "\nAnswer:"
    return _Shape(
        anchor=anchor,
        anchor_ids=tuple(_encode(tokenizer, anchor)),
        lead=" ",
        header="",
        own_header=True,
        folds_system=False,
        end_of_turn_id=tokenizer.eos_token_id,
    )


def _template_shape(tokenizer: Any) -> _Shape:
    """Analyse the template by rendering a known question and answer."""
    question = [Message("user", f"{SENTINEL}?")]
    try:
        prompt = _apply(tokenizer, question, generation_prompt=True)
        whole = _apply(tokenizer, [*question, Message("assistant", SENTINEL)], generation_prompt=False)
    except Exception as error:  # a template is code of the model's author: it may raise anything
        raise _broken_template(str(error)) from error
    if whole.count(SENTINEL) != 2 or SENTINEL not in prompt:
        raise _broken_template("a rendered question and answer do not contain the texts that were passed")
    cut = whole.rindex(SENTINEL)
    own_header = whole[:cut].startswith(prompt)
    between = whole[len(prompt) : cut] if own_header else ""
    # White space before the answer is tokenised with it (" Paris" is one token); other text belongs to the template.
    lead, header = (between, "") if not between.strip() else ("", between)
    before = (prompt + header) if own_header else whole[:cut]
    anchor = before[before.rindex(f"{SENTINEL}?") + len(SENTINEL) + 1 :]
    return _Shape(
        anchor=anchor,
        anchor_ids=tuple(_encode(tokenizer, anchor)),
        lead=lead,
        header=header,
        own_header=own_header,
        folds_system=_refuses_system(tokenizer),
        end_of_turn_id=_end_of_turn(tokenizer, whole[cut + len(SENTINEL) :]),
    )


def _refuses_system(tokenizer: Any) -> bool:
    try:
        text = _apply(tokenizer, [Message("system", SENTINEL), Message("user", "a")], generation_prompt=True)
    except Exception:  # the template rejects it, with any type of exception
        return True
    return SENTINEL not in text


def _end_of_turn(tokenizer: Any, tail: str) -> int:
    """The first special token that the template writes after the answer, else end of text."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token_id in _encode(tokenizer, tail):
        if token_id in special:
            return token_id
        if tokenizer.decode([token_id]).strip():
            break  # text before any special token: this template ends the turn with text
    if tokenizer.eos_token_id is None:
        raise _broken_template("it does not mark the end of a turn, and the tokenizer has no end-of-text token")
    eos: int = tokenizer.eos_token_id
    return eos


def _broken_template(why: str) -> ModelError:
    return ModelError(
        f"an unusable chat template: {why}",
        expected="a template that renders a user turn and an assistant turn",
        fix="correct `chat_template` in the model folder, or remove it to use the plain Question/Answer rendering",
    )
