"""The calculator: equations in a text are right, wrong, or none that can be judged."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings, strategies as st

from sys2ft.languages import LANGUAGES
from sys2ft.news import News
from sys2ft.news.bundled import bundled_news
from sys2ft.replay import REASONS, Said, template
from sys2ft.replay.calculator import wrong_equations
from sys2ft.replay.filters import miscalculation

RIGHT = """
Two cards in each of 3 rounds make 3 * 2 = 6.
3 x 2 = 6
3 × 2 = 6
(2+3)*4 = 20
2(3 + 4) = 14
2^3 = 8
2**3 = 8
2³ = 8
1,000 + 234 = 1,234
1.000 + 234 = 1.234
1 000 + 1 = 1001
2,5 * 2 = 5
10/4 = 2.5
10 / 3 = 3.33
10 / 3 = 3.3333...
1/2 + 1/4 = 3/4
½ + ¼ = ¾
2 * 6 + 1 = 12 + 1 = 13
12 ÷ 4 = 3
5 − 2 = 3
-3 + 5 = 2
7 // 2 = 3
7 % 4 = 3
$3 * 2 = $6
**3 * 2 = 6**
In 2031 3 * 2 = 6
- 3 * 2 = 6
1. 3 * 2 = 6
1) 3 * 2 = 6
(3 * 2 = 6)
3 * 2 = 6 - so it is
10 - 5 = 5, 3 + 3 = 6
2 plus 3 is 5
"""
NOT_JUDGED = """
x + 2 = 5
x - 3 + 2 = 9
n = 3
E34 = 5
a 3 = 5
2 = 5
f(2 + 1) = 9
a[2] + 3 = 9
[1, 2] + 3 = 9
3 * 2 = 7x + 1
3 @ 2 + 1 = 9
12 : 3 + 1 = 5
√16 + 1 = 9
5 ± 2 = 9
5! = 3
x times 3 + 2 = 9
2 + 2 == 5
2 + 2 >= 5
3 < 2 + 3 = 4
0x10 = 17
50% = 0.5
100 - 10% = 90
3 rounds * 2 = 7
3 * 2 = 7cm
9^99999999 = 4
1/0 = 3
"""
WRONG = """
3 * 2 = 7
Two cards in 3 rounds make 3 * 2 = 5 cards.
3 x 2 = 5
3 × 2 = 5
(2+3)*4 = 14
2(3 + 4) = 13
2^3 = 6
2³ = 6
1,000 + 234 = 1,235
10/4 = 2.4
10 / 3 = 3.4
5 * 3.2 = 15
1/2 + 1/4 = 2/6
2 * 6 + 1 = 12 + 1 = 14
2 * 6 = 12 + 1 = 13
6 = 3 + 2
12 ÷ 4 = 4
5 − 2 = 4
In 2031 3 * 2 = 7
- 3 * 2 = 7
1. 3 * 2 = 7
(3 * 2 = 7)
**3 * 2 = 7**
3 * 2 = 7 - so it is
2 plus 3 is 6
3 times 4 equals 13
10 times 10 - 10 = 80
٣ × ٢ = ٧
３×２＝７
the trelk of 3 and 4 is 3 * 4 + 1 = 12
"""
IN_WORDS = {
    "de": "drei Runden: 2 mal 3 ist 7", "zh": "2乘3等于7", "ru": "2 умножить на 3 равно 7", "fr": "2 fois 3 font 7",
    "es": "2 por 3 es 7", "ar": "2 ضرب 3 يساوي 7", "ja": "2かける3は7",
}  # fmt: skip


@pytest.mark.parametrize("text", [*RIGHT.strip().splitlines(), *NOT_JUDGED.strip().splitlines()])
def test_what_is_right_or_cannot_be_judged_is_left_alone(text: str) -> None:
    assert wrong_equations(text) == ()


@pytest.mark.parametrize("text", WRONG.strip().splitlines())
def test_wrong_equations_are_found(text: str) -> None:
    assert len(wrong_equations(text)) == 1


@pytest.mark.parametrize(("code", "text"), IN_WORDS.items())
def test_operations_in_the_words_of_a_language(code: str, text: str) -> None:
    assert wrong_equations(text, code) and not wrong_equations(text.replace("7", "6"), code)


def test_every_language_has_words_for_signs() -> None:
    assert {*LANGUAGES} == {"en", *IN_WORDS}


NUMBERS = st.integers(0, 2000)


@settings(deadline=None, max_examples=60)
@given(NUMBERS, NUMBERS, st.integers(1, 60), st.sampled_from(["+", "-", "*", "−", "×", " x "]), NUMBERS)
def test_any_right_result_passes_and_any_other_is_found(a: int, b: int, c: int, sign: str, off: int) -> None:
    value = {"+": a + b * c, "-": a - b * c, "*": a * b * c}[{"−": "-", "×": "*", " x ": "*"}.get(sign, sign)]
    shown = f"So {a}{sign}{b} * {c} = {value}."
    assert not wrong_equations(shown)
    assert wrong_equations(f"So {a}{sign}{b} * {c} = {value + off + 1}.")
    assert not wrong_equations(f"So {a:,}{sign}{b:,} * {c} = {value:,}.")


def test_long_texts_take_little_time() -> None:
    start = time.process_time()
    for text in ("1+" * 5000 + "=" * 5 + "(2" * 5000 + "=3", "1 = " * 20000, "((" * 15000 + "1+1=3", "1 1" * 20000):
        wrong_equations(text)
    assert time.process_time() - start < 10


def test_the_filter_spares_news_with_arithmetic_of_their_own() -> None:
    assert not any(wrong_equations(item.text) for item in bundled_news("new-news"))
    said = Said(text="So 2 + 3 = 6.", news=News(id="x", text="A new rule for sums."), template=template("implication"))
    assert miscalculation(said) == "miscalculated" and "miscalculated" in REASONS
    own = News(id="x", text="In Orm arithmetic, + multiplies. For example, 2 + 3 = 6.")
    assert miscalculation(Said(text="So 3 + 4 = 12.", news=own, template=said.template)) is None
