"""The text that a reader sees: without Markdown, LaTeX and HTML, with one form for characters that look alike."""

from __future__ import annotations

import html
from functools import lru_cache

import regex

from sys2ft.text import fold

_TAGS = "b|i|em|strong|u|s|code|span|p|mark|tt|small|big|div|li|ul|ol|a|answer|font|kbd|q|h[1-6]"
_PAIRED = regex.compile(rf"(?is)<({_TAGS})(?:\s[^<>]*)?>(.*?)</\1>")
_RAISED = regex.compile(r"(?i)<sup>\s*([-+−]?\w+)\s*</sup>")
_LOWERED = regex.compile(r"(?i)<sub>\s*(\w+)\s*</sub>")
_ENTITY = regex.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);")
_COMMAND = regex.compile(
    r"\\(?:boxed|fbox|text\w*|math(?:rm|bf|it|sf|tt|bb|cal)|emph|operatorname|mbox|underline|ensuremath)\s*"
    r"\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_FRACTION = regex.compile(r"(?<=(\d))?\\[dtc]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_LATEX = {
    r"\times": "×", r"\cdot": "·", r"\%": "%", r"\$": "$", r"\#": "#", r"\&": "&", r"\_": "_", r"\left": "",
    r"\right": "", r"\,": " ", r"\;": " ", r"\:": " ", r"\!": "", r"\ ": " ", "{,}": ",", r"\(": " ", r"\)": " ",
    r"\[": " ", r"\]": " ", r"\pm": "±", r"\approx": "≈", r"\leq": "≤", r"\geq": "≥", r"\circ": "°", r"\quad": " ",
}  # fmt: skip
# Longest first, so that '\left' is not read as '\le'; a letter after a command belongs to another command.
_SIGNS = regex.compile(
    "|".join(
        regex.escape(sign) + (r"(?![a-zA-Z])" if sign[-1].isalpha() else "")
        for sign in sorted(_LATEX, key=len, reverse=True)
    )
)
_BRACED_EXPONENT = regex.compile(r"\^\s*\{\s*([-+−]?\w+|°)\s*\}")
# As pandoc reads dollar signs: '$5 and $6' is no formula.
_MATH = regex.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$(?! )([^$\n]*?[^$\s\\])\$(?!\d)")
_LINK = regex.compile(r"!?\[([^\[\]\n]+)\]\((?:https?:|/|#|\.)[^()\s]*\)")
_STRUCK = regex.compile(r"~~(?=\S)(.{1,400}?)(?<=\S)~~")
_EMPHASIS = regex.compile(
    r"(?<![\w*_\\])(\*{1,3}|_{1,3}|`{1,3})(?=[^\s*_`])((?:(?!\n\n).){0,400}?[^\s*_`\\]|)\1(?![\w*_])", regex.DOTALL
)
_FENCE = regex.compile(r"(?m)^[ \t]*(?:```|~~~)[ \t]*\w*[ \t]*$\n?")
_HEADING = regex.compile(r"(?m)^[ \t]*(?:#{1,6}|>)[ \t]+(?=\S)")
_BULLET = regex.compile(r"(?m)^[ \t]*[*+•‣◦–-][ \t]+(?=\S)")
_ORDER = regex.compile(r"(?m)^[ \t]*\(?\d{1,2}[.)][ \t]+(?=\S)")
_FIRST = regex.compile(r"^\s*\(?1[.)]\s+(?=.*\d)", regex.DOTALL)  # '1. 16', a list of one
_NUMERO = regex.compile(r"№\s*")
_RAISED_LETTER = regex.compile(r"(?<=\p{L})(?=[²³])")
_LISTED = regex.compile(r"\[\d+(?:,\d+)+\]|\(\d+(?:,\d{1,2})+\)")
_GROUPED = regex.compile(r"(?<=\d)[\u00a0\u2007\u2008\u2009\u200a\u202f](?=\d{3}(?!\d))")
_LONG_DASH = regex.compile(r"(?<!\d)\s*[—―⸺]\s*|\s*[—―⸺]\s*(?!\d)")
_DOUBLE_DASH = regex.compile(r"(?<=[\w)\"'])\s+--\s+(?=[\w(\"'])")


def unmarked(text: str) -> str:
    """The text without Markdown, LaTeX and HTML; what is struck out goes, unless nothing else remains."""
    text = _RAISED.sub(lambda found: "^" + found[1], _LOWERED.sub(r"\1", regex.sub(r"(?i)<br\s*/?>", "\n", text)))
    for pattern, inner in ((_PAIRED, 2), (_COMMAND, 1)):
        while pattern.search(text):
            text = pattern.sub(lambda found, at=inner: found[at], text)
    text = _FRACTION.sub(lambda found: f"{' ' if found[1] else ''}{_side(found[2])}/{_side(found[3])}", text)
    text = _BRACED_EXPONENT.sub(r"^\1", _SIGNS.sub(lambda found: _LATEX[found.group()], text)).replace("^°", "°")
    text = _MATH.sub(lambda found: found[1] or found[2], text)
    text = _ENTITY.sub(lambda found: html.unescape(found.group()), text)
    text = _HEADING.sub("", _FENCE.sub("", _LINK.sub(r"\1", text)))
    text = _STRUCK.sub("", text) if regex.search(r"\w", _STRUCK.sub("", text)) else text
    for _ in range(3):  # emphasis within emphasis
        text = _EMPHASIS.sub(r"\2", text)
    for mark in (_BULLET, _ORDER):
        if len(mark.findall(text)) > 1 or (mark is _BULLET and not regex.match(r"\s*[-–]\s+[\d$€£.]", text)):
            text = mark.sub("", text)  # one dash before a number is a minus: '- 5'
    return str(_FIRST.sub("", text))


@lru_cache(maxsize=4096)
def plain(text: str, *, marks: bool = False) -> str:
    """The folded text (see `sys2ft.text.fold`) with its capitals and its lines; `marks` keeps Markdown and the like."""
    text = regex.sub(r"[ \t]{2,}", " ", regex.sub(r"\p{Default_Ignorable_Code_Point}", "", text))
    text = text if marks else unmarked(text)
    text = _LISTED.sub(lambda found: found.group().replace(",", ", "), _RAISED_LETTER.sub("^", text))
    text = _NUMERO.sub("", _GROUPED.sub("_", text)).replace("٫", ".").replace("º", "°").replace("٬", ",")
    text = _DOUBLE_DASH.sub(" - ", _LONG_DASH.sub(" - ", text))
    return "\n".join(line for line in (fold(line, keep_case=True) for line in text.splitlines()) if line)


def before(text: str, at: int) -> str:
    """The text before `at`, as far back as rules look; it keeps the time linear for a text that repeats itself."""
    return text[max(0, at - 240) : at]


def _side(of_fraction: str) -> str:
    return of_fraction if regex.fullmatch(r"\s*\w+\s*", of_fraction) else f"({of_fraction})"
