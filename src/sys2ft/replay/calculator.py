"""Equations that occur in a text, worked out: 'two cards in each of 3 rounds make 3 * 2 = 6'.

Only plain arithmetic with numbers is judged. What has a variable, an unknown sign or a unit within it is left alone,
and so is a number alone on both sides. Numbers are read with a point and with a comma before the decimals; an equation
is wrong if no reading makes it right. Right sides with decimals may be rounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import regex

from sys2ft.languages import ENGLISH, language
from sys2ft.text import fold, ungrouped

_SIGNS = str.maketrans({**dict.fromkeys("×·⋅∙✕✖⨯∗", "*"), "÷": "/", "∶": "/", **dict.fromkeys("$€£¥₽", " ")})
_TIMES = regex.compile(r"(?<=[\d)])(?<!\b0)\s*[x]\s*(?=[\d(])")
_THIN_GROUPS = regex.compile(r"(?<=\d)[’'_](?=\d{3}(?!\d))")
_SPACED_GROUPS = regex.compile(r"(?<=(?<![\d.,])\d{1,3}(?: \d{3})*) (?=\d{3}(?!\d))")
_FULL_HOUR = regex.compile(r"(?<=\d):00(?!\d)")  # 22:00 is 22 o'clock
_RUN = regex.compile(r"\d+")
_BOLD = regex.compile(r"\*\*(?![\d\s(])|(?<![\d\s)])\*\*")
_TOKEN = regex.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)|(?P<equals>(?<![<>=!:~])=(?![=>~]))|(?P<sign>\*\*|//|[-+*/^%()])|(?P<other>\S)"
)
_BEFORE = frozenset(".,;:!?\"'([{_`|>。．，、：；！？…،؛")
_MOST_TOKENS, _MOST_EXPONENT, _MOST_DIGITS = 60, 64, 40
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda one, other: Fraction(one // other),
    ast.Mod: operator.mod,
}


@lru_cache(maxsize=4096)
def wrong_equations(text: str, code: str = ENGLISH) -> tuple[str, ...]:
    """The equations of a text that ordinary arithmetic says are wrong. `code`: the language of words such as 'plus'."""
    found: list[str] = []
    for line in text.splitlines():
        plain = _plain(line, code)
        wrong = [sides for sides in _equations(plain, code) if not _holds(sides)]
        grouped = _SPACED_GROUPS.sub("", plain)  # '1 000 + 1 = 1001'
        if wrong and grouped != plain and all(map(_holds, _equations(grouped, code))):
            continue
        found += [" = ".join(map(str, sides)) for sides in wrong]
    return tuple(found)


def figures(text: str) -> list[str]:
    """Runs of digits of a text, in order and without groups: '1,200' has '1200', '3.5' has '3' and '5'."""
    return [str(run) for run in _RUN.findall(ungrouped(_FULL_HOUR.sub("", fold(text))))]


def computed(text: str, known: Iterable[str], code: str = ENGLISH) -> set[str]:
    """The figures of right equations in `text` that begin with known figures, or with those of an earlier one."""
    found: set[str] = set()
    for line in text.splitlines():
        for sides in _equations(_plain(line, code), code):
            own = [figures(str(side)) for side in sides]
            if any(_readings(sides)) and found.union(known).issuperset(own[0]):
                found.update(*own)
    return found


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Side(list[_Token]):
    """What is on one side of an equals sign."""

    def __str__(self) -> str:
        return " ".join(token.text for token in self)

    def value(self, point: str) -> Fraction | None:
        """Its value, with `point` before decimals; None if it cannot be computed."""
        numbers: dict[str, Fraction] = {}
        parts = []
        for place, token in enumerate(self):
            if token.kind != "number":
                parts.append({"^": "**"}.get(token.text, token.text))
                continue
            number = _number(token.text, point)
            if number is None:
                return None
            numbers[f"n{place}"] = number
            parts.append(f"n{place}")
            if place + 1 < len(self) and self[place + 1].text == "(":
                parts.append("*")  # 2(3 + 4)
        try:
            return _value(ast.parse("".join(parts), mode="eval").body, numbers)
        except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
            return None


def _plain(line: str, code: str) -> str:
    """A folded line with one form for every sign, and signs for the words of the language that mean one."""
    text = _BOLD.sub("", fold(line))
    text = str(_THIN_GROUPS.sub("", _TIMES.sub(" * ", text.translate(_SIGNS))))
    for pattern, sign in _words_for_signs(code):
        text = str(pattern.sub(sign, text))
    return text


@lru_cache(maxsize=32)
def _words_for_signs(code: str) -> tuple[tuple[regex.Pattern[str], str], ...]:
    """Words between two numbers, or after an expression and before a number, that mean a sign; English ones always."""
    lines = dict.fromkeys(line for one in (ENGLISH, code) for line in language(one).lines("words_of_signs"))
    made = []
    for line in lines:
        sign, words = line.split(maxsplit=1)
        space = r"\s*" if not words.isascii() else r"\s+"
        before = r"(?<=[\d)])" if sign != "=" else r"(?<=[-+*/^]\s*\(?\d+(?:[.,]\d+)*\)?)"
        made.append((regex.compile(rf"{before}{space}(?:{words}){space}(?=[-(]?\d)"), f" {sign} "))
    return tuple(sorted(made, key=lambda one: one[1] == " = "))  # '2 plus 3 is 5': the operation comes first


@lru_cache(maxsize=32)
def _sign_word(code: str) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """A word that means an operation, at the end of a text, and at its start."""
    lines = [line for one in (ENGLISH, code) for line in language(one).lines("words_of_signs") if line[0] != "="]
    words = "|".join(line.split(maxsplit=1)[1] for line in lines)
    return regex.compile(rf"\b(?:{words})\s*$"), regex.compile(rf"\s*(?:{words})\b")


def _equations(line: str, code: str) -> list[list[_Side]]:
    """The equations of a line, each as its sides, without what cannot belong to them."""
    found: list[list[_Side]] = []
    run: list[_Token] = []
    last: _Token | None = None  # what precedes the run
    for match in _TOKEN.finditer(line + " \0"):
        token = _Token(match.lastgroup or "", match.group(), match.start(), match.end())
        if token.kind != "other":
            run.append(token)
            continue
        if any(one.kind == "equals" for one in run) and (sides := _sides(run, last, token, line)):
            ended, begun = _sign_word(code)  # 'x times 3 + 2 = 9' has a part that cannot be read
            if not ended.search(line[: sides[0][0].start]) and not begun.match(line[sides[-1][-1].end :]):
                found.append(sides)
        run, last = [], token
    return found


def _sides(run: Sequence[_Token], before: _Token | None, after: _Token, line: str) -> list[_Side]:
    """The sides of the equation in a run of numbers and signs; [] if it is none that can be judged."""
    sides = [_Side()]
    for token in run:
        if token.kind == "equals":
            sides.append(_Side())
        else:
            sides[-1].append(token)
    if len(sides[0]) > 1 and sides[0][0].text == "-" and sides[0][0].end < sides[0][1].start:
        if before is not None:
            return []  # a dash, or the rest of 'x - 3 * 2'
        del sides[0][0]  # the bullet of a list
    own = sides[0][:]
    sides[0], sides[-1] = _Side(_tail(sides[0])), _Side(_head(sides[-1]))
    if sides[0] == own and own and not _may_precede(before, own[0], line):
        return []
    end = sides[-1][-1] if sides[-1] else None
    if end is None or (end.end == after.start and (after.text.isalnum() or after.text in "_!²³√°")):
        return []
    if not all(sides) or max(map(len, sides)) > _MOST_TOKENS:
        return []
    signs = {"+", "-", "*", "/", "//", "^", "**", "%"}
    worked = any(token.text in signs for side in sides for token in side[1:])
    ends_open = any(side[0].text in signs - {"-", "+"} or side[-1].text in signs for side in sides)
    return sides if worked and not ends_open else []


def _tail(side: Sequence[_Token]) -> list[_Token]:
    """The last expression of a side: without a number that ends before it, and without open brackets."""
    start = 0
    for place, (one, two) in enumerate(pairwise(side), 1):
        if _apart(one, two):
            start = place
    kept, depth = list(side[start:]), 0
    for place in range(len(kept) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(kept[place].text, 0)
        if depth < 0:
            return kept[place + 1 :]
    return kept


def _head(side: Sequence[_Token]) -> list[_Token]:
    """The first expression of a side: without a number that begins after it, and without closing brackets or dashes."""
    kept: list[_Token] = []
    depth = 0
    for token in side:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0 or (kept and _apart(kept[-1], token)):
            break
        kept.append(token)
    if len(kept) > 1 and kept[-1].text == "-" and kept[-1].start > kept[-2].end:
        kept.pop()  # a dash after the equation
    return kept


def _apart(one: _Token, two: _Token) -> bool:
    """Whether an expression ends between two tokens: 'in 2031 3 * 2 = 6'."""
    ends, begins = one.kind == "number" or one.text == ")", two.kind == "number" or two.text == "("
    return ends and begins and (two.kind == "number" or two.start > one.end)


def _may_precede(before: _Token | None, first: _Token, line: str) -> bool:
    """Whether an expression can begin after this token, rather than continue what cannot be read."""
    if before is None or before.text in _BEFORE:
        text = line[: before.start].rstrip() if before else ""
        # '12 : 3 + 1' divides, and '5 @ 2' has a sign of its own
        return not (before and before.text == ":" and text[-1:].isdigit())
    return before.text.isalpha() and before.end < first.start


def _number(text: str, point: str) -> Fraction | None:
    """A number whose decimals follow `point`, and whose thousands are separated by the other mark."""
    if len(text) > _MOST_DIGITS:
        return None
    group = "," if point == "." else "."
    whole, _, decimals = text.partition(point)
    if group in whole and not regex.fullmatch(rf"\d{{1,3}}(?:{regex.escape(group)}\d{{3}})+", whole):
        return None
    if not (decimals.isdigit() if point in text else True):
        return None
    return Fraction(f"{whole.replace(group, '')}.{decimals or 0}")


def _holds(sides: Sequence[_Side]) -> bool:
    """Whether the sides are equal in one reading of their numbers, or cannot be computed."""
    readings = _readings(sides)
    return any(readings) or not readings


def _readings(sides: Sequence[_Side]) -> list[bool]:
    """Whether the sides are equal, for each reading of their numbers in which all can be computed."""
    readings = []
    for point in ".,":
        values = [side.value(point) for side in sides]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            continue
        pairs = zip(pairwise(known), pairwise(sides), strict=True)
        readings.append(all(_same(one, two, side, point) for (one, two), (_, side) in pairs))
    return readings


def _same(one: Fraction, two: Fraction, side: Sequence[_Token], point: str) -> bool:
    """Whether a value equals the next side, which may be rounded to the decimals that it shows."""
    if one == two:
        return True
    decimals = len(side[-1].text.partition(point)[2]) if len(side) == 1 else 0
    unit = Fraction(1, 10**decimals)
    return decimals > 0 and (abs(one - two) <= unit / 2 or 0 <= abs(one) - abs(two) < unit)  # rounded, or cut


def _value(node: ast.expr, numbers: dict[str, Fraction]) -> Fraction:
    """The value of an expression of numbers. Raises ValueError for anything else, ArithmeticError if it has none."""
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        inner = _value(node.operand, numbers)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, numbers), _value(node.right, numbers)
        if isinstance(node.op, ast.Pow):
            if right.denominator != 1 or abs(right) > _MOST_EXPONENT or abs(left) > 10**6:
                raise ValueError("a power that is no use to work out")
            return left ** int(right)
        if work := _OPERATIONS.get(type(node.op)):
            return work(left, right)
    raise ValueError("not arithmetic")
