"""Elements that say by themselves what they are about: references to the unseen text are cut, or cost the element.

In training and evaluation the news item is not shown. A question such as 'According to the article, what is new?' asks
about a text that is not there, and 'What does this operation give?' about a word that nothing precedes. What only says
where a fact comes from is cut ('openings' and 'attributions' in the language files); a text that still refers to the
news item ('references'), or points to something that it does not name ('pointers'), is rejected.
"""

from __future__ import annotations

from functools import cache

import regex

from sys2ft.languages import ENGLISH, language, union
from sys2ft.news import News
from sys2ft.replay.filters import Reason, Said, names_nothing_of
from sys2ft.text import find, fold, names_within, words

_SENTENCE = regex.compile(r"(?<=[.!?。！？])\s+")
_LETTER = regex.compile(r"\p{L}+")
_MARKS = "¿¡\"'“„«「"


def self_contained(said: Said) -> Reason | None:
    """Rejects texts that would refer to an unseen text even after `standing_alone`. A filter for what is asked."""
    return "not_self_contained" if leans(standing_alone(said.text, said.news), said.news, said.language) else None


def standing_alone(text: str, news: News) -> str:
    """The text without phrases that only say that a fact is from the news item, and with capitals repaired.

    A source that the news item itself names ('the report', where the news item is about a report) stays.
    """
    if not union("references").search(text) and not union("openings").search(text):
        return text
    parts = _SENTENCE.split(text)
    cut = [_without_attribution(_without_opening(part, news), news) for part in parts]
    return text if cut == parts else " ".join(part for part in cut if part)


def leans(text: str, news: News, code: str = ENGLISH, *, alone: bool = True) -> bool:
    """Whether the text refers to a text that is not shown or, if it is read `alone`, to something it does not name.

    An answer is not read alone: its question says what 'it' is.
    """
    if any(not _is_of(found.group(), news) for found in union("references").finditer(text)):
        return True
    return alone and _points(text, news, code)


def _points(text: str, news: News, code: str) -> bool:
    """Whether the text's first pointer ('this operation', 'he', 'the company') has nothing to point to.

    It has if the text has a name of the news item, or a content word of it before the pointer.
    """
    found = _pointers(code).search(text)
    if found is None:
        return False
    said, before = words(text), text[: found.start()]
    capitals = not language(code).has("capital nouns")
    names = [words(name) for name in names_within(news.text, capitals=capitals)]
    if any(find([part], said) is not None for name in names for part in name):
        return False
    return names_nothing_of(before, news.text, code)


def _without_opening(text: str, news: News) -> str:
    lead = text[: len(text) - len(text.lstrip(_MARKS))]
    found = union("openings", r"{}\s*").match(text, len(lead))
    if found is None or _is_of(found.group().rstrip(" ,:，、："), news):
        return text
    rest = text[found.end() :]
    first = _LETTER.search(rest)
    if first and text[len(lead)].isupper() and first.group().islower():  # not 'iPhone'
        rest = rest[: first.start()] + rest[first.start()].upper() + rest[first.start() + 1 :]
    return lead + rest if first else text


def _without_attribution(text: str, news: News) -> str:
    """The text without the attributions in it and at its end; one at its start may carry the order of words."""

    def cut(found: regex.Match[str]) -> str:
        return str(found.group()) if found.start() == 0 or _is_of(found.group("said"), news) else ""

    return str(union("attributions", r"\s*[,(]?\s*(?P<said>\b{}(?!\w))(?:\)|\s*,)?").sub(cut, text))


def _is_of(reference: str, news: News) -> bool:
    """Whether the news item has the source that a text refers to, so that it is part of what is reported."""
    last = words(reference)[-1:]
    return fold(reference) in fold(news.text) or (bool(last) and len(last[0]) > 3 and last[0] in words(news.text))


@cache
def _pointers(code: str) -> regex.Pattern[str]:
    """Pointers of a language and of English, in which a model may answer too; among others some are common words."""
    lines = [line for one in dict.fromkeys((code, ENGLISH)) for line in language(one).lines("pointers")]
    return regex.compile("|".join(lines), regex.IGNORECASE)
