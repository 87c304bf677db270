"""Warnings of `news check` about choices and answers that cannot be measured with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from sys2ft.evaluation.answerable import too_many_choices, unanswerable
from sys2ft.evaluation.graders import grade
from sys2ft.news import News, Question, check, load_news
from sys2ft.news.checks import same_choices

SAME = [
    ("3", "3.0"), ("3", "3.", "3.00"), ("1000", "1,000", "1 000", "1e3"), ("+5", "5"), (".5", "0.5"), ("−5", "-5"),
    ("Green", "green "), ("Polish", "polish"), ("the red one", "red one", "A red one"), ("the Sun", "Sun", "a sun"),
    ("New York", "New  York", "new york."), ("“quoted”", '"quoted"', "quoted"), ("it’s", "it's"),
    ("naïve", "nai\u0308ve"),
    ("ﬁsh", "fish"), ("STRASSE", "straße"), ("non-fiction", "non‑fiction"), ("soft\u00adware", "software"),
    ("Ａ", "A"), ("٣", "3"), ("*bold*", "bold"), ("Anna (the elder)", "Anna the elder"), ("УТРО", "утро"),
    ("橋。", "橋"),
]  # fmt: skip
OTHER = [
    ("3", "30"), ("3", "-3"), ("+5", "-5"), ("10²", "102"), ("3.5", "35"), ("1.5", "1,5"), ("5%", "5"), ("5 m", "5 km"),
    ("C", "C++", "C#"), (".NET", "NET"), ("A", "B", "C"), ("A", "An"), ("New York", "New York City", "York"),
    ("x < 3", "x > 3"), ("a + b", "a - b"), ("(1, 2)", "(1.2)"), ("yes", "no"), ("resume", "résumé"), ("5'", '5"'),
    ("橋", "端"), ("10:1", "10.1"), ("the", "a"), ("+", "-"), ("*", "/"),
]  # fmt: skip


@pytest.mark.parametrize("choices", SAME, ids=str)
def test_choices_that_differ_in_spelling_only(choices: tuple[str, ...]) -> None:
    assert same_choices([*choices, "another"]) == [list(choices)]
    question = Question(text="Which?", answer=choices[0].strip(), choices=(*choices, "another"))
    warnings = check([News(id="n", text="x", questions=(question, question))])
    assert any(line.startswith("n, question 1: choices that are the same") for line in warnings)
    assert all(repr(choice.strip()) in "".join(warnings) for choice in choices)


@pytest.mark.parametrize("choices", OTHER, ids=str)
def test_choices_that_differ(choices: tuple[str, ...]) -> None:
    assert same_choices(choices) == []


@given(st.lists(st.text(max_size=6), max_size=5, unique=True))
def test_any_choices_can_be_compared(choices: list[str]) -> None:
    groups = same_choices(choices)
    assert all(len(group) > 1 for group in groups)
    assert len({choice for group in groups for choice in group}) == sum(map(len, groups))


def test_the_bundled_sets_have_no_such_choices_or_answers() -> None:
    for name in ("demo", "new-news"):
        news = load_news(Path(name))
        assert [line for line in check(news) if "the same apart" in line] == []
        assert too_many_choices(news) == unanswerable(news) == []


def asked(answer: str, *wrong: str, **how: object) -> News:
    question = {"text": "Which?", "answer": answer, **({"choices": [answer, *wrong]} if wrong else {}), **how}
    return News.model_validate({"id": "n", "text": "x", "questions": [question], "neighbours": [question]})


@pytest.mark.parametrize("answer", ["!", "...", "?!", "A", "the", "New York", "10²", "-", "C++", "x, or y"])
def test_what_the_grader_gets_wrong_is_warned_of(answer: str) -> None:
    """A warning for each right answer that is not taken and each wrong one that is, and no other."""
    wrong = ["New York City", "102", "B", "green"]
    one = asked(answer, *wrong)
    (question,) = one.questions
    said = "\n".join(unanswerable([one]))
    assert (f"{answer!r}, said exactly, is not taken" in said) == (grade(answer, question).correct is not True)
    for choice in wrong:
        assert (f"the wrong choice {choice!r}, said exactly, is taken" in said) == bool(grade(choice, question).correct)
    assert all(line.startswith(("n, question 1: ", "n, neighbour 1: ")) for line in said.split("\n") if line)


def test_answers_that_are_taken() -> None:
    for one in (asked("green", "red"), asked("16", "15", aliases=["sixteen"]), asked("Anna", grader="exact")):
        assert unanswerable([one]) == []
    assert unanswerable([asked("Anna", grader="exact", aliases=["Ann"])]) == []  # `exact` reads no aliases


def test_more_choices_than_letters() -> None:
    most = 26 + 26 * 26
    assert too_many_choices([asked("c0", *(f"c{n}" for n in range(1, most)))]) == []
    assert too_many_choices([asked("c0", *(f"c{n}" for n in range(1, most + 1)))]) == [
        "n, question 1: 703 choices, of which only 702 can be lettered"
    ]
