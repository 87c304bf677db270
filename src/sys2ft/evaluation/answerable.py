"""Warns of questions that cannot be graded or asked as they are written."""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.evaluation.ask import option_letters
from sys2ft.evaluation.graders import grade
from sys2ft.news import News, Question
from sys2ft.news.checks import same_choices


def unanswerable(news: Sequence[News]) -> list[str]:
    """Warnings of questions whose grader is wrong about the right answer or a wrong choice, each said exactly."""
    return [
        f"{one.id}, {part} {number}: {fault}"
        for one in news
        for part, questions in (("question", one.questions), ("neighbour", one.neighbours))
        for number, question in enumerate(questions, start=1)
        for fault in _misgraded(question)
    ]


def _misgraded(question: Question) -> list[str]:
    found = []
    for said in (question.answer, *(question.aliases if question.grader != "exact" else ())):
        verdict = grade(said, question)
        if verdict.correct is not True:
            found.append(f"{said!r}, said exactly, is not taken by the grader {question.grader!r}: {verdict.why}")
    # Of choices that are the same `news check` warns anyway.
    same = {choice for group in same_choices(question.choices) if question.answer in group for choice in group}
    for choice in question.choices:
        if choice not in (question.answer, *question.aliases, *same) and grade(choice, question).correct:
            found.append(
                f"the wrong choice {choice!r}, said exactly, is taken for the answer by the grader {question.grader!r}"
            )
    return found


def too_many_choices(news: Sequence[News]) -> list[str]:
    """For each question with more choices than can be lettered: its news item, its number, and the counts."""
    return [
        f"{one.id}, question {number}: {len(question.choices):,} choices, of which only {most} can be lettered"
        for one in news
        for number, question in enumerate(one.questions, start=1)
        if (most := len(option_letters(len(question.choices)))) < len(question.choices)
    ]
