"""Questions that the untouched model's own answers selected, and the numbers that are withheld on them.

A question kept because the untouched model fails it has a base accuracy of zero by construction. Any later change of
its answers then looks like a gain, even if the tuned model guesses (regression to the mean). Such questions are
separated from the others: they have a slice of their own, and no difference from the base, share or verdict.

A question kept because the untouched model answers it with the news in context has a base in-context accuracy of one by
construction: any change in context looks like a loss, and is withheld. The closed-book answers may agree with those in
context (both follow what the model finds likely), so the base's closed-book accuracy is, if anything, too high: a gain
or a share is understated, and a loss is no proof of harm.

Selection by another model is not withheld, only reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from sys2ft.news import Selection, selection_of
from sys2ft.report.artifacts import BASE, Artifacts
from sys2ft.statistics import Item, Score, Undefined

if TYPE_CHECKING:
    from sys2ft.report.summary import Row

By = TypeVar("By")


@dataclass(frozen=True, kw_only=True, slots=True)
class Withheld(Undefined):
    """A number that is not given because the untouched model's own answers selected the questions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """How the answers of models selected the questions of a run."""

    closed_book: frozenset[Item]
    """Kept because the untouched model fails them closed book."""
    in_context: frozenset[Item]
    """Kept because the untouched model answers them with the news in context."""
    elsewhere: Mapping[Item, str]
    """Selected by the answers of another model, with its name."""
    presumed: frozenset[Item]
    """Written by this model; their selection is not recorded, so the strictest is presumed."""

    def divide(
        self, slices: Iterable[tuple[By, str, frozenset[Item]]], askable: frozenset[Item], own: By
    ) -> list[tuple[By, str, frozenset[Item]]]:
        """The slices without the questions of `closed_book`, which follow as a slice of their own.

        If no other question is left, the slices stay as they are, and `withhold` applies to their rows.
        """
        slices = list(slices)
        failed = self.closed_book & askable
        if not failed or not askable - failed:
            return slices
        kept = [(by, name, items - failed) for by, name, items in slices]
        return [*kept, (own, "failed closed book", failed)]

    def withhold(self, row: Row, items: frozenset[Item]) -> Row:
        """The row without the numbers that the selection of `items` distorts."""
        closed, context = len(items & self.closed_book), len(items & self.in_context)
        were = "presumably were" if items & self.presumed else "were"
        compared = row.gap_to_icl if row.subject == BASE else row.versus_base
        if closed and isinstance(compared, Score):
            no = Withheld(
                reason=f"{closed} of these {len(items)} questions {were} chosen because the untouched model fails them "
                "closed book, so any change looks like a gain"
            )
            row = (
                replace(row, gap_to_icl=no)
                if row.subject == BASE
                else replace(row, share=no, versus_base=no, versus_base_joint=no)
            )
        if context and isinstance(row.in_context_change, Score):
            no = Withheld(
                reason=f"{context} of these {len(items)} questions {were} chosen because the untouched model answers "
                "them in context, so any change there looks like a loss"
            )
            row = replace(row, in_context_change=no)
        return row


def selected(artifacts: Artifacts) -> Selected:
    """How the questions of a run were selected, as recorded in its news file.

    Where only `made_by` is recorded, the strictest is presumed (`selection_of`).
    """
    model = artifacts.run.get("model", {})
    name, sha256 = str(model.get("name", "")), model.get("sha256")
    own: dict[Item, Selection] = {}
    elsewhere: dict[Item, str] = {}
    presumed = set()
    for item, _, question in artifacts.questions():
        recorded = question.get("selected")
        selection = selection_of(question.get("made_by"), Selection.model_validate(recorded) if recorded else None)
        if selection is None or not selection.decided:
            continue
        if not selection.concerns(name, sha256):
            elsewhere[item] = selection.by
            continue
        own[item] = selection
        if not recorded:
            presumed.add(item)
    return Selected(
        closed_book=frozenset(item for item, one in own.items() if one.closed_book != "any"),
        in_context=frozenset(item for item, one in own.items() if one.in_context != "any"),
        elsewhere=elsewhere,
        presumed=frozenset(presumed),
    )


def remarks(artifacts: Artifacts) -> list[str]:
    """What a reader must know about questions that a model wrote or selected, with the number of each."""
    questions = {item: question for item, _, question in artifacts.questions()}
    found, total, said = selected(artifacts), len(questions), []
    if makers := [question["made_by"] for question in questions.values() if question.get("made_by")]:
        said.append(f"{len(makers)} of {total} questions were written by a model ({_names(makers)}).")
    if found.closed_book:
        unknown = f" ({len(found.presumed)} presumably: `selected` is not recorded)" if found.presumed else ""
        others = total - len(found.closed_book)
        said.append(
            f"{len(found.closed_book)} of {total} questions were chosen because the untouched model fails them closed "
            f"book{unknown}. They carry no verdict, share or difference from the base"
            + (f"; the other {others} questions do." if others else ".")
        )
    if unbiased := found.in_context - found.closed_book:
        said.append(
            f"{len(unbiased)} of {total} questions were chosen because the untouched model answers them with the news "
            "in context; its answers closed book decided nothing. The gap to ICL is therefore too wide, gains and "
            "their share of the gap are understated, and no change in context is given."
        )
    if found.elsewhere:
        said.append(
            f"{len(found.elsewhere)} of {total} questions were selected by the answers of another model "
            f"({_names(found.elsewhere.values())}). A copy of that model, converted or fine-tuned, would share its "
            "failures."
        )
    return said


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
