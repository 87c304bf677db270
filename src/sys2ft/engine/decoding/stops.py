"""Stop strings: end a text where a string appears, however the tokenizer splits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StopStrings:
    """A `stop_when` for `decode`: true once the text of the new tokens contains one of `strings`.

    `after_text`: leading white space is ignored, so that a stop of "\\n" ends the first line with text. The text is
    decoded only if the last token can have completed a stop.
    """

    def __init__(self, tokenizer: Any, strings: Sequence[str], *, after_text: bool = False) -> None:
        if not strings or not all(strings):
            raise ValueError(f"stop strings {list(strings)!r}: at least one is needed, and none may be empty")
        self.tokenizer, self.strings, self.after_text = tokenizer, tuple(strings), after_text
        self._last = {string[-1] for string in strings}
        self._may_end: dict[int, bool] = {}

    def __call__(self, ids: list[int]) -> bool:
        token = ids[-1]
        may_end = self._may_end.get(token)
        if may_end is None:
            piece = self.tokenizer.decode([token])
            # A replacement character means part of a character, which this token may complete.
            may_end = "\ufffd" in piece or any(last in piece for last in self._last)
            self._may_end[token] = may_end
        if not may_end:
            return False
        text = self.tokenizer.decode(ids)
        if self.after_text:
            text = text.lstrip()
        return any(string in text for string in self.strings)
