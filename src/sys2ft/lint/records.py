"""Rows of a training file as conversations: which turns are trained on, and what precedes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "ipython", "observation"), "tool"),
}
"""The names that files give to the roles of a chat."""
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("question", "answer"),
    ("input", "output"),
)
"""Fields of a row that consists of a prompt and a completion; the first pair whose fields are both there counts."""
_GIVEN = ("input", "context")  # beside the first field of a pair: the text that an instruction is about
FORMS = (
    "messages with role and content (chat)",
    "conversations with from and value (ShareGPT)",
    *(f"{one} and {other}" for one, other in PAIRS),
    "text alone",
)
"""The rows that are known, in words."""


class UnknownRow(ValueError):
    """A row that is none of the known forms; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says. `trained`: the loss is computed on it. `asks`: all of it is a request, as its field says."""

    role: Role
    text: str
    trained: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its form, its turns in order, and how many parts were no text (pictures, calls)."""

    form: str
    turns: tuple[Turn, ...]
    not_text: int = 0
    rejected: bool = False
    """A replay element that sys2ft does not train on."""


def record_of(row: object) -> Record:
    """A row of a file as a conversation.

    A row with `text` alone has no turns, since nothing precedes the text.

    Raises:
        UnknownRow: the row has none of the forms in `FORMS`.
    """
    if not isinstance(row, Mapping):
        raise UnknownRow(f"{_kind(row)} in the place of a record")
    for name in ("messages", "conversations", "conversation"):
        if row.get(name) is not None:
            return _chat("messages" if name == "messages" else "conversations", row, _listed(row[name], name))
    for asked, answered in PAIRS:
        if row.get(asked) is not None and answered in row:
            return _pair(row, asked, answered)
    if isinstance(row.get("text"), str):
        return Record("text", ())
    raise UnknownRow(f"a record with the fields {', '.join(map(repr, row)) or 'none'}")


def _chat(form: str, row: Mapping[str, Any], messages: Sequence[Any]) -> Record:
    read = [_message(one, trained=True) for one in messages]
    if isinstance(row.get("system"), str) and row["system"].strip():
        read.insert(0, ([Turn("system", row["system"])], 0))
    return Record(form, tuple(turn for turns, _ in read for turn in turns), sum(other for _, other in read))


def _pair(row: Mapping[str, Any], asked: str, answered: str) -> Record:
    prompt, completion = row[asked], row[answered]
    turns: list[Turn] = []
    not_text = 0
    if isinstance(row.get("system"), str) and row["system"].strip():
        turns.append(Turn("system", row["system"]))
    if isinstance(prompt, str):
        given = [row[name] for name in _GIVEN if name not in (asked, answered) and isinstance(row.get(name), str)]
        texts = [text for text in given if text.strip()]
        turns += [*(Turn("user", text) for text in texts), Turn("user", prompt, asks=bool(texts))]
    else:
        for one in _listed(prompt, asked):
            said, other = _message(one, trained=False)
            turns += said
            not_text += other
    if isinstance(completion, str | int | float) and not isinstance(completion, bool):
        turns.append(Turn("assistant", str(completion), trained=True))
    else:
        for one in _listed(completion, answered):
            said, other = _message(one, trained=True)
            turns += said
            not_text += other
    return Record(f"{asked}, {answered}", tuple(turns), not_text, row.get("status") == "rejected")


def _message(message: object, *, trained: bool) -> tuple[list[Turn], int]:
    """A message of a chat as a turn, none if it has no text, and the number of its parts that are no text."""
    if not isinstance(message, Mapping):
        raise UnknownRow(f"{_kind(message)} in the place of a message")
    name = message.get("role", message.get("from"))
    if not isinstance(name, str) or name.strip().lower() not in ROLES:
        raise UnknownRow(f"a message with the role {name!r} (known are {', '.join(ROLES)})")
    role = ROLES[name.strip().lower()]
    text, other = _text_of(message.get("content", message.get("value")))
    other += bool(message.get("tool_calls"))
    # OpenAI's `weight`, and `train` or `loss` of other trainers, switch a message off.
    off = any(message.get(switch) in (0, False) and switch in message for switch in ("weight", "train", "loss"))
    return ([Turn(role, text, trained and role == "assistant" and not off)] if text.strip() else []), other


def _text_of(content: object) -> tuple[str, int]:
    """The text of a message's content: a text, or a list of parts of which some are texts."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list):
        raise UnknownRow(f"{_kind(content)} as the content of a message")
    texts: list[str] = []
    for part in content:
        found = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        texts += [found] if isinstance(found, str) else []
    return "\n".join(texts), len(content) - len(texts)


def _listed(value: object, name: str) -> list[Any]:
    """A list of messages; tables have it as a text in JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UnknownRow(f"{name!r} with a text that is not a list of messages in JSON") from error
    if isinstance(value, Mapping):
        return [value]
    if not isinstance(value, list):
        raise UnknownRow(f"{name!r} with {_kind(value)}, neither a text nor a list of messages")
    return value


def _kind(value: object) -> str:
    names = {list: "a list", dict: "a mapping", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
