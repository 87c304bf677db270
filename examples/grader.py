"""A grader that accepts numbers within ten per cent of the answer, for questions that ask for an estimate.

    python examples/grader.py --model smollm2-135m-instruct

An entry point makes it available to every news file: see docs/extending.md.
"""

from __future__ import annotations

import argparse

import sys2ft
from sys2ft.evaluation import Grade
from sys2ft.evaluation.graders import numbers
from sys2ft.models import DEFAULT_MODEL


def roughly(said: str, question: sys2ft.Question) -> Grade:
    """Correct if the last number is within ten per cent of the answer. The entry point names this function."""
    expected, found = numbers(question.answer), numbers(said)
    if not expected:
        return Grade(None, f"the expected answer {question.answer!r} contains no number")  # None: cannot be graded
    if not found:
        return Grade(False, "the answer contains no number")
    near = abs(found[-1] - expected[-1]) <= 0.1 * abs(expected[-1])
    return Grade(near, f"{found[-1]:g} is {'' if near else 'not '}within ten per cent of {expected[-1]:g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    question = sys2ft.Question(text="About how many people does the ferry carry?", answer="40")
    news = sys2ft.News(
        id="ferry", text="The town of Paris has a new ferry. It carries 40 people.", questions=(question,)
    )
    settings = sys2ft.EvaluateSettings(scorings=("direct",), headline="direct", direct_tokens=16)
    for row in sys2ft.evaluate(model, [news], settings):
        grade = roughly(row.said, question)
        print(f"{row.condition:<12} {row.said!r}: {grade.correct}, {grade.why}")
    for said in ("About 42 people.", "Forty-five"):
        print(f"{said!r}: {roughly(said, question)}")
