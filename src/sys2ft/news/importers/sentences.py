"""Split a text into sentences; the only module that uses the package `sentencex`."""

from __future__ import annotations

from sys2ft.news.importers.pieces import optional


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of `text` with surrounding white space; joined, they equal the text."""
    if not text:
        return []
    found: list[str] = optional("sentencex", "sentencex", "dividing a text at sentence borders").segment(language, text)
    return list(found)


def split_last(text: str, language: str = "en") -> tuple[str, str]:
    """`text` without its last sentence, and that sentence, which may be unfinished; everything if there is only one."""
    parts = sentences(text, language)
    if len(parts) < 2:
        return text, ""
    return "".join(parts[:-1]).rstrip(), parts[-1].lstrip()
