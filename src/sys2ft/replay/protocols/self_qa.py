"""Self-QA: the model asks itself about the news item and answers (Park, Zhang and Tanaka, arXiv 2505.01812)."""

from __future__ import annotations

from dataclasses import replace

from sys2ft.replay.filters import copied_name, given_away, miscalculation, missed, refusal
from sys2ft.replay.parsers import ENDS_OF_QUESTIONS, one_paragraph, one_question, short_answer
from sys2ft.replay.prompts import templates
from sys2ft.replay.protocols.shared import ABOUT_THE_NEWS, foreign_name
from sys2ft.replay.stages import Protocol, Stage

_TO_WORK_OUT = (1, 5, 6, 7)
"""The places of the instructions that ask for a case, a consequence, a choice, or other numbers."""


def self_qa() -> Protocol:
    """The model asks a question about the news item, then answers it in a fresh conversation with the news in context.

    A question may aim at a fact; its answer must then have it, in a conversation that does not know the aim. What small
    models answer is often wrong: the check `gain` keeps the answers that the news in context makes likelier.
    """
    answer = Stage(
        name="answer",
        template=templates("self_qa_answer"),
        parser=short_answer,
        filters=(refusal, copied_name, miscalculation, missed),
    )
    ask = replace(_question(), aimed=templates("self_qa_aimed"))
    return Protocol(name="self_qa", version=5, stages=(ask, answer))


def self_qa_reasoned() -> Protocol:
    """Questions that apply the news item; the answer works the case out, and its result comes last.

    Its equations are checked.
    """
    answer = Stage(
        name="answer",
        template=templates("self_qa_reasoned"),
        parser=one_paragraph,
        filters=(refusal, copied_name, miscalculation, foreign_name),
        stops=("\n\n",),
        max_new_tokens=128,
    )
    return Protocol(name="self_qa_reasoned", version=1, stages=(_question(*_TO_WORK_OUT), answer))


def _question(*only: int) -> Stage:
    return Stage(
        name="ask",
        template=templates("self_qa_question", only=only),
        parser=one_question,
        filters=(*ABOUT_THE_NEWS, given_away),
        stops=(*ENDS_OF_QUESTIONS, "\n"),
    )
