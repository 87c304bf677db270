"""Warns of questions that cannot be graded or asked as they are written."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.evaluation.ask import option_letters
from sys2ft.evaluation.graders import takes
from sys2ft.news import News


def unanswerable(news: Sequence[News]) -> list[str]:
    """Warnings of questions whose grader is wrong about the right answer or a wrong choice, each said exactly."""
    return [
        f"{one.id}, {part} {number}: {verdict.why}"
        for one in news
        for part, questions in (("question", one.questions), ("neighbour", one.neighbours))
        for number, question in enumerate(questions, start=1)
        if not (verdict := takes(question)).correct
    ]


def too_many_choices(news: Sequence[News]) -> list[str]:
    """For each question with more choices than can be lettered: its news item, its number, and the counts."""
    return [
        f"{one.id}, question {number}: {len(question.choices):,} choices, of which only {most} can be lettered"
        for one in news
        for number, question in enumerate(one.questions, start=1)
        if (most := len(option_letters(len(question.choices)))) < len(question.choices)
    ]
