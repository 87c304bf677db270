"""The thought of a reasoning model: cutting it from a reply, and stopping a reply only after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_OPEN, _CLOSE = "<think>", "</think>"


def without_thought(text: str) -> str:
    """The part of a reply after its thought; empty if the thought has no end."""
    before, closed, answer = text.rpartition(_CLOSE)
    # Some chat templates open the thought in the prompt, so the reply may hold the closing mark alone.
    return answer if closed else before + answer.partition(_OPEN)[0]


class AfterThought:
    """A `stop_when` for `decode` that asks `inner` about the tokens after the thought only."""

    def __init__(self, tokenizer: Any, inner: Callable[[list[int]], bool]) -> None:
        self.tokenizer, self.inner = tokenizer, inner
        ids: list[int] = tokenizer(_CLOSE, add_special_tokens=False)["input_ids"]
        self._close_id = ids[0] if len(ids) == 1 else None

    def __call__(self, ids: list[int]) -> bool:
        if self._close_id is not None:
            if self._close_id not in ids:
                return False
            answer = ids[ids.index(self._close_id) + 1 :]
            return bool(answer) and self.inner(answer)
        start = self._answer_start(ids)
        return start is not None and start < len(ids) and self.inner(ids[start:])

    def _answer_start(self, ids: list[int]) -> int | None:
        """Index of the first token after the mark, for tokenizers that split the mark into several tokens."""
        if _CLOSE not in self.tokenizer.decode(ids):
            return None
        low, high = 1, len(ids)
        while low < high:
            middle = (low + high) // 2
            if _CLOSE in self.tokenizer.decode(ids[:middle]):
                high = middle
            else:
                low = middle + 1
        return low
