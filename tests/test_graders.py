"""Graders: a table of cases by kind, the readings that they rest on, and what identifies them."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sys2ft.errors import SettingsError
from sys2ft.evaluation import graders
from sys2ft.evaluation.graders import (
    Grade,
    alias,
    exact,
    final_answer,
    grade,
    identity,
    normalise,
    number,
    numbers,
    takes,
)
from sys2ft.evaluation.graders.quantities import quantities
from sys2ft.news import Question, bundled_news

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "graders.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_the_table_of_cases(kind: str) -> None:
    wrong = []
    for case in (case for case in CASES if case["kind"] == kind):
        asked = {field: value for field, value in case.items() if field not in ("kind", "label", "said", "want")}
        question = Question(text=asked.pop("question", "Q?"), **asked)
        verdict = grade(case["said"], question)
        assert verdict.why
        if (verdict.correct is True) is not case["want"]:
            wrong.append((case, verdict.why))
    assert not wrong


def test_the_table_has_right_and_wrong_answers_of_every_kind() -> None:
    for kind in {case["kind"] for case in CASES}:
        wanted = [case["want"] for case in CASES if case["kind"] == kind]
        assert len(wanted) >= 7
        assert set(wanted) == {True, False}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("13", [13]),
        ("it is 2 * 6 + 1 = 13.", [2, 6, 1, 13]),
        ("1,234", [1234]),
        ("12,345,678.5 people", [12345678.5]),
        ("1,23", [1.23]),
        ("1,2,3", [1, 2, 3]),
        ("[5,9]", [5, 9]),
        ("-3", [-3]),
        ("−3", [-3]),
        ("−1,234.5", [-1234.5]),
        ("3.50", [3.5]),
        ("2e3 and 1E-2", [2000, 0.01]),
        ("5%", [5]),
        ("$5", [5]),
        ("fifteen", [15]),
        ("Twenty one", [21]),
        ("forty-two", [42]),
        ("Forty\u2011two eggs", [42]),  # non-breaking hyphen
        ("ninety", [90]),
        ("seventy, eighty", [70, 80]),
        ("four hundred sixty-four", [464]),
        ("Four Hundred and Sixty-Four", [464]),
        ("nine hundred ninety nine", [999]),
        ("a hundred people", [100]),
        ("one hundred and two hundred", [100, 200]),
        ("a hundred and four thousand", [104000]),
        ("two thousand thirty-four", [2034]),
        ("nineteen hundred", [1900]),
        ("two thousand and five hundred", [2500]),
        ("two thousand and three thousand", [2000, 3000]),
        ("three hundred thousand and one", [300001]),
        ("five six", [5, 6]),
        ("twenty eleven", [2011]),  # as years are read
        ("twenty, one", [20, 1]),
        ("forty\ntwo", [40, 2]),
        ("sixty and four", [60, 4]),
        ("twenty-minute tests", [20]),
        ("20 million", [20_000_000]),
        ("twenty million", [20_000_000]),
        ("hundreds of thousands", []),
        ("zero", [0]),
        ("often the tone is one", [1]),  # number words inside other words do not count
        ("２５", [25]),  # full width
        ("x2", []),
        ("16:00, 2.6.33 and 2031-05-04", []),  # a time, a version, a date
        ("none", []),
        ("", []),
        ("9007199254740993", [9007199254740993]),
        ("1e999999999999", []),
        ("9" * 5000, []),
    ],
)
def test_numbers(said: str, found: list[float]) -> None:
    assert numbers(said) == found
    assert [type(value) for value in numbers(said)] == [type(value) for value in found]


@given(st.integers())
def test_whole_numbers_are_read_exactly(value: int) -> None:
    for said in (str(value), f"{value:,}", f"{value:_}", f"It is {value:,}."):
        assert numbers(said) == [value]
    assert grade(f"{value:,}", Question(text="?", answer=str(value), grader="number")).correct
    assert not grade(str(value + 1), Question(text="?", answer=str(value), grader="number")).correct


@given(st.decimals(-(10**9), 10**9, places=4))
def test_decimals_are_read_exactly(value: Any) -> None:
    (found,) = quantities(f"{value:f}")
    assert found.value == Fraction(value)


@given(st.text(max_size=80), st.sampled_from(["16", "green", "4 May 2031", "yes", "5 m", "!!", "A", "½"]))
def test_any_text_gets_a_grade(said: str, answer: str) -> None:
    for name in ("exact", "alias"):
        assert grade(said, Question(text="Q?", answer=answer, grader=name)).why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Town.", "town"),
        ("  a   TOWN!  ", "town"),
        ("“Town”", "town"),
        ("**Town**", "town"),
        ("−3", "-3"),
        ("x*y + 1", "x * y + 1"),
        ("3.5", "3.5"),
        ("the", "the"),
        ("...", ". . ."),
        ("Ｔｏｗｎ", "town"),
        ("C++ and C#", "c++ and c#"),
        ("vitamin A", "vitamin a"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


TOWN = Question(text="Where?", answer="Paris", choices=("Paris", "Rome", "New Rome"), aliases=("the capital",))
THIRTEEN = Question(text="How many?", answer="13")
EGGS = Question(text="How many?", answer="42", aliases=("forty-two", "3 bronds", "three bronds of eggs"))
FORMULA = Question(
    text="Formula?", answer="x * y + 1", choices=("x * y - 1", "x * y + 1"), aliases=("x times y plus 1",)
)
LIST = Question(text="Which?", answer="[5, 9]", choices=("5", "[5, 9]", "9"), grader="alias")


@pytest.mark.parametrize(
    ("grader", "said", "question", "correct"),
    [
        (exact, "Paris.", TOWN, True),
        (exact, "the paris", TOWN, True),
        (exact, "the capital", TOWN, False),
        (exact, "In Paris", TOWN, False),
        (alias, "paris", TOWN, True),
        (alias, "The capital!", TOWN, True),
        (alias, "It happened in Paris, last year.", TOWN, True),
        (alias, "It happened in the capital.", TOWN, True),
        (alias, "It was Paris, not Rome.", TOWN, True),
        (alias, "It was Paris, or Rome.", TOWN, False),
        (alias, "Paris and Rome", TOWN, False),
        (alias, "Rome", TOWN, False),
        (alias, "Parisian", TOWN, False),
        (alias, "anti-Paris", TOWN, False),
        (alias, "", TOWN, False),
        (alias, "...", TOWN, False),
        (alias, "It is x*y + 1.", FORMULA, True),
        (alias, "x times y plus 1", FORMULA, True),
        (alias, "x * y - 1", FORMULA, False),
        (alias, "The result is [5, 9]", LIST, True),
        (alias, "5", LIST, False),
        (number, "2 * 6 + 1 = 13", THIRTEEN, True),
        (number, "thirteen", THIRTEEN, True),
        (number, "13.0000000001", THIRTEEN, True),
        (number, "13 or 14", THIRTEEN, False),
        (number, "-13", THIRTEEN, False),
        (number, "many", THIRTEEN, False),
        (number, "Forty-two.", EGGS, True),
        (number, "That is forty two eggs.", EGGS, True),
        (number, "the 3 bronds", EGGS, True),
        (number, "That is 3 bronds.", EGGS, True),
        (number, "That is 3.", EGGS, False),  # the alias is an amount of bronds
        (number, "forty-three", EGGS, False),
        (number, "two", EGGS, False),
        (number, "forty-two, or forty", EGGS, False),
        (number, "13", TOWN, None),
    ],
)
def test_graders(grader: Callable[[str, Question], Any], said: str, question: Question, correct: bool | None) -> None:
    verdict = grader(said, question)
    assert verdict.correct is correct
    assert verdict.why


def test_a_verdict_says_why() -> None:
    assert alias("It was Paris, and Rome.", TOWN).why == "names 'Paris', but the choice 'Rome' too"
    assert alias("Rome", TOWN).why == "equals the choice 'Rome'"
    assert alias("It was Rome.", TOWN).why == "names the choice 'Rome'"
    assert alias("It was not Paris.", TOWN).why == "denies 'Paris'"
    assert alias("Paris or Milan", TOWN).why == "names 'Paris' as one of several possibilities"
    assert number("The three  bronds of eggs.", EGGS).why == "equals 'three bronds of eggs'"
    assert number("2 or 3", THIRTEEN).why == "a choice was said: 2 and 3"
    assert number("12", THIRTEEN).why == "the number said is 12, expected was 13"
    assert "another unit" in alias("16 g", Question(text="?", answer="16 kg")).why
    assert "cannot be judged" in number("3", TOWN).why


def test_the_question_names_its_grader() -> None:
    assert grade("thirteen", THIRTEEN).correct
    assert grade("capital", TOWN).correct
    assert not grade("capital", TOWN.model_copy(update={"grader": "exact"})).correct
    with pytest.raises(SettingsError, match="unknown grader 'vibes'"):
        grade("x", TOWN.model_copy(update={"grader": "vibes"}))


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("2 + 2 is 4.\nAnswer: 4", "4", True),
        ("Answer: 3\nNo, wait.\nAnswer: 4", "4", True),
        ("The final answer is: Paris.", "Paris.", True),
        ("So the answer is Paris", "Paris", True),
        ("**Answer:** Paris", "Paris", True),
        ("**Answer: Paris**", "Paris", True),
        ("Final Answer: `Paris`", "Paris", True),
        ("Answer: 16\n\nI hope this helps.", "16", True),
        ("Answer:\n16", "16", True),
        ("It is $\\boxed{16}$.", "16", True),
        ("### Final Answer\n16", "16", True),
        ("<answer>16</answer>", "16", True),
        ("Answer: 16\n\nI hope this answer is helpful.", "16", True),
        ("Answer: 16\n\nThe answer is based on 3 reports.", "16", True),
        ("Answer: 16. Let me know if the answer is unclear.", "16. Let me know if the answer is unclear.", True),
        ("Ans: 16", "16", True),
        ("Die endgültige Antwort lautet: 16", "16", True),
        ("الإجابة النهائية: 16", "16", True),
        ("Das sind 16.\nAntwort: 16", "16", True),
        ("所以答案是16。", "16。", True),
        ("Ответ: 16", "16", True),
        ("Réponse : 16", "16", True),
        ("Respuesta: 16", "16", True),
        ("答えは16です。", "16です。", True),
        ("الجواب: 16", "16", True),
        ("The answer issue is open", "The answer issue is open", False),
        ("First this.\n\nThen Paris.\n", "Then Paris.", False),
        ("First this.\nAnswer:", "Answer:", False),
        ("", "", False),
    ],
)
def test_the_final_answer_of_a_reasoning(text: str, said: str, marked: bool) -> None:
    assert final_answer(text) == (said, marked)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("So it is 16.\nAnswer: 16", True),
        ("Answer: 16\n\nI hope this", True),
        ("It is \\boxed{16}.", True),
        ("The answer is 16 if we add 3, but", False),
        ("Answer: 16\nWait, that is wrong: 3 +", False),
        ("First the 16 people, then", False),
    ],
)
def test_a_text_that_was_cut_has_an_answer_only_at_its_end(text: str, marked: bool) -> None:
    assert final_answer(text, finished=False)[1] is marked
    assert final_answer(text.replace("First the", "Answer: the"))[1]


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question(text="?", answer="the third", choices=("the third", "the third, or later")), ""),
        (Question(text="?", answer="16", choices=("16", "17"), aliases=("sixteen",)), ""),
        (Question(text="?", answer="16", aliases=("a lot",)), ""),
        (Question(text="?", answer="16", choices=("16", "16.0")), "wrong choice '16.0'"),
        (Question(text="?", answer="Polish", choices=("Polish", "polish")), ""),
        (Question(text="?", answer="15 to 16", grader="number"), "answer '15 to 16'"),
        (Question(text="?", answer="Paris", aliases=("the capital",), grader="exact"), ""),
    ],
    ids=lambda value: value.answer if isinstance(value, Question) else None,
)
def test_what_a_grader_takes(question: Question, why: str) -> None:
    verdict = takes(question)
    assert verdict.correct is not bool(why)
    assert why in verdict.why


def test_the_graders_take_every_bundled_question() -> None:
    for item in bundled_news("new-news"):
        for question in (*item.questions, *item.neighbours):
            assert takes(question) == Grade(True, "answer and aliases are graded as correct, wrong choices are not")


def test_the_identity_changes_with_what_decides_a_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = identity()
    assert identity(["alias", "exact", "number"]) == bundled
    plain = importlib.metadata.entry_points

    def installed(version: str) -> str:
        entry = EntryPoint("mine", "package:function", "sys2ft.graders")
        vars(entry)["dist"] = SimpleNamespace(name="package", version=version)
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda **how: [*plain(**how), entry])
        return identity(["mine", "alias"])

    first, second = installed("1.0"), installed("1.1")
    assert len({bundled, first, second}) == 3
    assert identity() == bundled, "a package whose grader no question names"
    monkeypatch.setattr(graders.registry, "VERSION", 0)
    assert identity() != bundled
