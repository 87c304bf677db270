"""The verdict of a run in one line, and the sentences that support it."""

from __future__ import annotations

from sys2ft.report.artifacts import BASE
from sys2ft.report.controls import OTHER, ControlRow
from sys2ft.report.selection import Withheld
from sys2ft.report.summary import BASELINE, Block, Row, Summary
from sys2ft.report.words import drop_lines, number, percent, points
from sys2ft.statistics import Score


def headline(summary: Summary) -> tuple[str, list[str]]:
    """The run's verdict in one line, and the sentences that support it.

    The verdict rests on intervals that hold for all protocols together, so that the best of them is not called a
    success for being the best.
    """
    base = summary.block().row(BASE)
    if summary.best is None:
        if summary.refused and {*summary.protocols} == {*summary.refused, *summary.without_adapter}:
            verdict = f"Every protocol was refused (--max-drop): {', '.join(summary.refused)}"
            return verdict, [*_before(base), *drop_lines(summary)]
        nothing = set(summary.protocols) <= set(summary.without_adapter) and summary.protocols
        verdict = "No protocol has an adapter, so nothing was put into the weights"
        return verdict if nothing else "No protocol has been evaluated yet", _before(base)
    best = summary.block().row(summary.best)
    row = _shown(summary, best)
    gain, closed, before = row.versus_base_joint, row.closed_book, base.closed_book
    assert isinstance(closed, Score), "the best protocol is chosen among those with a score"
    reached = f"Without the news in view, the model tuned by {row.subject} answers {percent(closed)} of the questions"
    if isinstance(gain, Withheld):
        return f"No verdict: {gain.reason}", [s for s in (f"{reached}.", _against_naive(summary, row)) if s]
    if not isinstance(gain, Score) or not isinstance(before, Score):
        return f"{row.subject} reaches {100 * closed.estimate:.0f}% closed book", [f"{reached}.", *_before(base)]
    chance = summary.block().chance
    guessing = "" if chance is None else f" Guessing among the choices would give {_chance(summary)}."
    sentences = [f"{reached}; untouched, it answered {percent(before)}: {points(gain)}.{guessing}"]
    if row != best and isinstance(best.closed_book, Score):
        sentences.append(f"{best.subject} answers {percent(best.closed_book)}, which chance noise alone could give.")
    sentences += [_with_context(base, row), _against_naive(summary, row), _overexposure(row)]
    sentences += [*_controls(summary, row.subject), *drop_lines(summary)]
    refused = f"; refused (--max-drop): {', '.join(summary.refused)}" if summary.refused else ""
    return _verdict(summary, row, gain, before) + refused, [sentence for sentence in sentences if sentence]


def lost(summary: Summary) -> list[str]:
    """What the adapters of the best protocol cost: neighbouring questions, retention sets, accuracy in context.

    One sentence each; one that says so if none of it was measured.
    """
    if summary.best is None:
        return []
    said = [one for one in (_changed(summary, summary.best, "neighbours"), *_retained(summary, summary.best)) if one]
    change = summary.block().row(summary.best).in_context_change
    if isinstance(change, Score):
        said.append(_overexposure(summary.block().row(summary.best)))
    elif isinstance(change, Withheld):
        said.append(f"In context: not measured, since {change.reason}.")
    return said or ["Not measured: there are neither neighbour questions nor a retention set (--retention)."]


def _shown(summary: Summary, best: Row) -> Row:
    """The protocol of the verdict: the best one, unless only others gain more than chance noise."""
    gained = [row for row in summary.block().rows if _side(row) > 0 and row.subject not in summary.refused]
    if best in gained or not gained or not isinstance(best.versus_base_joint, Score):
        return best
    return max(gained, key=lambda row: row.closed_book.estimate if isinstance(row.closed_book, Score) else 0.0)


