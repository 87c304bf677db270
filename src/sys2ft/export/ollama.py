"""An Ollama Modelfile whose template writes the same prompts as the model's own.

Ollama's templates are Go templates, and a model's is Jinja. What a chat template writes around the turns is found by
rendering conversations; if text around turns does not explain what it writes, the export is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.errors import ModelError
from sys2ft.models import ChatFormat
from sys2ft.models.chat import Message

_A, _B, _C = "Zfirstzoneqx", "Zsecondzoneqx", "Zthirdzoneqx"


@dataclass(frozen=True, slots=True)
class Turns:
    """The text that a chat template writes around each turn, and where no system turn is given."""

    start: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str
    """What comes after the last user turn, where the assistant's answer begins."""
    default_system: str | None = None
    """The system turn that the template writes by itself."""
    folds_system: bool = False
    """The system turn is the beginning of the first user turn."""

    def text(self, messages: Sequence[Message]) -> str:
        """A conversation as `template` writes it."""
        if self.default_system is not None and messages[0].role != "system":
            messages = [Message("system", self.default_system), *messages]
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        written, opened = self.start, False
        for message in messages:
            before, after = around[message.role]
            written += ("" if opened else before) + message.content + after
            opened = self.folds_system and message.role == "system"
        return written + self.answer

    def template(self) -> str:
        """As a Go template over Ollama's `.Messages`."""
        (system, system_end), (user, user_end) = self.system, self.user
        opened = "{{ $opened = true }}" if self.folds_system else ""
        opening = _literal(user)
        if self.folds_system:
            opening = f"{{{{ if not $opened }}}}{opening}{{{{ end }}}}{{{{ $opened = false }}}}"
        return (
            ("{{ $opened := false }}" if self.folds_system else "")
            + _literal(self.start)
            + "{{ range .Messages }}"
            + f'{{{{ if eq .Role "system" }}}}{_literal(system)}{{{{ .Content }}}}{_literal(system_end)}{opened}'
            + f'{{{{ else if eq .Role "user" }}}}{opening}{{{{ .Content }}}}{_literal(user_end)}'
            + f'{{{{ else if eq .Role "assistant" }}}}{_literal(self.assistant[0])}{{{{ .Content }}}}'
            + f"{_literal(self.assistant[1])}{{{{ end }}}}{{{{ end }}}}"
            + _literal(self.answer)
        )


def turns_of(chat: ChatFormat, tokenizer: Any) -> Turns:
    """What the chat template writes around turns. Raises ModelError if it does more than that."""
    probes = (
        [Message("user", _A)],
        [Message("system", _C), Message("user", _A)],
        [Message("user", "two\nlines, {{ braces }}"), Message("assistant", "Yes."), Message("user", _B)],
        [Message("system", "Be brief."), Message("user", _A), Message("assistant", _C), Message("user", _B)],
    )
    try:
        found = _found(chat, tokenizer.decode([chat.end_of_turn_id]))
    except ValueError as error:
        raise _refused("its turns are not written in their order") from error
    for probe in probes:
        if found.text(probe) != chat.prompt_text(probe):
            raise _refused(f"it writes {chat.prompt_text(probe)!r}, text around turns gives {found.text(probe)!r}")
    return found


def _found(chat: ChatFormat, end_of_turn: str) -> Turns:
    turns = [Message("user", _A), Message("assistant", _B), Message("user", _A)]
    head, _ = _split(chat.prompt_text([Message("user", _A)]), (_A,))
    start, to_user, to_assistant, back, ahead = _split(
        chat.prompt_text([Message("system", _C), *turns]), (_C, _A, _B, _A)
    )
    user_end = _end(to_assistant, end_of_turn) if to_assistant.startswith(_end(ahead, end_of_turn)) else ""
    parts = {"assistant": to_assistant[len(user_end) :], "answer": ahead[len(user_end) :]}
    if start == head:  # the system turn opens the first user turn
        user = _common_end(head, back)
        return Turns(
            start=head[: len(head) - len(user)],
            system=(user, to_user),
            user=(user, user_end),
            assistant=(parts["assistant"], back[: len(back) - len(user)]),
            answer=parts["answer"],
            folds_system=True,
        )
    default = None
    if head.startswith(start) and head.endswith(to_user) and len(head) >= len(start) + len(to_user):
        default = head[len(start) : len(head) - len(to_user)]
    user = _common_end(to_user, back)
    # Where the end of one turn and the start of the next are divided is free; after the end-of-turn token reads best.
    user = user[len(_end(user, end_of_turn)) :] if default is not None else _common_end(user, head)
    opening = "" if default is not None else head[: len(head) - len(user)]
    return Turns(
        start=opening,
        system=(start[len(opening) :], to_user[: len(to_user) - len(user)]),
        user=(user, user_end),
        assistant=(parts["assistant"], back[: len(back) - len(user)]),
        answer=parts["answer"],
        default_system=default,
    )


def _end(text: str, end_of_turn: str) -> str:
    """The end-of-turn token with the white space after it, if the text begins with it."""
    if not end_of_turn or not text.startswith(end_of_turn):
        return ""
    rest = text[len(end_of_turn) :]
    return text[: len(text) - len(rest.lstrip())] if rest.strip() else text


def _split(text: str, marks: Sequence[str]) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found:
            raise ValueError(mark)
        parts.append(part)
    return [*parts, text]


def _common_end(one: str, other: str) -> str:
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return one[len(one) - count :]


def _literal(text: str) -> str:
    """Text in a Go template: braces and quotes as a quoted string where they would be taken for syntax."""
    if "{{" not in text and '"""' not in text:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{{ "{escaped}" }}}}'


def _refused(why: str) -> ModelError:
    return ModelError(
        f"the chat template cannot be written as an Ollama template: {why}",
        expected="a template that writes text around the turns",
        fix="export with --to gguf, whose file carries the template itself",
    )


def modelfile(model: str, chat: ChatFormat, tokenizer: Any) -> str:
    """The Modelfile of a GGUF file with that name in the same folder."""
    lines = [f"FROM ./{model}"]
    if chat.has_template:
        turns = turns_of(chat, tokenizer)
        lines.append(f'TEMPLATE """{turns.template()}"""')
        if turns.default_system:
            lines.append(f'SYSTEM """{turns.default_system}"""')
    else:
        lines.append('TEMPLATE """Question: {{ .Prompt }}\nAnswer:"""')
    stops = [tokenizer.decode([token]) for token in sorted(chat.stop_ids)]
    lines += [f'PARAMETER stop "{_quoted(stop)}"' for stop in (*stops, *chat.stop_texts) if stop]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
