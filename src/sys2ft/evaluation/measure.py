"""Evaluation: what a model knows, closed book and in context, by five scorings.

Multiple choice is scored by the log-likelihood of the answer's text (`cloze_raw`: summed; `cloze`: a token's mean) and
of an option's letter (`letter`). Free text is generated directly (`direct`) and with step-by-step reasoning whose final
answer is extracted (`reasoned`), then graded. Each subject's questions run through its own adapters in shared batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sys2ft.engine import BASE, AdapterBank, DecodeRequest, Example, Sampling, StopStrings, decode, prepare, score
from sys2ft.evaluation import graders
from sys2ft.evaluation.ask import asked, messages, option_letters, option_order
from sys2ft.evaluation.records import CHOICE_SCORINGS, CONDITIONS, Condition, Prediction, Scoring
from sys2ft.evaluation.settings import EvaluateSettings
from sys2ft.models import LoadedModel
from sys2ft.news import News, Question
from sys2ft.runs import NO_MEMO, Display, Memo, item_seed, memoise

_NEWS_A_UNIT = 16  # news evaluated together; fixed, so that a resumed run computes the same batches


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question put to one adapter."""

    news: News
    index: int
    condition: Condition
    scoring: Scoring
    slot: int
    adapter: str | None
    options: tuple[str, ...]

    @property
    def question(self) -> Question:
        return self.news.questions[self.index]

    @property
    def text(self) -> str:
        return asked(self.news, self.question, self.condition, self.scoring, self.options)


def evaluate(
    model: LoadedModel,
    news: Sequence[News],
    settings: EvaluateSettings,
    *,
    subject: str = "base",
    bank: AdapterBank | None = None,
    adapters: Sequence[str] = (),
    seed: int = 0,
    memo: Memo = NO_MEMO,
    show: Display | None = None,
) -> list[Prediction]:
    """Predictions of one subject for every question, condition and scoring.

    `adapters[slot]` names the news that a slot of `bank` was trained on, or is 'joint' for all; without a bank the
    base answers. A question without choices gets no prediction by choice scorings.
    """
    prepare(model.model)
    slots = _slots(news, bank, adapters)
    families: list[tuple[Scoring, ...]] = [("cloze", "cloze_raw"), ("letter",), ("direct",), ("reasoned",)]
    wanted = [tuple(s for s in family if s in settings.scorings) for family in families]
    predictions: list[Prediction] = []
    total = sum(len(item.questions) for item in news) * len(CONDITIONS) * len([f for f in wanted if f])
    with (show or Display()).task(f"evaluate {subject}", total) as advance:
        ways = _Ways(model, bank, settings, subject, seed)
        for family in filter(None, wanted):
            for start in range(0, len(news), _NEWS_A_UNIT):
                part = news[start : start + _NEWS_A_UNIT]
                batch = [one for condition in CONDITIONS for one in _asked(part, slots, condition, family[0], seed)]
                unit = memoise(
                    memo, f"predictions/{subject}.units/{family[0]}-{start:05d}", partial(ways.answer, batch)
                )
                rows = [Prediction.from_dict(row) for row in unit["rows"]]
                predictions.extend(row for row in rows if row.scoring in family)
                advance(len(CONDITIONS) * sum(len(item.questions) for item in part))
    return predictions


def _slots(
    news: Sequence[News], bank: AdapterBank | None, adapters: Sequence[str]
) -> dict[str, tuple[int, str | None]]:
    """Slot and adapter name for each news."""
    if bank is None:
        return {item.id: (BASE, None) for item in news}
    by_name = {name: slot for slot, name in enumerate(adapters)}
    if "joint" in by_name:
        return {item.id: (by_name["joint"], "joint") for item in news}
    # A news that left nothing to train on has no adapter: its questions are answered by the base, and counted.
    return {item.id: (by_name.get(item.id, BASE), item.id if item.id in by_name else None) for item in news}


def _asked(
    news: Sequence[News],
    slots: dict[str, tuple[int, str | None]],
    condition: Condition,
    scoring: Scoring,
    seed: int,
) -> list[_Asked]:
    by_choice = scoring in CHOICE_SCORINGS
    return [
        _Asked(item, index, condition, scoring, *slots[item.id], tuple(option_order(item, index, seed)))
        for item in news
        for index, question in enumerate(item.questions)
        if question.choices or not by_choice
    ]