def _verdict(summary: Summary, row: Row, gain: Score, before: Score) -> str:
    after = before.estimate + gain.estimate
    change = f"{100 * before.estimate:.0f}% before, {100 * after:.0f}% after"
    corrected = f"corrected for choosing the best of {gain.among}" if gain.among > 1 else ""
    if _side(row) > 0:
        said = f"{row.subject} put news into the weights: {change}{_against_format(summary, row.subject)}"
        if not _beyond_guessing(summary.block(), gain, before):
            said = f"Nothing beyond guessing: {change} ({row.subject}), where guessing gives {_chance(summary)}"
        return f"{said} ({corrected})" if corrected else said
    compared = [one for one in summary.block().rows if isinstance(one.versus_base_joint, Score)]
    if all(_side(one) < 0 for one in compared):
        if isinstance(row.in_context_change, Withheld):  # such a selection may favour the untouched model
            return f"No gain shown: {change} for the best, {row.subject}"
        every = "Every protocol with an adapter" if summary.without_adapter else "Every protocol"
        said = f"{every} did harm: {change} for the best, {row.subject}"
        return f"{said} ({corrected})" if corrected else said
    of = f"{row.subject}; {corrected}" if corrected else row.subject
    if gain.low is None:
        return f"No verdict: a single news item cannot tell a change from chance noise: {change} ({row.subject})"
    return f"No protocol helped by more than chance noise: at best {change} ({of})"


def _side(row: Row) -> int:
    """1 if the gain is above zero for all protocols together, -1 if it is below, 0 if chance noise could give it."""
    gain = row.versus_base_joint
    return (1 if gain.estimate > 0 else -1) if isinstance(gain, Score) and gain.excludes_zero else 0


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


def _against_format(summary: Summary, subject: str) -> str:
    """The clause of the verdict that says what an adapter reaches that was never trained on the facts asked for."""
    other = _control(summary, OTHER, subject)
    return f", {100 * other.score.estimate:.0f}% with another news item's adapter" if other else ""


def _control(summary: Summary, name: str, subject: str) -> ControlRow | None:
    return next((block.row(subject) for block in summary.controls if block.name == name), None)


_CHANGED = {
    "rephrased": "Asked in other words",
    "statements": "As statements to complete",
    "neighbours": "On neighbouring questions, whose answers the news does not change",
}


def _changed(summary: Summary, subject: str, name: str) -> str:
    """A control before and after in a sentence; empty if it was not measured."""
    before, after = (_control(summary, name, who) for who in (BASE, subject))
    if not (before and after and after.change):
        return ""
    clear = "" if after.change.excludes_zero else ", no clear change"
    return (
        f"{_CHANGED[name]}: {100 * before.score.estimate:.0f}% before, {100 * after.score.estimate:.0f}% after, "
        f"{points(after.change)}{clear}."
    )


def _controls(summary: Summary, subject: str) -> list[str]:
    """One sentence per control that was measured: accuracy before and after, and what the change means."""
    said = [_changed(summary, subject, name) for name in _CHANGED]
    said += _retained(summary, subject)
    other = _control(summary, OTHER, subject)
    if other and other.change and other.knowledge:
        known = "" if other.knowledge.excludes_zero else ", which chance noise alone could give"
        format_ = "" if other.change.excludes_zero else " (no clear change)"
        said.append(
            f"With another news item's adapter it answers {percent(other.score)}: the format gives "
            f"{points(other.change)}{format_}, and the own adapter adds {points(other.knowledge)}{known}."
        )
    return said


def _retained(summary: Summary, subject: str) -> list[str]:
    """One sentence per retention set: what training cost elsewhere."""
    said = []
    for block in summary.controls:
        before, after = block.row(BASE), block.row(subject)
        if block.part is None or not before or not after or not after.change:
            continue
        clear = "" if after.change.excludes_zero else ", no clear change"
        if block.part == "loss":
            values = f"{before.score.estimate:.2f} before, {after.score.estimate:.2f} after"
            said.append(f"Loss on {block.title}: {values}, {number(after.change, signed=True)}{clear}.")
        else:
            values = f"{100 * before.score.estimate:.0f}% before, {100 * after.score.estimate:.0f}% after"
            said.append(f"On {block.title}: {values}, {points(after.change)}{clear}.")
    return said
