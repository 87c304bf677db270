"""The numbers of a text with what belongs to them: sign, fraction, power, magnitude, percent, currency, unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import regex

from sys2ft.evaluation.graders.markup import before, plain
from sys2ft.evaluation.graders.units import CURRENCY_CODES, CURRENCY_SIGNS
from sys2ft.languages import spelled

Kind = Literal["cardinal", "ordinal"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """The number at `text[start:end]`.

    `step` is the worth of the last digit that was written; 0 for fractions and powers. `currency` is the name of a
    currency with a sign or code, '%' for a percentage, else ''.
    """

    value: Fraction
    start: int
    end: int
    step: Fraction = Fraction(0)
    currency: str = ""
    kind: Kind = "cardinal"


_F = regex.IGNORECASE | regex.V1
_LEFT = r"(?<![\p{Latin}\p{Greek}\p{Cyrillic}\p{Devanagari}\d_^])(?<!\d[.,:/])"
_MONEY = rf"(?:(?:us|au?|ca?|hk|nz)?[{CURRENCY_SIGNS}]|(?:{'|'.join(CURRENCY_CODES)})(?![\p{{L}}]))"
_BODY = (
    r"(?:\d{1,3}(?:[ '_]\d{3})+(?:[.,]\d+)?(?![\d.,]*\d)|0\.\d{3}(?: \d{3})+(?!\d)|\d+(?:[.,_]\d+)*|\.\d+)"
    r"(?:e[-+]?\d+)?"
)
# Times, dates in digits, decades and the like are no numbers.
_COMPOUND = r"\d{3}0s\b|\d{1,4}:\d{1,4}(?::\d{2})?(?!\d)|\d{1,4}(?P<mark>[-/.])\d{1,2}(?P=mark)\d{1,4}(?![\d/]|\.\d)"
_NUMBER = regex.compile(
    rf"{_LEFT}(?:(?P<no>{_COMPOUND})"
    rf"|(?:(?P<sign>[-+](?:\s(?=\d))?|(?:minus|negative|moins|menos|минус|负|負|零下|マイナス|영하)\s*)?(?P<pre>{_MONEY})?\s?(?P<late>-)?"
    rf"(?P<body>{_BODY})(?!\d)))",
    _F,
)
_MIXED = regex.compile(r"[ -](\d+)/(\d+)(?![\d/])")
_FRACTION = regex.compile(r"\s?/\s?(\d+)(?![\d/]|[.,]\d)")
_SCIENTIFIC = regex.compile(r"\s*(?:[x×*·⋅∙]|times)\s*10\s*(?:\^|\*\*)\s*[({]?\s*([-+]?\d+)\s*[)}]?", _F)
_POWER = regex.compile(r"\s?(?:\^|\*\*|to the power of)\s*[({]?\s*([-+]?\d+)\s*[)}]?", _F)
_ORDINAL = regex.compile(r"(?:st|nd|rd|th)\b", _F)
_MAGNITUDE = regex.compile(
    r"(?:\s*(?:-\s?)?(?:a\s+)?("
    + "|".join(sorted(spelled.MAGNITUDES, key=len, reverse=True))
    + r")s?(?![\p{L}\d'])\.?)+",
    _F,
)
_LETTER = regex.compile(r"\s?([kmb])(?![\p{L}\d'/^])", _F)
_PERCENT = regex.compile(
    r"\s*(?:%|٪|per\s?cent(?:age)?\b|pct\b|prozent\b|por ci?ento\b|per cento\b|pour cent\b|procent\w*|процент\w*"
    r"|パーセント|퍼센트|प्रतिशत|بالمئة|بالمائة|في المئة|في المائة)",
    _F,
)
_MONEY_AFTER = regex.compile(rf"\s?{_MONEY}", _F)
_NEGATIVE_WORD = regex.compile(r"(?<![\d)]\s?)\b(?:minus|negative)\s+(?:a\s+)?$|(?:零下|负|負|マイナス)$", _F)
_BELOW_ZERO = regex.compile(r"\s*(?:°|degrees?\b)?\s*(?:[cf]\b|celsius|fahrenheit)?\s*below (?:zero|freezing)\b", _F)
# A dash with a space after it is a minus at the start, or after one of these.
_BEFORE_MINUS = regex.compile(
    r"(?:^|[=:(\n]|\b(?:is|was|are|were|be|of|at|to|equals|about|answer|by|or|and|it's))\s*$", _F
)
_LIST = regex.compile(r"\[[^\[\]]*$")
_LONGEST = 400  # digits, and the largest exponent


@lru_cache(maxsize=4096)
def quantities(text: str, comma: bool = False) -> tuple[Quantity, ...]:
    """The numbers of a text from `plain`, in order. `comma`: '1,234' and '1.234' are read with a decimal comma."""
    found = [*_digits(text, comma)]
    taken = bytearray(len(text))  # 1 at each place that belongs to a number
    for start, end in [(one.start, one.end) for one in found] + [
        match.span("no") for match in _NUMBER.finditer(text) if match["no"]
    ]:
        taken[start:end] = b"\1" * (end - start)
    for spell in (spelled.english, spelled.han):
        for start, end, value in spell(text):
            if not any(taken[start:end]):
                step = Fraction(1) if value.denominator == 1 else Fraction(0)
                one = _finish(text, Quantity(value, start, end, step))
                found.append(one)
                taken[start : one.end] = b"\1" * (one.end - start)
    if not any(one.kind == "cardinal" for one in found):
        found += [Quantity(value, start, end, kind="ordinal") for start, end, value in spelled.ordinals(text)]
    return tuple(_outermost(found))


def numbers(text: str, comma: bool = False) -> list[int | float]:
    """The numbers in a text, in order: in digits or in words, whole ones exactly."""
    values = [one.value for one in quantities(plain(text), comma) if one.kind == "cardinal"]
    return [int(value) if value.denominator == 1 else _as_float(value) for value in values]


def read(body: str, comma: bool) -> list[tuple[Fraction, Fraction]]:
    """(value, worth of the last digit) of a number in digits; several if it is a list, none if it is no number."""
    body, _, exponent = body.casefold().partition("e")
    body = body.replace("_", "").replace("'", "").replace(" ", "")
    power = int(exponent or 0) if len(exponent) < 8 else _LONGEST + 1
    if len(body) > _LONGEST or abs(power) > _LONGEST:
        return []
    points, commas = body.count("."), body.count(",")
    if points and commas:
        decimal, group = (".", ",") if body.rfind(".") > body.rfind(",") else (",", ".")
        if body.count(decimal) > 1 or not _grouped(body.partition(decimal)[0], group):
            return []
        body = body.replace(group, "").replace(decimal, ".")
    elif points + commas:
        sign = "." if points else ","
        first, _, last = body.rpartition(sign)
        usual = (sign == ",") != comma  # whether the sign usually groups in this text
        if _grouped(body, sign) and (points + commas > 1 or usual):
            body = body.replace(sign, "")
        elif points + commas > 1:
            return [one for part in body.split(",") for one in read(part, comma)] if commas else []
        else:
            body = f"{first}.{last}"
    whole, _, places = body.partition(".")
    scale = Fraction(10) ** power
    return [(Fraction(int(whole + places), 10 ** len(places)) * scale, Fraction(1, 10 ** len(places)) * scale)]


def _grouped(digits: str, sign: str) -> bool:
    """Whether the digits are in groups of thousands, or of India's lakhs and crores; '0,125' is not."""
    western, indian = rf"[1-9]\d{{0,2}}(?:\{sign}\d{{3}})*", rf"[1-9]\d?(?:\{sign}\d{{2}})+\{sign}\d{{3}}"
    return regex.fullmatch(rf"{western}|{indian}", digits) is not None


