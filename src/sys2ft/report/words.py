"""Formats numbers, verdicts and notes as text, for the terminal, the Markdown table and the page."""

from __future__ import annotations

from sys2ft.report.artifacts import BASE
from sys2ft.report.selection import Withheld
from sys2ft.report.summary import BASELINE, NOT_YET, UNEVEN, Block, Cost, Measured, Row, Summary
from sys2ft.statistics import Score, Undefined

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
    return f"{said}; {each}; 95% intervals by bootstrap over news items."


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
    """The run's verdict in one line, and the sentences that support it."""
    base = summary.block().row(BASE)
    if summary.best is None:
        return "No protocol has been evaluated yet", _before(base)
    best = summary.block().row(summary.best)
    gain, closed, before = best.versus_base, best.closed_book, base.closed_book
    assert isinstance(closed, Score), "the best protocol is chosen among those with a score"
    reached = f"Without the news in view, the model tuned by {best.subject} answers {percent(closed)} of the questions"
    if isinstance(gain, Withheld):
        return f"No verdict: {gain.reason}", [s for s in (f"{reached}.", _against_naive(summary, best)) if s]
    if not isinstance(gain, Score) or not isinstance(before, Score):
        return f"{best.subject} reaches {100 * closed.estimate:.0f}% closed book", [f"{reached}.", *_before(base)]
    change = f"{100 * before.estimate:.0f}% before, {100 * closed.estimate:.0f}% after"
    if not gain.excludes_zero:
        verdict = f"No protocol helped by more than chance noise: at best {change} ({best.subject})"
    elif gain.estimate > 0 and not _beyond_guessing(summary.block(), gain, before):
        verdict = f"Nothing beyond guessing: {change} ({best.subject}), where guessing gives {_chance(summary)}"
    elif gain.estimate > 0:
        verdict = f"{best.subject} put news into the weights: {change}"
    elif isinstance(best.in_context_change, Withheld):  # such a selection may favour the untouched model
        verdict = f"No gain shown: {change} for the best, {best.subject}"
    else:
        verdict = f"Every protocol did harm: {change} for the best, {best.subject}"
    chance = summary.block().chance
    guessing = "" if chance is None else f" Guessing among the choices would give {_chance(summary)}."
    sentences = [f"{reached}; untouched, it answered {percent(before)}: {points(gain)}.{guessing}"]
    sentences += [_with_context(base, best), _against_naive(summary, best), _overexposure(best)]
    if len(summary.protocols) > 1:
        sentences.append("The best protocol was chosen on these same questions, so its score is slightly optimistic.")
    return verdict, [sentence for sentence in sentences if sentence]


def _beyond_guessing(block: Block, gain: Score, before: Score) -> bool:
    """Whether more was gained than an untouched model below chance gains if it only comes to guess.

    A model is below chance where it finds wrong choices likelier than the right one: because it invented them, or
    because a model like it selected the questions. If training makes it answer at random, it gains the distance to
    chance without having learnt anything.
    """
    return block.chance is None or gain.low is None or gain.low > block.chance - before.estimate


def _chance(summary: Summary) -> str:
    return f"{100 * (summary.block().chance or 0):.0f}%"


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
        others = [p for p in summary.protocols if p != BASELINE]
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
