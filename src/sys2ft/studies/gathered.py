"""What the cells of a study found, by place: outcomes of each setting and seed at the end and along the training."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sys2ft.errors import UserError
from sys2ft.statistics import Item
from sys2ft.statistics.scores import value as as_number
from sys2ft.studies.cells import Cell
from sys2ft.studies.costs import spent, too_few
from sys2ft.studies.drawn import AGE, OF_KIND, PER_NEWS, PROBABILITY
from sys2ft.studies.measures import Outcome
from sys2ft.studies.store import Store, outcomes_of
from sys2ft.training import JOINT

Values = dict[Item, float | None]
"""Question of a news item -> value; None: not gradable."""
ORDER_BINS = 10


@dataclass(frozen=True, slots=True)
class Place:
    """What was asked at one place of a training: after `step` steps in all, in the phase of an update."""

    own: int | None
    """Steps of the update; None: its end."""
    step: int
    update: int
    tokens: float
    flop: float
    found: Mapping[str, Values]

    @property
    def last(self) -> bool:
        """Whether this is the end of an update."""
        return self.own is None

    def x(self, name: str) -> float:
        """The place on an axis: step, update, tokens or flop."""
        return float(getattr(self, name))


@dataclass(slots=True)
class Setting:
    """The cells that differ in their seed only; those that are finished, in the order of the seeds."""

    at: Mapping[str, str]
    cells: list[Cell] = field(default_factory=list)
    places: list[list[Place]] = field(default_factory=list)
    """Of each seed, in order of training."""
    arrived: Mapping[str, int] = field(default_factory=dict)
    records: list[list[dict[str, Any]]] = field(default_factory=list)
    """Of each seed, by phase."""
    base: Mapping[str, Values] = field(default_factory=dict)
    kinds: Mapping[Item, str | None] = field(default_factory=dict)
    """Question -> its kind."""
    short: dict[str, int] = field(default_factory=dict)
    """News items with fewer elements than are asked for, and how many they have under the seed with the fewest."""

    @property
    def joint(self) -> bool:
        """Whether one adapter holds all news items, so that a seed moves all of them at once."""
        return self.cells[0].train.adapters == JOINT

    def values(self, measure: str, keep: Mapping[Item, Any] | None = None) -> list[Values]:
        """The values at the end of the training, of each seed; empty if the measure does not apply.

        Only of items that all seeds have: another item's adapter is asked only where there is one, and with other
        seeds other news items may be without samples.
        """
        return common([_kept(self.take(places[-1].found, measure), keep) for places in self.places])

    def take(self, found: Mapping[str, Values], measure: str) -> Values:
        """The values of a measure, or of its questions of one kind; of samples one value for each news item."""
        if measure == SEEN:
            return _mean_of_news(found.get(measure, {}))
        name, _, kind = measure.partition(OF_KIND)
        values = found.get(name, {})
        return {item: value for item, value in values.items() if self.kinds.get(item) == kind} if kind else values

    def base_values(self, measure: str, keep: Mapping[Item, Any] | None = None) -> list[Values]:
        """The values of the base; empty if it has none."""
        found = _kept(self.take(self.base, measure), keep)
        return [found] if found else []

    def along(self, measure: str, x: str) -> list[tuple[float, list[Values]]]:
        """The values along the training, by their x, beginning with the base; only places that all seeds have.

        Tokens and FLOP are for each news item of the setting, whenever these arrive.

        A place where a measure was not taken of all the items that it has at the end is left out.
        """
        if x == "order":
            return self._by_order(measure)
        if x == AGE:
            return self._by_age(measure)
        # Of news items that arrive in several updates, those of the first: the others are not trained on all the time.
        later = {name for name, update in self.arrived.items() if update} if x != "update" else set()
        whole = [_without(one, later) for one in self.values(measure)]
        if not whole:
            return []
        rows: list[tuple[float, list[Values]]] = []
        base = self.take(self.base, measure)
        if x != "update" and whole[0].keys() <= base.keys():
            rows.append((0.0, [{item: base[item] for item in whole[0]}]))
        for held in self._alike():
            found = [self.take(place.found, measure) for place in held]
            if (held[0].last or x != "update") and all(
                own.keys() <= one.keys() for own, one in zip(whole, found, strict=True)
            ):
                kept = [{item: one[item] for item in own} for own, one in zip(whole, found, strict=True)]
                each = max(1, len(self.arrived)) if x in PER_NEWS else 1
                rows.append((sum(place.x(x) for place in held) / len(held) / each, kept))
        return rows

    def _alike(self) -> list[list[Place]]:
        """The places that all seeds have, in order: after the same steps of an update, or at its end.

        Seeds may differ in their numbers of steps.
        """
        by_seed = [{(place.update, place.own): place for place in places} for places in self.places]
        return [[one[key] for one in by_seed] for key in by_seed[0] if all(key in one for one in by_seed)]

    def _by_order(self, measure: str) -> list[tuple[float, list[Values]]]:
        """What remains of samples by when they were trained on: the base's value minus the value, in tenths."""
        seeds = []
        for places in self.places:
            values = places[-1].found.get(measure, {})
            before = places[-1].found.get(BESIDE + measure, {})
            by_adapter: dict[str, list[Item]] = {}
            for item in sorted(values, key=lambda item: item[1]):
                by_adapter.setdefault(JOINT if self.joint else item[0], []).append(item)
            bins: list[Values] = [{} for _ in range(ORDER_BINS)]
            for own in by_adapter.values():
                for rank, item in enumerate(own):
                    bins[rank * ORDER_BINS // len(own)][item] = as_number(before[item]) - as_number(values[item])
            seeds.append([_mean_of_news(one) for one in bins])
        tenths = [common(held) for held in zip(*seeds, strict=True)]
        return [((number + 0.5) / ORDER_BINS, held) for number, held in enumerate(tenths) if held]

    def order_correlations(self, measure: str) -> list[Values]:
        """Spearman's correlation of the place of a sample with what remains of it, within each news item, by seed.

        Within news items, because these differ in how easy their samples are; items without a difference are left out.
        """
        from scipy.stats import spearmanr

        found: list[Values] = []
        for places in self.places:
            values = places[-1].found.get(measure, {})
            before = places[-1].found.get(BESIDE + measure, {})
            own: dict[str, list[tuple[int, float]]] = {}
            for (news_id, place), value in values.items():
                own.setdefault(news_id, []).append((place, as_number(before[news_id, place]) - as_number(value)))
            differing = {name: pairs for name, pairs in own.items() if len({gain for _, gain in pairs}) > 1}
            found.append({(name, 0): float(spearmanr(pairs).statistic) for name, pairs in differing.items()})
        return common(found)

    def _by_age(self, measure: str) -> list[tuple[float, list[Values]]]:
        """The values by the number of updates since a news item's own; negative before it."""
        seeds = []
        for places in self.places:
            ages: dict[int, Values] = {}
            for place in places:
                for (news_id, item), value in self.take(place.found, measure).items() if place.last else ():
                    if news_id in self.arrived:  # not the items of a set of retention
                        ages.setdefault(place.update - 1 - self.arrived[news_id], {})[news_id, item] = value
            seeds.append(ages)
        of_all = sorted(set.intersection(*(set(ages) for ages in seeds))) if seeds else []
        return [(float(age), held) for age in of_all if (held := common([ages[age] for ages in seeds]))]

    def cost(self) -> dict[str, float]:
        """Samples, tokens trained on, FLOP of generation and training, seconds, of all news items together.

        Means over the seeds.
        """
        if not self.records:
            return {}
        totals = [_cost(records) for records in self.records]
        return {name: sum(one[name] for one in totals) / len(totals) for name in totals[0]}


BESIDE = "beside "
SPENT = "spent"
"""In a record that was gathered: FLOP of the update."""
SEEN = "seen"


def common(columns: Sequence[Values]) -> list[Values]:
    """The columns with the items that all of them have; empty if there are none."""
    shared = set.intersection(*(set(one) for one in columns)) if columns else set()
    return [{item: value for item, value in one.items() if item in shared} for one in columns] if shared else []


def gather(store: Store, cells: Sequence[Cell]) -> list[Setting]:
    """The settings of the cells that are finished, in their order. Settings without a finished cell are left out."""
    found: dict[tuple[tuple[str, str], ...], Setting] = {}
    for cell in cells:
        stored = _stored(store, cell)
        if stored is None:
            continue
        records, base = stored
        setting = found.setdefault(cell.setting, Setting(dict(cell.setting)))
        setting.base = measured(outcomes_of(base["rows"]))
        setting.cells.append(cell)
        setting.records.append(records)
        setting.arrived = records[0]["update"]
        for name, count in too_few(store, cell, records[0]).items():
            setting.short[name] = min(count, setting.short.get(name, count))
        setting.kinds = {
            (item.id, number): question.kind
            for item in store.news(cell)
            for number, question in enumerate(item.questions)
        }
        setting.places.append(list(_places(records)))
    return list(found.values())


def _stored(store: Store, cell: Cell) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
    """The records of all phases of a cell, each with the FLOP that it cost, and what its base answered.

    None if a phase is missing, or if the cell cannot be read at all.
    """
    try:
        records = [store.phase(cell, number) for number in range(len(cell.groups(store.news(cell))))]
        base = store.part("base", store.base_key(cell)) or {"rows": []}
        have = [record for record in records if record is not None]
        if len(have) < len(records):
            return None
        return [{**record, SPENT: spent(store, cell, number, record)} for number, record in enumerate(have)], base
    except UserError:  # a model that is not there, a damaged file: the run has reported it
        return None


def measured(rows: Iterable[Outcome]) -> dict[str, Values]:
    """Outcomes by measure. What is beside a value is a measure too: a probability, or the base's loss."""
    found: dict[str, Values] = {}
    for one in rows:
        found.setdefault(one.measure, {})[one.news_id, one.item] = one.value
        if one.beside is not None:
            name = BESIDE if one.measure == SEEN else PROBABILITY
            found.setdefault(name + one.measure, {})[one.news_id, one.item] = one.beside
    return found


def _places(records: Sequence[Mapping[str, Any]]) -> Iterable[Place]:
    steps, tokens, flop = 0, 0.0, 0.0
    for number, record in enumerate(records, start=1):
        curve = {int(step): float(so_far) for step, _, so_far in record["curve"]}
        total, flop_of_update = max(curve.values(), default=0.0), record[SPENT]
        own, end = max(curve, default=0), outcomes_of(record["rows"])
        for point in record["points"]:
            if point["step"] < own:
                so_far = curve.get(point["step"], 0.0)
                part = so_far / total if total else 0.0
                # Where memory ran out, an adapter may have taken a step without being asked: that stays incomplete.
                ended = () if record["totals"].get("halved") else record["update"]
                found = measured(_completed(outcomes_of(point["rows"]), end, ended))
                at = point["step"]
                yield Place(at, steps + at, number, tokens + so_far, flop + flop_of_update * part, found)
        steps, tokens, flop = steps + own, tokens + total, flop + flop_of_update
        yield Place(None, steps, number, tokens, flop, measured(end))


def _completed(point: Sequence[Outcome], end: Sequence[Outcome], news: Container[str]) -> list[Outcome]:
    """What was asked on the way, and for those of the news items that were not asked there the answers at the end.

    They have no adapter in training by then: theirs has had fewer steps, has diverged, or never was.
    """
    asked, measures = {one.news_id for one in point}, {one.measure for one in point}
    return [*point, *(o for o in end if o.news_id in news and o.news_id not in asked and o.measure in measures)]


def _cost(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "samples": float(sum(record["samples"] for record in records)),
        "tokens": float(sum(record["totals"].get("tokens_trained", 0) for record in records)),
        "flop": float(sum(record[SPENT] for record in records)),
        "seconds": float(sum(record["totals"].get("seconds", 0.0) for record in records)),
        "left_out": float(sum(len(record["left_out"]) for record in records)),
        "diverged": float(sum(len(record["totals"].get("diverged", [])) for record in records)),
    }


def _kept(values: Values, keep: Mapping[Item, Any] | None) -> Values:
    return dict(values) if keep is None else {item: value for item, value in values.items() if item in keep}


def _without(values: Values, news: set[str]) -> Values:
    return {item: value for item, value in values.items() if item[0] not in news}


def _mean_of_news(values: Values) -> Values:
    """One value for each news item: samples differ between seeds, news items do not."""
    news: dict[str, list[float]] = {}
    for (news_id, _), value in values.items():
        news.setdefault(news_id, []).append(as_number(value))
    return {(news_id, 0): sum(own) / len(own) for news_id, own in news.items()}