class _Ways:
    """The ways of asking a batch of questions; each returns predictions as rows."""

    def __init__(
        self, model: LoadedModel, bank: AdapterBank | None, settings: EvaluateSettings, subject: str, seed: int
    ) -> None:
        self.model, self.bank, self.settings, self.subject, self.seed = model, bank, settings, subject, seed

    def answer(self, batch: Sequence[_Asked]) -> dict[str, Any]:
        """A unit of work: the predictions for questions that are all asked by one scoring."""
        if not batch:
            return {"rows": []}
        way = {"cloze": self.cloze, "cloze_raw": self.cloze, "letter": self.letter}.get(
            batch[0].scoring, self.free_text
        )
        return {"rows": way(batch)}

    def cloze(self, batch: Sequence[_Asked]) -> list[dict[str, Any]]:
        """Log-likelihood of each choice's text as the assistant's words: predictions for `cloze` and `cloze_raw`."""
        rows = []
        for item, scored in zip(batch, self._score(batch, [list(item.options) for item in batch]), strict=True):
            for scoring in ("cloze", "cloze_raw"):
                values = [s.mean if scoring == "cloze" else s.total for s in scored]
                unit = "nats a token" if scoring == "cloze" else "nats"
                detail = {
                    "choices": dict(zip(item.options, [round(s.total, 4) for s in scored], strict=True)),
                    "tokens": [s.tokens for s in scored],
                }
                rows.append(self._choice(item, scoring, list(item.options), values, unit, detail))
        return rows

    def letter(self, batch: Sequence[_Asked]) -> list[dict[str, Any]]:
        """Log-likelihood of each option's letter, the options listed in seeded order."""
        rows = []
        letters = [option_letters(len(item.options)) for item in batch]
        for item, names, scored in zip(batch, letters, self._score(batch, letters), strict=True):
            values = [s.total for s in scored]
            detail = {
                "choices": dict(zip(names, [round(v, 4) for v in values], strict=True)),
                "options": dict(zip(names, item.options, strict=True)),
            }
            rows.append(self._choice(item, "letter", list(item.options), values, "nats", detail))
        return rows

    def _score(self, batch: Sequence[_Asked], continuations: Sequence[Sequence[str]]) -> list[list[Any]]:
        chat = self.model.chat
        examples = []
        for item, texts in zip(batch, continuations, strict=True):
            prompt = chat.prompt_ids(messages(item.text))
            for text in texts:
                ids = chat.continuation_ids(text)
                examples.append(Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), item.slot))
        scored = iter(score(self.model.model, examples, self.bank).likelihoods)
        return [[next(scored) for _ in texts] for texts in continuations]

    def _choice(
        self,
        item: _Asked,
        scoring: Scoring,
        options: Sequence[str],
        values: Sequence[float],
        unit: str,
        detail: dict[str, Any],
    ) -> dict[str, Any]:
        order = sorted(range(len(values)), key=lambda i: -values[i])
        said = options[order[0]]
        why = f"{values[order[0]]:.2f} {unit}, next is {options[order[1]]!r} with {values[order[1]]:.2f}"
        return self._row(item, scoring, said, said == item.question.answer, f"choice by {scoring}", why, detail)

    def free_text(self, batch: Sequence[_Asked]) -> list[dict[str, Any]]:
        """Generated answers, graded by the question's grader; of a reasoning, its final answer."""
        settings, chat = self.settings, self.model.chat
        reasoned = batch[0].scoring == "reasoned"
        requests = [
            DecodeRequest(
                prompt_ids=chat.prompt_ids(messages(item.text)),
                seed=item_seed(self.seed, item.scoring, item.condition, item.news.id, item.index),
                group=(item.condition, item.news.id),
                slot=item.slot,
            )
            for item in batch
        ]
        stops = chat.stop_texts
        result = decode(
            self.model.model,
            requests,
            Sampling(temperature=settings.free_text_temperature, top_p=settings.free_text_top_p),
            max_new_tokens=settings.reasoned_tokens if reasoned else settings.direct_tokens,
            stop_ids=chat.stop_ids,
            stop_when=StopStrings(self.model.tokenizer, stops) if stops else None,
            bank=self.bank,
        )
        rows = []
        for item, decoded in zip(batch, result.decoded, strict=True):
            text = self.model.tokenizer.decode(decoded.ids, skip_special_tokens=True).strip()
            for stop in stops:
                text = text.partition(stop)[0].strip()
            said, marked = graders.final_answer(text) if reasoned else (text, True)
            verdict = graders.grade(said, item.question)
            notes = [verdict.why]
            if not marked and not decoded.finished:
                # What stands last in a text that was cut is no answer, even where it happens to be right.
                verdict, notes = graders.Grade(False, ""), ["no final answer was reached"]
            elif not marked:
                notes.append("no final answer was marked: the last line was taken")
            if not decoded.finished:
                notes.append(f"cut after {len(decoded.ids)} tokens")
            detail = {"text": text} if reasoned else {}
            rows.append(
                self._row(item, item.scoring, said, verdict.correct, item.question.grader, "; ".join(notes), detail)
            )
        return rows

    def _row(
        self,
        item: _Asked,
        scoring: Scoring,
        said: str,
        correct: bool | None,
        grader: str,
        why: str,
        detail: dict[str, Any],
    ) -> dict[str, Any]:
        return Prediction(
            id=f"{self.subject}/{item.condition}/{scoring}/{item.news.id}/{item.index}",
            subject=self.subject,
            adapter=item.adapter,
            news_id=item.news.id,
            domain=item.news.domain,
            question=item.index,
            kind=item.question.kind,
            condition=item.condition,
            scoring=scoring,
            asked=item.text,
            said=said,
            expected=item.question.answer,
            correct=correct,
            grader=grader,
            why=why,
            detail=detail,
        ).to_dict()
