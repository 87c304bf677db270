"""What a text does with something that it names: says it, denies it, sets it aside, or leaves it open.

The rules are those of English, with the common negations of other languages. They look at the clause around a mention
and know nothing of its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from sys2ft.evaluation.graders.markup import before


@dataclass(frozen=True, slots=True)
class Mention:
    """`text[start:end]` names something that is compared: `key` is equal for two names of the same thing."""

    start: int
    end: int
    key: object
    right: bool


_I = regex.IGNORECASE | regex.V1
_SENTENCE = regex.compile(r"[.!?](?=[\s\"')\]]|$)|[。！？;；:：\n]|\s-\s")
_CLAUSE = regex.compile(r"[.!?,](?=[\s\"')\]]|$)|[。！？、，,;；:：\n()]|\s-\s")
# What looks like a negation and is none, and a negation of a negation.
_NO_NEGATION = regex.compile(
    r"\bno(?:thing|ne|body)?\s+(?:other\s+)?(?:but|than|except)\b"
    r"|(?:\bnot|n't|\bnever|\bcannot)\b[^.,;]{0,20}\banything\s+(?:but|other\s+than|except)\b"
    r"|\bnot\s+(?:only|just|merely|simply|until|to mention|surprisingly|unlike|uncommon|without"
    r"|unlikely|mistaken|wrong)\b"
    r"|\b(?:no|without|beyond)\s+(?:a\s+|any\s+)?(?:doubt|question|problem|worries|wonder|surprise|matter|later than)\b"
    r"|(?:\bnot|n't|\bnobody|\bno one)\s+(?:clear|known?|knows|understood|sa(?:id|ys?))\s+(?:why|how|when|where)\b"
    r"|n't until\b"
    r"|(?:\bnot|n't)\s+doubt\b|\bwhether or not\b|\bwhy not\b|\bno\.(?=\s*\d)|\bno(?=\s+\d)"
    r"|n't\s+(?:you|it|he|she|they)\b"
    r"|\b(?:ne|n')\s*\S+\s+que\b|\bnicht nur\b|\bno s[oó]lo\b|\bне только\b"
    r"|\bpas (?:seule|unique)ment\b|不仅|不但|不只",
    _I,
)
_AUXILIARY = r"is|was|are|were|do|does|did|ca|could|would|wo|has|have|had|should|ai|need|might"
_NEGATION = regex.compile(
    rf"\b(?:(?:{_AUXILIARY})n'?t|not|never|no longer|neither|nor|without|cannot|anything (?:but|except|other than)"
    r"|other than|rather than|instead of|in place of|as opposed to|unlike|except(?:ing)?(?: for)?|excluding|far from"
    r"|lacks?|lacking|nothing|no (?:way|chance|information|evidence|mention|indication|sign|trace)|by no means"
    r"|(?:any|every|all|each)(?:thing|body|one)?(?:\s+\p{L}+)? but|refus(?:es?|ed) to|fail(?:s|ed)? to|avoid(?:s|ed)?"
    r"|stop(?:s|ped) \p{L}+ing|ceas(?:es|ed)|(?:chang|switch|turn|mov)(?:es|s|ed)? from|went from"
    r"|doubt(?:s|ed|ful)?|unlikely|den(?:y|ies|ied)|rul(?:e|es|ed|ing) out|exclud(?:e|es|ed)|none|nobody|hardly"
    r"|(?:false|untrue|wrong|incorrect|impossible) (?:that|to (?:say|call|think|claim|believe|assume))"
    r"|nicht|kein(?:e[rsnm]?)?|nie(?:mals)?|weder|statt|anstatt|ohne|pas|jamais|aucune?|sans|plutôt que|au lieu de"
    r"|nunca|jam[aá]s|ning[uú]na?|ni|tampoco|en (?:lugar|vez) de|não|nem|em vez de|non|invece di|niet|geen|inte"
    r"|ikke|nie|не|ни|нет|никогда|вместо|ليس|ليست|ليسوا|لا|لم|لن|غير|לא|אינו|אינה|אין|איננו|δεν|όχι|μη|μην"
    r")\b|\bno(?=\s+(?:es|era|son|fue|est[aá]|hay|ser[aá]|eran|una?|the\s)?\s*\S*\s*$)|(?:不是|并非|並非|不再是?|没有|沒有|并不是?|不会是?|绝非|决不是?|不)",
    _I,
)
# The words after which a negation reaches no further.
_TURN = regex.compile(
    r"\b(?:but|instead(?! of)|however|although|though|because|since|while|whereas|so|then|yet|nor"
    r"|sondern|aber|mais|sino|pero|sen[aã]o|mas|bensì|ma|maar|utan|а|но|بل|אלא|αλλά|ni|ani)\b|而是|但|也",
    _I,
)
# Those that deny what they are joined to, and not the rest of the clause.
_OF_A_NAME = regex.compile(
    r"\b(?:of|than|unlike|except\w*|excluding|for|from|but|without|statt|anstatt|ohne|sans)$", _I
)
_VERB = regex.compile(
    r"\b(?:it|he|she|they|we|i|this|that|there|is|was|are|were|be|been|has|had|will|would|became|turned|glows?|means?"
    r"|ist|war|es|est|era|это)\b|'s\b|是",
    _I,
)
_DENIED_AFTER = regex.compile(
    rf"\s*[\"'”)]?\s*(?:(?:(?:{_AUXILIARY}|can|will)\s*n't"
    r"|(?:is|was|are|were|would be|can|could|seems)\s+(?:not|never|no longer)"
    r"|cannot|can't)\b(?=\s*(?:be\s+)?(?:the|it|right|correct|true|possible|what|an? (?:option|answer)|so|where|who|one"
    r"|in question|at all|anymore|any more|valid|among)\b|\s*(?:be)?\s*(?:[.,;!]|$|because|but|since))"
    r"|(?:is|was|are|were|would be|seems)\s+(?:wrong|incorrect|false|untrue|out|excluded|ruled out|impossible|rejected"
    r"|dismissed|eliminated|discarded)\b|\?\s*(?:no|nope|not|never|wrong|i (?:do not|don't) think so"
    r"|(?:definitely|certainly|absolutely) not)\b"
    r"|(?:can|could|must|should) be (?:excluded|ruled out|rejected)\b|[-:,]\s*(?:no|not|nope|wrong)[.!]?\s*$"
    r"|(?:\.{2,}|[,?-])\s*(?:no|sorry|wait|correction|i mean)\s*,"
    r"|[.!,-]+\s*(?:oh,?\s+|no,?\s+|actually,?\s+)?(?:wait|hold on|oops|sorry)\b[,.!]*\s*(?:no\b|actually|i mean"
    r"|that(?:'s| is) (?:wrong|not right|incorrect))|[.!]\s*(?:correction|scratch that)\b"
    r"|(?:ist|war|est|es|is|era)\s+(?:es\s+)?(?:nicht|pas|niet|no)\b"
    r"|(?:では|じゃ|で)(?:な[いくかっ]|ありません|なかった)|[가-힣]{0,2}\s*(?:이|가|은|는)?\s*(?:아니|아닙|아녜|않)"
    r"|\s*(?:रंग\s*)?नहीं|\s*değil|\s*нет\b)",
    _I,
)
# What follows gives a reason or an example, and is not the answer.
_LABELLED = regex.compile(r"\b(?:not|false|wrong|incorrect)\s*:\s*[\"']?$", _I)
_REASON = regex.compile(
    r",\s*(?:which(?! (?:gives|makes|equals|leaves|results))|who|whose|where)\b[^,]*$"
    r"|\b(?:because|since|given that|due to|as (?:it|he|she|they|the|there|\d)|for example|e\.g\.|such as"
    r"|compared (?:to|with)|parce que|weil|denn|porque|perch[eé]|потому что)|因为|因為|なぜなら|왜냐하면",
    _I,
)
_CLOSING = regex.compile(
    r"(?:i (?:really )?hope|hope (?:this|that|it)|let me know|(?:please )?feel free|is there anything"
    r"|please (?:note|let|tell)|thank|you(?:'re| are) welcome|note(?: that)?\b|if you (?:need|have|want|would)"
    r"|does (?:that|this) (?:help|make)"
    r"|(?:i am|i'm) happy|happy to|confidence|sources?:|see also|references?:|good luck|have a|anything else|do you)",
    _I,
)
FILLER = regex.compile(
    r"(?:(?:so|well|yes|sure|ok(?:ay)?|therefore|thus|hence|correct|right|certainly|of course)\b[,.:!]?\s+)*"
    r"(?:(?:(?:the|my|our|its|his|her|their)\s+(?:[\p{L}'-]+\s+){1,4}?(?:is|was|are|were|will be|would be)"
    r"|(?:it|he|she|they|that|this|there|these|those|we|you)\s*(?:'s|is|was|are|were|has|had|have|will be|would be"
    r"|\p{L}{3,}s)"
    r"|in total,?)\s+)?(?:[:=]\s*)?",
    _I,
)
"""What a sentence may begin with before its answer: 'So it is', 'The colour of the frog is'."""

_CONTRAST = regex.compile(r"\(|（|,?\s*\b(?:but )?not\b|,?\s*\b(?:instead of|rather than|as opposed to|unlike)\b", _I)
_NOW = regex.compile(
    r"\b(?:now|today|currently|nowadays|in the end|jetzt|heute|ahora|maintenant|теперь)\b|现在|今は", _I
)
_PAST = regex.compile(
    r"\b(?:used to be|formerly|previously|initially|at first|first thought|originally|once was|earlier|(?:the|its) old"
    r"|last year|in the past|before that|früher|antes|avant|раньше)\b",
    _I,
)
_OR = r"(?:or|oder|ou|или|o|eller|atau|veya|أو|או)"
_WORDS_BETWEEN = (
    r"(?:(?:an?|the|in|on|at|to|by|maybe|perhaps|possibly|even|else|else it is|about|around|approximately)\s+)*"
)
_OR_BEFORE = regex.compile(rf"(?:\b{_OR}\s+{_WORDS_BETWEEN}|或者?|还是|または|もしくは|또는|혹은)[\"'(]?$", _I)
_OR_AFTER = regex.compile(
    rf"[\"')]?,?\s*\(?(?:\b{_OR}\b(?!\s+(?:so|thereabouts|something|rather|not|otherwise|else\b))|或者?|还是|または|もしくは|또는|혹은)",
    _I,
)


def denied(text: str, mention: Mention) -> bool:
    """Whether the clause of a mention denies it: an odd number of negations reach it, or one follows it."""
    if _LABELLED.search(before(text, mention.start)) or _DENIED_AFTER.match(text, mention.end):
        return True
    return _denials_before(text, mention.start) % 2 == 1


def aside(text: str, mention: Mention) -> bool:
    """Whether a mention is in brackets, in a reason ('because ...') or in a closing phrase ('I hope this helps')."""
    ahead = before(text, mention.start)
    line = ahead[ahead.rfind("\n") + 1 :]
    if any(line.rfind(left) > line.rfind(right) for left, right in (("(", ")"), ("（", "）"))):
        return True
    sentence = ahead[_after_last(_SENTENCE, ahead) :]
    return _REASON.search(sentence) is not None or _CLOSING.match(sentence.lstrip(" \"'")) is not None


def alternative(text: str, mention: Mention, others: Sequence[Mention]) -> bool:
    """Whether 'or' joins a mention with something else than another name of the same thing."""
    for other in others:
        first, second = sorted((mention, other), key=lambda one: one.start)
        between = text[first.end : second.start]
        if (
            other is not mention
            and other.right == mention.right
            and regex.fullmatch(rf"[\s,(\"']*{_OR}\s+{_WORDS_BETWEEN}", between, _I)
        ):
            return False
    return _OR_BEFORE.search(before(text, mention.start)) is not None or _OR_AFTER.match(text, mention.end) is not None


def current(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions without those of the past, where something else is said of the present.

    'It was red, now it is green.', 'I first thought red, but it is green.'
    """
    ahead = {one: before(text, one.start) for one in mentions}
    clauses = {one: said[_after_last(_CLAUSE, said) :] + text[one.start : one.end] for one, said in ahead.items()}
    now = [one for one in mentions if _NOW.search(clauses[one])]
    return now or [one for one in mentions if not _PAST.search(_TURN.split(clauses[one])[-1])] or list(mentions)


