"""Words that name the nodes: common nouns, or the user's own, each one token where it stands in a running text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sys2ft.errors import SettingsError

_BEFORE = "the"  # a word is looked at between two others, as it will stand in the text

COMMON = (
    "apple bird car egg house milk plane opera box sand sun mango rock math code phone table river door cloud "
    "lamp horse bread paper stone glass chair wheel tree fish book clock road ship wine gold silver iron wood rain "
    "snow wind fire water salt sugar honey coffee tea cheese butter lemon orange rice corn meat soup cake salad pepper "
    "garden forest mountain island beach desert lake ocean valley bridge tower castle church school hospital hotel "
    "market bank office factory farm station airport museum library theater kitchen bedroom window roof wall floor "
    "mirror brush knife fork spoon plate bottle cup bowl basket bag coat shirt shoe hat ring watch belt dress "
    "guitar piano drum violin song dance film novel poem letter stamp coin ticket map flag key lock bell rope chain "
    "hammer nail saw needle thread cloth wool silk cotton leather plastic rubber steel copper diamond pearl "
    "dog cat cow pig sheep goat lion tiger bear wolf fox rabbit mouse snake frog eagle duck chicken monkey elephant "
    "whale shark spider ant bee doctor nurse teacher student farmer soldier king queen prince judge lawyer driver "
    "pilot captain sailor artist actor singer writer baker hunter"
).split()


def word_id(tokenizer: Any, word: str) -> int | None:
    """The token that the word is in a running text, with a blank before it; None where it is several."""
    ids = _encode(tokenizer, f"{_BEFORE} {word} {_BEFORE}")
    first, last = _encode(tokenizer, _BEFORE), _encode(tokenizer, f"{_BEFORE} {_BEFORE}")[len(_encode(tokenizer, _BEFORE)) :]
    whole = len(ids) == len(first) + 1 + len(last) and ids[: len(first)] == first and ids[len(first) + 1 :] == last
    return ids[len(first)] if whole else None


def choose_words(tokenizer: Any, nodes: int, own: Sequence[str] = ()) -> dict[str, int]:
    """Words and their tokens to name `nodes` nodes by: `own`, or every common word that is one token.

    Raises SettingsError for words of several tokens, words that come twice, and too few words.
    """
    if own:
        return _checked(tokenizer, nodes, own)
    usable = {word: found for word in COMMON if (found := word_id(tokenizer, word)) is not None}
    if len(usable) < nodes:
        raise SettingsError(
            f"{len(usable)} of {len(COMMON)} common words are one token of this model, the graph has {nodes} nodes",
            expected="a word for each node",
            do="name words with --words, or take a smaller graph",
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
            do="use other words, or leave --words out to get common ones that are",
        )
    tokens = {word: token for word, token in found.items() if token is not None}
    if len(set(tokens.values())) < len(own) or len(own) < nodes:
        raise SettingsError(
            f"{len(set(tokens.values()))} different words of {len(own)} given, the graph has {nodes} nodes",
            expected="a word for each node, each once",
            do="name more words with --words, or take a smaller graph",
        )
    return tokens


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids
