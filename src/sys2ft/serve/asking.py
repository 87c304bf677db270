"""The bodies of requests: which fields there are, what they may contain, and which are refused.

Fields follow OpenAI's API (https://platform.openai.com/docs/api-reference). Those that would change the answer in a way
this server does not compute are refused by name; those that change nothing here are accepted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sys2ft.serve.failures import ApiError

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

# By field: the values that ask for nothing; any other is refused.
_NOT_COMPUTED: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "verbosity": (None, "medium"),
    "web_search_options": (None,),
}
_WITHOUT_EFFECT = (
    "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "user",
)  # fmt: skip

Text = Annotated[str, Field(min_length=1)]


class StreamOptions(BaseModel):
    """What a stream contains besides the answer."""

    model_config = _STRICT
    include_usage: bool = False
    include_obfuscation: bool = False


class _Asked(BaseModel):
    """The fields that both kinds of requests have."""

    model_config = _STRICT
    model: str
    n: int = Field(1, ge=1, le=128)
    seed: int | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    max_tokens: int | None = Field(None, ge=1)
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, nothing in _NOT_COMPUTED.items():
            if name in values and values[name] not in nothing:
                raise _refused(name)
        left_out = {*_NOT_COMPUTED, *_WITHOUT_EFFECT}
        # null is how several clients write a field that they do not set.
        return {key: value for key, value in values.items() if key not in left_out and value is not None}

    @model_validator(mode="after")
    def _stream_options_belong_to_streams(self) -> _Asked:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed with stream: true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class TextPart(BaseModel):
    """A part of a message's content. There are no images or sounds."""

    model_config = _STRICT
    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One message of a conversation."""

    model_config = _STRICT
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class AskedChat(_Asked):
    """A request to /v1/chat/completions."""

    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @model_validator(mode="after")
    def _top_needs_logprobs(self) -> AskedChat:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def top(self) -> int | None:
        """How many most likely tokens are given with each; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def limit(self) -> int | None:
        """Tokens of an answer; None: the server's default."""
        return self.max_completion_tokens or self.max_tokens


class AskedText(_Asked):
    """A request to /v1/completions. `prompt`: a text or token ids, or several of either."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=5)

    @field_validator("prompt")
    @classmethod
    def _has_one(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("it has no prompt")
        return value

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Each prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        return [self.prompt] if isinstance(self.prompt[0], int) else self.prompt

    @property
    def top(self) -> int | None:
        """How many most likely tokens are given with each; None: no log-probabilities."""
        return self.logprobs

    @property
    def limit(self) -> int | None:
        """Tokens of an answer; None: the server's default."""
        return self.max_tokens


Asked = TypeVar("Asked", bound=BaseModel)


def read_body(kind: type[Asked], body: bytes) -> Asked:
    """The request in a JSON body. Raises ApiError (400) that names the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        if first["type"] == "json_invalid":
            raise ApiError(400, f"The body is not JSON: {first['msg']}", code="invalid_json") from None
        if first["type"] == "extra_forbidden":
            message = f"Unrecognized request argument supplied: {param}"
            raise ApiError(400, message, param=param, code="unknown_parameter") from None
        raise ApiError(400, f"{param or 'The request'}: {first['msg']}", param=param, code="invalid_value") from None


def _refused(name: str) -> ApiError:
    return ApiError(
        400,
        f"{name} is not supported by this server: the answer would not be what it asks for. Leave it out.",
        param=name,
        code="unsupported_parameter",
    )
