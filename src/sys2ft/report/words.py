"""Formats numbers, verdicts and notes as text, for the terminal, the Markdown table and the page."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sys2ft.report.artifacts import BASE
from sys2ft.report.summary import BASELINE, NOT_YET, UNEVEN, Block, Cost, Measured, Row, Summary
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
    """A subject's name, with a mark if its answers are the base model's for want of an adapter."""
    return f"{subject} (no adapter: base answers)" if subject in summary.without_adapter else subject


def power_line(counts_per_news: Sequence[int], *, protocols: int = 1) -> str:
    """What a run with these numbers of questions by news item can see, in one line, before any work."""
    asked = [count for count in counts_per_news if count > 0]
    size = f"{counted(sum(asked), 'question')} of {counted(len(asked), 'news item')}"
    size += f", {protocols} protocols" if protocols > 1 else ""
    smallest = smallest_difference(asked, protocols=protocols)
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
    """Cells of a cost row: kept, tokens trained, TFLOP to generate, TFLOP to train, seconds."""
    flops = (tera(cost.flop_generate), tera(cost.flop_train))
    return (count(cost.kept), count(cost.tokens_trained), *flops, seconds(cost.seconds))


def score_cells(row: Row) -> tuple[str, ...]:
    """Cells of a score row: closed book, in context, gap to ICL, share of the gap."""
    gap = number(row.gap_to_icl, signed=True)
    return number(row.closed_book), number(row.in_context), gap, number(row.share)


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


def headline(summary: Summary) -> tuple[str, list[str]]:
    """The run's verdict in one line, and the sentences that support it.

    The verdict rests on intervals that hold for all protocols together, so that the best of them is not called a
    success for being the best.
    """
    base = summary.block().row(BASE)
    if summary.best is None:
        nothing = set(summary.protocols) <= set(summary.without_adapter) and summary.protocols
        verdict = "No protocol has an adapter, so nothing was put into the weights"
        return verdict if nothing else "No protocol has been evaluated yet", _before(base)
    best = summary.block().row(summary.best)
    row = _shown(summary, best)
    gain, closed, before = row.versus_base_joint, row.closed_book, base.closed_book
    assert isinstance(closed, Score), "the best protocol is chosen among those with a score"
    reached = f"Without the news in view, the model tuned by {row.subject} answers {percent(closed)} of the questions"
    if not isinstance(gain, Score) or not isinstance(before, Score):
        return f"{row.subject} reaches {100 * closed.estimate:.0f}% closed book", [f"{reached}.", *_before(base)]
    chance = summary.block().chance
    guessing = "" if chance is None else f" Guessing among the choices would give {100 * chance:.0f}%."
    sentences = [f"{reached}; untouched, it answered {percent(before)}: {points(gain)}.{guessing}"]
    if row != best and isinstance(best.closed_book, Score):
        sentences.append(f"{best.subject} answers {percent(best.closed_book)}, which chance noise alone could give.")
    sentences += [_with_context(base, row), _against_naive(summary, row), _overexposure(row)]
    return _verdict(summary, row, gain, before), [sentence for sentence in sentences if sentence]


def _shown(summary: Summary, best: Row) -> Row:
    """The protocol of the verdict: the best one, unless only others gain more than chance noise."""
    gained = [row for row in summary.block().rows if _side(row) > 0]
    if best in gained or not gained or not isinstance(best.versus_base_joint, Score):
        return best
    return max(gained, key=lambda row: row.closed_book.estimate if isinstance(row.closed_book, Score) else 0.0)


def _verdict(summary: Summary, row: Row, gain: Score, before: Score) -> str:
    after = before.estimate + gain.estimate
    change = f"{100 * before.estimate:.0f}% before, {100 * after:.0f}% after"
    corrected = f"corrected for choosing the best of {gain.among}" if gain.among > 1 else ""
    if _side(row) > 0:
        said = f"{row.subject} put news into the weights: {change}"
        return f"{said} ({corrected})" if corrected else said
    compared = [one for one in summary.block().rows if isinstance(one.versus_base_joint, Score)]
    if all(_side(one) < 0 for one in compared):
        every = "Every protocol with an adapter" if summary.without_adapter else "Every protocol"
        said = f"{every} did harm: {change} for the best, {row.subject}"
        return f"{said} ({corrected})" if corrected else said
    of = f"{row.subject}; {corrected}" if corrected else row.subject
    return f"No protocol helped by more than chance noise: at best {change} ({of})"


def _side(row: Row) -> int:
    """1 if the gain is above zero for all protocols together, -1 if it is below, 0 if chance noise could give it."""
    gain = row.versus_base_joint
    return (1 if gain.estimate > 0 else -1) if isinstance(gain, Score) and gain.excludes_zero else 0


def _before(base: Row) -> list[str]:
    parts = ((base.closed_book, "closed book"), (base.in_context, "with the news in context"))
    return [f"Untouched, the model answers {percent(s)} {c}." for s, c in parts if isinstance(s, Score)]


def _with_context(base: Row, best: Row) -> str:
    if not isinstance(base.in_context, Score):
        return ""
    said = f"Shown the news in context, the untouched model answers {percent(base.in_context)}"
    if isinstance(best.share, Score):
        return f"{said}; {best.subject} closes {percent(best.share)} of the gap to that."
    return f"{said}; no share of the gap is given: {best.share.reason}." if best.share else f"{said}."


def _against_naive(summary: Summary, best: Row) -> str:
    if best.subject == BASELINE:
        others = [p for p in summary.protocols if p not in (BASELINE, *summary.without_adapter)]
        return "Plain fine-tuning on the news text did at least as well as every other protocol." if others else ""
    if BASELINE not in summary.protocols or not isinstance(best.versus_naive, Score):
        return ""
    naive = summary.block().row(BASELINE).closed_book
    assert isinstance(naive, Score), "a difference from naive needs its score"
    clear = "" if best.versus_naive.excludes_zero else ", which chance noise alone could give"
    return (
        f"Naive fine-tuning on the text reached {percent(naive)}; {best.subject} differs from it by "
        f"{points(best.versus_naive)}{clear}."
    )


def _overexposure(best: Row) -> str:
    change = best.in_context_change
    if not isinstance(change, Score) or not isinstance(best.in_context, Score):
        return ""
    said = f"With the news shown again, the tuned model answers {percent(best.in_context)}: {points(change)}"
    if change.excludes_zero and change.estimate < 0:
        return f"{said} against the untouched one, the curse of overexposure."
    return f"{said} against the untouched one{'' if change.excludes_zero else ', no clear change'}."
