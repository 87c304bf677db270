"""The proof of an export: the run's own questions, asked again through what will run the exported files.

What is compared is the run's record: of a question with choices the log-likelihood of each choice's text and the answer
that follows from them; of a question without, the greedy answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sys2ft.errors import SettingsError
from sys2ft.evaluation.scorings import judged
from sys2ft.export.chosen import Chosen
from sys2ft.models.chat import Message
from sys2ft.news import Question
from sys2ft.runs import Display

_BY_CHOICE = ("cloze", "cloze_raw", "letter")


@dataclass(frozen=True, slots=True)
class Written:
    """A greedy answer, whether it ended by itself, and its tokens."""

    text: str
    finished: bool
    tokens: int


class Runner(Protocol):
    """A program that has loaded an export."""

    def likelihoods(self, messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        """Log-likelihood of each option's text as the assistant's reply, without the end of the turn, in nats."""
        ...

    def write(self, messages: Sequence[Message], max_new_tokens: int) -> Written:
        """The greedy reply."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question of the run, and the run's record of how it was answered."""

    name: str
    """News id and number of the question."""
    asked: str
    """The user message."""
    question: Question
    scoring: str
    said: str
    correct: bool | None
    options: Mapping[str, float]
    """Continuations with their recorded log-likelihoods; empty: the answer is written."""
    tokens: tuple[int, ...]
    """Number of tokens of each option."""
    said_by: Mapping[str, str]
    """The answer that each option stands for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """How one program answers, beside the run's record."""

    through: str
    """The program and what it has loaded, such as 'llama.cpp, base + LoRA'."""
    asked: int
    right_before: int
    right_after: int
    changed: int
    """Questions that are answered differently."""
    shift: float | None
    """Largest change of a choice's log-likelihood, in nats per token; None: no question has choices."""
    shift_at: str
    """The choice with that change, and its question."""
    notes: tuple[str, ...] = ()
    """What differs besides the numbers, such as a chat template."""

    def passes(self, limit: float) -> bool:
        """Whether no log-likelihood moved by more than `limit` nats per token, and the input was the same."""
        return (self.shift is None or self.shift <= limit) and not self.notes

    def line(self) -> str:
        """In one line."""
        shift = "no choices to compare" if self.shift is None else f"largest shift {self.shift:.3f} nats a token"
        return (
            f"{self.through}: {self.right_before} of {self.asked} right before, {self.right_after} after; "
            f"{self.changed} answers changed; {shift}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "notes": list(self.notes)}


def items_of(chosen: Chosen, subject: str, limit: int | None) -> list[Item]:
    """The questions that `subject` answered without the news in context, each once: by choice if it has choices.

    `limit`: at most so many, evenly spread. Raises SettingsError if the run has no answers yet.
    """
    news = chosen.news()
    best: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in chosen.answers(subject):
        key = (row["news_id"], row["question"])
        if _rank(row) < _rank(best.get(key)):
            best[key] = row
    if not best:
        raise SettingsError(
            f"{chosen.run.path} has no closed-book answers of {subject}, with which an export could be compared",
            expected="an evaluated run, with a scoring by choice or `direct`",
            fix=f"evaluate it first: sys2ft evaluate {chosen.run.path}",
        )
    items = [_item(row, news[key[0]].questions[key[1]]) for key, row in best.items()]
    if limit is not None and limit < len(items):
        items = [items[place * len(items) // limit] for place in range(limit)]
    return items


def _rank(row: Mapping[str, Any] | None) -> int:
    """The place of a row's scoring among those that can be compared; the highest: none."""
    order = (*_BY_CHOICE, "direct")
    return order.index(row["scoring"]) if row is not None and row["scoring"] in order else len(order)


def _item(row: Mapping[str, Any], question: Question) -> Item:
    by_choice = row["scoring"] in _BY_CHOICE
    options: Mapping[str, float] = row["detail"]["choices"] if by_choice else {}
    return Item(
        name=f"{row['news_id']}, question {row['question'] + 1}",
        asked=row["asked"],
        question=question,
        scoring=row["scoring"],
        said=row["said"],
        correct=row["correct"],
        options=options,
        tokens=tuple(row["detail"].get("tokens", [1] * len(options))),  # a letter is one token
        said_by=row["detail"].get("options", {name: name for name in options}) if by_choice else {},
    )


def prove(
    through: str,
    runner: Runner,
    items: Sequence[Item],
    *,
    max_new_tokens: int,
    show: Display,
    notes: Iterable[str] = (),
) -> Proof:
    """Ask every item again and compare."""
    changed, right, shift, where = 0, 0, None, ""
    with show.task(f"ask {through}", len(items)) as advance:
        for item in items:
            messages = [Message("user", item.asked)]
            if item.options:
                values = runner.likelihoods(messages, list(item.options))
                said = _decided(item, values)
                correct: bool | None = said == item.question.answer
                for (option, before), after, count in zip(item.options.items(), values, item.tokens, strict=True):
                    moved = abs(after - before) / count
                    if shift is None or not moved <= shift:
                        shift, where = moved, f"{option!r} of {item.name}: {before:.3f} to {after:.3f} nats"
            else:
                reply = runner.write(messages, max_new_tokens)
                said, correct, _ = judged(
                    reply.text, item.question, finished=reply.finished, tokens=reply.tokens, reasoned=False
                )
            changed += said != item.said
            right += correct is True
            advance()
    return Proof(
        through=through,
        asked=len(items),
        right_before=sum(item.correct is True for item in items),
        right_after=right,
        changed=changed,
        shift=shift,
        shift_at=where,
        notes=tuple(notes),
    )


def _decided(item: Item, values: Sequence[float]) -> str:
    """The answer by the likelihoods of the choices, as `evaluation.scorings` decides it."""
    totals = list(values)
    if item.scoring == "cloze":
        totals = [value / count for value, count in zip(values, item.tokens, strict=True)]
    best = max(range(len(totals)), key=totals.__getitem__)
    return item.said_by[list(item.options)[best]]
