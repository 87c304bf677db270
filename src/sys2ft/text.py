"""Compare texts of any script: a folded form, words by Unicode's rules, and whether one text is named in another.

Words are those of Unicode Standard Annex 29, as implemented by `regex`. Scripts that are written without spaces (Han,
Hiragana, Thai, Lao, Khmer, Burmese) have one word per character, so that texts are compared there by `pieces`, runs of
characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

import regex

QUESTION_MARKS = "?？\u037e؟՞፧⁇⁈⁉‽"
"""Marks that end a question: Latin, full width, Arabic, Greek (U+037E), Armenian, Ethiopic, doubled and combined."""
SENTENCE_ENDS = ".!?。．！？｡؟۔।॥։።…\u037e"
"""Marks that end a sentence."""
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without spaces between words, as the inside of a character class of `regex`."""

_IGNORED = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u0640]")  # zero width, soft hyphens, variants, tatweel
_POINTS = regex.compile(r"(?<=[\p{Arabic}\p{Hebrew}])\p{M}+")  # vowel points, which most texts leave out
_RAISED = regex.compile(r"(?<=\d)[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]+")
_FRACTION = regex.compile(r"(?<=\d)\s*(?=[¼-¾⅐-⅞])")
_DIGIT = regex.compile(r"(?![0-9])\p{Nd}")
_QUOTES = str.maketrans(
    dict.fromkeys("‘’‚‛′`´ʼ＇", "'")
    | dict.fromkeys("“”„‟″«»「」『』", '"')
    | dict.fromkeys("‐‑‒–—―−﹣－", "-")
    | {"⁄": "/", "№": " no "}
)
_BORDER = regex.compile(r"(?V1w)\b")
_WORD = regex.compile(r"[\p{L}\p{N}]")
_ELIDED = regex.compile(r"^(?:[cdjlmnst]|qu|(?:jus|lors|puis)qu|(?:d|n|s)?[aeu]ll|quest|un)'(?=\p{L}{2})")
_PLUS = regex.compile(r"(\+\+|\+|#+)(?![\p{L}\p{N}])")  # C++, C#: part of the name if no word follows
_UNSPACED_WORD = regex.compile(rf"(?:(?!\p{{Katakana}}{{2}})[{UNSPACED}]\p{{M}}*)+")
_EAST_ASIAN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_SENTENCE_BORDER = regex.compile(
    rf"(?<=[{SENTENCE_ENDS}]['\"”’»)\]]?)\s+|(?<=[。．！？｡][”’」』）]?)(?![。．！？｡”’」』）\s])"
)
_CASED = regex.compile(r"[\p{Lu}\p{Ll}]")
_CASELESS = regex.compile(r"\p{Lo}")
_CAPITALISED = regex.compile(r"(?<=[\p{Ll},;:] )\p{Lu}[\p{Lu}\p{Ll}\p{M}\d_'’-]*(?: \p{Lu}[\p{Lu}\p{Ll}\p{M}\d_'’-]*)*")
_LATIN = regex.compile(r"(?<![\p{Latin}\d-])\p{Latin}[\p{Latin}\d'’-]+(?: \p{Latin}[\p{Latin}\d'’-]+)*")
_QUOTED = regex.compile(r"[“„«「『《〈\"]([^“”„«»「」『』《》〈〉\"\n]{1,40})[”“»」』》〉\"]")
# Chinese or Korean may follow a number, letters that have capitals may not.
_NUMBER = regex.compile(r"(?<![\p{Lu}\p{Ll}\d_][.,]?|[.,])\d+(?:[.,٫٬]\d+)*(?![\p{Lu}\p{Ll}\d_])")
_GROUP_MARK = regex.compile(r"(?<=(?<![\d.,])\d{1,3}(?:[.,]\d{3})*)[.,](?=\d{3}(?!\d))")
_BESIDE_WORD = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{UNSPACED}]]"  # beside a word: part of a longer one
_BESIDE_NUMBER = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{UNSPACED}\p{{Hangul}}]]"
_IN_NUMBER = ".,:/٫٬"
_PAIRS = {"'": "'", '"': '"', "“": "”", "‘": "’", "„": "“", "«": "»", "「": "」", "『": "』"}
_OPENS = {"'": "'", '"': '"', "”": "“„", "’": "‘", "“": "„", "»": "«", "」": "「", "』": "『"}
_ENDS_OF_KOREAN = regex.compile(
    "(?:입니다|이에요|예요|이었습니다|였습니다|이다|이고|이며|이라고|라고|이지만|은|는|이|가|을|를|의|에|에서|에게|께서|께|한테|"
    "로|으로|와|과|랑|이랑|도|만|부터|까지|보다|처럼|마다|조차|밖에|야|이야|요|죠)+"
)
_PARTICLES = regex.compile(r"(?<=\p{Hangul}{2})" + _ENDS_OF_KOREAN.pattern + "$")


