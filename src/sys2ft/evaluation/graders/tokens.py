"""Texts as sequences of words and signs, and how strictly those of one question must be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import regex

from sys2ft.evaluation.graders.markup import plain
from sys2ft.news import Question
from sys2ft.text import fold, same

_ARTICLES = frozenset({"a", "an", "the"})
_BORDER = regex.compile(r"(?V1w)\b")
_SIGNS_OF_A_NAME = regex.compile(r"(?:\+\+|#+|\+(?!\s*[\d=]))(?![\p{L}\p{N}])")  # C++, C#, A+
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_JOINT = regex.compile(rf"(?<=[\p{{L}}\p{{N}}--[{_UNSPACED}]])-(?=[\p{{L}}\p{{N}}--[{_UNSPACED}]])", regex.V1)
_SOFT = regex.compile(r"[[\p{P}`]--[-+*/#%&@\\]]+", regex.V1)
_FREE_SIGNS = regex.compile(r"(?:^|\s)[\p{P}--[-*#_`\"'.…]]{2,}\s+\S", regex.V1)  # '!! go', where '!!' is a word
_JOINED = regex.compile(r"[\s\"'(\[*_`]+")
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_IN_A_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]")
_INITIALS = regex.compile(r"(?:\p{L}{1,2}\.)+\p{L}{1,2}")  # 'p.m', 'U.S', 'Ph.D'
# Greek capitals have no accents, and most Russian texts write no 'ё'.
_ACCENTS = str.maketrans("ёάέήίόύώϊϋΐΰ", "еαεηιουωιυιυ")
# What a word gets in a sentence: Russian cases ('в Москве'), the Arabic article with what is joined to it, and Turkish
# cases after the apostrophe of a name.
_INFLECTED = regex.compile(
    r"(?<=\p{Cyrillic}{4})(?:[аяеуюыиь]|[оеыи]й|[оеыи]м|[ое]в|[аяоеую]я|[ую]ю|[ое]е|[ыи]е|[аяыи]х|[аяыи]м|[аяыи]ми"
    r"|[ое]го|[ое]му)$|^[وف]?(?:[بك]?ال|لل)(?=\p{Arabic}{3})"
    r"|(?<=\p{Latin}{3})'(?:[dt][ae]n?|n?[ıiuü]n|y?l[ae]|[yn]?[ae]|[yns]?[ıiuü])$",
    regex.V1,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign at `text[start:end]`; `form` is what is compared, `soft` marks punctuation."""

    form: str
    start: int
    end: int
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """How strictly texts are compared: which differences count. `case` is that of letters, `cases` those of nouns."""

    marks: bool = False
    punctuation: bool = False
    case: bool = False
    articles: bool = False
    cases: bool = True

    def form(self, text: str) -> tuple[str, ...]:
        """What is compared of a text."""
        return tuple(token.form for token in self.tokens(self.text(text)))

    def text(self, text: str) -> str:
        """The text without the differences in characters and markup that do not count."""
        return plain(text, marks=self.marks)

    def tokens(self, shown: str) -> tuple[Token, ...]:
        """The tokens to compare of what `self.text` returned."""
        return _tokens(self, shown)


@lru_cache(maxsize=4096)
def _tokens(level: Level, shown: str) -> tuple[Token, ...]:
    found = list(split(shown, level.case))
    if not level.cases:
        found = [replace(token, form=_INFLECTED.sub("", token.form)) for token in found]
    if not level.punctuation:
        found = [token for token in found if not token.soft]
    return tuple(found if level.articles else without_articles(found, shown))


# From the loosest to the strictest.
_LEVELS = (
    Level(), Level(articles=True), Level(case=True), Level(case=True, articles=True),
    Level(marks=True), Level(marks=True, case=True), Level(marks=True, punctuation=True),
    Level(marks=True, punctuation=True, case=True), Level(marks=True, punctuation=True, case=True, articles=True),
)  # fmt: skip


