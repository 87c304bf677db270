"""Formats numbers, verdicts and notes as text, for the terminal, the Markdown table and the page."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sys2ft.replay.diversity import Diversity
from sys2ft.replay.elements import shown
from sys2ft.report.controls import OTHER
from sys2ft.report.costs import Cost
from sys2ft.report.drops import Decision
from sys2ft.report.summary import NOT_YET, UNEVEN, Block, Measured, Row, Summary
from sys2ft.statistics import FEWEST, Score, Undefined, smallest_difference

ABSENT = "–"


def number(measured: Measured | None, *, signed: bool = False) -> str:
    """An estimate with its interval, such as '0.62 [0.48, 0.74]'."""
    if measured is None:
        return ABSENT
    if isinstance(measured, Undefined):
        return "not yet" if measured in (NOT_YET, UNEVEN) else "not defined"
    form = "+.2f" if signed else ".2f"
    middle = f"{_tidy(measured.estimate):{form}}"
    if measured.low is None or measured.high is None:
        return f"{middle} [no interval]"
    return f"{middle} [{_tidy(measured.low):{form}}, {_tidy(measured.high):{form}}]"


def _tidy(value: float) -> float:
    return round(value, 2) + 0.0  # avoids -0.00


def estimate(measured: Measured | None) -> str:
    """The estimate alone."""
    return f"{measured.estimate:.2f}" if isinstance(measured, Score) else ABSENT


def percent(measured: Score) -> str:
    """An accuracy as text, such as '62% (48 to 74%)'."""
    value = f"{100 * measured.estimate:.0f}%"
    if measured.low is None or measured.high is None:
        return value
    return f"{value} ({100 * measured.low:.0f} to {100 * measured.high:.0f}%)"


def points(measured: Score) -> str:
    """A difference of accuracies as text, such as '+40 points (24 to 55)'."""
    value = f"{100 * measured.estimate:+.0f} points"
    if measured.low is None or measured.high is None:
        return value
    return f"{value} ({100 * measured.low:+.0f} to {100 * measured.high:+.0f})"


def count(value: int | float | None) -> str:
    """A count, in full below 10 000 and abbreviated above, such as '1,024' or '1.2M'."""
    if value is None:
        return ABSENT
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if abs(value) < limit:
            return f"{value:,.0f}" if not unit else f"{value / divisor:.3g}{unit}"
    return f"{value:.3g}"


def counted(n: int, noun: str) -> str:
    """A number with its noun, such as '1 question' or '2 questions'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def named(summary: Summary, subject: str) -> str:
    """A subject's name, with a mark if its adapters were refused, or if the base model answered for want of one."""
    if subject in summary.refused:
        return f"{subject} (refused)"
    return f"{subject} (no adapter: base answers)" if subject in summary.without_adapter else subject


def power_line(
    counts_per_news: Sequence[int], *, protocols: int = 1, seeds: int = 1, compared: str = "protocols"
) -> str:
    """What a run with these numbers of questions by news item can see, in one line, before any work."""
    asked = [count for count in counts_per_news if count > 0]
    size = f"{counted(sum(asked), 'question')} of {counted(len(asked), 'news item')}"
    size += f", {protocols} {compared}" if protocols > 1 else ""
    size += f", {seeds} seeds" if seeds > 1 else ""
    smallest = smallest_difference(asked, protocols=protocols, seeds=seeds)
    if not isfinite(smallest):
        return f"{size}: too few to tell any difference from chance noise"
    said = f"differences in accuracy below about {smallest:.2f} cannot be seen"
    return f"{size}: {said} (80% power, assuming that the untouched model answers 25%)"


def tera(flop: float | None) -> str:
    """FLOP in TFLOP, with three significant digits below 100."""
    return ABSENT if flop is None else f"{flop / 1e12:,.0f}" if flop >= 1e14 else f"{flop / 1e12:.3g}"


def seconds(value: float | None) -> str:
    """Seconds, with one decimal below ten."""
    return ABSENT if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def cost_cells(cost: Cost) -> tuple[str, ...]:
    """Cells of a cost row: kept, share of the budget and of facts covered, tokens and TFLOP, seconds."""
    flops = (tera(cost.flop_generate), tera(cost.flop_train))
    return (count(cost.kept), of_budget(cost), covered(cost), count(cost.tokens_trained), *flops, seconds(cost.seconds))


def of_budget(cost: Cost) -> str:
    """The share of its budget that a protocol used."""
    return ABSENT if cost.used is None or not cost.wanted else f"{cost.used / cost.wanted:.0%}"


def controls_note(summary: Summary) -> str:
    """What the controls of a run are."""
    said = "Neighbours: questions of the field, which the news does not change."
    if any(block.name == OTHER for block in summary.controls):
        said += (
            " Another news item's adapter: the same questions asked of an adapter that was not trained on their "
            "answers, so what it gains is the format."
        )
    if any(block.part == "loss" for block in summary.controls):
        said += " Nats per token: the mean loss on text, which rises where something was lost."
    return said


