"""Grades yes and no: 'No, it does not.', 'Yes, no doubt.', 'It is not true.'"""

from __future__ import annotations

import regex

from sys2ft.evaluation.graders.markup import plain
from sys2ft.evaluation.graders.stance import Mention, denied
from sys2ft.evaluation.graders.tokens import normalise
from sys2ft.evaluation.graders.verdict import Grade
from sys2ft.news import Question

_YES = ("yes", "true", "correct", "yeah", "yep", "right")
_NO = ("no", "false", "incorrect", "nope", "wrong", "untrue")
_OPPOSITE = {"yes": "no", "true": "false", "correct": "incorrect", "right": "wrong"}
_OPPOSITE |= {no: yes for yes, no in _OPPOSITE.items()}
_WORD = regex.compile(rf"(?i)(?<![\w-])(?:{'|'.join((*_YES, *_NO))})(?![\w-])")
_IDIOM = regex.compile(
    r"(?i)\b(?:(?:no|without)(?: a| any)? (?:doubt|question|problem|wonder|matter)|no longer|no one)\b"
)
_BOTH = regex.compile(
    r"(?i)\b(?:yes|true)\s*(?:and|or|/)\s*(?:no|false)\b|\b(?:no|false)\s*(?:and|or|/)\s*(?:yes|true)\b"
)
_SHORT = regex.compile(
    r"(?i)(?:it|he|she|they|this|that|you|we|i|there|the (?:\w+ ){1,3}?)\s*"
    r"(?:is|was|are|were|does|did|do|has|have|had|can|could|will|would|should|must|may|might)(?P<no>\s+not|n't|\s+never)?"
    r"(?:\s+(?:so|the case|yet))?"
    r"|(?P<cannot>(?:it|he|she|they|we|you|i)\s+(?:cannot|can't|won't))"
    r"|(?P<never>(?:absolutely|certainly|definitely|of course|probably)?\s*not(?: at all| yet| really| so)?|never"
    r"|i (?:do not|don't) think so|no way|by no means)"
    r"|(?:of course|absolutely|certainly|definitely|sure|indeed|always|i think so)"
)
# 'No idea' and 'no one' do not answer; 'no' does before punctuation, or before what begins a sentence.
_NOT_A_NO = regex.compile(
    r"(?i)\bno(?=\s+(?!(?:it|he|she|they|that|this|there|not|the|we|you|i|way|but|and|or|because|is|was)\b))"
)


def judge_polar(said: str, question: Question) -> Grade | None:
    """The grade where the answer is yes or no, or true or false; None where it is something else."""
    answer = normalise(question.answer)
    if answer not in _OPPOSITE or any(normalise(choice) not in (*_YES, *_NO) for choice in question.choices):
        return None
    if not question.choices and answer not in ("yes", "no", "true", "false"):  # 'right' may be a side
        return None
    polarity = _polarity(plain(said))
    if polarity is None:
        return Grade(False, "says neither yes nor no, or both")
    same = polarity == (answer in _YES)
    return Grade(same, f"says {'yes' if polarity else 'no'}")


def _polarity(text: str) -> bool | None:
    masked = _NOT_A_NO.sub("__", _IDIOM.sub(lambda found: "_" * len(found.group()), text))
    if _BOTH.search(text):
        return None
    first = _WORD.match(masked.lstrip(" \"'(*"))
    if first and first.group().casefold() in ("yes", "no", "yeah", "yep", "nope", "true", "false"):
        rest = _WORD.fullmatch(masked.lstrip(" \"'(*")[first.end() :].strip(" .,;!"))
        both = rest and (rest.group().casefold() in _YES) != (first.group().casefold() in _YES)
        return None if both else first.group().casefold() in _YES
    said = []
    for found in _WORD.finditer(masked):
        mention = Mention(found.start(), found.end(), found.group(), right=False)
        said.append((found.group().casefold() in _YES) != denied(text, mention))
    if said:
        return said[-1] if len(set(said)) == 1 else None
    short = _SHORT.fullmatch(text.strip(" .!"))
    if short:
        return not (short["no"] or short["cannot"] or short["never"])
    return True if regex.match(r"(?i)(?:there is )?(?:no|without)(?: a| any)? (?:doubt|question)", text) else None