@lru_cache(maxsize=4096)
def split(text: str, case: bool = False) -> tuple[Token, ...]:
    """The words and signs of a text from `plain`, in order.

    Words have Unicode's borders (UAX 29), and one character each in scripts without spaces. Hyphens join words, '++'
    and '#' end them, and a dot or a minus may begin them: 'x-ray', 'C++', 'C#', '.NET', '-5'.
    """
    found: list[Token] = []
    at = 0
    while at < len(text):
        start, end = at, _end(text, at)
        at = end
        piece = text[start:end]
        if piece.isspace():
            continue
        word = _LETTER.search(piece) is not None
        form = piece if case else fold(piece).translate(_ACCENTS)
        form = "and" if form == "&" and not case else form
        if word:
            form = form.removesuffix("'s")
            form = form.replace(".", "") if _INITIALS.fullmatch(form) else form
        found.append(Token(form, start, end, not word and _SOFT.fullmatch(piece) is not None))
    return tuple(found)


def _end(text: str, start: int) -> int:
    """Where the token that begins at `start` ends."""
    if text[start].isspace():
        return start + 1
    head = start
    before = text[start - 1 : start]
    if text[start] in ".-" and not regex.match(r"[\w)\].]", before):
        # '.NET' and '.5', '-5'; but not the dash of '- item' or the dot that ends a sentence
        follows = r"\.[\p{L}\p{N}]" if text[start] == "." else r"-[.]?\p{N}"
        head += 1 if regex.match(follows, text[start:]) else 0
    if not _IN_A_WORD.match(text, head):
        return start + 1
    end = head
    while True:
        border = _BORDER.search(text, end + 1)
        end = border.start() if border else len(text)
        if not _JOINT.match(text, end):
            break
        end += 1
    sign = _SIGNS_OF_A_NAME.match(text, end) if text[end - 1].isalpha() else None
    return sign.end() if sign else end


def without_articles(tokens: Sequence[Token], text: str) -> list[Token]:
    """The tokens without 'a', 'an' and 'the' before another word.

    A capital 'A' within a sentence is a name, and so is an article that nothing follows: 'vitamin A', 'Plan A'.
    """
    kept = []
    for here, token in enumerate(tokens):
        follows = tokens[here + 1] if here + 1 < len(tokens) else None
        if token.form.casefold() in _ARTICLES and follows and _JOINED.fullmatch(text, token.end, follows.start):
            opens = here == 0 or regex.search(r"[.!?:;,\n\"'(]\s*$", text[max(0, token.start - 3) : token.start])
            if token.form != "A" and (opens or text[token.start : token.end] != "A"):
                continue
        kept.append(token)
    return kept


def normalise(text: str) -> str:
    """The text in lower case and Unicode compatibility form, without markup, punctuation and articles.

    What would leave nothing stays: an article alone, or punctuation alone.
    """
    loosest = _LEVELS[0].form(text)
    return " ".join(loosest or Level(marks=True, punctuation=True).form(text))


@lru_cache(maxsize=512)
def level_for(question: Question) -> Level:
    """The loosest level at which no accepted text of the question equals one of its wrong choices."""
    accepted = accepted_texts(question)
    wrong = wrong_choices(question)
    for level in (Level(cases=False), *_LEVELS):
        forms = {level.form(text) for text in accepted}
        if _meaningful(level, accepted, wrong) and not any(
            level.form(choice) in forms for choice in wrong if level.form(choice)
        ):
            return level
    return _LEVELS[-1]


def accepted_texts(question: Question) -> tuple[str, ...]:
    """The answer and its aliases."""
    return tuple(dict.fromkeys((question.answer, *question.aliases)))


def wrong_choices(question: Question) -> tuple[str, ...]:
    """The choices that are neither the answer nor an alias."""
    accepted = accepted_texts(question)
    return tuple(choice for choice in question.choices if choice not in accepted)


def find(part: Sequence[str], whole: Sequence[Token], start: int = 0) -> int | None:
    """The index in `whole`, from `start`, at which the forms of `part` occur one after the other; None if nowhere."""
    for at in range(start, len(whole) - len(part) + 1) if part else ():
        if all(same(form, token.form) for form, token in zip(part, whole[at:], strict=False)):
            return at
    return None


def _meaningful(level: Level, texts: Sequence[str], wrong: Sequence[str]) -> bool:
    if not level.articles and any(fold(text) in _ARTICLES for text in (*texts, *wrong)):
        return False
    # An answer with marks of its own ('**cat**') keeps them; one of punctuation only has a rule of its own.
    if any(_FREE_SIGNS.search(text) and not level.punctuation for text in texts):
        return False
    if level.marks:
        return True
    return all(not level.form(text) or level.form(text) == replace(level, marks=True).form(text) for text in texts)
