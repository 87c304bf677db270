"""Warnings about valid news items: repetition, instructions to a model, and cues that give an answer away."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from math import ceil

from sys2ft.news.injection import instructions_in
from sys2ft.news.schema import News, Question, is_number
from sys2ft.text import find, fold, pieces, words

NEAR_DUPLICATE = 0.75
"""Minimum overlap (intersection over union) of the word sets of two texts that count as nearly the same."""
MUCH_LONGER = 1.5
"""An answer is much longer if it has at least this multiple of the longest wrong choice's characters ..."""
LONGER_BY = 5
"""... and at least this many characters more, since one more digit is not a cue."""
_ARTICLES = frozenset({"a", "an", "the"})
_ENDS = ".,;:?。，、؛؟"
_AROUND = "!\"'`()*_"
_DIGIT = re.compile(r"\d")
_SPACED = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")  # 12 345


def check(news: Sequence[News]) -> list[str]:
    """Warnings about valid news items, each naming the item and the question."""
    warnings = _near_duplicates(news)
    first: dict[str, str] = {}
    for one in news:
        if len(one.questions) < 2:
            n = "no question" if not one.questions else "only 1 question"
            warnings.append(f"{one.id}: {n}; with fewer than 2 its accuracy means little")
        warnings += [
            f"{one.id}: {found.kind} ({found.excerpt!r}); generation omits it unless --keep-instructions is given"
            for found in instructions_in(one.text)
        ]
        for number, question in enumerate(one.questions, start=1):
            place = f"{one.id}, question {number}"
            warnings += [f"{place}: {cue}" for cue in _cues(question)]
            earlier = first.setdefault(" ".join(words(question.text)), place)
            if earlier != place:
                warnings.append(f"{place}: the same question as {earlier}")
    return warnings


def question_counts(news: Sequence[News]) -> dict[str, dict[str, int]]:
    """Number of questions by domain and kind; the kind of a question that names none is 'unspecified'.

    Domains are in the order of the file. A domain without questions has an empty row.
    """
    counts: dict[str, dict[str, int]] = {}
    for one in news:
        row = counts.setdefault(one.domain, {})
        for question in one.questions:
            kind = question.kind or "unspecified"
            row[kind] = row.get(kind, 0) + 1
    return counts


def near_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of texts that are nearly the same (`NEAR_DUPLICATE`), in order.

    In scripts without spaces, runs of characters take the place of words (`text.pieces`).
    """
    sets = [frozenset(pieces(text)) for text in texts]
    frequency = Counter(word for own in sets for word in own)
    holders: dict[str, list[int]] = defaultdict(list)
    pairs = []
    for j, own in enumerate(sets):
        # Two texts that share so many words share one of their few rarest: only those are looked up.
        few = len(own) - ceil(NEAR_DUPLICATE * len(own)) + 1
        rarest = sorted(own, key=lambda word: (frequency[word], word))[:few]
        for i in {i for word in rarest for i in holders[word]}:
            if len(sets[i] & own) >= NEAR_DUPLICATE * len(sets[i] | own):
                pairs.append((i, j))
        for word in rarest:
            holders[word].append(j)
    return sorted(pairs)


def stands_in(part: str, whole: Sequence[str]) -> bool:
    """Whether the words of `part` occur consecutively in `whole`, a list of words."""
    return find(words(part), whole) is not None


def same_choices(choices: Sequence[str]) -> list[list[str]]:
    """Groups of choices that no grader and no reader can tell apart, in order.

    They differ in case, spaces, articles, quotes and marks at the ends of words only, or are the same number.
    """
    groups: dict[object, list[str]] = defaultdict(list)
    for choice in choices:
        groups[_form(choice)].append(choice)
    return [group for group in groups.values() if len(group) > 1]


def _form(choice: str) -> object:
    """Equal for choices that are the same: a number's value, or the folded words."""
    folded = fold(choice)
    digits = _SPACED.sub("", folded).rstrip(".")
    if is_number(digits):
        return Decimal(digits.replace(",", ""))
    stripped = [_bare(word) or word for word in folded.split()]
    kept = [word for word in stripped if word not in _ARTICLES]
    return " ".join(kept or stripped)


def _bare(word: str) -> str:
    """The word without quotes, brackets and the marks at its end. After a digit they may have a meaning: 5' and 5"."""
    return word.rstrip(_ENDS) if _DIGIT.search(word) else word.rstrip(_ENDS + _AROUND).lstrip(_AROUND)


def _near_duplicates(news: Sequence[News]) -> list[str]:
    warnings = []
    for i, j in near_pairs([one.text for one in news]):
        same = words(news[i].text) == words(news[j].text)
        warnings.append(f"{news[j].id}: {'the same' if same else 'nearly the same'} text as {news[i].id}")
    return warnings


def _cues(question: Question) -> list[str]:
    cues = []
    wrong = [choice for choice in question.choices if choice != question.answer]
    asked = words(question.text)
    if not question.choices:
        cues.append("no choices, so it is asked as free text only")
    # If every choice appears in the question ('... red or blue?'), the answer's appearance is not a cue.
    if stands_in(question.answer, asked) and not (wrong and all(stands_in(choice, asked) for choice in wrong)):
        cues.append(f"the answer {question.answer!r} appears word for word in the question")
    for group in same_choices(question.choices):
        cues.append(f"choices that are the same apart from their spelling: {', '.join(map(repr, group))}")
    if wrong:
        longest = max(map(len, wrong))
        if len(question.answer) >= max(MUCH_LONGER * longest, longest + LONGER_BY):
            cues.append(f"the answer {question.answer!r} is much longer than every wrong choice")
    return cues
