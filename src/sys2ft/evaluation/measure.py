"""Evaluation: what a subject knows, closed book and in context. Probes say what is asked."""

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
    probe: Probe | None = None,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    executor: Executor | None = None,
    show: Display | None = None,
) -> list[Prediction]:
    """Predictions of one subject for every question, condition and scoring (or for what another `probe` asks).

    `routes` says for each news item which slot of `bank` answers its questions (`BASE`: the base model); without a
    bank the base answers all. `memo` keeps finished units (a run folder's does), so that an interrupted call resumes.
    Raises SettingsError for routes that leave out a news item or name a slot that is not in the bank.
    """
    asked_of = Subject(name=subject, routes=_checked(routes or {}, news, bank))
    asks: Probe = probe or Questions(settings)
    units = asks.units(asked_of, news, seed)
    predictions: list[Prediction] = []
    with (show or Display()).task(f"evaluate {subject}", sum(len(unit.inputs["asked"]) for unit in units)) as advance:
        results = compute_units(units, executor or LocalExecutor(Answerer(model, bank)), memo)
        for unit, (result, _) in zip(units, results, strict=True):
            predictions += asks.read(result)
            advance(len(unit.inputs["asked"]))
    return predictions


def _checked(routes: Mapping[str, Route | int], news: Sequence[News], bank: Bank | None) -> dict[str, Route]:
    """The routes, a bare slot with its number as the adapter's name."""
    made = {item: route if isinstance(route, Route) else _numbered(route) for item, route in routes.items()}
    slots = bank.slots if bank is not None else 0
    wrong = {item: route.slot for item, route in made.items() if not BASE <= route.slot < slots}
    if wrong or (bank is not None and not made):
        raise SettingsError(
            f"routes to slots {wrong} of a bank with {slots}" if wrong else "a bank without routes",
            expected=f"for each news item a slot from 0 to {slots - 1}, or {BASE} for the base",
            fix="give `routes`: news id -> slot, such as `{item.id: training.slots[item.id] for item in news}`",
        )
    return made


def _numbered(slot: int) -> Route:
    return Route() if slot == BASE else Route(slot, str(slot))