def fold(text: str, *, keep_case: bool = False) -> str:
    """The text with one form for characters that readers take for the same: NFKC, lower case, plain quotes and dashes.

    Zero-width characters and the vowel points of Arabic and Hebrew are dropped; decimal digits of all scripts become
    ASCII. An exponent after a digit keeps its rank ('10²' becomes '10^2'), and a fraction its distance ('2½' becomes
    '2 1/2'). Spaces are collapsed. `keep_case` leaves capitals as they are.
    """
    text = _RAISED.sub(lambda found: "^" + unicodedata.normalize("NFKC", found.group()), text)
    text = _FRACTION.sub(" ", text).translate(_QUOTES)
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    text = _IGNORED.sub("", text)
    if not keep_case:
        text = text.casefold().replace("i̇", "i")  # the casefold of the Turkish capital I with a dot
    text = _POINTS.sub("", unicodedata.normalize("NFC", text))
    text = _DIGIT.sub(lambda found: str(unicodedata.decimal(found.group(), found.group())), text)
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words and numbers of the folded text, without punctuation, the possessive 's and elided articles ("l'eau").

    Signs that belong to a word stay with it: 'c++', 'c#', '.net', '-5', '3.5'.
    """
    folded, found, at = fold(text), [], 0
    for piece in _BORDER.split(folded):
        start, at = at, at + len(piece)
        if not _WORD.search(piece):
            continue
        letters = piece[0].isalpha()
        last, earlier = folded[max(0, start - 1) : start], folded[max(0, start - 2) : max(0, start - 1)]
        if last in (".", "-") and not earlier.strip("(\"' "):
            # '.net' and '.5', '-5'; but not the dash of '- item' or the dot before a new sentence
            piece = last + piece if last == "." or not letters else piece
        if letters and (sign := _PLUS.match(folded, at)) and last not in ("+", "#"):  # not '++word++'
            piece += sign.group()
        found.append(_ELIDED.sub("", piece).removesuffix("'s"))
    return found


def find(part: Sequence[str], whole: Sequence[str]) -> int | None:
    """The index in `whole` at which the words of `part` occur one after the other; None if they do not.

    A Korean word may have particles attached in `whole`.
    """
    if not part:
        return None
    *first, last = part
    for start in range(len(whole) - len(part) + 1):
        end = start + len(first)
        if list(whole[start:end]) == first and same(last, whole[end]):
            return start
    return None


def names(text: str, part: str) -> bool:
    """Whether `part` occurs in the text as whole words."""
    return find(words(part), words(text)) is not None


def spans(text: str, part: str) -> list[tuple[int, int]]:
    """Start and end of each place where the text has `part`, letter for letter and as whole words and numbers.

    '12' is in '(12)' and '12.', but not in '2012', '12.5', '1,200' or '-12'; 'Al' is not in 'Alma', '~~' not in '~~~'.
    Scripts without spaces have no borders of words, and a Korean word may have particles attached.
    """
    found = regex.finditer(_whole(part), text) if part else ()
    return [one.span() for one in found]


@lru_cache(maxsize=1024)
def _whole(part: str) -> regex.Pattern[str]:
    """The pattern of `part` as whole words and numbers."""
    before = after = ""
    if regex.match(r"\p{N}", part):
        before = rf"(?<!{_BESIDE_NUMBER})(?<!\p{{N}}[{_IN_NUMBER}])(?<!(?:^|[\s(\"'])[-−])"
    elif regex.match(r"[\p{L}\p{M}_]", part):
        before = "" if regex.match(f"[{UNSPACED}]", part) else f"(?<!{_BESIDE_WORD})"
    elif part:
        before = f"(?<!{regex.escape(part[0])})"
    if regex.search(r"\p{N}$", part):
        after = rf"(?!{_BESIDE_NUMBER})(?![{_IN_NUMBER}]\p{{N}})"
    elif regex.search(r"[\p{L}\p{M}_]$", part):
        particles = f"(?:{_ENDS_OF_KOREAN.pattern})?+" if regex.search(r"\p{Hangul}$", part) else ""
        after = "" if regex.search(f"[{UNSPACED}]$", part) else f"(?!{particles}{_BESIDE_WORD})"
    elif part:
        after = f"(?!{regex.escape(part[-1])})"
    return regex.compile("(?V1)" + before + regex.escape(part) + after)


def asks(text: str) -> bool:
    """Whether the text ends with a question mark of any script, closing quotes and brackets aside.

    A semicolon counts after a Greek letter, since keyboards write the Greek question mark so.
    """
    end = text.rstrip().rstrip("\"'”’»」』)）]】 ")
    return end.endswith(tuple(QUESTION_MARKS)) or regex.search(r"\p{Greek}\s*;$", end) is not None


def pieces(text: str) -> list[str]:
    """The words of the text; in scripts without spaces, each run of consecutive characters instead.

    A run has two characters if it contains a Chinese character or a kana, else four. Two texts about different things
    share many characters, but few runs.
    """
    found: list[str] = []
    run: list[str] = []
    for word in [*words(text), ""]:
        if _UNSPACED_WORD.fullmatch(word):
            run.append(word)
            continue
        size = min(2 if any(map(_EAST_ASIAN.match, run)) else 4, max(1, len(run)))
        found += ["".join(run[start : start + size]) for start in range(len(run) - size + 1)] if run else []
        run = []
        found += [word] if word else []
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a text, by their end marks; a full stop needs white space after it, '。' does not."""
    return [part for part in _SENTENCE_BORDER.split(text.strip()) if part]


