"""Questions selected by a model's own answers carry no verdict on that model; questions that are not selected do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from known_run import build_run
from sys2ft.cli.main import call
from sys2ft.errors import NewsError
from sys2ft.news import Question, Selection, news_from_dict, news_to_dict, read_news, write_news
from sys2ft.report import headline, markdown_table, summarise, write_report
from sys2ft.report.selection import Withheld
from sys2ft.runs import read_jsonl, write_jsonl
from sys2ft.statistics import Score

MODEL = "example/Tiny-Instruct"
SHA256 = "ab" * 32
FAILED: dict[str, Any] = {"by": MODEL, "sha256": SHA256, "closed_book": "wrong"}
ANSWERED: dict[str, Any] = {"by": MODEL, "sha256": SHA256, "in_context": "right"}
N_NEWS, N_QUESTIONS, CHOICES = 12, 4, 4
HELPED, HARMED = "put news into the weights", "did harm"

Answers = np.ndarray
"""Right or wrong, (N_NEWS, N_QUESTIONS)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one protocol whose markers and answers the tests replace."""
    path = tmp_path_factory.mktemp("selected")
    return build_run(path, protocols=("self_qa",), scorings=("cloze",), n_news=N_NEWS, n_questions=N_QUESTIONS)


def mark(folder: Path, fields: Callable[[int, int], dict[str, Any]]) -> None:
    """Replace `made_by` and `selected` of every question by what `fields` gives for its news item and its number.

    Domains and kinds are removed: fewer blocks take less time.
    """
    rows = list(read_jsonl(folder / "news.jsonl"))
    for n, row in enumerate(rows):
        row.pop("domain", None)
        for q, question in enumerate(row["questions"]):
            for name in ("made_by", "selected", "kind"):
                question.pop(name, None)
            question |= fields(n, q)
            question["choices"] = [question["answer"], "x", "y", "z"]
    write_jsonl(folder / "news.jsonl", rows)


def answer(folder: Path, **answers: tuple[Answers, Answers]) -> None:
    """Replace what each subject answered: closed book, and in context."""
    for subject, both in answers.items():
        rows = list(read_jsonl(folder / "predictions" / f"{subject}.jsonl"))
        for row in rows:
            column = both[row["condition"] == "in_context"]
            row["correct"] = bool(column[int(row["news_id"].removeprefix("m-")), row["question"]])
        write_jsonl(folder / "predictions" / f"{subject}.jsonl", rows)


def guesses(rng: np.random.Generator, *shape: int) -> Answers:
    return rng.random(shape or (N_NEWS, N_QUESTIONS)) < 1 / CHOICES


def best_of(rng: np.random.Generator, closed: Answers, context: Answers, keep: Answers) -> tuple[Answers, Answers]:
    """The first N_QUESTIONS of each news item's candidates with `keep`, in both conditions."""
    order = np.argsort(~keep, axis=1, kind="stable")[:, :N_QUESTIONS]
    assert np.take_along_axis(keep, order, 1).all(), "enough candidates"
    return np.take_along_axis(closed, order, 1), np.take_along_axis(context, order, 1)


def verdicts(folder: Path, select: str, times: int, *, alike: bool = False) -> Iterator[str]:
    """Verdicts on a model that guesses before and after training, its questions selected from 64 of each news item.

    With `alike` the news in context changes no answer of the untouched model.
    """
    for seed in range(times):
        rng = np.random.default_rng(seed)
        closed = guesses(rng, N_NEWS, 64)
        context = closed if alike else guesses(rng, N_NEWS, 64)
        keep = {"nothing": np.ones_like(closed), "failed": ~closed, "answered": context}[select]
        base = best_of(rng, closed, context, keep)
        answer(folder, base=base, self_qa=(guesses(rng), guesses(rng)))
        summary = summarise(folder)
        yield " ".join((headline(summary)[0], *headline(summary)[1]))


@pytest.mark.parametrize("marker", [{"selected": FAILED}, {"made_by": MODEL}, {"selected": FAILED | ANSWERED}])
def test_a_guesser_has_no_verdict_on_what_it_was_selected_to_fail(folder: Path, marker: dict[str, Any]) -> None:
    mark(folder, lambda n, q: marker)
    for said in verdicts(folder, "failed", 20):
        assert HELPED not in said and HARMED not in said and "No protocol helped" not in said
        assert "No verdict" in said and "of the gap" not in said


