"""Facts of a news item: the spans of its text that state something, each with its place, its sentence, and a gap in it.

A span is a name, a number with its unit, a key term, or a clause. Spans are found from the text alone, in any script:
terms are runs of words that are not common in the language (as in RAKE: Rose et al., Text Mining 2010), clauses are
divided by punctuation. Together they contain all that the text states. What follows from a text, and is listed by a
model, is checked in `implied`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import regex

from sys2ft.languages import ENGLISH, language
from sys2ft.replay.filters import common_words
from sys2ft.text import UNSPACED, fold, sentences, without_particles

Kind = Literal["name", "number", "term", "clause", "implied"]
GAP = "____"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something that a news item states (a span of its text), or that follows from it (`implied`)."""

    kind: Kind
    text: str
    """The span, or the statement that follows."""
    sentence: str
    """The sentence that states it; of an implied fact, itself."""
    gap: str
    """The sentence with a gap in place of the span."""
    clause: str
    """The clause that contains the span; what else it names is the context of the span."""
    places: tuple[tuple[int, int], ...] = ()
    """(start, end) of the span in the news text, in characters: where it is stated first, then its repetitions."""

    @property
    def answer(self) -> str:
        """The span, where it can answer a question; empty for a clause or an implied fact, which are statements."""
        return "" if self.kind in ("clause", "implied") else self.text

    @property
    def statement(self) -> str:
        """The fact as a statement: the sentence of a name, number or term, else the text."""
        return self.sentence if self.answer else self.text

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "places": [list(place) for place in self.places]}


def implied_fact(statement: str) -> Fact:
    """A fact that follows from a news item."""
    return Fact(kind="implied", text=statement, sentence=statement, gap=GAP, clause=statement)


def with_gap(text: str, span: str) -> str:
    """The first sentence of `text` that contains `span`, with a gap in its place."""
    # Spaced letters must not continue the span, but a Korean particle may; elsewhere there are no borders to see.
    after = rf"[[\w--[{UNSPACED}]]-]" if not regex.search(r"\p{Hangul}$", span) else "(?!)"
    whole = regex.compile(rf"(?V1)(?<![[\w--[{UNSPACED}]]-]){regex.escape(span)}(?!{after})")
    loose = whole if whole.search(text) else regex.compile(regex.escape(span))
    sentence = next((one for one in sentences(text) if loose.search(one)), text)
    return str(loose.sub(GAP, sentence, count=1))


@lru_cache(maxsize=4096)
def facts_in(text: str, code: str = ENGLISH) -> tuple[Fact, ...]:
    """The facts that a text in the language `code` states, in the order of the text; clauses follow their spans.

    A name or term that is repeated is one fact with several places. A number without a unit says something else in
    each clause.
    """
    found: dict[tuple[str, ...], Fact] = {}
    parts = [_Part(text, code, *place) for place in _clauses(text, code)]
    known = Counter(segment.key for part in parts for segment in part.segments)
    for part in parts:
        spans = [piece for segment in part.segments for piece in _divided(segment, known)]
        for span in spans:
            key = (part.clause, *span.key) if span.kind == "number" and len(span.key) == 1 else span.key
            if key in found:
                found[key] = replace(found[key], places=(*found[key].places, (span.start, span.end)))
            elif span.says_something:
                found[key] = part.fact(span.kind, span.start, span.end)
        if len(spans) > 1:
            found.setdefault((part.clause, ""), part.fact("clause", part.start, part.end))
    return tuple(found.values())


# Tokens ------------------------------------------------------------------------------------------------------------