def akin(one: str, other: str) -> bool:
    """Whether two words can be forms of one word: they share a run of at least 3 letters, two thirds of the longer.

    Meant for languages whose words change a lot ('Москва', 'Москве'; 'كتاب', 'الكتاب').
    """
    one, other = without_particles(one), without_particles(other)
    if one == other:
        return True
    shorter, longer = sorted((len(one), len(other)))
    if shorter < max(3, longer * 2 / 3) or not (one.isalpha() and other.isalpha()):
        return False
    return SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size >= max(3, longer * 2 / 3)


def without_particles(word: str) -> str:
    """A Korean word without the particles at its end; other words as they are."""
    return str(_PARTICLES.sub("", word))


def names_within(text: str, *, capitals: bool = True) -> list[str]:
    """Names in a text, in order: consecutive capitalised words within a sentence.

    In a script without capitals, and with `capitals=False` (German, which capitalises all nouns), names are not
    recognised by their form: those in quotation marks are returned and, among letters without capitals, Latin words.
    """
    caseless = 2 * len(_CASELESS.findall(text)) > len(_CASED.findall(text))  # a Chinese character says more
    if capitals and not caseless:
        return list(dict.fromkeys(_CAPITALISED.findall(text)))
    found = [(match.start(), match.group(1).strip()) for match in _QUOTED.finditer(text)]
    if caseless:
        found += [(match.start(), match.group()) for match in _LATIN.finditer(text)]
    return list(dict.fromkeys(name for _, name in sorted(found) if name))


def numbers_within(text: str) -> list[str]:
    """Numbers in digits, in order, without those that are part of a word such as 'B2'."""
    return list(dict.fromkeys(_NUMBER.findall(text)))


def ungrouped(text: str) -> str:
    """The text without the marks that group thousands: '1,200' and '1.200' become '1200'. So does '0.125'."""
    return str(_GROUP_MARK.sub("", text))


def unquoted(text: str) -> str:
    """The text without white space, asterisks and quotation marks around it, and without the half of a pair."""
    text = text.strip(" *\n\t")
    while len(text) > 1 and text.endswith(close := _PAIRS.get(text[0], "\0")):
        inner = text[1:-1]
        if text[0] in inner or close in inner:
            break
        text = inner.strip(" *")
    if text[:1] in _PAIRS and _PAIRS[text[0]] not in text[1:]:
        text = text[1:]
    if text[-1:] in _OPENS and not any(opening in text[:-1] for opening in _OPENS[text[-1]]):
        text = text[:-1]
    return text.strip(" *")


def same(word: str, other: str) -> bool:
    """Whether two words are the same; `other` may be a Korean word with particles attached."""
    if word == other:
        return True
    return (
        other.startswith(word)
        and regex.search(r"\p{Hangul}$", word) is not None
        and _ENDS_OF_KOREAN.fullmatch(other, len(word)) is not None
    )
