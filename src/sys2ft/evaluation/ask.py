"""Builds the prompt for a question under each condition and scoring."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Sequence

from sys2ft.evaluation.records import Condition, Scoring
from sys2ft.languages import language_of
from sys2ft.models import Message
from sys2ft.news import News, Question
from sys2ft.runs import item_seed


def asked(news: News, question: Question, condition: Condition, scoring: Scoring, options: Sequence[str] = ()) -> str:
    """The user message: the question with the scoring's instructions, preceded by the news text if in context.

    `cloze` and `cloze_raw` ask the question alone, `letter` lists `options`, and `direct` and `reasoned` add how to
    answer. The instructions are in the language of the news item, or in English if it has no prompts.
    """
    own = language_of(news.text).prompts
    text = question.text
    if scoring == "letter":
        letters = option_letters(len(options))
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
        text = f"{text}\n{listed}\n{own.text('ask_letter')}"
    elif scoring in ("direct", "reasoned"):
        text = f"{text}\n{own.text(f'ask_{scoring}')}"
    return own.filled("ask_in_context", news=news.text, question=text) if condition == "in_context" else text


def option_letters(count: int) -> list[str]:
    """Labels of `count` options: A to Z, then AA, AB, ..."""
    single = string.ascii_uppercase
    double = (first + second for first in single for second in single)
    return list(itertools.islice(itertools.chain(single, double), count))


def messages(text: str) -> list[Message]:
    """The conversation that asks `text`."""
    return [Message("user", text)]


def option_order(news: News, index: int, seed: int) -> list[str]:
    """A question's choices in seeded order: the same for all subjects and conditions, so comparisons are paired."""
    choices = list(news.questions[index].choices)
    random.Random(item_seed(seed, "options", news.id, index)).shuffle(choices)
    return choices
