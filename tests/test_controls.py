"""The controls in the report: paired changes, what the own adapter adds, and questions that are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sys2ft.report import headline, markdown_table
from sys2ft.report.artifacts import Artifacts
from sys2ft.report.controls import control_blocks
from sys2ft.report.summary import summarise_artifacts

NEWS = 10
QUESTIONS = 4


def rows(subject: str, right: Any, questions: int = QUESTIONS, conditions: tuple[str, ...] = ("closed_book",)) -> Any:
    """Predictions of one subject; `right(n, q)` says which are correct."""
    return [
        {
            "id": f"{subject}/{condition}/cloze/n{n}/{q}",
            "news_id": f"n{n}",
            "question": q,
            "scoring": "cloze",
            "condition": condition,
            "correct": right(n, q),
            "adapter": None if subject == "base" else f"n{n}",
        }
        for n in range(NEWS)
        for q in range(questions)
        for condition in conditions
    ]


def artifacts() -> Artifacts:
    """The base answers question 0 of every second news item, the adapter all but question 3, another one question 0."""
    question = {"question": "?", "choices": ["a", "b", "c", "d", "e", "f", "g", "h"]}
    last = {**question, "rephrased": "In other words?"}
    both = ("closed_book", "in_context")
    predictions = {
        "base": rows("base", lambda n, q: q == 0 and n % 2 == 0, conditions=both),
        "self_qa": rows("self_qa", lambda n, q: q != 3, conditions=both),
    }
    controls = {
        "neighbours": {
            "base": rows("base", lambda n, q: n < 8, 1),
            "self_qa": rows("self_qa", lambda n, q: n < 2, 1),
        },
        "rephrased": {"base": rows("base", lambda n, q: False, 1), "self_qa": rows("self_qa", lambda n, q: n > 0, 1)},
        "other_adapter": {"self_qa": rows("self_qa", lambda n, q: q == 0)},
    }
    return Artifacts(
        folder=Path("known"),
        run={"settings": {"generate": {"protocols": ["self_qa"]}, "evaluate": {"scorings": ["cloze"]}}},
        news=[{"id": f"n{n}", "questions": [question] * (QUESTIONS - 1) + [last]} for n in range(NEWS)],
        protocols=("self_qa",),
        predictions=predictions,
        controls=controls,
        yields={},
        training={},
        curves={},
        withheld={},
        missing=(),
    )


def test_changes_are_paired_with_the_base_on_the_same_questions() -> None:
    blocks = {block.name: block for block in summarise_artifacts(artifacts()).controls}
    assert list(blocks) == ["neighbours", "rephrased", "other_adapter"], "statements were not asked"
    base, tuned = blocks["neighbours"].rows
    assert (base.score.estimate, base.change) == (0.8, None)
    assert tuned.change is not None and round(tuned.change.estimate, 9) == -0.6 and tuned.change.excludes_zero
    base, tuned = blocks["other_adapter"].rows
    assert base.score.estimate == 0.125, "the base's own answers to the questions"
    assert tuned.score.estimate == 0.25
    assert tuned.change is not None and tuned.change.estimate == 0.125
    assert tuned.knowledge is not None and tuned.knowledge.estimate == 0.5, "own 0.75 minus other 0.25"
    assert blocks["other_adapter"].n_questions == NEWS * QUESTIONS


def test_the_verdict_says_what_another_adapter_reaches_and_what_was_lost() -> None:
    summary = summarise_artifacts(artifacts())
    verdict, sentences = headline(summary)
    assert verdict == "self_qa put news into the weights: 12% before, 75% after, 25% with another news item's adapter"
    said = " ".join(sentences)
    assert "On neighbouring questions, whose answers the news does not change: 80% before, 20% after" in said
    assert "the own adapter adds +50 points" in said
    table = markdown_table(summary)
    assert "| neighbours | 10 | 0.80 | 0.20 (-0.60\\*) |" in table
    assert "| own minus other adapter | 40 | – | +0.50\\* |" in table


def test_questions_that_the_base_failed_by_selection_show_no_gain() -> None:
    chosen = {(f"n{n}", q) for n in range(NEWS) for q in (2, 3)}
    blocks = {block.name: block for block in control_blocks(artifacts(), "cloze", chosen, 0)}
    assert blocks["other_adapter"].n_questions == NEWS * 2
    assert "rephrased" not in blocks, (
        "the only rephrased question is question 3, although it is the first of its control"
    )


def test_a_subject_that_answered_other_questions_than_the_base_has_no_row() -> None:
    known = artifacts()
    part = {**known.controls["neighbours"], "base": known.controls["neighbours"]["base"][1:]}
    blocks = control_blocks(replace(known, controls={"neighbours": part}), "cloze", (), 0)
    assert [row.subject for row in blocks[0].rows] == ["base"]
