"""A chat completion as a server sends it, read into a reply: its thought cut off, its text ended at the first stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from sys2ft.generators.thinking import without_thought
from sys2ft.generators.types import Reply

_UNFINISHED = ("length", "content_filter")


class _Message(BaseModel):
    content: str | None = None
    reasoning_content: Any = None  # llama.cpp, vLLM, DeepSeek
    reasoning: Any = None  # newer vLLM, OpenRouter


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _Details(BaseModel):
    reasoning_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    completion_tokens_details: _Details | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    system_fingerprint: str | None = None
    usage: _Usage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server answered to one request, as it is kept."""

    text: str
    thought: bool
    """Whether the model thought before it answered; of the thought nothing is kept."""
    ended: str
    """Why it ended, in the server's word, such as 'stop' or 'length'."""
    model: str
    """The model that answered, by the server's own word."""
    fingerprint: str
    tokens_read: int
    tokens_written: int
    counted: bool
    """Whether the server said how many tokens these are."""
    choices: int = 1
    logprobs: bool = False

    @classmethod
    def read(cls, answer: Any) -> Answer | None:
        """From the JSON data of a chat completion; None if it is none."""
        try:
            made = _Completion.model_validate(answer)
        except ValidationError:
            return None
        first, usage = made.choices[0], made.usage or _Usage()
        said = first.message.content or ""
        text = without_thought(said)
        hidden = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
        apart = bool(first.message.reasoning_content or first.message.reasoning)
        return cls(
            text=text,
            thought=apart or text != said or bool(hidden),
            ended=first.finish_reason or "",
            model=made.model or "",
            fingerprint=made.system_fingerprint or "",
            tokens_read=usage.prompt_tokens,
            tokens_written=usage.completion_tokens,
            counted=made.usage is not None,
            choices=len(made.choices),
            logprobs=bool(first.logprobs),
        )

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in a file."""
        return asdict(self)

    def reply(self, stops: Sequence[str]) -> Reply:
        """The reply up to the first of the stops, which is part of it."""
        end = end_of(self.text, stops)
        if end is not None:
            return Reply(self.text[:end], True, self.tokens_written)
        return Reply(self.text, self.ended not in _UNFINISHED, self.tokens_written)


def end_of(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop after leading white space ends; None: there is none."""
    start = len(text) - len(text.lstrip())
    ends = [place + len(stop) for stop in stops if (place := text.find(stop, start)) >= 0]
    return min(ends, default=None)
