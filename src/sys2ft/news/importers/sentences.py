"""Sentences of a text: the one place that knows the package `sentencex`."""

from __future__ import annotations

from sys2ft.news.importers.pieces import optional


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of `text` with the white space around them: joined, they are the text."""
    if not text:
        return []
    found: list[str] = optional("sentencex", "sentencex", "dividing a text at sentence borders").segment(language, text)
    return list(found)


def split_last(text: str, language: str = "en") -> tuple[str, str]:
    """`text` without its last sentence, and that sentence, which may be unfinished; all of it where it is the only."""
    parts = sentences(text, language)
    if len(parts) < 2:
        return text, ""
    return "".join(parts[:-1]).rstrip(), parts[-1].lstrip()
