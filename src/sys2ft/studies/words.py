"""What a study found, in sentences and in the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from sys2ft.report import number
from sys2ft.report.words import ABSENT, counted, estimate
from sys2ft.statistics import Score, Undefined
from sys2ft.studies.drawn import OF_KIND, PROBABILITY
from sys2ft.studies.effort import Effort
from sys2ft.studies.labels import BASE
from sys2ft.studies.measures import in_nats
from sys2ft.studies.results import ALL, Contrast, Results, Row
from sys2ft.studies.spec import Compare, Study

_LISTED = 6
_NAMES = {
    "closed_book": "closed book",
    "in_context": "in context",
    "other_in_context": "in context, of another item's adapter",
    "other_adapter": "closed book, of another item's adapter",
    "rephrased": "rephrased questions",
    "text": "nats a token of the news text",
    "seen": "nats a token of the samples",
    "loss": "training loss",
    "recall": "recall of the text",
}


def measure_title(name: str) -> str:
    """A measure as it is shown."""
    if name.startswith(PROBABILITY):
        return f"p(right) {measure_title(name.removeprefix(PROBABILITY))}"
    name, _, kind = name.partition("=")[0].partition(OF_KIND)
    said = _NAMES.get(name, name.replace("_", " "))
    return f"{said}: {kind.replace('_', ' ')}" if kind else said


def place_title(study: Study, at: Mapping[str, str], without: Sequence[str] = ()) -> str:
    """A place as it is shown: the values of its axes; the model only if there are several."""
    shown = [
        label
        for axis, label in at.items()
        if axis not in without and label != BASE and (axis != "model" or len(study.models) > 1)
    ]
    if BASE in at.values():
        shown.append(BASE)
    return ", ".join(shown) or "trained"


def sentences(found: Results) -> list[str]:
    """One sentence for each comparison of the study, and for each line of a scaling figure."""
    said = [_compared(found, compare) for compare in found.study.compare]
    said += [effort_sentence(found.study, one) for one in found.efforts]
    return [one for one in said if one]


def _compared(found: Results, compare: Compare) -> str:
    own = [one for one in found.contrasts if one.compare == compare]
    if not own:
        return ""
    clear = [one for one in own if one.beyond_noise]
    size = size_of(own[0].difference)
    of = f" {measure_title(compare.of)}" if compare.of else ""
    what = f"{measure_title(compare.measure)} against {'the base' if compare.to == BASE else repr(compare.to)}{of}"
    if len(own) <= _LISTED:
        listed = "; ".join(_one(found.study, one) for one in own)
        return f"{_capital(what)}: {listed} ({size}; p by Holm)."
    if not clear:
        return f"{_capital(what)}: none of {len(own)} differs beyond noise ({size}; Holm at 5%)."
    order = sorted(clear, key=lambda one: one.difference.estimate)
    high = [one for one in order if one.difference.estimate > 0]
    low = [one for one in order if one.difference.estimate < 0]
    parts = [f"{_capital(what)}: {len(clear)} of {len(own)} differ beyond noise"]
    if high:
        parts.append(f"{len(high)} higher, at most {_one(found.study, high[-1])}")
    if low:
        parts.append(f"{len(low)} lower, at most {_one(found.study, low[0])}")
    return f"{'; '.join(parts)} ({size}; Holm at 5%)."


def _one(study: Study, one: Contrast) -> str:
    sure = "no interval" if one.p is None else f"p {_p(one.p)}" if one.beyond_noise else f"within noise, p {_p(one.p)}"
    levels = f"{one.reference.estimate:.2f} to {one.level.estimate:.2f}"
    return f"{place_title(study, one.at)} {levels}, {number(one.difference, signed=True)}, {sure}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def size_of(score: Score) -> str:
    """How many questions, news items and seeds a number is from."""
    seeds = f", {counted(score.n_seeds, 'seed')}"
    return f"{counted(score.n_items, 'question')} of {counted(score.n_news, 'news item')}{seeds}"


def effort_sentence(study: Study, one: Effort) -> str:
    """What a scaling figure says of one line."""
    who = f"{place_title(study, one.at)}, {measure_title(one.measure)}" if one.at else measure_title(one.measure)
    if isinstance(one.trend, Score):
        sure = "a trend" if one.trend.excludes_zero else "no trend beyond noise"
        correlation = f"rank correlation {number(one.trend, signed=True)}"
        return f"{_capital(who)}: {sure} with {one.unit} ({correlation}; {size_of(one.trend)})."
    law = one.law
    if law is None:
        return f"{_capital(who)}: too few points for a fit."
    if law.flat:
        gain = number(law.gain, signed=True)
        return f"{_capital(who)}: does not grow with {one.unit} beyond noise ({gain}; {size_of(law.gain)})."
    grown = f"grows with {one.unit} by {number(law.gain, signed=True)}"
    needed = one.needed
    if needed is None or isinstance(needed, Undefined):
        why = f"; the share of the gap is not defined ({needed.reason})" if needed else ""
        return f"{_capital(who)}: {grown}{why} ({size_of(law.gain)})."
    if needed.estimate == inf:
        reached = f"80% of the gap is not reached within {one.amount(needed.largest)}"
    else:
        reached = f"80% of the gap needs about {one.amount(needed.estimate)}"
    if needed.low not in (None, inf) and needed.high is not None:
        most = "more than was spent" if needed.high == inf else one.amount(needed.high)
        reached += f", {one.amount(needed.low or 0.0)} to {most}"
    return f"{_capital(who)}: {grown}; {reached} ({size_of(law.gain)})."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def measure_cell(row: Row | None, *, short: bool = False) -> str:
    """A number of the table with its interval, or without if it is to be `short`."""
    return ABSENT if row is None else estimate(row.score) if short else number(row.score)


def caption(found: Results) -> str:
    """What the numbers of the table are."""
    scores = [row.score for row in found.rows if row.part == ALL and row.measure in found.study.measures[:1]]
    if not scores:
        return "Nothing is finished yet."
    most = max(scores, key=lambda score: (score.n_seeds, score.n_items))
    nats = "; losses in nats a token" if any(in_nats(name) for name in found.study.measures) else ""
    return (
        f"{_capital(size_of(most))} (fewer where n says so); 95% intervals by bootstrap over news items with "
        f"seeds as a second level{nats}. p(right): the probability of the right choice among all."
    )
