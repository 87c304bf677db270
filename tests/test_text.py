"""Folding, words and containment of texts in any script."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sys2ft.text import asks, fold, names, spans, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("O’Brien", "O'Brien"), ("x‑ray", "x-ray"), ("2010–2012", "2010-2012"), ("STRASSE", "Straße"),
        ("İstanbul", "istanbul"), ("Ko\u0308ln", "Köln"), ("❤\ufe0f", "❤"), ("New\u200b York", "New York"),
        ("القَاهِرة", "القاهرة"), ("１６", "16"), ("१६", "16"), ("٣", "3"), ("−5", "-5"), ("שָׁלוֹם", "שלום"),
        ("co\u00adoperate", "cooperate"), ("2½", "2 1/2"), ("H₂O", "H2O"),
    ],
)  # fmt: skip
def test_readers_take_these_for_the_same(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("10²", "102"), ("का", "क"), ("Köln", "Koln"), ("2½", "21/2")])
def test_these_differ(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dorvel's 3.5 m, can't: x-ray!", ["dorvel", "3.5", "m", "can't", "x", "ray"]),
        ("C++, C# and .NET at -5 C", ["c++", "c#", "and", ".net", "at", "-5", "c"]),
        ("end. New - item 3-5", ["end", "new", "item", "3", "5"]),
        ("東京です", ["東", "京", "で", "す"]),
        ("यह काला है", ["यह", "काला", "है"]),
        ("Тест, слово.", ["тест", "слово"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("東京です", "東京", True), ("서울입니다", "서울", True), ("서울에서는", "서울", True),
        ("동서울", "서울", False),
        ("यह काला है", "काल", False), ("القاهرة،", "القاهرة", True), ("C++", "C", False), ("NET", ".NET", False),
        ("3.5 m", "5 m", False), ("2,500 m", "500 m", False), ("-5 C", "5 C", False), ("1/24", "1/2", False),
        ("11/2", "1/2", False), ("กรุงเทพมหานคร", "กรุงเทพ", True), ("It is green.", "green", True), ("x", "", False),
    ],
)  # fmt: skip
def test_names(text: str, part: str, expected: bool) -> None:
    assert names(text, part) is expected


@pytest.mark.parametrize("text", ["Why?", "为什么？", "لماذا؟", "Γιατί;", "Γιατί\u037e", '"Why?"', "Why? "])
def test_questions_of_every_script(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize("text", ["Done.", "Wait;", "完了。", "No? Yes.", ""])
def test_what_does_not_ask(text: str) -> None:
    assert not asks(text)


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing_more(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert all(word == word.casefold() and not word.isspace() for word in words(text))


@given(st.text(max_size=40))
def test_a_text_names_itself(text: str) -> None:
    assert names(text, text) is bool(words(text))


@pytest.mark.parametrize(
    ("text", "part", "count"),
    [
        ("In 2012, (12) or 12. But 12.5, 1,200, -12, 12:30 and B12 are others.", "12", 2),
        ("Alma's Al, Al's and al.", "Al", 2),
        ("a ~~ b ~~~ c", "~~", 1),
        ("1984年に東京へ", "1984", 1),
        ("1984年に東京へ", "東京", 1),
        ("E47は新しい。E471", "E47", 1),
        ("서울은 서울대", "서울", 1),
        ("nothing", "", 0),
        ("A (b) [c] a (b)", "(b) [c]", 1),
    ],
)
def test_places_of_whole_words_and_numbers(text: str, part: str, count: int) -> None:
    found = spans(text, part)
    assert len(found) == count
    assert all(text[start:end] == part for start, end in found)
