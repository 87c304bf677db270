"""python -m benchmarks.graders: which share of the grader cases each candidate library decides as wanted, by kind.

Prints the table of docs/grading.md. A library that is not installed is left out; the package needs none of those that
only the comparison uses:

    pip install math-verify quantulum3 text2num word2number number-parser cn2an babel
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sys2ft.evaluation.graders import grade
from sys2ft.news import Question

CASES = Path(__file__).resolve().parent.parent / "tests" / "data" / "graders.jsonl"
KINDS = (
    "border", "exact", "sign", "grouping", "magnitude", "power", "fraction", "percent", "unit", "words", "script",
    "date", "which",
)  # fmt: skip
Judge = Callable[[str, str], bool]
"""(said, expected answer) -> whether the library takes one for the other."""


def last_number(text: str) -> float | None:
    """The last number in digits, as a caller of a library that replaces words by digits would find it."""
    found = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
    return float(found[-1]) if found else None


def equal(said: Any, expected: Any) -> bool:
    """Whether two numbers were read, and are equal up to rounding."""
    return said is not None and expected is not None and abs(said - expected) <= 1e-9 * abs(expected)


def math_verify() -> Judge:
    """`verify(parse(answer), parse(said))`, as its documentation shows."""
    library = importlib.import_module("math_verify")
    return lambda said, answer: bool(
        library.verify(
            library.parse(answer, parsing_timeout=None), library.parse(said, parsing_timeout=None), timeout_seconds=None
        )
    )


def quantulum3() -> Judge:
    """The last quantity of each text: value, and unit if the answer has one."""
    parser = importlib.import_module("quantulum3.parser")

    def judge(said: str, answer: str) -> bool:
        found, expected = parser.parse(said), parser.parse(answer)
        if not found or not expected:
            return False
        unit = expected[-1].unit.name
        return equal(found[-1].value, expected[-1].value) and unit in ("dimensionless", found[-1].unit.name)

    return judge


def text2num() -> Judge:
    """Words replaced by digits, then the last number."""
    library = importlib.import_module("text_to_num")
    return lambda said, answer: equal(last_number(library.alpha2digit(said, "en")), last_number(answer))


def word2number() -> Judge:
    """The number that the words of the text are."""
    library = importlib.import_module("word2number.w2n")
    return lambda said, answer: equal(library.word_to_num(said), last_number(answer))


def number_parser() -> Judge:
    """Words replaced by digits, then the last number."""
    library = importlib.import_module("number_parser")
    return lambda said, answer: equal(last_number(library.parse(said)), last_number(answer))


def cn2an() -> Judge:
    """Chinese numerals replaced by digits, then the last number."""
    library = importlib.import_module("cn2an")
    return lambda said, answer: equal(last_number(library.transform(said, "cn2an")), last_number(answer))


def babel() -> Judge:
    """The text as a decimal number of the locale en."""
    library = importlib.import_module("babel.numbers")
    return lambda said, answer: bool(library.parse_decimal(said, "en") == library.parse_decimal(answer, "en"))


def pint() -> Judge:
    """The text as a quantity."""
    units = importlib.import_module("pint").UnitRegistry()
    return lambda said, answer: bool(units.Quantity(said) == units.Quantity(answer))


def dateparser() -> Judge:
    """The text as a date."""
    library = importlib.import_module("dateparser")

    def judge(said: str, answer: str) -> bool:
        found = library.parse(said, languages=["en", "de", "es", "fr", "it", "ru", "zh", "ko"])
        return found is not None and found == library.parse(answer, languages=["en"])

    return judge


LIBRARIES: dict[str, tuple[str, Callable[[], Judge]]] = {
    "math-verify": ("math_verify", math_verify),
    "quantulum3": ("quantulum3", quantulum3),
    "text2num": ("text_to_num", text2num),
    "word2number": ("word2number", word2number),
    "number-parser": ("number_parser", number_parser),
    "cn2an": ("cn2an", cn2an),
    "babel": ("babel", babel),
    "pint": ("pint", pint),
    "dateparser": ("dateparser", dateparser),
}


def share(cases: list[dict[str, Any]], judge: Callable[[dict[str, Any]], bool]) -> str:
    """'92/100': percent of the right answers that are taken, and of the wrong ones that are not."""
    parts = []
    for want in (True, False):
        some = [case for case in cases if case["want"] is want]
        parts.append(f"{100 * sum(judge(case) is want for case in some) / len(some):.0f}")
    return "/".join(parts)


def guarded(judge: Judge) -> Callable[[dict[str, Any]], bool]:
    """A library that raises does not take the answer."""

    def taken(case: dict[str, Any]) -> bool:
        try:
            return judge(case["said"], case["answer"])
        except Exception:
            return False

    return taken


def ours(case: dict[str, Any]) -> bool:
    """The grader that the question of a case names."""
    fields = {name: value for name, value in case.items() if name not in ("kind", "label", "said", "want", "question")}
    return grade(case["said"], Question(text=case.get("question", "Q?"), **fields)).correct is True


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    columns: dict[str, Callable[[dict[str, Any]], bool]] = {"sys2ft": ours}
    columns |= {name: guarded(make()) for name, (module, make) in LIBRARIES.items() if find_spec(module)}
    print(f"| kind | cases | {' | '.join(columns)} |")
    print(f"|---|---:|{'---:|' * len(columns)}")
    for kind in KINDS:
        some = [case for case in cases if case["kind"] == kind]
        print(f"| {kind} | {len(some)} | {' | '.join(share(some, judge) for judge in columns.values())} |")


if __name__ == "__main__":
    main()
