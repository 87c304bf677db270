"""How the answers of base, news in context and tuned model compare: the words they share, right or wrong, and how
likely each makes the choices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sys2ft.engine import Example, score
from sys2ft.evaluation.scorings import judged
from sys2ft.languages import language_of
from sys2ft.models import Message
from sys2ft.news import Question
from sys2ft.replay.checks.agreement import agreement
from sys2ft.serve.catalogue import Catalogue, Served
from sys2ft.serve.failures import ApiError, unknown_model

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Choice = Annotated[str, Field(min_length=1, max_length=500)]


class AskedScore(BaseModel):
    """A request for the likelihood of each choice as the answer to a question."""

    model_config = _STRICT
    question: Text
    choices: list[Choice] = Field(min_length=2, max_length=16)
    models: list[str] = Field(min_length=1, max_length=4)


class Item(BaseModel):
    """A question of the run."""

    model_config = _STRICT
    news_id: str
    question: int = Field(ge=0)


class AskedAgreement(BaseModel):
    """A request to compare answers, by name, to one question; to grade them, if it is one of the run's."""

    model_config = _STRICT
    question: Text
    texts: dict[str, Annotated[str, Field(max_length=20_000)]] = Field(min_length=1, max_length=4)
    item: Item | None = None


def compared(asked: AskedAgreement, question: Question | None) -> dict[str, Any]:
    """The agreement of each pair of answers, from 0 to 1, and whether each answers `question` (None: unknown)."""
    code = language_of(asked.question).prompts.code
    pairs = [
        {"of": [one, other], "share": agreement(asked.texts[one], asked.texts[other], asked.question, code)}
        for one, other in itertools.combinations(asked.texts, 2)
    ]
    grades = {}
    if question is not None:
        for name, text in asked.texts.items():
            _, correct, why = judged(text.strip(), question, finished=True, tokens=0, reasoned=False)
            grades[name] = {"correct": correct, "why": why}
    return {"pairs": pairs, "grades": grades}


def examples(catalogue: Catalogue, asked: AskedScore, positions: int | None) -> list[Example]:
    """Each choice as the reply of each model to the question, model by model.

    Raises ApiError for an unknown model, or if a prompt is longer than the model can read.
    """
    chat = catalogue.model.chat
    made = []
    for name in asked.models:
        served = catalogue.served.get(name)
        if served is None:
            raise unknown_model(name, list(catalogue.served))
        prompt = chat.prompt_ids(_messages(catalogue, served, asked.question))
        for choice in asked.choices:
            ids = chat.continuation_ids(choice)
            if positions is not None and len(prompt) + len(ids) > positions:
                raise ApiError(
                    400, f"The question is too long: the model reads {positions} tokens.", param="question",
                    code="context_length_exceeded",
                )  # fmt: skip
            made.append(Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), served.slot))
    return made


def _messages(catalogue: Catalogue, served: Served, question: str) -> list[Message]:
    messages = [Message("user", question)]
    if served.reads_news and catalogue.context is not None:
        return catalogue.context.read(messages)[0]
    return messages


def scored(catalogue: Catalogue, asked: AskedScore, made: Sequence[Example]) -> dict[str, list[dict[str, float]]]:
    """Log-likelihood in nats, and tokens, of each choice, by model. Call it in the thread that runs the model."""
    found = iter(score(catalogue.model.model, made, catalogue.bank).likelihoods)
    return {
        name: [
            {"total": one.total, "mean": one.mean, "tokens": one.tokens}
            for one in itertools.islice(found, len(asked.choices))
        ]
        for name in asked.models
    }
