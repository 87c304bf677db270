"""Measures what a subject knows, closed book and in context, with the questions of a probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sys2ft.engine import BASE, Bank
from sys2ft.errors import SettingsError
from sys2ft.evaluation.probes import Probe, Questions, Route, Subject
from sys2ft.evaluation.records import Prediction
from sys2ft.evaluation.scorings import Answerer
from sys2ft.evaluation.settings import EvaluateSettings
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.runs import NO_MEMO, Display, Executor, LocalExecutor, Memo, compute_units


def evaluate(
    model: LoadedModel,
    news: Sequence[News],
    settings: EvaluateSettings,
    *,
    subject: str = "base",
    bank: Bank | None = None,
    routes: Mapping[str, Route | int] | None = None,
    version: str = "",
    probe: Probe | None = None,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
) -> list[Prediction]:
    """Predictions of one subject for every question, condition and scoring, or for the questions of another `probe`.

    `routes` maps each news item's id to the slot of `bank` that answers its questions (`BASE`: the base model);
    without a bank the base model answers all. `version` says what the bank was trained on, such as a digest; answers
    stored in `memo` under another version are not reused. `memo` stores finished units (a `Run` stores them in its
    folder), so that an interrupted call resumes. `executor` computes the units; its context is an `Answerer` with a
    bank of its own, or with `bank`. Raises SettingsError if the routes omit a news item or name a slot
    that the bank does not have.
    """
    asked_of = Subject(name=subject, routes=_checked(routes or {}, bank, executor), version=version)
    asks: Probe = probe or Questions(settings)
    title = f"evaluate {subject}" if asks.name == "questions" else f"evaluate {subject}: {asks.name}"
    units = asks.units(asked_of, news, seed)
    predictions: list[Prediction] = []
    with (show or Display()).task(title, sum(len(unit.inputs["asked"]) for unit in units)) as advance:
        results = compute_units(units, executor or LocalExecutor(Answerer(model, bank)), memo)
        for unit, (result, _) in zip(units, results, strict=True):
            predictions += asks.read(result)
            advance(len(unit.inputs["asked"]))
    return predictions


def _checked(routes: Mapping[str, Route | int], bank: Bank | None, executor: Executor | None) -> dict[str, Route]:
    """The routes checked against the bank; a bare slot becomes a route named after its number."""
    made = {item: route if isinstance(route, Route) else _numbered(route) for item, route in routes.items()}
    if bank is None and executor is not None:
        return made  # an executor has a bank of its own
    slots = bank.slots if bank is not None else 0
    wrong = {item: route.slot for item, route in made.items() if not BASE <= route.slot < slots}
    if wrong or (bank is not None and not made):
        raise SettingsError(
            f"routes to slots {wrong} of a bank with {slots}" if wrong else "a bank without routes",
            expected=f"a slot from 0 to {slots - 1} for each news item, or {BASE} for the base model",
            fix="give `routes`: news id -> slot, such as `{item.id: training.slots[item.id] for item in news}`",
        )
    return made


def _numbered(slot: int) -> Route:
    return Route() if slot == BASE else Route(slot, str(slot))
