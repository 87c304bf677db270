"""Filters: what makes a generated text unusable, judged by the text alone. Each reason is counted and reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import regex

from sys2ft.languages import ENGLISH, language, union
from sys2ft.languages.spelled import in_digits
from sys2ft.news import Instruction, News, instructions_in
from sys2ft.replay.calculator import computed, figures, wrong_equations
from sys2ft.replay.prompts import Template
from sys2ft.text import UNSPACED, akin, find, fold, names_within, pieces, ungrouped, words

Reason = str
"""Why a sample is rejected: one of REASONS, or a word that another package's filter returns."""

REASONS: dict[Reason, str] = {
    "truncated": "did not end within its token budget",
    "unparsed": "does not have the form that was asked for",
    "empty": "says nothing",
    "refused": "the model refused, or spoke about itself",
    "off_topic": "names nothing of the news item",
    "copied": "repeats the prompt's instruction, or names something from its examples",
    "missed": "the answer does not have the fact that the question was to ask for",
    "invented": "has names or numbers that the news item does not have",
    "not_self_contained": "refers to a text that is not shown, or to something that it does not name",
    "leaked": "asks an evaluation question of the news item word for word",
    "miscalculated": "has an equation that is wrong",
    "given_away": "the question has its own answer in it",
    "other_answer": "the model itself answers the question with something else",
    "no_target": "an earlier reply, or the news item, has nothing that the stage could ask about",
    "repeat": "was generated before for the same news item",
    "near_repeat": "says the same as an earlier element of the news item in almost the same words",
    "unsupported": "is not made likelier by the news in context, or is unlikely even with it",
    "contradicted": "does not follow from the news item, in the model's own judgement",
    "disagrees": "a second answer to the same question says something else",
    "surplus": "more samples passed than were wanted",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a stage said, after its parser, for filters to judge."""

    text: str
    news: News
    template: Template
    """The stage's prompt template."""
    index: int = 0
    """Number of the sample within its news item."""
    earlier: Mapping[str, str] = field(default_factory=dict)
    """What the stages before it said, by stage name."""
    language: str = ENGLISH
    """Code of the news item's language."""
    answer: str = ""
    """The span of the news item that the sample aims at; empty if it aims at none."""


Filter = Callable[[Said], Reason | None]
"""The reason to reject what a stage said, or None."""


def refusal(said: Said) -> Reason | None:
    """Rejects refusals, and texts in which the model speaks about itself."""
    return "refused" if refused(said.text) else None


def copied_line(said: Said) -> Reason | None:
    """Rejects texts that are a line of the prompt's examples, or one of its instructions."""
    shown = {normal(line) for line in (*said.template.examples.splitlines(), *said.template.instructions)}
    return "copied" if normal(said.text) in shown else None


def copied_name(said: Said) -> Reason | None:
    """Rejects texts with a name from the prompt's examples that the news item does not have."""
    names = example_names(said.template.examples, said.language)
    return "copied" if names_of_example(said.text, names, said.news.text, said.language) else None


def off_topic(said: Said) -> Reason | None:
    """Rejects texts that share no content word with the news item."""
    return "off_topic" if names_nothing_of(said.text, said.news.text, said.language) else None


def invention(said: Said) -> Reason | None:
    """Rejects restatements with names or numbers that the news item does not have."""
    return "invented" if invents(said.text, said.news.text, said.language) else None


def miscalculation(said: Said) -> Reason | None:
    """Rejects texts with a wrong equation, unless the news item has arithmetic of its own, or that very equation."""
    if not wrong_equations(said.text, said.language) or wrong_equations(said.news.text, said.language):
        return None
    return "miscalculated"


def given_away(said: Said) -> Reason | None:
    """Rejects questions that name the span that they were to ask for."""
    return "given_away" if said.answer and names_span(said.text, said.answer, said.language) else None


def missed(said: Said) -> Reason | None:
    """Rejects answers that do not have the span that the question was to ask for, and are no part of it."""
    if not said.answer or names_span(said.text, said.answer, said.language):
        return None
    part = content_words(said.text, said.language) or words(said.text)
    return None if part and names_span(said.answer, said.text, said.language) else "missed"


def withheld(news: Sequence[News]) -> dict[str, Instruction]:
    """News items with instruction-like text, by id, each with its first match. Such text may hijack generation."""
    return {item.id: found[0] for item in news if (found := instructions_in(item.text))}


def normal(text: str) -> str:
    """Text for comparison: folded, words only."""
    return " ".join(words(text))


@lru_cache(maxsize=4096)
def content_words(text: str, code: str = ENGLISH) -> frozenset[str]:
    """What `text` is about: its words except common ones of the language and of English.

    English words lose a plural s. In scripts without spaces these are runs of characters, apart from common ones;
    Hiragana alone is grammar. In a language whose common words are not known, words of up to three letters without
    accents are left out.
    """
    plain, within = common_words(code)
    parts = within.split(fold(text)) if within else [text]
    found = {word for part in parts for word in pieces(part) if len(word) > 1 and not _KANA.fullmatch(word)} - plain
    if not language(code).text("common_words"):
        found = {word for word in found if len(word) > 3 or not (word.isascii() and word.isalpha())}
    if not _fixed(code):
        return frozenset(found)
    return frozenset(word[:-1] if len(word) > 4 and word.endswith("s") else word for word in found)


def refused(text: str) -> bool:
    """Whether the text is a refusal, or the model speaking about itself."""
    return union("refusals").search(text) is not None


def names_span(text: str, span: str, code: str) -> bool:
    """Whether `text` has the words of `span`, or all of its content words in any form; a number may be in words."""
    text, span = (ungrouped(in_digits(one, code)) for one in (text, span))
    if has_words(words(text), words(span), code):
        return bool(words(span)) or fold(span) in fold(text)
    own, said = content_words(span, code), content_words(text, code)
    exact = {word for word in words(span) if not word.isalpha()}
    return bool(own) and exact <= {*words(text)} and all(any(akin(one, other) for other in said) for one in own)


def names_nothing_of(text: str, news: str, code: str = ENGLISH) -> bool:
    """Whether `text` shares no content word with `news`; words that change may have different forms."""
    own, others = content_words(text, code), content_words(news, code)
    if own & others:
        return False
    return _fixed(code) or not any(akin(one, other) for one in own for other in others)


def example_names(examples: str, code: str = ENGLISH) -> set[str]:
    """Names in a prompt's examples, in lower case: words capitalised within a sentence, and those of the bundled ones.

    Where all nouns are capitalised, or nothing is, only those of the bundled examples are known.
    """
    own = language(code)
    listed = {fold(name) for name in own.lines("example_names")}
    if own.has("capital nouns"):
        return listed
    return listed | {word.casefold() for word in _IN_SENTENCE.findall(examples)} - common_words(code)[0]


def names_of_example(text: str, names: set[str], news: str, code: str = ENGLISH) -> bool:
    """Whether `text` has one of the examples' `names` that `news` does not have."""
    said, known = words(text), words(news)
    return any(has_words(said, words(name), code) and not has_words(known, words(name), code) for name in names)


def invents(text: str, news: str, code: str = ENGLISH) -> bool:
    """Whether a restatement has numbers, or names within a sentence, that `news` does not have."""
    return bool(unknown_numbers(text, news, code) or unknown_names(text, news, code))


def unknown_numbers(text: str, news: str, code: str = ENGLISH) -> list[str]:
    """Figures in `text` that `news` does not have, in digits or in words, in order.

    What a right equation works out is known if its first side is: from `news`, or from numbers that `text` has in words
    ('two ferries carry 2 * 40 = 80'). Words up to _SMALL count what a text names ('the two rules'), and Han numerals
    are part of many words ('十分'): they are not judged.
    """
    known = {*figures(in_digits(news, code, ones=True)), *_DIGITS.findall(fold(news))}
    operands = known | {*figures(in_digits(_DIGITS.sub(" ", text), code, ones=True))}
    said = in_digits(text, code)
    known |= computed(said, operands, code)
    in_words = (one for one in figures(in_digits(_HAN.sub(" ", text), code)) if int(one) > _SMALL)
    judged = {*figures(text), *in_words} - known
    return [one for one in dict.fromkeys(figures(said)) if one in judged]


def unknown_names(text: str, news: str, code: str = ENGLISH) -> list[str]:
    """Names within a sentence of `text` that `news` does not have, in order.

    Without capitals, names are those in quotation marks or in Latin letters (`text.names_within`).
    """
    given = words(news)
    names = names_within(text, capitals=not language(code).has("capital nouns"))
    if _CASELESS.search(news):  # a name in Latin letters may be attached to other letters
        known_text = fold(news)
        names = [name for name in names if fold(name) not in known_text]
    parts = {name: words(name) for name in names if name != "I"}
    return [
        name
        for name, part in parts.items()
        if not (has_words(given, part, code) or all(has_words(given, [one], code) for one in part))
    ]


_IN_SENTENCE = regex.compile(r"(?<=[\p{Ll},] )\p{Lu}\p{L}+")
_CASELESS = regex.compile(r"\p{Lo}")
_DIGITS = regex.compile(r"\p{Nd}+")
_HAN = regex.compile(r"\p{Han}")
_SMALL = 2  # of 200 elements that were read, no true one has a larger number in words that its news item does not have
_KANA = regex.compile(r"[\p{Hiragana}ー]+")


def _fixed(code: str) -> bool:
    return language(code).has("fixed words")


def common_words(code: str) -> tuple[frozenset[str], regex.Pattern[str] | None]:
    """Common words of a language and of English (`divided`)."""
    return divided("common_words", code)


@cache
def listed_words(section: str, code: str) -> frozenset[str]:
    """The words that a section of a language's file and of the English one lists, folded."""
    return frozenset(fold(word) for one in (ENGLISH, code) for word in language(one).text(section).split())


@cache
def divided(section: str, code: str) -> tuple[frozenset[str], regex.Pattern[str] | None]:
    """`listed_words` in scripts with spaces; and a pattern of those without, the longest first, if there are any."""
    listed = listed_words(section, code)
    within = sorted((word for word in listed if _WITHOUT_SPACES.match(word)), key=lambda word: (-len(word), word))
    return listed.difference(within), regex.compile("|".join(map(regex.escape, within))) if within else None


_WITHOUT_SPACES = regex.compile(rf"[{UNSPACED}]")


def has_words(whole: Sequence[str], part: Sequence[str], code: str) -> bool:
    """Whether the words of `part` occur in `whole`, a single one in any form if the language's words change."""
    if find(part, whole) is not None or not part:
        return True
    return len(part) == 1 and not _fixed(code) and any(akin(part[0], word) for word in whole)
