"""Turns the ids of one answer into text as they come: whole characters only, and never a part of a stop text."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.engine import Logprobs

_PARTIAL = "\ufffd"  # what a tokenizer writes for bytes that are not a whole character


@dataclass(frozen=True, slots=True)
class TokenText:
    """A token's text and id, and its log-probability if that was asked for."""

    id: int
    text: str
    logprobs: Logprobs | None


class Writer:
    """The text of one answer. `push` is the `stop_when` of its row; after each token, `take` gives what is new.

    `strip`: white space at the start of the answer is left out.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], *, strip: bool = False) -> None:
        self.tokenizer, self.stops, self._strip = tokenizer, tuple(stops), strip
        self._held = ""  # decoded and not given out
        self._given = 0  # characters given out
        self._from = self._read = 0  # ids from which the next characters are decoded, and up to which they are
        self._begin = 0  # where the newest token's text begins
        self._waiting: deque[tuple[int, int, TokenText]] = deque()  # tokens, with begin and end of their text
        self.stopped = False
        """Whether a stop text ended the answer."""

    def push(self, ids: list[int]) -> bool:
        """Decode the newest id; whether the text now contains a stop."""
        self._begin = self._given + len(self._held)
        self._decode(ids, last=False)
        return self.stopped

    def note(self, token: int, logprobs: Logprobs | None) -> None:
        """Remember the newest token, for the log-probabilities that are given out with its text."""
        text = self.tokenizer.decode([token])
        self._waiting.append((self._begin, self._given + len(self._held), TokenText(token, text, logprobs)))

    def take(self, ids: list[int], *, last: bool) -> tuple[str, list[TokenText]]:
        """The text that is certain by now, and the tokens it consists of. `last`: no id follows."""
        if last and not self.stopped:
            self._decode(ids, last=True)
        keep = 0 if last else self._begun_stop()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self._given += len(text)
        if self.stopped:  # the tokens of the stop itself are left out
            tokens = [token for begin, _, token in self._waiting if begin < self._given]
            self._waiting.clear()
        else:
            tokens = []
            while self._waiting and (last or self._waiting[0][1] <= self._given):
                tokens.append(self._waiting.popleft()[2])
        return text, tokens

    def _decode(self, ids: list[int], *, last: bool) -> None:
        """Append the characters that the ids up to the end complete; at the last, also those that are cut."""
        text: str = self.tokenizer.decode(ids[self._from :], skip_special_tokens=True)
        if text.endswith(_PARTIAL) and not last:
            return
        # Decoded with the ids before them: some tokenizers write a word's space only between words.
        known: str = self.tokenizer.decode(ids[self._from : self._read], skip_special_tokens=True)
        new = text[len(known) :]
        self._from, self._read = self._read, len(ids)
        if self._strip:
            new = new.lstrip()
            self._strip = not new
        self._held += new
        found = [place for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if found:
            self._held, self.stopped = self._held[: min(found)], True

    def _begun_stop(self) -> int:
        """Length of the longest end of the held text with which a stop begins."""
        longest = min(len(self._held), max(map(len, self.stops), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self.stops):
                return length
        return 0
