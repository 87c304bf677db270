"""Compare texts of any script: a folded form, words by Unicode's rules, and whether one text is named in another.

Words are those of Unicode Standard Annex 29, as implemented by `regex`. Scripts that are written without spaces (Han,
Kana, Thai, Lao, Khmer, Burmese) have one word per character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

QUESTION_MARKS = "?？\u037e؟՞፧⁇⁈⁉‽"
"""Marks that end a question: Latin, full width, Arabic, Greek (U+037E), Armenian, Ethiopic, doubled and combined."""

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
_PLUS = regex.compile(r"(\+\+|\+|#+)(?![\p{L}\p{N}])")  # C++, C#: part of the name if no word follows
_ENDS_OF_KOREAN = regex.compile(
    "(?:입니다|이에요|예요|이었습니다|였습니다|이다|이고|이며|이라고|라고|이지만|은|는|이|가|을|를|의|에|에서|에게|께서|께|한테|"
    "로|으로|와|과|랑|이랑|도|만|부터|까지|보다|처럼|마다|조차|밖에|야|이야|요|죠)+"
)


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
    text = _DIGIT.sub(lambda found: str(unicodedata.decimal(found.group())), text)
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words and numbers of the folded text, without punctuation and without the possessive 's.

    Signs that belong to a word stay with it: 'c++', 'c#', '.net', '-5', '3.5'.
    """
    folded, found, at = fold(text), [], 0
    for piece in _BORDER.split(folded):
        start, at = at, at + len(piece)
        if not _WORD.search(piece):
            continue
        before, letters = folded[:start], piece[0].isalpha()
        if before and before[-1] in (".", "-") and not before[:-1][-1:].strip("(\"' "):
            # '.net' and '.5', '-5'; but not the dash of '- item' or the dot before a new sentence
            piece = before[-1] + piece if (before[-1] == ".") or not letters else piece
        if letters and (sign := _PLUS.match(folded, at)):
            piece += sign.group()
        found.append(piece.removesuffix("'s"))
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


def asks(text: str) -> bool:
    """Whether the text ends with a question mark of any script, closing quotes and brackets aside.

    A semicolon counts after a Greek letter, since keyboards write the Greek question mark so.
    """
    end = text.rstrip().rstrip("\"'”’»」』)）]】 ")
    return end.endswith(tuple(QUESTION_MARKS)) or regex.search(r"\p{Greek}\s*;$", end) is not None


def same(word: str, other: str) -> bool:
    """Whether two words are the same; `other` may be a Korean word with particles attached."""
    if word == other:
        return True
    return (
        other.startswith(word)
        and regex.search(r"\p{Hangul}$", word) is not None
        and _ENDS_OF_KOREAN.fullmatch(other, len(word)) is not None
    )