def drop_lines(summary: Summary) -> list[str]:
    """What was decided on each protocol with a greatest drop elsewhere, by which measure, and how sure it is."""
    return [_drop_line(decision) for decision in summary.decisions]


def _drop_line(decision: Decision) -> str:
    limit = f"{100 * decision.max_drop:g} points that --max-drop allows"
    worst = sorted(decision.drops, key=lambda drop: drop.change.estimate)
    shown = [drop for drop in worst if drop.beyond] or worst[:1]
    said = ", ".join(f"{drop.measure} {points(drop.change)}" for drop in shown)
    name = decision.protocol
    line = f"{name} is refused: {said}, beyond the {limit}; its adapters are in adapters/{name}.refused."
    if not decision.refused:
        line = f"{name} is kept: its worst change elsewhere is {said}, within the {limit}."
    decisive = any(drop.beyond and drop.certain for drop in worst)
    if not (decisive if decision.refused else all(drop.certain for drop in worst)):
        line += " This is uncertain: the interval contains the limit, so more items could decide otherwise."
    return line


def budget_notes(summary: Summary) -> list[str]:
    """What the budget is, and how each mix was divided, in sentences."""
    said = []
    if budget := next((cost.budget for cost in summary.costs if cost.budget), None):
        each = shown(budget["name"], budget["amount"])
        schedule = budget.get("schedule")
        how = f" (generation, and training for {schedule['epochs']:g} epochs)" if schedule else ""
        said.append(f"Budget: {each} for each news item and protocol{how}.")
    for cost in summary.costs:
        parts = [
            f"{name} {part['share']:.0%} (used {part['used'] / cost.wanted:.0%})"
            for name, part in cost.parts.items()
            if cost.wanted
        ]
        said += [f"{cost.protocol}: shares of the budget: {', '.join(parts)}."] if parts else []
    return said


def covered(cost: Cost) -> str:
    """The share of the news items' facts that the kept elements cover."""
    if cost.facts is None or cost.covered is None:
        return ABSENT
    # Not rounded up: 100% means all of them.
    return f"{100 * cost.covered // cost.facts}%"


def score_cells(row: Row) -> tuple[str, ...]:
    """Cells of a score row: closed book, in context, gap to ICL, share of the gap."""
    gap = number(row.gap_to_icl, signed=True)
    return number(row.closed_book), number(row.in_context), gap, number(row.share)


VARIETY = ("distinct-1", "distinct-2", "distinct-3", "words", "unique", "kinds of prompts", "kinds of completions")
VARIETY_NOTE = (
    "distinct-n: different runs of n words, as a share of all in the kept elements of a news item. Unique: different "
    "texts, as a share of all samples that had the form asked for. Kinds of prompts by their question word."
)


def variety_cells(found: Diversity) -> tuple[str, ...]:
    """Cells of a row on the variety of elements: distinct-1, -2, -3, words, unique, prompts and completions by kind."""
    kinds = (", ".join(f"{kind} {count}" for kind, count in found[part].items()) for part in ("prompts", "completions"))
    numbers = (*(f"{share:.2f}" for share in found["distinct"]), f"{found['words']:.1f}", f"{found['unique']:.2f}")
    return (*numbers, *kinds)


def unleaked_cells(row: Row) -> tuple[str, ...]:
    """Cells of a score row on the questions that no element comes close to."""
    share, versus = number(row.share), number(row.versus_naive, signed=True)
    return number(row.closed_book), number(row.in_context), share, versus


def caption(summary: Summary, block: Block) -> str:
    """The caption of a block: questions, scoring, chance level, adapters and intervals."""
    said = f"{counted(block.n_questions, 'question')} of {counted(block.n_news, 'news item')}; scoring {block.scoring}"
    if block.chance is not None:
        said += f"; chance {block.chance:.2f}"
    each = "one adapter for all news items" if summary.adapters == "joint" else "one adapter per news item"
    said += f"; {each}; 95% intervals by {'bootstrap' if block.n_news >= FEWEST else 't'} over news items"
    return f"{said}, each row by itself." if len(summary.protocols) > 1 else f"{said}."


def notes(block: Block) -> list[str]:
    """Notes on a block's numbers: ungradable answers, undefined shares, missing intervals."""
    said = []
    for row in block.rows:
        parts = (("closed book", row.closed_book), ("in context", row.in_context))
        for condition, measured in parts:
            if isinstance(measured, Score) and measured.ungraded:
                said.append(
                    f"{row.subject}: {measured.ungraded} of {measured.n_items} answers {condition} could not be graded "
                    "and count as wrong."
                )
    shares = dict.fromkeys(row.share for row in block.rows if isinstance(row.share, Undefined))
    said += [f"The share of the gap is not defined: {s.reason}." for s in shares if s not in (NOT_YET, UNEVEN)]
    if block.n_news == 1:
        said.append("There is no interval for a single news item: the variation between news items is unknown.")
    return said
