"""What a study found, in sentences and in the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from sys2ft.report import number
from sys2ft.report.words import ABSENT, counted, estimate
from sys2ft.statistics import FEWEST, Score, Undefined
from sys2ft.studies.drawn import OF_KIND, PROBABILITY
from sys2ft.studies.effort import Effort
from sys2ft.studies.labels import BASE, said
from sys2ft.studies.measures import in_nats
from sys2ft.studies.results import ALL, Contrast, Results, Row
from sys2ft.studies.spec import Compare, Study

_LISTED = 6
_CELLS = 4  # that are listed of those missing for one reason
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
    """A place as it is shown: the values of its axes, with the axis where a value alone says nothing (`said`).

    The model only if there are several.
    """
    shown = [
        said(axis, label)
        for axis, label in at.items()
        if axis not in without and label != BASE and (axis != "model" or len(study.models) > 1)
    ]
    if BASE in at.values():
        shown.append(BASE)
    return ", ".join(shown) or "trained"


def sentences(found: Results) -> list[str]:
    """One sentence for each comparison of the study, and for each line of a scaling figure."""
    every = [_compared(found, compare) for compare in found.study.compare]
    every += [effort_sentence(found.study, one) for one in found.efforts]
    return [one for one in every if one]


def against(compare: Compare) -> str:
    """What is compared with."""
    return "the base" if compare.to == BASE else f"'{said(compare.axis, compare.to)}'"


def _compared(found: Results, compare: Compare) -> str:
    own = [one for one in found.contrasts if one.compare == compare]
    if not own:
        return ""
    clear = [one for one in own if one.beyond_noise]
    size = size_of(own[0].difference)
    of = f" {measure_title(compare.of)}" if compare.of else ""
    what = f"{measure_title(compare.measure)} against {against(compare)}{of}"
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
    levels = f"from {one.reference.estimate:.2f} to {one.level.estimate:.2f}"
    return f"{place_title(study, one.at)} {levels}, {number(one.difference, signed=True)}, {sure}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def size_of(score: Score) -> str:
    """How many questions, news items and seeds a number is from."""
    seeds = f", {counted(score.n_seeds, 'seed')}"
    return f"{counted(score.n_items, 'question')} of {counted(score.n_news, 'news item')}{seeds}"


def effort_sentence(study: Study, one: Effort) -> str:
    """What a scaling figure says of one line."""
    who = _capital(measure_title(one.measure))
    if one.at:
        who = f"{place_title(study, one.at)}, {measure_title(one.measure)}"  # begins with a name
    if isinstance(one.trend, Score):
        sure = "a trend" if one.trend.excludes_zero else "no trend beyond noise"
        correlation = f"rank correlation {number(one.trend, signed=True)}"
        return f"{who}: {sure} with {one.unit} ({correlation}; {size_of(one.trend)})."
    if isinstance(one.trend, Undefined):
        return f"{who}: no trend can be tested: {one.trend.reason}."
    law = one.law
    if law is None:
        return f"{who}: nothing can be fitted: {one.why}."
    if law.gain.low is None:
        return f"{who}: no law is claimed: a single news item gives no interval."
    if law.flat:
        gain = number(law.gain, signed=True)
        return f"{who}: does not grow with {one.unit} beyond noise ({gain}; {size_of(law.gain)})."
    grown = f"grows with {one.unit} by {number(law.gain, signed=True)}"
    needed = one.needed
    if needed is None or isinstance(needed, Undefined):
        why = f"; the share of the gap is not defined ({needed.reason})" if needed else ""
        if needed is None and one.measure == "closed_book":
            why = "; the gap is not known, since the base is not asked in context (measure in_context)"
        return f"{who}: {grown}{why} ({size_of(law.gain)})."
    if needed.estimate == inf:
        reached = f"80% of the gap is not reached within {one.amount(needed.largest)}"
    else:
        reached = f"80% of the gap needs about {one.amount(needed.estimate)}"
    if needed.low not in (None, inf) and needed.high is not None:
        most = "more than was spent" if needed.high == inf else one.amount(needed.high)
        reached += f", {one.amount(needed.low or 0.0)} to {most}"
    return f"{who}: {grown}; {reached} ({size_of(law.gain)})."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def measure_cell(row: Row | None, *, short: bool = False) -> str:
    """A number of the table with its interval, or without if it is to be `short`."""
    return ABSENT if row is None else estimate(row.score) if short else number(row.score)


_METHODS = {
    "bootstrap": ("bootstrap", ""),
    "student": ("Student's t", f" for fewer than {FEWEST} news items"),
    "wilson": ("Wilson's method", " where all news items have the same mean"),
}


def intervals_by(scores: Sequence[Score], methods: Mapping[str, tuple[str, str]] = _METHODS) -> str:
    """How the intervals of these numbers were computed; `methods` has the name of each, and when it is used."""
    used = [name for name in methods if any(score.method == name for score in scores)]
    if not used:
        return "no intervals: a single news item, or numbers that are all the same, have none"
    if len(used) == 1:
        return f"95% intervals by {methods[used[0]][0]} over news items"
    return "95% intervals over news items by " + ", by ".join("".join(methods[name]) for name in used)


def caption(found: Results) -> str:
    """What the numbers of the table are."""
    shown = [row for row in found.rows if row.part == ALL]
    scores = [row.score for row in shown if row.measure in found.study.measures[:1]]
    if not scores:
        return "Nothing is finished yet."
    most = max(scores, key=lambda score: (score.n_seeds, score.n_items))
    nats = "; losses in nats a token" if any(in_nats(name) for name in found.study.measures) else ""
    seeds = ""
    if most.n_seeds > 1:
        joint = any(setting.joint for setting in found.settings)
        seeds = ", with seeds as a second level" if joint else ", of means over the seeds"
    probability = any(row.measure.startswith(PROBABILITY) for row in shown)
    said_so = " p(right): the probability of the right choice among all." if probability else ""
    by = intervals_by([row.score for row in shown])
    line = f"{_capital(size_of(most))} (fewer where n says so); {by}{seeds}{nats}.{said_so}"
    return " ".join([line, *notes(found)])


def notes(found: Results) -> list[str]:
    """What qualifies the numbers of the table: answers that could not be graded, news items with too few elements."""
    lines = [
        f"{_capital(place_title(found.study, row.at))}: {counted(row.score.ungraded, 'answer')} "
        f"{measure_title(row.measure)} could not be graded, counted as wrong."
        for row in found.rows
        if row.part == ALL and row.score.ungraded
    ]
    for one in found.settings:
        if one.short:
            listed = [f"{name} {have}" for name, have in sorted(one.short.items(), key=lambda pair: pair[1])]
            more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
            lines.append(
                f"{_capital(place_title(found.study, one.at))}: {len(listed)} of "
                f"{counted(len(one.arrived), 'news item')} had fewer than {one.cells[0].options.elements:,} elements "
                f"({', '.join(listed[:_LISTED])}{more})."
            )
    return lines


_OF_DIFFERENCES = {
    **_METHODS,
    "wilson": ("Newcombe's method", " where all news items have the same difference"),
}


def compared_note(found: Results) -> str:
    """What the numbers of the comparisons are."""
    by = intervals_by([one.difference for one in found.contrasts], _OF_DIFFERENCES)
    return (
        f"Differences are paired over the same questions and seeds; {by}. p is from Student's t over news items, with "
        "seeds as a second level, adjusted by Holm's method over the comparisons that share all other axes."
    )


def remarks(found: Results) -> list[str]:
    """What the numbers alone do not say: intervals around no change at all, and steps that no training came to."""
    every = []
    if any(one.difference.method == "wilson" and one.difference.n_news > 1 for one in found.contrasts):
        every.append(
            "Where all news items have the same difference, as when no answer has changed, they show no noise. The "
            "interval is then Newcombe's, which counts each news item as one trial: it is wide with few of them, and "
            "p is from the same interval."
        )
    ends = [step for one in found.settings for own in one.records for part in own for step, *_ in part["curve"]]
    if ends and (late := [step for step in found.study.steps if step > max(ends)]):
        every.append(late_note(late, f"the longest has {max(ends)} steps"))
    return every


def late_note(late: Sequence[int], longest: str = "") -> str:
    """What becomes of steps that are beyond the end of every training."""
    which = f"{'Step' if len(late) == 1 else 'Steps'} {', '.join(map(str, late))}"
    return f"{which}: every training ends before{f', {longest}' if longest else ''}, so nothing is asked there."


def grouped(missing: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Cells that are missing, by the reason: (reason, the cells), in the order of the first of each."""
    reasons: dict[str, list[str]] = {}
    for cell, why in missing:
        reasons.setdefault(why, []).append(cell)
    return [(why, _cells_listed(cells)) for why, cells in reasons.items()]


def _cells_listed(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _CELLS} more" if len(cells) > _CELLS else ""
    many = f"{len(cells)} cells: " if len(cells) > 1 else ""
    return many + "; ".join(cells[:_CELLS]) + more
