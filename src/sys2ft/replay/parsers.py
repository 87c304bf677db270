"""Parsers: what is used of a model's reply. They know the habits of small models: lists, numbers, labels, Markdown."""

from __future__ import annotations

import regex

from sys2ft.languages import union
from sys2ft.text import QUESTION_MARKS, SENTENCE_ENDS, sentences, unquoted

ENDS_OF_QUESTIONS = QUESTION_MARKS.replace("՞", "")  # the Armenian mark is within the word that is asked about
_QUESTION = regex.compile(rf".*?(?:[{ENDS_OF_QUESTIONS}]+|(?<=\p{{Greek}}\s?);|՞.*?(?:[։:]|$))")
_LABEL = r"^\**{}\**\s*[:：]\s*\**\s*"
_NUMBERED = regex.compile(r"(?:\p{Nd}+[.)、．]|[-*•])\s*")
_ITEM = regex.compile(r"\s*(?:[-*•–—●▪◦]+|\(?\p{Nd}{1,2}[.)、．:：](?!\p{Nd})\)?|#{1,6}|\p{L}[.)](?=\s))\s*")
_BOLD = regex.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_LISTED = regex.compile(r"\s*[,;،؛、，；]\s*")
_HEADS = (":", "：")


def one_paragraph(text: str) -> str | None:
    """The first paragraph of a reply, on one line, without a label or quotes around it."""
    first = regex.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    return unquoted(_without_label(" ".join(first.split()), "labels_paragraph")) or None


def one_question(text: str) -> str | None:
    """The first question in a reply; None if it asks none."""
    said = " ".join(text.split())
    bare = _without_label(said, "labels_question")
    if bare == said and (number := _NUMBERED.match(said)):
        bare = said[number.end() :]
    found = _QUESTION.match(bare)
    return unquoted(found.group()) or None if found else None


def short_answer(text: str) -> str | None:
    """The first line of a reply, without a label."""
    return unquoted(_without_label(text.strip().split("\n", 1)[0].strip(), "labels_answer")) or None


def whole_text(text: str) -> str | None:
    """All lines of a reply, without blank ones, bold type, headings' marks, and a label before the first."""
    lines = [_BOLD.sub(r"\2", line).strip() for line in text.strip().splitlines()]
    lines = [regex.sub(r"^#{1,6}\s+", "", line) for line in lines]
    return _without_label("\n".join(line for line in lines if line), "labels_paragraph").strip() or None


def listed(text: str) -> str | None:
    """The items of a list, one a line, without bullets, numbers, labels and quotes, each one time.

    A heading, which ends with a colon, is left out.
    """
    found: list[str] = []
    for line in text.splitlines():
        bare = _BOLD.sub(r"\2", line).strip()
        while (mark := _ITEM.match(bare)) and mark.end() < len(bare):
            bare = bare[mark.end() :]
        bare = unquoted(_without_label(bare, "labels_paragraph"))
        if bare and not bare.endswith(_HEADS) and any(char.isalnum() for char in bare):
            found.append(bare)
    return "\n".join(dict.fromkeys(found)) or None


def listed_names(text: str) -> str | None:
    """The short items of a list, one a line; those of one line may be separated by commas."""
    lines = (listed(text) or "").splitlines()
    parts = [part for line in lines for part in (_LISTED.split(line) if len(lines) == 1 else [line])]
    # 'Elmsford: a town' or 'Elmsford - a town' explains the item
    bare = [regex.split(r"\s*[:：]\s|\s+[-–—]\s+", part)[0].strip(f"{SENTENCE_ENDS} ") for part in parts]
    return "\n".join(dict.fromkeys(unquoted(part) for part in bare if part)) or None


def up_to_end(text: str) -> str:
    """A reply that was cut, up to the end of its last complete line or sentence; empty if it has none."""
    *lines, last = text.strip().splitlines() or [""]
    parts = sentences(last)
    if parts and not parts[-1].rstrip("\"'”’»」』)*").endswith(tuple(SENTENCE_ENDS)):
        parts.pop()
    kept = last[: last.rfind(parts[-1]) + len(parts[-1])] if parts else ""
    if _ITEM.fullmatch(kept):  # '3.' is the number of an item that was cut
        kept = ""
    return "\n".join([*lines, kept]).strip()


def _without_label(text: str, section: str) -> str:
    """The text without one of the labels of a section of the language files, and the colon after it."""
    return str(union(section, _LABEL).sub("", text))
