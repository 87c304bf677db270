"""The JSON of answers and of the chunks of a stream, as OpenAI's clients read them."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sys2ft.serve.writer import TokenText

DONE = b"data: [DONE]\n\n"


def event(body: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


@dataclass(frozen=True, slots=True)
class Said:
    """A finished answer."""

    text: str
    tokens: list[TokenText]
    ended: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The parts that all JSON of one request has, and how the two kinds of requests differ."""

    kind: Literal["chat", "text"]
    model: str
    fingerprint: str
    decode: Any
    """Id -> text of one token."""
    logprobs: bool
    prompt_tokens: int
    news: list[str] | None = None
    """Ids of the news items in context, for a model that reads news; an extension of OpenAI's format."""
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def answer(self, said: Sequence[Said], sampled: int) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = []
        for index, one in enumerate(said):
            content = (
                {"message": {"role": "assistant", "content": one.text, "refusal": None}}
                if self.kind == "chat"
                else {"text": one.text}
            )
            choices.append({"index": index, **content, **self._end(one.tokens, one.ended, 0)})
        return {**self._head(chunk=False), "choices": choices, "usage": self.usage(sampled)}

    def opening(self, index: int) -> dict[str, Any] | None:
        """The first chunk of a streamed chat answer."""
        delta = {"role": "assistant", "content": "", "refusal": None}
        return self._chunk(index, {"delta": delta}, [], None, 0) if self.kind == "chat" else None

    def chunk(self, index: int, text: str, tokens: Sequence[TokenText], ended: str | None, at: int) -> dict[str, Any]:
        """A chunk of text that begins at character `at` of the answer; `ended` only in the last."""
        content = (
            {"delta": {"content": text} if text or ended is None else {}} if self.kind == "chat" else {"text": text}
        )
        return self._chunk(index, content, tokens, ended, at)

    def usage_chunk(self, sampled: int) -> dict[str, Any]:
        """The last chunk, for `stream_options.include_usage`."""
        return {**self._head(chunk=True), "choices": [], "usage": self.usage(sampled)}

    def usage(self, sampled: int) -> dict[str, int]:
        """Tokens of prompts, and tokens sampled (those that end an answer included)."""
        total = self.prompt_tokens + sampled
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": sampled, "total_tokens": total}

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        prefix, name = ("chatcmpl", "chat.completion") if self.kind == "chat" else ("cmpl", "text_completion")
        return {
            "id": f"{prefix}-{self.id}",
            "object": f"{name}.chunk" if chunk and self.kind == "chat" else name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            **({"sys2ft": {"news": self.news}} if self.news is not None else {}),
        }

    def _chunk(
        self, index: int, content: dict[str, Any], tokens: Sequence[TokenText], ended: str | None, at: int
    ) -> dict[str, Any]:
        choice = {"index": index, **content, **self._end(tokens, ended, at)}
        return {**self._head(chunk=True), "choices": [choice]}

    def _end(self, tokens: Sequence[TokenText], ended: str | None, at: int) -> dict[str, Any]:
        logprobs = None
        if self.logprobs:
            logprobs = self._chat_logprobs(tokens) if self.kind == "chat" else self._text_logprobs(tokens, at)
        return {"logprobs": logprobs, "finish_reason": ended}

    def _chat_logprobs(self, tokens: Sequence[TokenText]) -> dict[str, Any]:
        content = []
        for one in tokens:
            assert one.logprobs is not None
            top = [_token(self.decode(id), logprob) for id, logprob in one.logprobs.top]
            content.append({**_token(one.text, one.logprobs.chosen), "top_logprobs": top})
        return {"content": content, "refusal": None}

    def _text_logprobs(self, tokens: Sequence[TokenText], at: int) -> dict[str, Any]:
        offsets = []
        for one in tokens:
            offsets.append(at)
            at += len(one.text)
        known = [one.logprobs for one in tokens if one.logprobs is not None]
        return {
            "tokens": [one.text for one in tokens],
            "token_logprobs": [_finite(one.chosen) for one in known],
            "top_logprobs": [{self.decode(id): _finite(logprob) for id, logprob in one.top} for one in known],
            "text_offset": offsets,
        }


def _token(text: str, logprob: float) -> dict[str, Any]:
    # A token that is a part of a character has no text of its own, and its bytes are not known.
    return {"token": text, "logprob": _finite(logprob), "bytes": None if "\ufffd" in text else list(text.encode())}


def _finite(logprob: float) -> float:
    """JSON has no infinity; OpenAI writes -9999 too."""
    return logprob if math.isfinite(logprob) else -9999.0
