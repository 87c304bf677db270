"""Dates in a text: in ISO form, in digits, and with the month in words of any language (read by dateparser)."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex

from sys2ft.languages.spelled import ordinals

_F = regex.IGNORECASE | regex.V1
_MONTHS = {name.casefold(): n for n, name in enumerate(calendar.month_name) if n}
_MONTHS |= {name.casefold(): n for n, name in enumerate(calendar.month_abbr) if n} | {"sept": 9}
# Those that dateparser reads quickly: for a word that is no month it loads every language.
_LANGUAGES = "en es fr de it pt nl ru uk pl cs sv da nb fi el tr ar he hi bn fa ur id vi ro hu bg th".split()  # noqa: SIM905
_YEAR = r"(?P<year>[12]\d{3})(?!\d)"
_DAY = r"(?<![\d.,])(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º|ª)?"
_NAME = r"(?P<month>\p{L}[\p{L}\p{M}]{1,14})\.?"
_DAY_FIRST = regex.compile(rf"{_DAY}\s*(?:de |of |d[ie] |-)?\s*{_NAME}(?:(?:\s+de[l]?|\s+of)?[\s,-]+{_YEAR})?", _F)
_MONTH_FIRST = regex.compile(rf"(?<!\p{{L}}){_NAME}\s+(?:the\s+)?{_DAY}(?!\d)(?:,?\s+(?:of\s+)?{_YEAR})?", _F)
_ISO = regex.compile(r"(?<!\d)(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?!\d)")
_EAST_ASIA = regex.compile(
    r"(?:(?P<year>\d{4})\s*[年년]\s*)?(?P<month>\d{1,2})\s*[月월]\s*(?P<day>\d{1,2})\s*[日号號일]"
)
_DIGITS = regex.compile(r"(?<![\d.])(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})(?!\d)")


@dataclass(frozen=True, slots=True)
class Date:
    """A day at `text[start:end]`: (year or None, month, day). `other`: its second reading, if it has two."""

    start: int
    end: int
    day: tuple[int | None, int, int]
    other: tuple[int | None, int, int] | None = None

    def is_day_of(self, expected: Date) -> bool:
        """Whether it is the expected day; the year counts if the expected date has one."""
        return self.day[1:] == expected.day[1:] and expected.day[0] in (None, self.day[0])


@lru_cache(maxsize=4096)
def dates(text: str, day_first: bool = False) -> tuple[Date, ...]:
    """The dates of a text from `plain`, in order.

    '4.5.2031' has the day first, since no country writes the month first with dots. '4/5/2031' and '4-5-2031' have two
    readings unless `day_first`, or unless one of them is no date.
    """
    found = [*_named(text), *_plain(text, day_first)]
    kept: list[Date] = []
    for one in sorted(found, key=lambda date: (date.start - date.end, date.start)):
        if not any(one.start < other.end and other.start < one.end for other in kept):
            kept.append(one)
    return tuple(sorted(kept, key=lambda date: date.start))


def with_digits(text: str) -> str:
    """The text with its ordinals in digits: 'the twenty-fifth of May' becomes 'the 25th of May'."""
    for start, end, value in reversed([*ordinals(text)]):
        text = f"{text[:start]}{value}th{text[end:]}"
    return text


def _named(text: str) -> Iterator[Date]:
    for pattern in (_DAY_FIRST, _MONTH_FIRST):
        for match in pattern.finditer(text, overlapped=True):
            month = _month(match["month"].casefold(), dated=match["year"] is not None)
            date = _valid(match["year"], month, match["day"]) if month else None
            if date:
                yield Date(match.start(), match.end(), date)


def _plain(text: str, day_first: bool) -> Iterator[Date]:
    for pattern in (_ISO, _EAST_ASIA):
        for match in pattern.finditer(text):
            date = _valid(match["year"], match["month"], match["day"])
            if date:
                yield Date(match.start(), match.end(), date)
    for match in _DIGITS.finditer(text):
        first = _valid(match["year"], match["second"], match["first"])
        second = _valid(match["year"], match["first"], match["second"])
        if match["mark"] == "." or day_first:
            second = None if first else second
        if first or second:
            day, other = (first, second) if first else (second, None)
            assert day
            yield Date(match.start(), match.end(), day, other if other != day else None)


@lru_cache(maxsize=4096)
def _month(name: str, dated: bool) -> int | None:
    """The month that a word names; languages other than English are looked up only where a year makes it a date."""
    if name in _MONTHS or not dated:
        return _MONTHS.get(name)
    import dateparser  # slow to load, and most answers are no dates

    found = dateparser.parse(
        f"1 {name} 2000", languages=_LANGUAGES, settings={"REQUIRE_PARTS": ["day", "month", "year"]}
    )
    return found.month if found and (found.year, found.day) == (2000, 1) else None


def _valid(year: str | None, month: str | int, day: str) -> tuple[int | None, int, int] | None:
    try:
        datetime.date(int(year or 2000), int(month), int(day))
    except ValueError:
        return None
    return (int(year) if year else None, int(month), int(day))