def first_clause(text: str) -> str:
    """The text up to the first end of a sentence or clause, or the first word of a turn or reason."""
    ends = (pattern.search(text, 1) for pattern in (_SENTENCE, _CONTRAST, _REASON))
    found = [match.start() for match in ends if match]
    return text[: min(found, default=len(text))]


def _denials_before(text: str, at: int) -> int:
    ahead = before(text, at)
    start = _after_last(_SENTENCE, ahead)
    clause = _NO_NEGATION.sub(lambda found: "_" * len(found.group()), ahead[start:])
    return sum(
        _reaches(found.group(), clause[found.end() :], text[at : at + 240]) for found in _NEGATION.finditer(clause)
    )


def _reaches(negation: str, gap: str, after: str) -> bool:
    """Whether a negation reaches over `gap`, the text between it and the beginning of `after`."""
    if _TURN.search(gap) or (_OF_A_NAME.search(negation) and _VERB.search(gap)):
        return False
    if negation.endswith("from") and regex.search(r"\bto\b", gap):
        return False
    comma = regex.search(r"[,，、]", gap)
    if comma and gap[: comma.start()].strip():
        # A comma ends the reach, unless it divides a list: 'not red, blue, or green'.
        ends = _SENTENCE.search(after)
        rest = gap[comma.end() :] + after[: ends.start() if ends else len(after)]
        last = regex.search(rf"\b(?:{_OR}|nor)\b", rest, _I)
        if not last or _VERB.search(rest[: last.start()]) or _TURN.search(rest[: last.start()]):
            return False
    joined = regex.search(rf"\b(?:and|und|et|y|e|и|{_OR})\b|[,，]", gap, _I)
    return not (joined and (_VERB.search(gap[joined.end() :]) or _NEGATION.search(gap[joined.end() :])))


def _after_last(pattern: regex.Pattern[str], text: str) -> int:
    end = 0
    for found in pattern.finditer(text):
        end = found.end()
    return end