def test_a_guesser_passes_on_unselected_questions_as_rarely_as_the_level_says(folder: Path) -> None:
    mark(folder, lambda n, q: {"selected": ANSWERED})
    said = list(verdicts(folder, "nothing", 100))
    assert sum(HELPED in one for one in said) <= 5
    assert sum(HELPED in one or "No gain shown" in one for one in said) <= 10  # 2 sigma above 5 of 100
    assert not any("No verdict" in one for one in said)


def test_a_guesser_selected_by_its_answers_in_context_neither_gains_nor_loses(folder: Path) -> None:
    mark(folder, lambda n, q: {"made_by": MODEL, "selected": ANSWERED})
    said = list(verdicts(folder, "answered", 40))
    assert sum(HELPED in one for one in said) <= 3
    assert not any("overexposure" in one or HARMED in one for one in said)
    # An untouched model that ignores the news is right closed book too, by construction; a loss is no harm then.
    said = list(verdicts(folder, "answered", 10, alike=True))
    assert not any(HELPED in one or "overexposure" in one or HARMED in one for one in said)


def learner(rng: np.random.Generator) -> dict[str, tuple[Answers, Answers]]:
    """A model that learns: from guessing to three quarters right, and to nine of ten in context."""
    after = rng.random((N_NEWS, N_QUESTIONS)) < 0.75
    context = rng.random((N_NEWS, N_QUESTIONS)) < 0.9
    return {"base": (guesses(rng), context), "self_qa": (after, context)}


def test_what_is_learnt_is_still_shown(folder: Path) -> None:
    mark(folder, lambda n, q: {"made_by": MODEL, "selected": ANSWERED})
    answer(folder, **learner(np.random.default_rng(0)))
    row = summarise(folder).block().row("self_qa")
    assert isinstance(row.versus_base, Score) and isinstance(row.share, Score)
    assert isinstance(row.in_context_change, Withheld)
    assert HELPED in headline(summarise(folder))[0]


@pytest.mark.parametrize(
    ("marker", "withheld"),
    [
        ({}, False),
        ({"made_by": MODEL}, True),  # not recorded, so the strictest is presumed
        ({"made_by": "models/tiny-instruct/"}, True),  # the same model, by another path
        ({"made_by": "other/model"}, False),
        ({"made_by": MODEL, "selected": ANSWERED}, False),
        ({"made_by": "other/model", "selected": FAILED}, True),  # one model wrote, another selected
        ({"selected": FAILED | {"by": "a copy"}}, True),
        ({"selected": FAILED | {"sha256": "cd" * 32}}, False),  # another model of the same name
        ({"selected": {"by": MODEL, "closed_book": "wrong"}}, True),
        ({"selected": {"by": "other/model", "closed_book": "wrong"}}, False),
        ({"selected": {"by": MODEL}}, False),
    ],
)
def test_only_the_model_that_selected_is_concerned(folder: Path, marker: dict[str, Any], withheld: bool) -> None:
    mark(folder, lambda n, q: marker)
    answer(folder, **learner(np.random.default_rng(1)))
    summary = summarise(folder)
    row = summary.block().row("self_qa")
    assert isinstance(row.versus_base, Withheld) == isinstance(row.share, Withheld) == withheld
    assert headline(summary)[0].startswith("No verdict") == withheld
    assert isinstance(row.closed_book, Score) and row.closed_book.n_items == N_NEWS * N_QUESTIONS
    page = write_report(folder).read_text(encoding="utf-8")
    assert ("untouched, closed book" in page) != withheld
    assert ("No verdict" in markdown_table(summary)) == withheld
    other = "selected by the answers of another model" in " ".join(summary.remarks)
    assert other == (("other/model" in str(marker) and not withheld) or "cd" in str(marker))