def _digits(text: str, comma: bool) -> Iterator[Quantity]:
    for match in _NUMBER.finditer(text):
        if match["no"]:
            continue
        in_list = _LIST.search(before(text, match.start())) is not None and "]" in text[match.end() : match.end() + 240]
        if in_list and match["body"].count(",") == 1 and "." not in match["body"]:
            values = [one for part in match["body"].split(",") for one in read(part, comma)]
        else:
            values = read(match["body"], comma)
        start = match.start("pre") if match["pre"] else match.start("body")
        negative = False
        sign = match["sign"] or ("-" if match["late"] else "")
        if sign and (sign != "+"):
            spaced = sign != "-" and sign.strip() == "-"
            ahead = before(text, match.start("sign")) if match["sign"] else ""
            binary = regex.search(r"[\d)\]}]\s*$", ahead) is not None
            glued = regex.search(r"[\w.)\]}%]$", ahead) is not None
            negative = bool(_BEFORE_MINUS.search(ahead)) if spaced else not (binary and sign != "-") and not glued
            if sign == "-" and binary and regex.search(r"[\d)\]}]\s+$", ahead):
                negative = False  # '7 -5'
            start = match.start("sign") if negative and match["sign"] else start
        currency = CURRENCY_CODES.get(
            (match["pre"] or "").strip().casefold(), (match["pre"] or "").strip().casefold()[-1:]
        )
        for here, (value, step) in enumerate(values):
            last = here == len(values) - 1
            one = Quantity(value, start, match.end("body"), step, currency if last else "")
            one = _finish(text, one) if last else one
            yield replace(one, value=-one.value) if negative else one


def _finish(text: str, one: Quantity) -> Quantity:
    """The number with the fraction, power, magnitude, percent or currency that follows it."""
    value, step, end, currency = one.value, one.step, one.end, one.currency
    whole = value.denominator == 1
    if whole and (mixed := _MIXED.match(text, end)) and 0 < int(mixed[1][:9]) < int(mixed[2][:9]):
        value, step, end = value + Fraction(int(mixed[1]), int(mixed[2])), Fraction(0), mixed.end()
    elif whole and (part := _FRACTION.match(text, end)) and int(part[1][:9]) and len(part[1]) < 9:
        value, step, end = value / int(part[1]), Fraction(0), part.end()
    elif (ten := _SCIENTIFIC.match(text, end)) and abs(int(ten[1][:6])) <= _LONGEST:
        scale = Fraction(10) ** int(ten[1])
        value, step, end = value * scale, step * scale, ten.end()
    elif (power := _POWER.match(text, end)) and abs(int(power[1][:6])) <= _LONGEST and 0 < value < 10**6:
        value, step, end = value ** int(power[1]), Fraction(0), power.end()
    if ordinal := _ORDINAL.match(text, end):
        return replace(one, value=value, end=ordinal.end(), kind="ordinal")
    value, step, end = _magnified(text, value, step, end, money=bool(currency))
    if percent := _PERCENT.match(text, end):
        end, currency = percent.end(), "%"
    elif money := _MONEY_AFTER.match(text, end):
        sign = money.group().strip().casefold()
        end, currency = money.end(), CURRENCY_CODES.get(sign, sign[-1])
    below = _BELOW_ZERO.match(text, end)
    if below or _NEGATIVE_WORD.search(before(text, one.start)):
        value, end = -abs(value), below.end() if below else end
    return Quantity(value, one.start, end, step, currency)


def _magnified(text: str, value: Fraction, step: Fraction, end: int, money: bool) -> tuple[Fraction, Fraction, int]:
    if words := _MAGNITUDE.match(text, end):
        for word in words.captures(1):
            value, step = value * spelled.MAGNITUDES[word.casefold()], step * spelled.MAGNITUDES[word.casefold()]
        return value, step, words.end() - (1 if words.group().endswith(".") else 0)
    letter = _LETTER.match(text, end)
    if letter and (
        money or (letter[1] == "k" and letter.start(1) == end) or (letter[1] in "MB" and letter.start(1) == end)
    ):
        scale = {"k": 10**3, "m": 10**6, "b": 10**9}[letter[1].casefold()]
        return value * scale, step * scale, letter.end()
    after, factor = spelled.han_scale(text, end)
    if factor == 1:
        return value, step, end
    value, step = value * factor, step * factor
    more = _NUMBER.match(text, after) or regex.match(r"(?P<body>\d+)", text[after:])  # '1億2000万'
    if more and more["body"] and text[after : after + 1].isdigit():
        digits = regex.compile(r"\d+").match(text, after)
        added, _, last = _magnified(
            text, Fraction(int(digits.group()[:_LONGEST])), Fraction(1), digits.end(), money=False
        )
        if added < factor:
            return value + added, Fraction(1), last
    return value, step, after


def _outermost(found: list[Quantity]) -> Iterator[Quantity]:
    """The numbers in order, without those within another one: the '8' of '10^8'."""
    span = (0, 0)
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if one.end <= span[1] and (one.start, one.end) != span:
            continue
        span = (one.start, one.end)
        yield one


def _as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
