"""What a news item is about: its new name or term, found in its text alone, in any language.

Prompts in training name it, so that the news items of one adapter do not share their prompts. In this order: what the
text introduces ('a function called murn'), by patterns of the language; quoted and capitalised names, by where and how
often they occur; a word that is repeated; the beginning of the text.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache

import regex

from sys2ft.languages import ENGLISH, language
from sys2ft.news import News
from sys2ft.replay.facts import facts_in
from sys2ft.replay.filters import content_words, listed_words
from sys2ft.text import UNSPACED, find, fold, pieces, sentences, unquoted, words

_LONGEST = 60
_A_NAME = regex.compile(r"\p{L}[^()\[\]{}=*+/^]+")
_QUOTED = regex.compile(r"[“„«「『《〈\"]([^“”„«»「」『』《》〈〉\"\n]{1,40})[”“»」』》〉\"]")
_PART = r"\p{Lu}[\p{Lu}\p{Ll}\p{M}\d_'’&-]*"
_NAME = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}_'’-]){_PART}(?:(?: | (?:of|de|du|des|del|von|van|der) |\. (?<=\b\p{{Lu}}\. )){_PART})*"
)
_LATIN = regex.compile(r"(?<![\p{Latin}\d-])\p{Latin}[\p{Latin}\d'’-]+(?: \p{Latin}[\p{Latin}\d'’-]+)*")
_CASED, _CASELESS = regex.compile(r"[\p{Lu}\p{Ll}]"), regex.compile(r"\p{Lo}")
_RUN = regex.compile(rf"(?:[{UNSPACED}]\p{{M}}*)+")
_STARTS = regex.compile(r"(?:^|[.!?:…]['\"”’»)\]]*\s+|\n\s*)['\"“‘«(\[]*$")
_WORD_BEFORE = regex.compile(r"(?:([\p{L}\p{M}\p{N}'’-]+)[ ]+)$")
_WORD_AFTER = regex.compile(r" ([\p{Ll}'’-]+)")
_VERB = regex.compile(r"(?:[^s]s|ed|ly)$")  # or a plural, or an adverb: an English name modifies a noun without these
_ARTICLES = ("the", "a", "an")
_QUALITIES = ("new", "first", "last", "next", "old", "latest", "second", "third")


def subject_of(news: News, code: str = ENGLISH) -> str:
    """The name or term that a news item is about, as it is in its text; never empty.

    In English it has the noun phrase around it: 'the Hensey voting method'. A capital article loses its capital.
    """
    return _subject(news.text, code)


def names_of(news: News, code: str = ENGLISH) -> tuple[str, ...]:
    """What the news item names: its subject, and other names. Expressions and lists are none."""
    subject = subject_of(news, code)
    named = (unquoted(fact.text) for fact in facts_in(news.text, code) if fact.kind == "name")
    others = [name for name in named if _A_NAME.fullmatch(name) and find(words(name), words(subject)) is None]
    return tuple(dict.fromkeys([subject, *others]))


@lru_cache(maxsize=4096)
def _subject(text: str, code: str) -> str:
    text = " ".join(text.split())
    for search in (_introduced, _quoted, _named, _defined, _repeated, _any_name, _beginning):
        if found := search(text, code).strip(" ,;:.。，、"):
            return found[:_LONGEST].strip()
    return text[:_LONGEST].strip()


@cache
def _patterns(section: str, code: str) -> tuple[regex.Pattern[str], ...]:
    return tuple(regex.compile(line) for line in language(code).lines(section))


@cache
def _plain(code: str) -> frozenset[str]:
    """Words that are no subject: common ones of the language and of English, and names of times and places."""
    names = {
        fold(name) for one in (ENGLISH, code) for name in language(one).lines("no_subject") for name in name.split(", ")
    }
    return listed_words("common_words", code) | names


def _match(text: str, code: str, section: str) -> str:
    """What the first pattern that matches finds, unless it begins with a common word."""
    for pattern in _patterns(section, code):
        for found in pattern.finditer(text):
            said = str(found.group("subject")).strip()
            own = [word for word in words(said) if word not in _ARTICLES]
            if own and own[0] not in _plain(code):
                return said
    return ""


def _introduced(text: str, code: str) -> str:
    return _match(text, code, "subject_introduced")


def _defined(text: str, code: str) -> str:
    return _lower_article(_match(text, code, "subject_defined"))


def _quoted(text: str, code: str) -> str:
    """The first name in quotation marks that is no sentence. English names are known by their capitals."""
    if code == ENGLISH:
        return ""
    for found in _QUOTED.finditer(text):
        name = str(found.group(1)).strip()
        if not name or name[-1] in ".!?。！？,," or len(name.split()) > 5:
            continue
        if name[0].isupper() or _CASELESS.match(name):
            return name
    return ""


def _any_name(text: str, code: str) -> str:
    """A name with little evidence: a sentence begins with it, or it is a German noun."""
    return _named(text, code, least=0.0)


def _named(text: str, code: str, least: float = 1.1) -> str:
    """The capitalised name with the best evidence; in letters without capitals, the first Latin one."""
    if 2 * len(_CASELESS.findall(text)) > len(_CASED.findall(text)):
        latin = [found.group() for found in _LATIN.finditer(text)]
        return latin[0] if latin and len(latin[0]) > 1 else ""
    nouns = language(code).has("capital nouns")
    best: tuple[float, int] | None = None
    chosen = (0, 0)
    for found in _NAME.finditer(text):
        start, end = found.span()
        name = found.group()
        starts = _STARTS.search(text[:start]) is not None
        if starts:  # 'The', 'In': the name begins after it
            first = name.split(" ", 1)[0]
            if fold(first) in _plain(code) or (nouns and " " not in name):
                if " " not in name:
                    continue
                start += len(first) + 1
                starts, name = False, name[len(first) + 1 :]
        value = _evidence(text, name, start, end, starts, code)
        if value is not None and (best is None or (value, -start) > best):
            best, chosen = (value, -start), (start, end)
    if best is None or best[0] < least:
        return ""
    phrase = _phrase(text, *chosen, code) if code == ENGLISH else text[slice(*chosen)]
    return str(regex.sub(r"['’]s?$", "", phrase))


def _evidence(text: str, name: str, start: int, end: int, starts: bool, code: str) -> float | None:
    """How much speaks for a name as the subject; None if it cannot be one."""
    plain = _plain(code)
    parts = words(name)
    if not parts or all(part in plain or part.isdigit() for part in parts) or (len(name) < 2):
        return None
    count = len(regex.findall(rf"(?<!\p{{L}}){regex.escape(name)}(?!\p{{L}})", text))
    before = _WORD_BEFORE.search(text[:start])
    word = fold(before.group(1)) if before else ""
    value = 1.0 + min(count - 1, 2) + (0.5 if len(parts) > 1 else 0)
    value += 1.5 if start < len(sentences(text)[0]) else 0
    if starts:
        value -= 1.5 if count == 1 and len(parts) == 1 else 0
    elif _introducing(text, start, plain):
        value += 1  # 'the ferry Osprey'
    elif word in _ARTICLES or word in _QUALITIES or word.isdigit():
        value += 1  # 'the Hensey method'
    if code == ENGLISH and word in ("in", "from", "near", "to", "at", "for", "by", "against", "on", "with"):
        value -= 1
    if language(code).has("capital nouns") and len(parts) == 1 and count == 1:
        value -= 1.5  # any noun
    return value


def _introducing(text: str, start: int, plain: frozenset[str]) -> bool:
    """Whether an article and nouns precede a place in the text: 'the phone app'."""
    before = regex.split(r"[^\p{L}\p{M}\p{N} '’-]", text[:start])[-1].split()
    for place, word in enumerate(reversed(before[-5:])):
        if word.lower() in _ARTICLES:
            return place > 0
        if not word.islower() or (fold(word) in plain and word not in _QUALITIES):
            return False
    return False


def _phrase(text: str, start: int, end: int, code: str) -> str:
    """A name with the words of its noun phrase, by the order of words in English."""
    plain = _plain(code)
    at, taken, reached = start, 0, start
    while taken < 5 and (found := _WORD_BEFORE.search(text[:at])):
        word = found.group(1)
        if word.lower() in _ARTICLES:
            reached = found.start(1)
            break
        within = word.lower() == "of" and taken == 0
        if not within and word not in _QUALITIES and (fold(word) in plain or not (word.islower() or word.isdigit())):
            break
        at, taken = found.start(1), taken + 1
    modifies = text[reached:start].split()[-1:] and (
        text[reached:start].split()[-1].lower() in (*_ARTICLES, *_QUALITIES)
        or text[reached:start].split()[-1].isdigit()
    )
    if modifies:
        end = _head_noun(text, end, plain)
    phrase = text[reached:end]
    return str(regex.sub(r"^(?:an?|A|An) ", "", _lower_article(phrase)))


def _head_noun(text: str, end: int, plain: frozenset[str]) -> int:
    """Where the nouns end that follow a name after an article: 'the Hensey voting method'."""
    ends = [end]
    while found := _WORD_AFTER.match(text, ends[-1]):
        if fold(found.group(1)) in plain or _VERB.search(found.group(1)):
            break
        ends.append(found.end())
    return ends[-1] if len(ends) < 5 else end


def _repeated(text: str, code: str) -> str:
    """The content word that occurs most, at least twice; in scripts without spaces, the longest repeated run."""
    if runs := _RUN.findall(text):
        joined = max(len(run) for run in runs)
        if joined > 3:
            return _repeated_run(text, code)
    known = content_words(text, code) - _plain(code)
    counted = Counter(word for word in words(text) if _stem(word, known) and not word.isdigit())
    common = [word for word, count in counted.most_common() if count > 1 and len(word) > 2]
    if not common:
        return ""
    found = regex.search(rf"(?:\b([Tt]he) )?\b({regex.escape(common[0])})\b", text, regex.IGNORECASE)
    return _lower_article(found.group()) if found else ""


def _stem(word: str, known: frozenset[str]) -> bool:
    return word in known or (word.endswith("s") and word[:-1] in known)


def _repeated_run(text: str, code: str) -> str:
    """The longest run of characters that occurs twice and has no common word at its ends."""
    grams = content_words(text, code)
    best = ""
    for length in range(2, 9):
        seen: dict[str, int] = {}
        for run in _RUN.finditer(text):
            for at in range(run.start(), run.end() - length + 1):
                part = text[at : at + length]
                if all(piece in grams for piece in pieces(part)):
                    seen[part] = seen.get(part, 0) + 1
        twice = [part for part, count in seen.items() if count > 1]
        if not twice:
            break
        best = max(twice, key=lambda part: seen[part])
    return best


def _beginning(text: str, code: str) -> str:
    """The first words of the text that say something."""
    own = content_words(text, code)
    first = sentences(text)[0] if sentences(text) else text
    parts = first.split()
    for place, part in enumerate(parts):
        if any(piece in own for piece in pieces(part)) and len(parts) > 1:
            start = place - 1 if place and fold(parts[place - 1]) in _ARTICLES else place
            return _lower_article(" ".join(parts[start : place + 2]))
    return first[:16]


def _lower_article(phrase: str) -> str:
    return str(regex.sub(r"^(?:The|An?) ", lambda found: found.group().lower(), phrase))
