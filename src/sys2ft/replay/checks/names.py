"""Names: names, numbers and words of an element are in its news item, or follow from a calculation that it writes out.

A question may bring numbers of its own, as an example; a name in it has to be the news item's.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Sequence
from fractions import Fraction

import regex

from sys2ft.replay.checks.claim import Check, Claim, Row, Scores
from sys2ft.replay.filters import content_words, unknown_names, unknown_numbers
from sys2ft.replay.settings import GenerateSettings
from sys2ft.text import fold

_DIGITS = regex.compile(r"\d+")
_EQUATION = regex.compile(r"\(?\d[\d\s.()+*/×·÷=-]*=[\d\s.()+*/×·÷=-]*\d\)?")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/"})
_MOST_CHARACTERS = 200
_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def read(claim: Claim, rows: Sequence[Row]) -> Scores:
    """The names and numbers that are nowhere to be had from, and the share of content words that the news item has."""
    shown = f"{claim.news.text} {claim.question}"
    numbers = [one for one in unknown_numbers(claim.said, shown) if one not in computed(claim.said, shown)]
    own = f"{claim.question} {claim.said}"
    names = [] if claim.brings_names else unknown_names(own, claim.news.text, claim.code)
    said = content_words(own, claim.code)
    shared = len(said & content_words(claim.news.text, claim.code)) / len(said) if said else 0.0
    return {"unknown": [*names, *numbers], "words": round(shared, 5)}


def computed(text: str, shown: str) -> set[str]:
    """Numbers in equations of `text` that are right and begin with numbers that `shown` or an earlier one has."""
    known = set(_DIGITS.findall(fold(shown)))
    for equation in _EQUATION.findall(fold(text).translate(_SIGNS)):
        sides = [_value(side) for side in equation.split("=")]
        if None not in sides and len(set(sides)) == 1 and known.issuperset(_DIGITS.findall(equation.split("=")[0])):
            known.update(_DIGITS.findall(equation))
    return known


def _value(expression: str) -> Fraction | None:
    """The value of an expression of numbers, the four operations and brackets; None if it is none."""
    try:
        if len(expression) <= _MOST_CHARACTERS:
            return _of(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        pass
    return None


def _of(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_of(node.left), _of(node.right))  # type: ignore[no-any-return]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_of(node.operand)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    raise ValueError("not an expression of numbers")


def fails(claim: Claim, scores: Scores, settings: GenerateSettings) -> bool:
    return bool(scores["unknown"] or scores["words"] < settings.min_words)


NAMES = Check(name="names", reason="invented", by="text", read=read, fails=fails)
