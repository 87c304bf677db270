"""The `Generator` interface, its requests and its replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from sys2ft.engine import LogLikelihood
from sys2ft.errors import SettingsError, check_sampling
from sys2ft.models.chat import Message
from sys2ft.runs import Advance


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How replies are sampled. One value holds for all requests of a call."""

    temperature: float = 1.0
    """0: greedy decoding."""
    top_p: float = 1.0
    """Sample from the smallest set of tokens whose probability reaches this."""
    top_k: int = 0
    """Sample from this many most likely tokens; 0: all."""
    max_new_tokens: int = 64
    """Token budget of a reply. A reply that uses it up without a stop is not finished."""
    stops: tuple[str, ...] = ()
    """Texts that end a reply. White space at the start of the reply does not count, so that a stop of "\\n" ends the
    first line that is not blank."""

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.top_p, self.top_k)
        if self.max_new_tokens < 1:
            raise SettingsError(
                f"max_new_tokens={self.max_new_tokens}", expected="at least 1", fix="raise the token budget of a reply"
            )
        if not isinstance(self.stops, tuple) or not all(self.stops):
            raise SettingsError(
                f"stops={self.stops!r}", expected="a tuple of non-empty texts", fix="correct the texts that end a reply"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "stops": list(self.stops)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> SamplingParams:
        """From plain JSON data."""
        return cls(**{**row, "stops": tuple(row["stops"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A conversation that ends with a user turn, to be answered."""

    messages: tuple[Message, ...]
    seed: int
    """The reply depends on this seed and the conversation only, up to rounding."""
    group: str = ""
    """A hint: the requests of one group begin with the same text, which has to be read only once."""
    slot: int = -1
    """Slot of the adapter that answers; -1: the base model."""
    thinking: bool = False
    """Whether a reasoning model may think before it answers."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "messages": _rows(self.messages),
            "seed": self.seed,
            "group": self.group,
            "slot": self.slot,
            "thinking": self.thinking,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Request:
        """From plain JSON data."""
        return cls(**{**row, "messages": tuple(Message(**message) for message in row["messages"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A conversation that ends with a user turn, and the text of the assistant's reply to it."""

    messages: tuple[Message, ...]
    text: str
    slot: int = -1
    """Slot of the adapter that scores the text; -1: the base model."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {"messages": _rows(self.messages), "text": self.text, "slot": self.slot}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Pair:
        """From plain JSON data."""
        return cls(**{**row, "messages": tuple(Message(**message) for message in row["messages"])})


def _rows(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of a reply, whether it ended by itself or at a stop, and its tokens without the one that ended it.

    The text contains the stop that ended it, and may contain a little text after it.
    """

    text: str
    finished: bool
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a call cost. A generator that cannot count something reports 0."""

    tokens_computed: int = 0
    """Tokens read: of prompts, a shared beginning once, and of replies."""
    tokens_generated: int = 0
    """Tokens sampled, those that end a reply included."""
    predictions: int = 0
    """Positions at which the next token was predicted."""
    flop: int = 0
    """Floating-point operations."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


@dataclass(frozen=True, slots=True)
class Generated:
    """One reply for each request, in their order, and what they cost."""

    replies: list[Reply]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """One log-likelihood for each pair, in their order, without the end of the turn; and what they cost."""

    values: list[LogLikelihood]
    usage: Usage


@runtime_checkable
class Generator(Protocol):
    """Writes replies to conversations, and may score given ones."""

    @property
    def identity(self) -> str:
        """What the replies depend on besides requests and sampling, such as a digest of the model's weights.

        It is recorded with everything that is generated.
        """
        ...

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Advance | None = None
    ) -> Generated:
        """Answer each request. `advance` is called with the number of replies finished since its last call."""
        ...

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        """Log-likelihood of each pair's text. None: this generator cannot compute any; then also for no pairs."""
        ...
