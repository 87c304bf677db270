"""Functions of units that ask a batch of retention items, and judge the answers as predictions in rows.

Each takes an `Answerer` and plain data (see `sys2ft.runs.Unit`). Answers are generated greedily.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.engine import Example, score
from sys2ft.evaluation import Answerer, Prediction
from sys2ft.evaluation.ask import messages
from sys2ft.evaluation.records import RetentionScoring
from sys2ft.evaluation.scorings import Rows, judged
from sys2ft.generators import Reply, Request, SamplingParams
from sys2ft.generators.work import replies
from sys2ft.languages import language_of
from sys2ft.models import LoadedModel
from sys2ft.news import Question
from sys2ft.retention import verifiers
from sys2ft.retention.sets import Form, RetentionItem

TEXT_TOKENS = 512
"""Tokens of a document that are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One item for one adapter: plain data, so that a unit can contain it."""

    item: RetentionItem
    slot: int
    adapter: str | None

    def to_dict(self) -> dict[str, Any]:
        item = {name: getattr(self.item, name) for name in self.item.__slots__}
        lists = {"instructions": list(self.item.instructions), "arguments": [dict(one) for one in self.item.arguments]}
        return {"item": item | lists, "slot": self.slot, "adapter": self.adapter}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Asked:
        item = row["item"]
        lists = {name: tuple(item[name]) for name in ("instructions", "arguments")}
        return cls(item=RetentionItem(**{**item, **lists}), slot=row["slot"], adapter=row["adapter"])


def prompt(item: RetentionItem, form: Form) -> str:
    """The user message: an instruction as it is, a problem with the request to reason and to mark the answer."""
    if form == "instructions":
        return item.text
    return f"{item.text}\n{language_of(item.text).prompts.text('ask_reasoned')}"


def document(model: LoadedModel, item: RetentionItem, slot: int, positions: int | None = None) -> Example:
    """The beginning of a document as plain text, supervised from its second token on."""
    ids = model.chat.plain_ids(item.text)[: min(TEXT_TOKENS, positions or TEXT_TOKENS)]
    return Example(ids, [False] + [True] * (len(ids) - 1), slot)


def numbers(who: Answerer, subject: str, asked: Rows, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the final answers of step-by-step texts are the numbers expected."""
    batch = [Asked.from_dict(row) for row in asked]
    rows = []
    for one, reply in zip(batch, _said(who, batch, "numbers", settings), strict=True):
        question = Question(text=one.item.text, answer=one.item.expected, grader="number")
        said, correct, why = judged(reply.text, question, finished=reply.finished, tokens=reply.tokens, reasoned=True)
        rows.append(
            _row(
                subject,
                one,
                "reasoned",
                said=said,
                expected=one.item.expected,
                correct=correct,
                grader="number",
                why=why,
                asked=prompt(one.item, "numbers"),
                detail={"text": reply.text},
            )
        )
    return {"rows": rows}


def instructions(who: Answerer, subject: str, asked: Rows, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Whether texts follow all instructions of their prompt (question 0), and each of them (question 1 and so on)."""
    batch = [Asked.from_dict(row) for row in asked]
    rows = []
    for one, reply in zip(batch, _said(who, batch, "instructions", settings), strict=True):
        item = one.item
        followed = verifiers.followed(item.text, item.instructions, item.arguments, reply.text)
        cut = f"; cut after {reply.tokens} tokens" if not reply.finished else ""
        why = f"follows {sum(followed)} of {len(followed)} instructions{cut}"
        fields: dict[str, Any] = {"asked": item.text, "said": reply.text, "grader": "if-verifiable"}
        rows.append(_row(subject, one, "prompt", correct=all(followed), why=why, **fields))
        for place, (name, right) in enumerate(zip(item.instructions, followed, strict=True), 1):
            own = {**fields, "asked": name, "said": ""}  # the text is in the row of the prompt
            why = "followed" if right else "not followed"
            rows.append(_row(subject, one, "instruction", place=place, correct=right, why=why, **own))
    return {"rows": rows}


def text(who: Answerer, subject: str, asked: Rows, positions: int | None = None) -> dict[str, Any]:
    """The mean loss of each document, in nats per token."""
    batch = [Asked.from_dict(row) for row in asked]
    examples = [document(who.model, one.item, one.slot, positions) for one in batch]
    rows = []
    for one, found in zip(batch, score(who.model.model, examples, who.bank).likelihoods, strict=True):
        detail = {"nats_per_token": -found.mean, "tokens": found.tokens}
        why = f"{-found.mean:.4f} nats per token over {found.tokens} tokens"
        rows.append(_row(subject, one, "loss", why=why, asked=one.item.text, detail=detail))
    return {"rows": rows}


def _said(who: Answerer, batch: Sequence[Asked], form: Form, settings: Mapping[str, Any]) -> Sequence[Reply]:
    requests = [
        Request(messages=tuple(messages(prompt(one.item, form))), seed=0, group=one.item.id, slot=one.slot)
        for one in batch
    ]
    sampling = SamplingParams(temperature=0.0, max_new_tokens=settings["max_new_tokens"])
    return replies(who.writer, requests, sampling).replies


def _row(
    subject: str,
    one: Asked,
    scoring: RetentionScoring,
    *,
    place: int = 0,
    asked: str,
    said: str = "",
    expected: str = "",
    correct: bool | None = None,
    grader: str = "",
    why: str,
    detail: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return Prediction(
        id=f"{subject}/closed_book/{scoring}/{one.item.id}/{place}",
        subject=subject,
        adapter=one.adapter,
        news_id=one.item.id,
        domain=one.item.set,
        question=place,
        kind=None,
        condition="closed_book",
        scoring=scoring,
        asked=asked,
        said=said,
        expected=expected,
        correct=correct,
        grader=grader,
        why=why,
        detail=detail or {},
    ).to_dict()