_OPERAND = r"\(?[\p{L}\p{N}_.]*[\p{L}\p{N}_]\)?"
_TOKEN = regex.compile(
    rf"""
    (?P<exact>
        [“„«「『《〈](?:[^“”„«»「」『』《》〈〉\n]{{1,60}})[”“»」』》〉] | "[^"\n]{{1,60}}"
        | [\p{{L}}_][\w.]*\((?:[^()\n]|\([^()\n]*\))*\)                 # a call: f(x, (1, 2))
        | \[[^\[\]\n]*\] | \{{[^{{}}\n]*\}}                              # [1, 3]
        | \(?{_OPERAND}(?:\s?[*×·+/÷^@−-]\s{_OPERAND}|[*×+/÷^@]{_OPERAND})+  # 2 * (6 + 1)
        | (?<![^\s(])[^\w\s]{{2,}}(?<![.,;:!?'"”’»)\]…–—-])(?=[\s.,;:!?)]|$) | (?<!\S)([!~^*=#&|<>?+/\\-])\2+(?!\S)
    )
    | (?P<number>(?<![\p{{Lu}}\p{{Ll}}\p{{N}}_])[-+−]?[$€£¥]?\p{{Nd}}+(?:[.,:/٫٬]\p{{Nd}}+)*\s?(?:[%٪‰€$£¥]|°\p{{L}}?)?)
    | (?P<elided>(?:[cdjlmnst]|qu|lorsqu|puisqu|jusqu|dell|nell|sull|all)['’](?=\p{{L}}{{2}}))
    | (?P<unspaced>[\p{{Han}}々]+|[\p{{Katakana}}ー]+|[\p{{Hiragana}}]+|[\p{{Thai}}\p{{Lao}}\p{{Khmer}}\p{{Myanmar}}]+)
    | (?P<word>(?V1)[[\p{{L}}\p{{M}}\p{{N}}_]--[{UNSPACED}]]+(?:[-'’·][[\p{{L}}\p{{M}}\p{{N}}_]--[{UNSPACED}]]+)*\+*)
    | (?P<mark>\S)
    """,
    regex.VERBOSE | regex.IGNORECASE,
)
_DATE = regex.compile(r"\p{Nd}+(?:[年月日時时点點分秒号號년월일시분]\s?(?:\p{Nd}+)?)+")
_COUNTED = regex.compile(r"\p{Nd}+(?:[.,]\p{Nd}+)*\s?(?P<unit>[\p{Han}々\p{Katakana}ー]{1,4})")
_ORDINAL = regex.compile(r"\d{1,2}\.(?=\s\p{Lu})")
_POSSESSIVE = regex.compile(r"['’]s$")
_YEAR = regex.compile(r"(?:19|20|21)\d\d")
_UNIT_WORDS = 3  # words after a number that belong to it
_LONGEST = 5  # words of a term; where the common words of a language are not known, longer ones are divided
_DAY = regex.compile(r"\d{1,2}\.?")

_Role = Literal["exact", "number", "name", "word", "binds", "break"]

_ROLES: dict[str, _Role] = {"exact": "exact", "number": "number", "elided": "break", "mark": "break"}


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str
    role: _Role


def _tokens(text: str, code: str) -> Iterator[_Token]:
    """The tokens of a text: exact texts, numbers, names, other words, words that bind to the next, and breaks."""
    at = 0
    while found := _TOKEN.search(text, at):
        at = found.end()
        kind, start, said = found.lastgroup or "exact", found.start(), found.group()
        if kind == "number":
            said = _counted(text, start, code) or said
            at = start + len(said)
        if kind == "unspaced":
            yield from _unspaced(said, start, code)
            continue
        said = _POSSESSIVE.sub("", said.rstrip()) if kind == "word" else said.rstrip()
        role = _role(text, said, start, code) if kind == "word" else _ROLES[kind]
        whole, said = said, without_particles(said) if role == "word" else said
        yield _Token(start, start + len(said), said, role)
        if at > start + len(said) + 1 or said != whole:  # a possessive or a particle ends the run
            yield _Token(start + len(said), at, "", "break")


def _counted(text: str, start: int, code: str) -> str:
    """A number in digits at `start` with what belongs to it: '2031年5月3日', '40辆自行车', the German '31.'; or ''."""
    if found := _DATE.match(text, start):
        return str(found.group()).rstrip()
    if found := _COUNTED.match(text, start):
        cut = _dividing(code).search(text, found.start("unit") + 1, found.end())
        return text[start : cut.start() if cut else found.end()]
    found = _ORDINAL.match(text, start) if language(code).has("capital nouns") else None
    return found.group() if found else ""


def _role(text: str, word: str, start: int, code: str) -> _Role:
    folded = fold(word)
    if word[0].isupper() and start and regex.match(r"\s\p{Nd}", text[start + len(word) :]):
        return "name"  # 'of May 2032'
    if folded in binding_words(code):
        return "binds"
    if folded in common_words(code)[0]:
        return "break"
    return "name" if word[0].isupper() and not language(code).has("capital nouns") else "word"


def _unspaced(run: str, start: int, code: str) -> Iterator[_Token]:
    """Tokens of a run of one script without spaces: what is between its common words; Hiragana is grammar."""
    at = 0
    grammar = regex.fullmatch(r"\p{Hiragana}+", run)
    breaks = [(0, len(run))] if grammar else [found.span() for found in _dividing(code).finditer(run)]
    for first, last in [*breaks, (len(run), len(run))]:
        if first - at > 1 or (first > at and len(run) == 1):
            yield _Token(start + at, start + first, run[at:first], "word")
        if last > first:
            yield _Token(start + first, start + last, run[first:last], "break")
        at = last


@lru_cache(maxsize=32)
def _dividing(code: str) -> regex.Pattern[str]:
    """Matches what divides a run in a script without spaces: its common words without those that bind."""
    common = fold(language(code).text("common_words")).split()
    within = {word for word in common if regex.match(rf"[{UNSPACED}]", word)} - binding_words(code)
    return regex.compile("|".join(sorted(map(regex.escape, within), key=len, reverse=True)) or "(?!)")


@lru_cache(maxsize=32)
def binding_words(code: str) -> frozenset[str]:
    """Common words that change what the next word says, such as 'first', 'two', 'only': they stay with it."""
    return frozenset(fold(word) for word in language(code).text("binding_words").split())


# Segments ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Segment:
    """Consecutive tokens that say one thing."""

    kind: Kind
    tokens: tuple[_Token, ...]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(fold(token.text) for token in self.tokens)

    @property
    def says_something(self) -> bool:
        """Not a variable alone, such as the x of 'multiply x by y'."""
        first = self.tokens[0]
        return len(self.tokens) > 1 or first.role != "word" or len(first.text) > 1


def _segments(tokens: Iterable[_Token]) -> Iterator[_Segment]:
    """Runs of tokens without a break, divided where a name or a number begins or ends."""
    run: list[_Token] = []

    def close() -> Iterator[_Segment]:
        while run and run[-1].role == "binds":
            run.pop()
        roles = {token.role for token in run}
        kind: Kind = "number" if "number" in roles else "name" if roles & {"name", "exact"} else "term"
        size = len(run) if kind == "name" or len(run) <= _LONGEST else _LONGEST - 1
        for start in range(0, len(run), max(1, size)):
            yield _Segment(kind, tuple(run[start : start + size]))
        run.clear()

    for token in tokens:
        if token.role == "break" or (run and not _joins(run, token)):
            yield from close()
        if token.role != "break":
            run.append(token)
    yield from close()


def _joins(run: Sequence[_Token], token: _Token) -> bool:
    """Whether a token belongs to the run before it."""
    last = run[-1]
    if "exact" in (last.role, token.role):
        return False
    if token.role == "number":  # 'June 2031', but 'Burlow 60' says two things
        year = _YEAR.fullmatch(token.text) is not None
        return last.role == "binds" or (year and last.role != "number" and last.text[0].isupper())
    if token.role == "name":  # '10 September', 'Carla Dornwick', but '2031 Devnar'
        return last.role == "name" or (last.role == "number" and _DAY.fullmatch(last.text) is not None)
    if token.role == "binds":
        return last.role == "binds"
    if last.role == "number":
        return _YEAR.fullmatch(last.text) is None and token.start > last.end
    counted = [one.role for one in run].index("number") if any(one.role == "number" for one in run) else len(run)
    return last.role != "name" and len(run) - counted <= _UNIT_WORDS


