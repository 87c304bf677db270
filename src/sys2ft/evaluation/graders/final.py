"""The final answer of a step-by-step text."""

from __future__ import annotations

import regex

from sys2ft.evaluation.graders.markup import before

_F = regex.IGNORECASE | regex.V1
_AROUND = r"[\s*_`#>\"'“”]*"
_MARKS = (
    r"(?:(?:the|my|our)\s+)?(?:final\s+|correct\s+|right\s+|short\s+)?(?:answer|final\s+result"
    r"|ans\.?(?=\s*:))(?:\s*\([^()\n]{1,20}\)(?=\s*:))?"
    r"|(?:endg[uü]ltige\s+|richtige\s+)?antwort|(?:la\s+)?r[eé]ponse(?:\s+(?:finale|correcte))?"
    r"|(?:la\s+)?respuesta(?:\s+(?:final|correcta))?|(?:a\s+)?resposta(?:\s+final)?|(?:la\s+)?risposta(?:\s+finale)?"
    r"|(?:het\s+)?antwoord|(?:окончательный\s+|правильный\s+)?ответ|відповідь|odpowied[źz]|svar(?:et)?|cevap|yanıt"
    r"|(?:最终|最終|正确)?(?:的)?答案|答え|答|回答|정답|답|답변|(?:الجواب|الإجابة)(?:\s+(?:النهائي|الصحيح)ة?)?"
    r"|उत्तर|תשובה|απάντηση|đáp án"
)
_IS = (
    r"\s*(?:(?:is|was|'s|would be|should be|must be|ist|lautet|est|es|é|è|jest|это|является)(?!\p{L})"
    r"|是|为|為|は|은|는|هو|هي|है|[:：=—–]|-(?=\s))"
    r"\s*"
)
_LINE = regex.compile(rf"(?m)^{_AROUND}(?:{_MARKS}){_AROUND}(?::|：|=)[ \t*_`]*:?[ \t]*(?P<said>.*)$", _F)
_PHRASE = regex.compile(
    r"(?<![\p{Latin}\p{Cyrillic}\p{Greek}])(?<!\b(?:this|that|an|any|your|no|which|each|every|another)\s)"
    rf"(?:{_MARKS})(?:\s+to\s+[^.:\n]{{1,60}}?)?"
    rf"{_AROUND}{_IS}[*_`]*\s*[:：]?[ \t]*(?P<said>[^\n]*)",
    _F,
)
_HEADING = regex.compile(rf"(?m)^\s*(?:#{{1,6}}\s*|\*\*)(?:{_MARKS})\s*\**\s*$(?P<said>)", _F)
_HASHES = regex.compile(r"(?m)^\s*#{4}[ \t]+(?P<said>[-+$€£]?\d[^\n]*)$", _F)  # as GSM8K marks an answer
_TAGGED = regex.compile(r"<(answer|final)>\s*(?P<said>[^<>\n]+?)\s*</\1>", _F)
# 'The answer is based on ...' and 'I hope the answer is clear' mark nothing.
_NO_ANSWER = regex.compile(
    r"(?:helpful|useful|clear|unclear|correct|right|wrong|based|given|found|stated|explained|obtained|derived|calculated"
    r"|computed|as follows|simple|in the|easy)\b",
    _F,
)
_ASIDE = regex.compile(r"\b(?:hope|whether|if|let me know|check|verify)\b[^.!?\n]*$", _F)
_BOXED = regex.compile(r"\\boxed\s*\{(?P<said>(?:[^{}]|\{[^{}]*\})*)\}")
_CLOSING = regex.compile(
    r"(?:[\s*_`#.$)\]\\-]|i hope[^\n]*|let me know[^\n]*|(?:is|does) [^\n]*\?|thank[^\n]*|feel free[^\n]*)*", _F
)

# The next question of a text that runs on: '#### 42 \n\n Question: ...'
_RUN_ON = regex.compile(
    r"(?m)^[\s*_#]*(?:next question|question|problem|frage|pregunta|вопрос|问题|問題|質問|질문)\b[^:：\n]{0,5}[:：]", _F
)
_THOUGHT = regex.compile(r"</(?:think|thinking|thought|reasoning)>", _F)
_THINKS = regex.compile(r"\s*<(?:think|thinking|thought|reasoning)>", _F)


def after_thought(text: str) -> str:
    """The text after the thoughts that a model wrote between tags; nothing if they do not end."""
    ends = [match.end() for match in _THOUGHT.finditer(text)]
    if ends:
        return text[ends[-1] :]
    return "" if _THINKS.match(text) else text


def final_answer(text: str, *, finished: bool = True) -> tuple[str, bool]:
    """The final answer of a step-by-step text, and whether it was marked as such; if not, it is the last line.

    The last marked answer counts. In a text that was cut (`finished` is False) only a line 'Answer: ...' or a box marks
    one, if nothing but a closing phrase follows it: a phrase in the middle of a reasoning is no answer.
    """
    text = after_thought(text)
    patterns = (_LINE, _BOXED, _TAGGED, _HEADING, _HASHES)
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    if found and (next_one := _RUN_ON.search(text, min(match.end() for match in found))):
        text = text[: next_one.start()]
        found = [match for match in found if match.end() <= len(text)]
    if finished:
        phrases = _PHRASE.finditer(text)
        found += [
            one for one in phrases if not _NO_ANSWER.match(one["said"]) and not _ASIDE.search(before(text, one.start()))
        ]
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
