"""The final answer of a step-by-step text."""

from __future__ import annotations

import regex

_F = regex.IGNORECASE | regex.V1
_AROUND = r"[\s*_`#>\"'“”]*"
_MARKS = (
    r"(?:(?:the|my|our)\s+)?(?:final\s+|correct\s+|right\s+|short\s+)?(?:answer|final\s+result)"
    r"|(?:endg[uü]ltige\s+|richtige\s+)?antwort|(?:la\s+)?r[eé]ponse(?:\s+(?:finale|correcte))?"
    r"|(?:la\s+)?respuesta(?:\s+(?:final|correcta))?|(?:a\s+)?resposta(?:\s+final)?|(?:la\s+)?risposta(?:\s+finale)?"
    r"|(?:het\s+)?antwoord|(?:окончательный\s+|правильный\s+)?ответ|відповідь|odpowied[źz]|svar(?:et)?|cevap|yanıt"
    r"|(?:最终|最終|正确)?(?:的)?答案|答え|答|回答|정답|답|답변|الجواب|الإجابة|उत्तर|תשובה|απάντηση|đáp án"
)
_IS = (
    r"\s*(?:(?:is|was|would be|should be|must be|ist|lautet|est|es|é|è|jest|это|является)(?!\p{L})"
    r"|是|为|為|は|은|는|هو|هي|है|[:：=—–]|-(?=\s))"
    r"\s*"
)
_LINE = regex.compile(rf"(?m)^{_AROUND}(?:{_MARKS}){_AROUND}(?::|：|=)[ \t*_`]*:?[ \t]*(?P<said>.*)$", _F)
_PHRASE = regex.compile(
    rf"(?<![\p{{Latin}}\p{{Cyrillic}}\p{{Greek}}])(?:{_MARKS})(?:\s+to\s+[^.:\n]{{1,60}}?)?"
    rf"{_AROUND}{_IS}[*_`]*\s*[:：]?[ \t]*(?P<said>[^\n]*)",
    _F,
)
_BOXED = regex.compile(r"\\boxed\s*\{(?P<said>(?:[^{}]|\{[^{}]*\})*)\}")
_CLOSING = regex.compile(
    r"(?:[\s*_`#.$)\]\\-]|i hope[^\n]*|let me know[^\n]*|(?:is|does) [^\n]*\?|thank[^\n]*|feel free[^\n]*)*", _F
)


def final_answer(text: str, *, finished: bool = True) -> tuple[str, bool]:
    """The final answer of a step-by-step text, and whether it was marked as such; if not, it is the last line.

    The last marked answer counts. In a text that was cut (`finished` is False) only a line 'Answer: ...' or a box marks
    one, if nothing but a closing phrase follows it: a phrase in the middle of a reasoning is no answer.
    """
    found = [*_LINE.finditer(text), *_BOXED.finditer(text), *(_PHRASE.finditer(text) if finished else ())]
    for match in sorted(found, key=lambda match: (match.start("said"), match.re is not _BOXED), reverse=True):
        said, end = _clean(match["said"]), match.end()
        if not said:  # 'Answer:' on a line of its own
            below = regex.match(r"\s*(\S[^\n]*)", text[end:])
            said, end = (_clean(below[1]), end + below.end()) if below else ("", end)
        if said and (finished or _CLOSING.fullmatch(text, end)):
            return said, True
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[-1] if lines else ""), False


def _clean(said: str) -> str:
    said = said.strip()
    # A mark whose partner is before the answer: '**Answer: 16**'.
    for mark in ("**", "__", "`", "*"):
        if said.count(mark) % 2:
            said = said.removesuffix(mark).removeprefix(mark).strip()
    return said
