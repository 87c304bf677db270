"""Find text in a source that addresses a model (prompt injection), by its form.

A page that was fetched, mailed or edited by strangers may contain instructions to any model that reads it. In a prompt
they can take over generation, in training data they are learnt, and chat markup is even read as turns of the
conversation. The patterns cover markup of chat templates, orders to ignore or reveal instructions, text that tells a
model who it is or how to answer, turns of a dialogue with an assistant, and invisible characters. They are English; the
most common order ('ignore all previous instructions') is covered in some other languages too. A paraphrase in its own
wording is not found, and a text *about* such orders is. Findings are therefore shown, and the user decides.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_EARLIER = r"(?:previous|prior|earlier|above|preceding|former|foregoing|initial|original|existing|your|system|safety)"
_THE = r"(?:all|any|every|each|the|these|those|my|our|its|of)"
_ORDERS = r"(?:instructions?|prompts?|directions?|directives?|guidelines?|rules|commands?|orders|messages?|context)"
_MODEL = r"(?:AI|LLM|language\s+model|assistant|chat-?bot|crawler)"
_START = r"(?:^|[.!?:;]\s+)(?:please\s+)?"

# Kind, hints (at least one must occur; lower case, single spaces; a fast first check) and pattern.
_FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "chat markup",
        ("<", "[", "#"),
        r"<[|｜][A-Za-z0-9_▁/][A-Za-z0-9_▁ /-]{0,40}[|｜]>"  # ChatML, Llama 3, Phi, DeepSeek and others
        r"|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|SYSTEM_PROMPT)\]"
        r"|</?(?:system|assistant)(?:_prompt|_message)?>"
        r"|^\s*#{2,4}\s*(?:Instructions?|Response|System(?: prompt)?|Assistant|Human)\s*:",
    ),
    (
        "an order to ignore instructions",
        ("ignor", "disregard", "forget", "overr", "bypass", "discard", "follow", "obey"),
        # 'ignore the rules' is ordinary English; 'ignore all your previous rules' addresses a reader with a prompt.
        rf"\b(?:ignore|disregard|forget|override|overrule|bypass|discard|(?:do\s+not|don't)\s+(?:follow|obey))\s+"
        rf"(?:(?:{_THE}\s+)*{_EARLIER}\s+(?:(?:{_THE}|{_EARLIER}|and|or)\s+)*{_ORDERS}"
        rf"|(?:{_THE}\s+)*(?:instructions?|prompts?|messages?)\s+(?:above|before|so\s+far|given\s+to\s+you|you)"
        r"|(?:all|any|every)\s+(?:of\s+)?(?:(?:the|these|those)\s+)?(?:instructions?|prompts?)"
        r"|(?:all|everything|anything)\s+(?:of\s+)?(?:that\s+(?:is|was)\s+)?"
        r"(?:above|before|prior|you(?:'ve|\s+have|\s+were)))\b",
    ),
    (
        "an order to ignore instructions",
        # German, French, Spanish, Italian, Portuguese, Russian, Chinese, Japanese
        ("ignor", "vergiss", "missachte", "oublie", "olvida", "esque", "игнорируй", "忽略", "无视", "忘记", "無視"),
        r"\bignorier\w*\s+(?:\w+\s+){0,3}(?:anweisung\w*|instruktion\w*)"
        r"|\b(?:vergiss|missachte)\s+(?:\w+\s+){0,3}anweisung"
        r"|\b(?:ignore[rz]?|oublie[rz]?)\s+(?:\w+\s+){0,3}instructions\s+(?:pr[ée]c[ée]dentes|ci-dessus|ant[ée]rieures)"
        r"|\b(?:ignor[ae]\w*|olvida\w*|esque[çc]\w+)\s+(?:\w+\s+){0,3}(?:instrucciones|istruzioni|instru[çc][õo]es)"
        r"|игнорируй\w*\s+(?:\w+\s+){0,3}(?:инструкци|указани)\w*"
        r"|(?:忽略|无视|忘记)[^。\n]{0,12}(?:指令|指示|说明|提示)|(?:以前|前|上記)の(?:指示|命令)を(?:すべて)?無視",
    ),
    (
        "words to a model",
        ("you are",),
        r"\byou\s+are\s+(?:now\s+|no\s+longer\s+)?(?:an?\s+|the\s+)?(?:[\w-]+,?\s+){0,4}?"
        r"(?:AI\b(?:\s+(?:assistant|model|agent))?|assistant\b|chat-?bot\b|language\s+model\b|LLM\b|ChatGPT\b|GPT-?\d"
        r"|Claude\b|Gemini\b|Copilot\b|Llama\b|DAN\b)",
    ),
    (
        "words to a model",
        ("as a", "as if you"),
        r"\bas\s+an?\s+(?:AI\s+language|AI|large\s+language|language)\s+model\b"
        rf"|{_START}(?:act|behave|pretend|respond|answer|role-?play)\s+as\s+(?:if\s+you\s+(?:are|were)\b"
        r"|an?\s+(?:[\w-]+\s+){0,3}?(?:assistant|AI|chat-?bot|language\s+model|expert|hacker|terminal)\b)",
    ),
    ("words to a model", ("from now on",), r"\bfrom\s+now\s+on,?\s+(?:you|respond|reply|answer|only)\b"),
    (
        "words to a model",
        ("system prompt", "your "),
        r"\b(?:your|the|this)\s+system\s+prompt\b|\byour\s+(?:new|hidden|initial|secret)\s+(?:prompt|instructions?)\b"
        r"|\b(?:reveal|print|repeat|output|show|leak)\s+(?:me\s+)?your\s+(?:\w+\s+)?(?:prompt|instructions?|rules)\b",
    ),
    (
        "words to a model",
        ("instruction", "note ", "message "),
        r"\b(?:new|updated|additional|hidden|real)\s+(?:system\s+)?instructions?\s*:"
        rf"|\b(?:note|message|instructions?)\s+(?:to|for)\s+(?:any\s+|the\s+|all\s+)?{_MODEL}s?\b",
    ),
    (
        "words to a model",
        ("the user",),
        r"\bdo\s+not\s+(?:mention|reveal|disclose|show)\b[^.\n]{0,40}\bto\s+the\s+user\b|\bdo\s+not\s+tell\s+the\s+user\b",
    ),
    ("words to a model", (" only ",), rf"{_START}(?:respond|reply|answer|output)\s+only\s+(?:with|in|by)\b"),
    ("words to a model", (" mode",), r"\b(?:enable|enter|activate)\s+(?:developer|jailbreak|god|DAN)\s+mode\b"),
)
_PATTERNS = [(kind, hints, re.compile(form, re.IGNORECASE | re.MULTILINE)) for kind, hints, form in _FORMS]
_TURN = re.compile(r"^\s*[*_]{0,2}(system|assistant|user|human|ai|bot)[*_]{0,2}\s*:", re.IGNORECASE | re.MULTILINE)
_ROLES = {"human": "user", "ai": "assistant", "bot": "assistant"}
# Tag characters spell hidden words, except in the flags of England, Scotland and Wales.
_TAGS = re.compile("(?<!\U0001f3f4)(?<![\U000e0020-\U000e007f])[\U000e0001\U000e0020-\U000e007f]+")
_UNSEEN = dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)))

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Instruction:
    """Instruction-like text: its kind, and an excerpt with some context."""

    kind: str
    excerpt: str


def instructions_in(text: str) -> list[Instruction]:
    """The parts of `text` that address a model: the first of each kind, in a fixed order; empty for ordinary text."""
    hidden = _TAGS.search(text)
    # Look-alike and invisible characters inside a word would hide it from the patterns, but not from a model.
    plain = unicodedata.normalize("NFKC", text.translate(_UNSEEN)).replace("’", "'")
    low = " ".join(plain.lower().split())
    found: dict[str, Instruction] = {}
    for kind, hints, pattern in _PATTERNS:
        if kind not in found and any(hint in low for hint in hints) and (match := pattern.search(plain)):
            found[kind] = Instruction(kind, _around(plain, match))
    if turn := _dialogue(plain):
        found["turns"] = Instruction("turns of a chat", _around(plain, turn))
    if hidden:
        spelled = "".join(chr(ord(c) - 0xE0000) for c in hidden.group(0) if ord(c) > 0xE001)
        found["unseen"] = Instruction("invisible characters", f"{spelled[:_SHOWN]!r} spelled in invisible characters")
    return list(found.values())


def _dialogue(text: str) -> re.Match[str] | None:
    """The first turn of a dialogue with an assistant. A single one of these words is common in lists and logs."""
    turns = list(_TURN.finditer(text))
    roles = {_ROLES.get(turn.group(1).casefold(), turn.group(1).casefold()) for turn in turns}
    return turns[0] if len(roles) > 1 and "assistant" in roles else None


def _around(text: str, match: re.Match[str]) -> str:
    start, end = max(0, match.start() - _SHOWN // 3), min(len(text), match.end() + _SHOWN // 3)
    words = " ".join(text[start:end].split())
    return f"{'...' if start else ''}{words[: 2 * _SHOWN]}{'...' if end < len(text) else ''}"
