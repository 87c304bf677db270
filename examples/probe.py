"""A probe: asks the news items' questions in another wording and scores them like the original ones.

python examples/probe.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sys2ft
from sys2ft.evaluation import Questions, Subject
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import Unit


class PassedOn:
    """Asks 'A friend wants to know: ...', scored by the log-likelihood of the choices."""

    name = "passed_on"

    def __init__(self) -> None:
        self.questions = Questions(sys2ft.EvaluateSettings(scorings=("cloze",)))

    def units(self, subject: Subject, news: Sequence[sys2ft.News], seed: int) -> list[Unit]:
        asked = [
            item.model_copy(
                update={
                    "questions": tuple(
                        q.model_copy(update={"text": f"A friend wants to know: {q.text}"}) for q in item.questions
                    )
                }
            )
            for item in news
        ]
        return [
            replace(unit, key=unit.key.replace(".units/", f".units/{self.name}-"))
            for unit in self.questions.units(subject, asked, seed)
        ]

    def read(self, result: Mapping[str, Any]) -> list[sys2ft.Prediction]:
        return self.questions.read(result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    question = sys2ft.Question(text="How many people does the ferry carry?", answer="40", choices=("40", "90"))
    news = [sys2ft.News(id="ferry", text="The new ferry carries 40 people.", questions=(question,))]
    settings = sys2ft.EvaluateSettings(scorings=("cloze",))
    for row in sys2ft.evaluate(model, news, settings, probe=PassedOn()):
        print(f"{row.condition:<12} {row.asked.splitlines()[-1]} {row.said} ({row.correct})")
