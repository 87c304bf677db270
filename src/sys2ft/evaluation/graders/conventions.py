"""Whether the numbers of a question have a decimal comma ('1.000,5') or a decimal point ('1,000.5')."""

from __future__ import annotations

from functools import lru_cache

import regex

from sys2ft.evaluation.graders.markup import plain
from sys2ft.news import Question

_NOT_BEFORE = r"(?<![\d.,])"
_COMMA = regex.compile(
    rf"{_NOT_BEFORE}(?:\d+,\d{{1,2}}|\d+,\d{{4,}}|0,\d+|\d{{1,3}}(?:\.\d{{3}})+,\d+|\d{{1,3}}(?:\.\d{{3}}){{2,}})(?![\d.,]\d|\d)"
)
_POINT = regex.compile(
    rf"{_NOT_BEFORE}(?:\d*\.\d{{1,2}}|\d*\.\d{{4,}}|0?\.\d+|\d{{1,3}}(?:,\d{{3}})+\.\d+|\d{{1,3}}(?:,\d{{3}}){{2,}})(?![\d.,]\d|\d)"
)
# Common words of languages with a decimal comma, and of English; a language is guessed only for a number like '1.234'.
_COMMA_WORDS = frozenset(
    """wie viele viel der die das den dem und ist hat wird wurde werden welche welcher welches kostet jahr einwohner
    combien quel quelle le la les des est sont une dans année habitants coûte mesure
    cuántos cuántas cuánto cuál el los las del una es son en qué tiene cuesta habitantes
    quanti quante quanto quale il gli della è sono nel costa abitanti
    quantos quantas qual o os as um uma são custa
    hoeveel welke het een zijn heeft kost inwoners ile jaki jest są ma kosztuje hur många vilken är har kostar
    hvor mange hvilken er koster kolik jaký je má stojí kaç hangi ne kadar berapa bao nhiêu""".split()  # noqa: SIM905 - lists of words read best as text
)
_ENGLISH = frozenset("the of is are was how many much what which in does do did a an to for has have".split())  # noqa: SIM905


@lru_cache(maxsize=512)
def decimal_comma(question: Question) -> bool:
    """Whether '1.234' in an answer to this question is a thousand and more.

    Numbers that can be read in one way only decide: first those of the answer, the choices and the aliases, then those
    of the question. Where there is none, the language of the question decides. The default is the point.
    """
    for texts in ((question.answer, *question.choices, *question.aliases), (question.text,)):
        whole = "\n".join(plain(text) for text in texts)
        commas, points = len(_COMMA.findall(whole)), len(_POINT.findall(whole))
        if commas != points:
            return commas > points
    if regex.search(r"\p{Cyrillic}|\p{Greek}{3}", question.text):
        return True
    words = set(regex.findall(r"\p{L}+", question.text.casefold()))
    return len(words & _COMMA_WORDS) > len(words & _ENGLISH)
