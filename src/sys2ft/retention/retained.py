"""What a subject still can: the items of a retention set, asked of its adapters in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sys2ft.engine import BASE, Bank
from sys2ft.evaluation import (
    EvaluateSettings,
    Measurement,
    Prediction,
    Route,
    Subject,
    evaluate,
    graders,
)
from sys2ft.models import LoadedModel, Reader, position_limit
from sys2ft.news import News
from sys2ft.retention import verifiers
from sys2ft.retention.measuring import TEXT_TOKENS, Asked
from sys2ft.retention.needs import require_items_fit
from sys2ft.retention.sets import RetentionSet, read_set
from sys2ft.runs import NO_MEMO, Display, Executor, Memo, Unit

VERSION = 1
"""Of the prompts and rules of this room: raised whenever a stored answer may no longer be the one given now."""
TOKENS = 256
_ITEMS_PER_UNIT = 16  # fixed, so that a resumed run computes the same batches


@dataclass(frozen=True, slots=True)
class RetentionProbe:
    """The items of one set. Item i is asked of adapter i modulo K of the subject's K adapters, in order of their slots.

    So the mean is over adapters too, and every answer is paired with that of the base to the same item. `positions` is
    the greatest number of tokens that the model reads; None: no limit.
    """

    set: RetentionSet
    tokens: int = TOKENS
    """Token budget of a generated answer."""
    positions: int | None = None

    @property
    def name(self) -> str:
        return self.set.name

    @property
    def folder(self) -> str:
        """Where a run folder stores the predictions."""
        return f"controls/{self.set.name}"

    def units(self, subject: Subject, news: Sequence[News], seed: int) -> list[Unit]:
        """The units; neither news items nor a seed play a part, since the set was chosen before."""
        asked = [one.to_dict() for one in self._asked(subject)]
        return [self._unit(subject, start, asked) for start in range(0, len(asked), _ITEMS_PER_UNIT)]

    def _unit(self, subject: Subject, start: int, asked: Sequence[Mapping[str, Any]]) -> Unit:
        form = self.set.form
        inputs: dict[str, Any] = {"subject": subject.name, "asked": asked[start : start + _ITEMS_PER_UNIT]}
        decided_by: dict[str, Any] = {"version": subject.version, "retention": VERSION}
        if form == "text":
            inputs["positions"] = self.positions
            decided_by["tokens"] = TEXT_TOKENS
        else:
            inputs["settings"] = {"max_new_tokens": self.tokens}
            decided_by["graders"] = graders.identity() if form == "numbers" else verifiers.identity()
        return Unit(
            key=f"{self.folder}/{subject.name}.units/{form}-{start:05d}",
            function=f"sys2ft.retention.measuring:{form}",
            inputs=inputs,
            decided_by=decided_by,
        )

    def _asked(self, subject: Subject) -> Iterator[Asked]:
        routes = {(route.slot, route.adapter) for route in subject.routes.values() if route.slot != BASE}
        adapters = sorted(routes, key=lambda one: one[0]) or [(BASE, None)]
        for place, item in enumerate(self.set.items):
            slot, adapter = adapters[place % len(adapters)]
            yield Asked(item=item, slot=slot, adapter=adapter)

    def read(self, result: Mapping[str, Any]) -> list[Prediction]:
        return [Prediction.from_dict(row) for row in result["rows"]]


def set_measurements(
    sets: Sequence[RetentionSet], routes: Mapping[str, Route], *, tokens: int = TOKENS, positions: int | None = None
) -> Iterator[Measurement]:
    """The sets as measurements of a run, beside `sys2ft.evaluation.measurements`. Empty `routes`: the base model."""
    for one in sets:
        probe = RetentionProbe(one, tokens, positions)
        yield Measurement(folder=probe.folder, probe=probe, news=(), routes=routes)


def retained(
    model: LoadedModel,
    sets: Sequence[str | RetentionSet],
    *,
    subject: str = "base",
    bank: Bank | None = None,
    routes: Mapping[str, Route | int] | None = None,
    version: str = "",
    seed: int = 0,
    tokens: int = TOKENS,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
) -> list[Prediction]:
    """Predictions of one subject for every item of every set; `sets` as on the command line, or as they were read.

    `bank`, `routes`, `version`, `memo` and `executor` are those of `sys2ft.evaluation.evaluate`; `seed` chooses the
    items. A prediction's `news_id` is the item, its `domain` the set. Its `scoring` is `reasoned` for a problem,
    `prompt` and `instruction` for instructions (all of a prompt, and each), and `loss` for text, where `correct` is
    None and `detail["nats_per_token"]` has the value. Raises SettingsError for a bad set, and for an item that the
    model cannot read.
    """
    found = [one if isinstance(one, RetentionSet) else read_set(one, seed=seed) for one in sets]
    require_items_fit(Reader.of(model), found, tokens=tokens)
    predictions: list[Prediction] = []
    for one in found:
        predictions += evaluate(
            model, (), EvaluateSettings(), subject=subject, bank=bank, routes=routes, version=version,
            probe=RetentionProbe(one, tokens, position_limit(model.model.config)), seed=seed, memo=memo,
            executor=executor, show=show,
        )  # fmt: skip
    return predictions
