"""Builds the prompt for a question under each condition and scoring."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Sequence

from sys2ft.evaluation.records import Condition, Scoring
from sys2ft.models import Message
from sys2ft.news import News, Question
from sys2ft.runs import item_seed

BRIEFLY = "Answer in a few words."
STEP_BY_STEP = "Think step by step. Then write the final answer on a last line that begins with 'Answer:'."


def asked(news: News, question: Question, condition: Condition, scoring: Scoring, options: Sequence[str] = ()) -> str:
    """The user message: the question with the scoring's instructions, preceded by the news text if in context.

    `cloze` and `cloze_raw` ask the question alone, `letter` lists `options`, and `direct` and `reasoned` add how to
    answer.
    """
    text = question.text
    if scoring == "letter":
        letters = option_letters(len(options))
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
        text = f"{text}\n{listed}\nAnswer with the letter only."
    elif scoring == "direct":
        text = f"{text}\n{BRIEFLY}"
    elif scoring == "reasoned":
        text = f"{text}\n{STEP_BY_STEP}"
    return f"News: {news.text}\n\n{text}" if condition == "in_context" else text


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
