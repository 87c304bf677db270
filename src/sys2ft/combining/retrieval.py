"""Finds the news item that a question is about, by BM25 over the news items' texts.

BM25 as in Lucene (Robertson & Zaragoza 2009; `bm25s`, arXiv 2407.03618), over `text.pieces`: words of all scripts, and
runs of characters where a script has no spaces. It is what a user without adapters would build.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sys2ft.errors import NewsError
from sys2ft.news import News
from sys2ft.statistics import Item
from sys2ft.text import pieces


class Retriever:
    """An index of the texts of `news`. Raises NewsError if a text has no word, since no question could find it."""

    def __init__(self, news: Sequence[News]) -> None:
        import bm25s

        self.ids = [item.id for item in news]
        texts = [pieces(item.text) for item in news]
        empty = [item.id for item, words in zip(news, texts, strict=True) if not words]
        if empty or not texts:
            raise NewsError(
                f"news items without a word to find them by: {', '.join(empty)}" if empty else "no news items",
                expected="at least one word or number in the text of each",
                fix="correct their texts or leave them out",
            )
        self._index = bm25s.BM25()
        self._index.index(texts, show_progress=False)

    def find(self, question: str) -> str | None:
        """The id of the best news item, the first of equals; None if no text shares a word with the question."""
        words = pieces(question)
        if not words:
            return None
        scores = self._index.get_scores(words)
        best = int(np.argmax(scores))
        return self.ids[best] if scores[best] > 0 else None

    def find_all(self, news: Sequence[News]) -> dict[Item, str | None]:
        """What is found for every question of the news items, by its text alone."""
        return {(item.id, i): self.find(question.text) for item in news for i, question in enumerate(item.questions)}
