"""Words that name the nodes: common nouns or the user's own, each a single token within running text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError

_BEFORE = "the"  # a word is tokenized between two others, as it will appear in the text

COMMON = tuple(
    word
    for line in (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").splitlines()
    for word in line.partition("#")[0].split()
)


def word_id(tokenizer: Any, word: str) -> int | None:
    """The token of the word within running text, after a space; None if it is several tokens."""
    first = _encode(tokenizer, _BEFORE)
    last = _encode(tokenizer, f"{_BEFORE} {_BEFORE}")[len(first) :]
    found = _encode(tokenizer, f"{_BEFORE} {word} {_BEFORE}")
    whole = [*first, *found[len(first) : len(first) + 1], *last]
    return found[len(first)] if found == whole else None


def choose_words(tokenizer: Any, nodes: int, own: Sequence[str] = ()) -> dict[str, int]:
    """Words to name `nodes` nodes by, with their tokens: `own`, or every common word that is one token.

    Raises SettingsError for words of several tokens, repeated words, and too few words.
    """
    if own:
        return _checked(tokenizer, nodes, own)
    usable = {word: found for word in COMMON if (found := word_id(tokenizer, word)) is not None}
    if len(usable) < nodes:
        raise SettingsError(
            f"{len(usable)} of {len(COMMON)} common words are one token of this model, the graph has {nodes} nodes",
            expected="a word for each node",
            fix="choose words with --words, or use a smaller graph",
        )
    return usable


def _checked(tokenizer: Any, nodes: int, own: Sequence[str]) -> dict[str, int]:
    found = {word: word_id(tokenizer, word) for word in own}
    several = [word for word, token in found.items() if token is None]
    if several:
        shown = "; ".join(
            f"{word!r} is {' + '.join(map(repr, tokenizer.tokenize(f' {word}')))}" for word in several[:3]
        )
        raise SettingsError(
            f"{len(several)} words are not one token of this model: {shown}" + (" ..." if len(several) > 3 else ""),
            expected="words that the tokenizer keeps whole",
            fix="use other words, or omit --words to get common words that are one token",
        )
    tokens = {word: token for word, token in found.items() if token is not None}
    if len(set(tokens.values())) < len(own) or len(own) < nodes:
        raise SettingsError(
            f"{len(set(tokens.values()))} different words of {len(own)} given, the graph has {nodes} nodes",
            expected="a word for each node, each once",
            fix="name more words with --words, or use a smaller graph",
        )
    return tokens


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids
