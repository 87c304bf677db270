"""Units: whether two say the same, and how many of one make the other."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import regex

from sys2ft.text import fold

CURRENCY_SIGNS = "$€£¥₹₩₽₺₿¢₫₪₱₴"
CURRENCY_CODES = {
    "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "cny": "¥", "rmb": "¥", "inr": "₹", "rs": "₹", "rs.": "₹",
    "krw": "₩", "rub": "₽", "chf": "chf", "cad": "cad", "aud": "aud", "btc": "₿",
}  # fmt: skip
_CURRENCY_WORDS = {
    "dollar": "$", "buck": "$", "us dollar": "$", "american dollar": "$", "euro": "€", "pound sterling": "£",
    "british pound": "£", "yen": "¥", "yuan": "¥", "renminbi": "¥", "rupee": "₹", "won": "₩", "rouble": "₽",
    "ruble": "₽", "lira": "₺", "bitcoin": "₿", "cent": "¢", "franc": "chf", "swiss franc": "chf", "元": "¥", "円": "¥",
    "percent": "%", "per cent": "%",
} | CURRENCY_CODES  # fmt: skip
_SAME = {
    "c": "celsius", "°c": "celsius", "degree celsius": "celsius", "degree c": "celsius", "degree centigrade": "celsius",
    "centigrade": "celsius", "f": "fahrenheit", "°f": "fahrenheit", "degree fahrenheit": "fahrenheit",
    "degree f": "fahrenheit", "°": "degree", "person": "people", "child": "children", "foot": "feet", "man": "men",
    "woman": "women", "公斤": "kg", "千克": "kg", "公里": "km", "米": "m", "メートル": "m", "キロ": "kg",
    "км": "km", "кг": "kg",
    "hr": "hour", "kilo": "kg", "metric ton": "tonne", "sec": "second",
    "yr": "year", "mph": "mile per hour", "kph": "km/h", "kmh": "km/h",
}  # fmt: skip
# Words after a number that are no unit.
_NO_UNIT = frozenset(
    """a about above added after again all already also altogether among an and any anymore are as at be because been
    before being below between both but by can come comes could did divided do does done down due each either
    equal equals even ever every exactly except few fewer find for from get gets give given gives go goes had
    has have he hence her here his how however i if in inside instead into is it its just kept left less like
    make makes many may me might minus more most much multiplied must my need needs next no nor not now of off
    on once one only or other others our out outside over overall own per plus please rather remain remained
    remaining remains right same see she should since so some still such sum take takes than that the their them
    then there therefore these they this those though thus till times to today together too total under until up
    upon us use used very was we went were what when where which while who whole whose why will with within
    without would yes yet you your ist sind war und oder von der die das est sont et ou de du des le la les es
    son y o el los las и или это в на из для""".split()  # noqa: SIM905 - a list of words reads best as text
)
_CLAUSE = regex.compile(r"(?:[^.,;:!?()\n=。，、；：！？（）]|\.(?=\p{L})|(?<=\b\p{L})\.)*", regex.V1)
_WORD = regex.compile(
    r"\s*[-]?\s*((?:[\p{L}°µμΩ'\"]|(?<=[\p{L}])[\p{M}])+\.?(?:\s?[/·*]\s?\p{L}+|\s?\^\s?-?\d|[23](?![\d.,]))*)",
    regex.V1,
)


def rest_of(text: str, end: int) -> str:
    """What follows a number up to the end of its clause."""
    clause = _CLAUSE.match(text, end, end + 120)
    return clause.group().strip() if clause else ""


def words_of(rest: str, most: int = 4) -> list[str]:
    """The first words after a number, in capitals and small letters as written."""
    found: list[str] = []
    at = 0
    while len(found) < most and (word := _WORD.match(rest, at)):
        found.append(word[1].strip().rstrip("."))
        at = word.end()
    return found


def is_unit(word: str) -> bool:
    """Whether a word after a number can be its unit: no word of function, adverb or participle."""
    form = fold(word)
    return form not in _NO_UNIT and (len(form) < 6 or not form.endswith(("ly", "ed", "ing")))


def factor(said: str, expected: str) -> Fraction | None:
    """How many of the unit `expected` make one of `said`, 1 if they are the same; None if they are different."""
    one, other = _canonical(said), _canonical(expected)
    if one == other:
        return None if differ_in_case(said, expected) else Fraction(1)
    if {one, other} == {"£", "pound"}:
        return Fraction(1)
    if "degree" in (one, other) and {one, other} & {"celsius", "fahrenheit"}:
        return Fraction(1)
    first, second = _measure(said), _measure(expected)
    if first is None or second is None:
        return None
    (size, kind), (other_size, other_kind) = first, second
    return Fraction(size / other_size).limit_denominator(10**12) if kind == other_kind else None


def is_known(unit: str) -> bool:
    """Whether the unit is a currency or a physical one."""
    return _canonical(unit) in {*_CURRENCY_WORDS.values(), "celsius", "fahrenheit"} or _measure(unit) is not None


def _canonical(unit: str) -> str:
    if unit in ("%", *CURRENCY_SIGNS):
        return unit
    unit = regex.sub(r"(?<=\p{L})(?=[23]$)", "^", unit)
    words = [word if word in _SAME else _singular(word) for word in fold(unit).replace("-", " ").split()]
    form = " ".join(words).removeprefix("the ")
    return _CURRENCY_WORDS.get(form) or _SAME.get(form) or form


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] not in "sui" else word


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # takes a second, and few answers have units that are written differently

    return pint.UnitRegistry()


@lru_cache(maxsize=1024)
def _measure(unit: str) -> tuple[float, str] | None:
    """(size in base units, dimension) of a physical unit; None if it is none, or has an offset like degrees Celsius."""
    words = regex.sub(r"(?<=\p{L})(?=[23]$)", "^", unit.replace(" per ", "/").strip())
    if not regex.search(r"\p{L}|°", words) or regex.search(r"\d{3}", words) or len(words) > 40:
        return None
    for form in (words, words.lower(), fold(words)):
        form = _SAME.get(form, form)
        try:
            base = _registry().Quantity(1.0, form).to_base_units()
            dimension = str(base.dimensionality)
        except Exception:  # pint raises errors of many kinds for a text that is no unit
            continue
        # Angles, percent and the like have no dimension: their names must be the same.
        return (float(base.magnitude), dimension if dimension != "dimensionless" else f"dimensionless {base.units}")
    return None


def differ_in_case(one: str, other: str) -> bool:
    """Whether two units that differ in capitals only are different ones: 'MW' and 'mW'."""
    if one == other or one.casefold() != other.casefold() or one.casefold() in ("am", "pm"):
        return False
    first, second = _measure(one), _measure(other)
    return first is not None and second is not None and first != second