def test_selected_questions_stay_out_of_the_verdict_of_the_others(folder: Path) -> None:
    """One question of each news item is selected, and answered as no other: the other numbers do not contain it."""
    mark(folder, lambda n, q: {"selected": FAILED} if q == 0 else {})
    answers = learner(np.random.default_rng(2))
    mixed = {subject: tuple(column.copy() for column in both) for subject, both in answers.items()}
    mixed["base"][0][:, 0] = False
    mixed["self_qa"][0][:, 0] = True
    answer(folder, base=mixed["base"], self_qa=mixed["self_qa"])
    summary = summarise(folder)
    block, (own,) = summary.block(), summary.slices("selected")
    assert (block.n_questions, own.n_questions) == (N_NEWS * (N_QUESTIONS - 1), N_NEWS)
    rest = answers["self_qa"][0][:, 1:].mean() - answers["base"][0][:, 1:].mean()
    change = block.row("self_qa").versus_base
    assert isinstance(change, Score) and change.estimate == pytest.approx(rest)
    assert isinstance(own.row("self_qa").versus_base, Withheld) and isinstance(own.row("base").gap_to_icl, Withheld)
    assert HELPED in headline(summary)[0]
    said = " ".join(summary.remarks)
    assert f"{N_NEWS} of {N_NEWS * N_QUESTIONS} questions were chosen because the untouched model fails them" in said
    assert f"the other {N_NEWS * (N_QUESTIONS - 1)} questions do" in said
    assert f"| failed closed book | {N_NEWS} |" in markdown_table(summary)
    assert "failed closed book" in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(("after", "helped"), [(1 / CHOICES, False), (0.8, True)])
def test_to_answer_at_random_is_no_gain_for_a_model_below_chance(folder: Path, after: float, helped: bool) -> None:
    """A model finds the wrong choices likelier; forgetting this, as any damage may do, takes it up to chance."""
    mark(folder, lambda n, q: {})
    for seed in range(10):
        rng = np.random.default_rng(seed)
        none, tuned = np.zeros((N_NEWS, N_QUESTIONS), bool), rng.random((N_NEWS, N_QUESTIONS)) < after
        answer(folder, base=(none, ~none), self_qa=(tuned, ~none))
        assert (HELPED in headline(summarise(folder))[0]) == helped


# The field in news files

ROW = {"id": "a", "news": "The door is green.", "questions": [{"question": "Which?", "answer": "green"}]}


def with_selected(selected: object) -> dict[str, Any]:
    return {**ROW, "questions": [{"question": "Which?", "answer": "green", "selected": selected}]}


def test_a_file_keeps_how_questions_were_selected(tmp_path: Path) -> None:
    news = [news_from_dict(with_selected(FAILED)), news_from_dict({**ROW, "id": "b", "news": "The gate is green."})]
    assert news[0].questions[0].selected == Selection(by=MODEL, sha256=SHA256, closed_book="wrong")
    assert news[1].questions[0].selected is None and "selected" not in str(news_to_dict(news[1]))
    assert news_to_dict(news[0])["questions"][0]["selected"] == FAILED
    write_news(tmp_path / "news.jsonl", news)
    (tmp_path / "news.yaml").write_text(json.dumps([news_to_dict(one) for one in news]), encoding="utf-8")
    assert read_news(tmp_path / "news.jsonl") == read_news(tmp_path / "news.yaml") == news
    assert call(["news", "import", str(tmp_path / "news.jsonl"), "--out", str(tmp_path / "imported.jsonl")]) == 0
    imported = [question.selected for one in read_news(tmp_path / "imported.jsonl") for question in one.questions]
    assert imported == [news[0].questions[0].selected, None]


@pytest.mark.parametrize(
    ("selected", "said"),
    [
        ({"closed_book": "wrong"}, "by"),
        ({"by": "m", "closed_book": "maybe"}, "one of any, wrong"),
        ({"by": "m", "in_context": "wrong"}, "one of any, right"),
        ({"by": "m", "in_contxt": "right"}, "did you mean 'in_context'"),
        ({"by": 4}, "put it in quotes"),
        ("m", '{"by": "...", "in_context": "right"}'),
        (["m"], '{"by": "...", "in_context": "right"}'),
    ],
)
def test_a_wrong_field_is_named(selected: object, said: str) -> None:
    with pytest.raises(NewsError) as caught:
        news_from_dict(with_selected(selected))
    assert said in str(caught.value) and "selected" in str(caught.value)


def test_questions_with_a_selection_can_be_part_of_a_unit() -> None:
    question = Question(text="q", answer="a", selected=Selection(by="m", in_context="right"))
    assert Question.model_validate(question.model_dump(mode="json")) == question
