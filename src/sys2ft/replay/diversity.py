"""How varied the elements of a protocol are: kinds of prompts and completions, distinct n-grams, length, repetition.

distinct-n is the number of different n-grams divided by the number of n-grams (Li et al., arXiv 1510.03055), here of
the elements of one news item, averaged over the news items. It falls as elements are added, so it compares protocols
that keep the same number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import TypedDict

import regex

from sys2ft.languages import ENGLISH, language
from sys2ft.text import asks, fold, sentences, words

NO_QUESTION = "no question"
YES_NO = "yes or no"
PHRASE = 5
"""Maximum number of words of a completion that counts as a phrase."""
SIZES = (1, 2, 3)
"""The n of distinct-n."""
_WORD = r"[\p{L}\p{N}]"


class Diversity(TypedDict):
    """The variety of the kept elements of one protocol, as in the run folder's yield file."""

    prompts: dict[str, int]
    """Number of elements by kind of question, such as 'who' or 'how many'; a prompt that is a cue is 'no question'."""
    completions: dict[str, int]
    """Number of elements by form of completion: 'number', 'phrase', 'sentence' or 'paragraph'."""
    distinct: list[float]
    """distinct-1, -2 and -3: mean over the news items, 0 to 1."""
    words: float
    """Mean number of words of a completion; in scripts without spaces, of characters."""
    news: int
    """Number of news items with kept elements, over which `distinct` is averaged."""
    unique: float
    """Share of different texts among all that were drawn and had the form that was asked for, kept or not."""


def diversity(kept: Iterable[tuple[str, str, str, str]], drawn: Sequence[tuple[str, str]]) -> Diversity:
    """The variety of elements.

    `kept`: news id, code of the language, prompt ('' where it is a cue) and completion of each. `drawn`: news id and
    text of each element that has the form that was asked for.
    """
    prompts: Counter[str] = Counter()
    completions: Counter[str] = Counter()
    texts: dict[str, list[list[str]]] = defaultdict(list)
    lengths = []
    for news_id, code, prompt, completion in kept:
        said = words(completion)
        prompts[kind_of_question(prompt, code)] += 1
        completions[kind_of_completion(completion)] += 1
        lengths.append(len(said))
        texts[news_id].append([*words(prompt), *said])
    return {
        "prompts": dict(prompts.most_common()),
        "completions": dict(completions.most_common()),
        "distinct": [round(_mean([distinct(own, n) for own in texts.values()]), 4) for n in SIZES],
        "words": round(_mean(lengths), 2),
        "news": len(texts),
        "unique": round(len({(news, " ".join(words(text))) for news, text in drawn}) / max(1, len(drawn)), 4),
    }


def joined(parts: Sequence[tuple[Diversity, int]]) -> Diversity:
    """The variety of several sets of news items together, each with the number of texts that `unique` is a share of."""
    prompts, completions = Counter[str](), Counter[str]()
    for one, _ in parts:
        prompts.update(one["prompts"])
        completions.update(one["completions"])

    def mean(values: Iterable[tuple[float, int]], digits: int) -> float:
        pairs = list(values)
        return round(
            sum(value * weight for value, weight in pairs) / max(1, sum(weight for _, weight in pairs)), digits
        )

    return {
        "prompts": dict(prompts.most_common()),
        "completions": dict(completions.most_common()),
        "distinct": [mean(((one["distinct"][n], one["news"]) for one, _ in parts), 4) for n in range(len(SIZES))],
        "words": mean(((one["words"], sum(one["completions"].values())) for one, _ in parts), 2),
        "news": sum(one["news"] for one, _ in parts),
        "unique": mean(((one["unique"], drawn) for one, drawn in parts), 4),
    }


def kind_of_question(text: str, code: str = ENGLISH) -> str:
    """The kind of a question: what its first question word asks for; 'other' or 'no question' if there is none.

    Kinds and words are those of the section 'question_words' of the language, or of English if it has none.
    """
    starts, anywhere = _question_words(code if language(code).text("question_words") else ENGLISH)
    folded = fold(text).lstrip("¿¡\"' ")
    if not folded:
        return NO_QUESTION
    if starts is not None and starts.match(folded):
        return YES_NO
    if found := anywhere.search(folded):
        return next(str(kind) for kind, value in found.groupdict().items() if value is not None).replace("_", " ")
    return YES_NO if asks(text) else NO_QUESTION


def kind_of_completion(text: str) -> str:
    """'number' (few words, one with a digit), 'phrase' (few words), 'sentence', or 'paragraph' (several sentences)."""
    said = words(text)
    if len(sentences(text)) > 1:
        return "paragraph"
    if len(said) > PHRASE:
        return "sentence"
    return "number" if any(map(str.isdigit, "".join(said))) else "phrase"


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """distinct-n of texts given as words; 0 if none has n words."""
    found = Counter(chain.from_iterable(zip(*(text[start:] for start in range(n)), strict=False) for text in texts))
    return len(found) / max(1, found.total())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


@cache
def _question_words(code: str) -> tuple[regex.Pattern[str] | None, regex.Pattern[str]]:
    """Patterns of what begins a question that is answered by yes or no, and of the other kinds anywhere in one."""
    kinds = {
        kind.strip(): sorted((fold(word) for word in listed.split(",")), key=lambda word: -len(word))
        for kind, _, listed in (line.partition(":") for line in language(code).lines("question_words"))
    }
    starting = kinds.pop(YES_NO, [])
    starts = regex.compile(rf"(?:{'|'.join(map(_whole, starting))})") if starting else None
    # The longest at the first place: 'how many' before 'how'.
    ordered = sorted(((word, kind) for kind, listed in kinds.items() for word in listed), key=lambda one: -len(one[0]))
    groups = [rf"(?P<{kind.replace(' ', '_')}>{_whole(word)})" for word, kind in ordered]
    return starts, regex.compile("|".join(groups))


def _whole(word: str) -> str:
    """A pattern of a word as a whole; in scripts without spaces, of its characters anywhere."""
    spaced = regex.fullmatch(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Hangul}]+", word) is None
    return rf"(?<!{_WORD}){regex.escape(word)}(?!{_WORD})" if spaced else regex.escape(word)