def _divided(segment: _Segment, known: Counter[tuple[str, ...]]) -> Iterator[_Segment]:
    """A longer segment that begins with one that is whole elsewhere is two: 'tamber frog', 'glows blue'."""
    key = segment.key
    for size in range(len(key) - 1, 0, -1):
        if segment.kind == "term" and known[key[:size]] and segment.tokens[size - 1].role == "word":
            yield _Segment("term", segment.tokens[:size])
            yield from _divided(_Segment("term", segment.tokens[size:]), known)
            return
    yield segment


# Clauses -----------------------------------------------------------------------------------------------------------

_DIVIDES = regex.compile(r"[,;:،؛](?=\s)|[，；：]|(?<=\s)[–—](?=\s)")
_LOWER = regex.compile(r"\s*\p{Ll}")
_ENDS_IN_ORDINAL = regex.compile(r"(?<!\p{N})\d{1,2}\.$")


class _Part:
    """A clause of a text, and its sentence."""

    def __init__(self, text: str, code: str, start: int, end: int, sentence: tuple[int, int]) -> None:
        self.text, self.start, self.end = text, start, end
        self.sentence_start, self.sentence_end = sentence
        self.clause = text[start:end]
        tokens = _tokens(self.clause, code)
        moved = (_Token(one.start + start, one.end + start, one.text, one.role) for one in tokens)
        self.segments = list(_segments(moved))

    def fact(self, kind: Kind, start: int, end: int) -> Fact:
        """A fact of this clause."""
        first, last = self.sentence_start, self.sentence_end
        return Fact(
            kind=kind,
            text=self.text[start:end],
            sentence=self.text[first:last],
            gap=self.text[first:start] + GAP + self.text[end:last],
            clause=self.clause,
            places=((start, end),),
        )


def _clauses(text: str, code: str) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(start, end, sentence) of each clause, without the marks at its end. One that says little joins the next."""
    for first, last in _sentence_places(text, code):
        inside = [found.span() for found in _TOKEN.finditer(text, first, last) if found.lastgroup == "exact"]
        borders = [
            found.start()
            for found in _DIVIDES.finditer(text, first, last)
            if not any(start < found.start() < end for start, end in inside)
        ]
        start = first
        clauses: list[tuple[int, int]] = []
        for border in [*borders, last]:
            part = text[start:border]
            if _size(part, code) > 1 or (border == last and not clauses):
                clauses.append(_trimmed(text, start, border))
                start = border + 1
            elif border == last:
                clauses[-1] = _trimmed(text, clauses[-1][0], border)
        yield from ((one, other, (first, last)) for one, other in clauses)


def _size(part: str, code: str) -> int:
    return sum(len(segment.tokens) for segment in _segments(_tokens(part, code)))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip(" \t\n,;:–—")), start + len(part.rstrip(" \t\n.!?。！？।،؛,;:–—"))


def _sentence_places(text: str, code: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence.

    None begins in lower case ('a comment starts with !! and ends'). In German, a number with a full stop is an ordinal:
    'am 31. August'.
    """
    at, start = 0, None
    for sentence in sentences(text):
        at = text.index(sentence, at)
        start = at if start is None else start
        at += len(sentence)
        ordinal = language(code).has("capital nouns") and _ENDS_IN_ORDINAL.search(text[start:at]) and text[at:].strip()
        if not (ordinal or _LOWER.match(text, at)):
            yield start, at
            start = None
    if start is not None:
        yield start, at
