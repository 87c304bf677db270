"""Numbers in words: English ('forty-two', 'two and a half'), Han numerals ('四十五万'), and words of other languages.

The words of other languages are in the section 'number_words' of their files: a number, then its forms. Only numbers
of one word are known there; several in a row ('quatre-vingt-dix') are left as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import regex

from sys2ft.languages.language import ENGLISH, language

_BELOW_20 = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen""".split()  # noqa: SIM905 - a list of words reads best as text
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_UNITS = {word: n for n, word in enumerate(_BELOW_20)} | {"nought": 0, "naught": 0}
_WORTH = _UNITS | {word: 10 * n for n, word in enumerate(_TENS, start=2)} | {"fourty": 40}
_SCALES = {
    "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7, "billion": 10**9, "milliard": 10**9,
    "trillion": 10**12, "quadrillion": 10**15, "quintillion": 10**18,
}  # fmt: skip
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
          "eighth": 8, "ninth": 9, "tenth": 10, "twentieth": 20, "hundredth": 100, "thousandth": 1000}  # fmt: skip
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30, "fortieth": 40,
    "fiftieth": 50, "sixtieth": 60, "seventieth": 70, "eightieth": 80, "ninetieth": 90, "hundredth": 100,
    "thousandth": 1000, "millionth": 10**6,
}  # fmt: skip
_MULTIPLY = {*_SCALES, "hundred", "dozen"}
_NUMBER_WORDS = {*_WORTH, *_SCALES, "hundred", "dozen"}
_LINKS = {"and", "a", "an", "point", "oh", "half", "halves", *_PARTS, *(f"{part}s" for part in _PARTS)}
_WORD = regex.compile(r"\p{L}+")
_GAP = regex.compile(r"[^\S\n]*-?[^\S\n]*|[^\S\n]+")

MAGNITUDES: dict[str, int] = (
    _SCALES
    | {"hundred": 100, "dozen": 12, "k": 10**3, "bn": 10**9, "mn": 10**6, "mln": 10**6, "mio": 10**6, "mrd": 10**9}
    | {"tn": 10**12, "tausend": 10**3, "mille": 10**3, "mil": 10**3, "millionen": 10**6, "milliarde": 10**9}
    | {"milliarden": 10**9, "millón": 10**6, "millon": 10**6, "millones": 10**6, "milhão": 10**6, "milhões": 10**6}
    | {"milione": 10**6, "milioni": 10**6, "miliardi": 10**9, "bilhões": 10**9, "тыс": 10**3, "тысяча": 10**3}
    | {"тысячи": 10**3, "тысяч": 10**3, "млн": 10**6, "миллион": 10**6, "миллиона": 10**6, "миллионов": 10**6}
    | {"млрд": 10**9, "миллиард": 10**9, "миллиарда": 10**9, "миллиардов": 10**9, "مليون": 10**6, "مليار": 10**9}
    | {"ألف": 10**3, "آلاف": 10**3, "हज़ार": 10**3, "लाख": 10**5, "करोड़": 10**7, "천": 10**3, "만": 10**4, "억": 10**8}
)
"""Words after a number in digits that multiply it."""

_HAN_SCALES = {"万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
_HAN_DIGITS = {"〇": 0, "零": 0, "两": 2, "兩": 2, "廿": 20, "卅": 30}
_RARELY_ALONE = "一百千拾佰仟万萬億亿兆"
_HAN = regex.compile(r"(?!零下)[一二三四五六七八九〇零两兩十百千廿卅壹贰叁肆伍陆柒捌玖拾佰仟萬万億亿兆]+")

_HAN_PART = regex.compile(rf"(?!百分之)({_HAN.pattern})分之({_HAN.pattern})")  # 三分之二

_SEPARATE = regex.compile(r"[^\S\n]*[-\s][^\S\n]*(?:(?:et|y|und|и|e)[-\s])?")


@lru_cache(maxsize=4096)
def in_digits(text: str, code: str = ENGLISH, *, ones: bool = False) -> str:
    """The text with its numbers in words written in digits: 'eight arches' becomes '8 arches'.

    `code`: the language of the text; English words and Han numerals are read in any. Fractions below 1, ordinals and a
    single 1, whose word is mostly an article or a pronoun, stay words; with `ones` the latter becomes a digit.
    """
    found = [*english(text), *(han(text) if _HAN.search(text) else ()), *listed(text, code)]
    parts, at = [], 0
    for start, end, value in sorted(found, key=lambda one: (one[0], -one[1])):
        shown = _shown(value)
        if start < at or not shown or (value == 1 and not ones):
            continue
        parts += [text[at:start], shown]
        at = end
    return "".join([*parts, text[at:]])


def _shown(value: Fraction) -> str:
    """A number in digits; empty if it is below 1, zero aside, or has no end."""
    if value.denominator == 1:
        return str(value.numerator) if value >= 0 and value < 10**30 else ""
    return str(float(value)) if value > 1 and value == Fraction(str(float(value))) else ""


def listed(text: str, code: str) -> Iterator[tuple[int, int, Fraction]]:
    """(start, end, value) of the numbers whose words the language's file lists, where no other such word is beside."""
    forms, pattern = _listed(code)
    found = list(pattern.finditer(text)) if forms else []
    for place, one in enumerate(found):
        before, after = found[place - 1 : place], found[place + 1 : place + 2]
        joined = [*((other.end(), one.start()) for other in before), *((one.end(), other.start()) for other in after)]
        if not any(_SEPARATE.fullmatch(text, *gap) for gap in joined):
            yield one.start(), one.end(), Fraction(forms[one.group().casefold()])


@lru_cache(maxsize=32)
def _listed(code: str) -> tuple[dict[str, int], regex.Pattern[str]]:
    lines = (line.split() for line in language(code).lines("number_words"))
    forms = {form: int(number) for number, *words in lines for form in words}
    return forms, regex.compile(rf"(?i)\b(?:{'|'.join(sorted(forms, key=len, reverse=True))})\b")


def english(text: str) -> Iterator[tuple[int, int, Fraction]]:
    """(start, end, value) of the numbers in English words."""
    words = list(_WORD.finditer(text))
    if len(words) == 1 and words[0].group().casefold() in ("hundred", "thousand", "million", "billion", "dozen"):
        yield *words[0].span(), Fraction(MAGNITUDES[words[0].group().casefold()])
    at = 0
    while at < len(words):
        run = _run(text, words, at)
        if not run:
            at += 1
            continue
        # The longest beginning of the run that is a number; what remains of the run may be another one.
        for size in range(len(run), 0, -1):
            value = _value([word.group().casefold() for word in run[:size]])
            if value is not None and not _goes_on(words, at + size):
                yield run[0].start(), run[size - 1].end(), value
                at += size
                break
        else:
            at += 1


def _goes_on(words: Sequence[regex.Match[str]], at: int) -> bool:
    """Whether the next word belongs to the number before it: 'one hundred and two hundred', 'twenty-first'."""
    if at >= len(words):
        return False
    last, follows = words[at - 1].group().casefold(), words[at].group().casefold()
    joined = words[at].start() - words[at - 1].end() == 1
    return joined and (follows in _MULTIPLY or (last in _TENS and _ORDINALS.get(follows, 10) < 10))


def ordinals(text: str) -> Iterator[tuple[int, int, Fraction]]:
    """(start, end, value) of the ordinals in English words: 'third', 'twenty-first'."""
    tens = "|".join(_TENS)
    for found in regex.finditer(rf"(?i)\b(?:({tens})[- ])?({'|'.join(_ORDINALS)})\b", text):
        before = _WORTH[found[1].casefold()] if found[1] else 0
        yield found.start(), found.end(), Fraction(before + _ORDINALS[found[2].casefold()])


def han(text: str) -> Iterator[tuple[int, int, Fraction]]:
    """(start, end, value) of the numbers in Han numerals; a lone 一 within a text is mostly an article, and none."""
    for found in _HAN_PART.finditer(text):
        below, above = han_value(found[1]), han_value(found[2])
        if below and above is not None:
            yield found.start(), found.end(), Fraction(above, below)
    for found in _HAN.finditer(text):
        value = han_value(found.group())
        if value is not None and (found.group() not in _RARELY_ALONE or text.strip(" 。.") == found.group()):
            yield found.start(), found.end(), Fraction(value)


def han_value(numeral: str) -> int | None:
    """The value of a Han numeral: '二千零三十一' and '二〇三一' are 2031; None if it is none."""
    digits = [_worth(sign) for sign in numeral]
    if len(numeral) > 1 and all(digit < 10 for digit in digits):
        return int("".join(map(str, digits)))
    total = below = digit = 0
    for sign, worth in zip(numeral, digits, strict=True):
        if sign in _HAN_SCALES:
            total = (
                (total + below + digit or 1) * worth if worth > 10**4 or not total else total + (below + digit) * worth
            )
            below = digit = 0
        elif worth >= 10:
            below, digit = below + (digit or 1) * worth, 0
        else:
            if digit:
                return None
            digit = worth
    return total + below + digit


def han_scale(text: str, at: int) -> tuple[int, int]:
    """(end, factor) of the Han scale signs at `at`: '千万' is 10^7."""
    found = regex.compile("[百千]?[万萬億亿兆]|[百千](?![万萬億亿兆])").match(text, at)
    if not found:
        return at, 1
    factor = 1
    for sign in found.group():
        factor *= _worth(sign)
    return found.end(), factor


def _worth(sign: str) -> int:
    known = _HAN_SCALES.get(sign, _HAN_DIGITS.get(sign))
    return int(unicodedata.numeric(sign)) if known is None else known


def _run(text: str, words: Sequence[regex.Match[str]], at: int) -> list[regex.Match[str]]:
    """The words from `at` that may be of one number: number words, and links between or after them."""
    run: list[regex.Match[str]] = []
    for word in words[at : at + 24]:
        if run and not _GAP.fullmatch(text, run[-1].end(), word.start()) and not _grouped(text, words, at + len(run)):
            break
        form = word.group().casefold()
        if form in _NUMBER_WORDS or form in _LINKS:
            run.append(word)
        else:
            break
    first = run[0].group().casefold() if run else ""
    return run if first in _NUMBER_WORDS or first in ("a", "an", "half", "quarter") else []


def _grouped(text: str, words: Sequence[regex.Match[str]], at: int) -> bool:
    """Whether a comma groups the words of one number: 'eight thousand, three hundred'."""
    if at + 1 >= len(words) or text[words[at - 1].end() : words[at].start()] != ", ":
        return False
    last, follows = words[at - 1].group().casefold(), words[at + 1].group().casefold()
    return last in _SCALES and (follows == "hundred" or _SCALES.get(follows, 10**30) < _SCALES[last])


def _value(words: list[str]) -> Fraction | None:
    """The value of words that are one number as a whole; None if they are not."""
    if words[-1] in ("and", "a", "an", "point", "oh"):
        return None
    if words in (["half"], ["quarter"]):
        return Fraction(1, _PARTS[words[0]])
    if words[:2] in (["half", "a"], ["quarter", "a"]):
        times = MAGNITUDES.get(words[2]) if len(words) == 3 else None
        return Fraction(times, _PARTS[words[0]]) if times else None
    if words[-3:] == ["and", "a", "half"] and len(words) > 3 and words[-4] in _SCALES:  # 'a million and a half'
        whole = _whole(words[:-3])
        return whole + Fraction(_SCALES[words[-4]], 2) if whole is not None else None
    scale = _SCALES.get(words[-1])
    if scale and len(words) > 2 and words[-2] in ("half", "quarter", "quarters"):
        whole = _value(words[:-1])  # 'two and a half million'
        return whole * scale if whole is not None else None
    part = _part(words)
    if part is not None:
        return part
    if "point" in words:
        return _decimal(words)
    return _year(words) or _whole(words)


def _part(words: list[str]) -> Fraction | None:
    """'Three quarters', 'a third', 'two and a half'."""
    last = words[-1]
    base = _PARTS.get(last) or _PARTS.get(last.removesuffix("s"))
    if not base or len(words) < 2:
        return None
    if "and" in words and (whole := _whole(words[: len(words) - 1 - words[::-1].index("and")])) is not None:
        rest = _part(words[len(words) - words[::-1].index("and") :])
        return whole + rest if rest is not None and rest < 1 else None
    count = 1 if words[:-1] in (["a"], ["an"]) else _whole(words[:-1])
    if count is None or (count > 1) != (last.endswith("s") or last == "halves"):
        return None
    return Fraction(count) / base


def _decimal(words: list[str]) -> Fraction | None:
    """'Three point one four'."""
    at = words.index("point")
    whole = _whole(words[:at]) if at else None
    digits = [_UNITS.get(word, 0 if word == "oh" else 10) for word in words[at + 1 :]]
    scale = _SCALES.get(words[-1])
    if scale:
        digits = digits[:-1]
    if whole is None or not digits or max(digits) > 9:
        return None
    return (whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))) * (scale or 1)


def _year(words: list[str]) -> Fraction | None:
    """'Nineteen eighty-four', 'twenty thirty-one': two numbers below a hundred, as years are read."""
    if "and" in words or not all(word in _WORTH for word in words) or not 2 <= len(words) <= 4:
        return None
    for at in (1, 2):
        first, second = _whole(words[:at]), _whole(words[at:])
        if first is not None and second is not None and 10 < first < 100 and 10 <= second < 100:
            return 100 * first + second
    return None


def _whole(words: list[str]) -> Fraction | None:
    """The value of a whole number in words, by the rules of English; None if the words are no single number."""
    total, below, last, scaled = 0, 0, 10**30, 10**30  # `last`: worth of the word before, which sets what may follow
    joined = False
    if words[-1:] == ["dozen"]:
        count = 1 if words[:-1] in ([], ["a"]) else _whole(words[:-1])
        return Fraction(12 * count) if count is not None and words != ["dozen"] else None
    for here, word in enumerate(words):
        if word in ("a", "an"):
            follows = words[here + 1] if here + 1 < len(words) else ""
            if here or not (follows == "hundred" or follows in _SCALES):
                return None
            below, last = 1, 1
        elif word == "and":
            if not here or last not in (100, *_SCALES.values()):
                return None
            joined = True
            continue
        elif word == "hundred":
            if not 1 <= below <= 99 or last > 99 or (joined and not scaled < 10**30):
                return None
            below, last = below * 100, 100
        elif word in _SCALES:
            if not below or _SCALES[word] >= scaled or (joined and scaled < 10**30 and below > 999):
                return None
            scaled = last = _SCALES[word]
            total, below = total + below * scaled, 0
        elif word in _WORTH:
            worth = _WORTH[word]
            if last == 0 or (last < 100 and not (last >= 20 and last % 10 == 0 and 1 <= worth <= 9)):
                return None
            below, last = below + worth, worth if worth else 0
        else:
            return None
        joined = False
    # Only 'a hundred' and the like count without a number before them.
    return Fraction(total + below) if words and words[0] != "and" else None
