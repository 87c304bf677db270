"""One learner on the texts of several writers: sequences, prompts and grades are SEAL's, and work is done once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.passages import forms, learning, study, table
from benchmarks.passages.__main__ import main
from benchmarks.passages.grading import contains, f1
from benchmarks.passages.passages import Passage, read_passages, sequences, titled
from benchmarks.passages.settings import PassagesSettings
from sys2ft.errors import NewsError, SettingsError
from sys2ft.models import LoadedModel
from sys2ft.runs import NO_MEMO, Display

FILE = Path(__file__).parent / "data" / "passages.json"
QUICK = PassagesSettings(
    rank=2, alpha=4.0, epochs=1.0, max_new_tokens=8, adapters_at_once=1, own=("naive",), own_tokens=150, dtype="float32"
)


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return read_passages(FILE)


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. One.\n\n 2. Two. \n", ["1. One.", "2. Two."]),
        ("Here is a list:\n1. One.\n2. Two.", ["1. One.", "2. Two."]),
        ("One.\nTwo.", ["One.", "Two."]),
        ("One.\n---\nTwo.\n", ["One.", "Two."]),
        ("What?\nAnswer 1: A.\n\nQuestion 2: Who?\nAnswer 2: B.", ["Question 1: What?\nAnswer 1: A.\n"]),
        ("Question 1: What?\nAnswer: A.", ["Question 1: What?\nAnswer: A."]),
    ],
)
def test_a_text_is_split_as_seal_splits_it(text: str, expected: list[str]) -> None:
    assert sequences(text)[: len(expected)] == expected


def test_a_numbered_answer_stays_with_its_question(passages: list[Passage]) -> None:
    assert [text.count("Answer") for text in sequences(passages[0].written["self_qa_peer"])] == [1, 1]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda rows: rows.clear(), "no passage"),
        (lambda rows: rows[1].pop("title"), "1.title"),
        (lambda rows: rows[1]["questions"].clear(), "without questions"),
        (lambda rows: rows[1]["written_by_peers"].pop("implications_seal"), "implications_seal"),
        (lambda rows: rows[0]["written_by_peers"].update({"base": "a"}), "base"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error(tmp_path: Path, change: Any, found: str) -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    change(rows)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(NewsError, match=found):
        read_passages(bad)


def test_settings_out_of_range_and_unknown_sets_are_errors(passages: list[Passage]) -> None:
    with pytest.raises(SettingsError, match="epochs"):
        PassagesSettings(epochs=0)
    with pytest.raises(SettingsError, match="own-long"):
        study.row_names(passages, replace(QUICK, sets=("own-long",)))


# Forms


def test_the_plain_form_is_seals_sequence_and_prompt(model: LoadedModel) -> None:
    plain = forms.in_form(model, "plain")
    (job,) = learning.jobs_of(plain, {"a": titled("Town", ["1. Paris."])}, {}, 0, 0)
    item = job.items[0]
    rendered = plain.chat.render(learning.messages_of(item), item.completion)
    assert plain.tokenizer.decode(rendered.ids) == "Town\n1. Paris.<|im_end|>"
    text = plain.chat.prompt_text([learning.Message("user", forms.closed_book("Town", "Who?"))])
    assert text == "Let's answer a question directly and concisely.\nQuestion: Topic: Town\nWho?\nAnswer:\n"
    assert model.chat.prompt_text([learning.Message("user", "Who?")]).startswith("<|im_start|>"), "left as it was"


@pytest.mark.parametrize(
    ("text", "first"), [("\n Paris.\nQuestion: Who?", "Paris."), ("Paris", "Paris"), (" \n", ""), ("", "")]
)
def test_the_first_line_is_the_first_that_is_not_blank(text: str, first: str) -> None:
    assert learning.first_line(text) == first


# Grades


@pytest.mark.parametrize(
    ("said", "answer", "right", "overlap"),
    [
        ("It is the Town of Paris.", "town of Paris", True, 2 * 3 / (5 + 3)),
        ("Paris", "the town of Paris", False, 2 * 1 / (1 + 3)),
        ("120 people", "12", False, 0.0),
        ("A question!", "a question", True, 1.0),
        ("", "Paris", False, 0.0),
        ("the", "The", True, 1.0),
    ],
)
def test_grades_are_of_normalised_words(said: str, answer: str, right: bool, overlap: float) -> None:
    assert contains(said, answer) is right
    assert f1(said, answer) == pytest.approx(overlap)


# Sets and training


def test_every_set_has_the_passage_and_no_question(model: LoadedModel, passages: list[Passage]) -> None:
    sets = study.training_sets(model, passages, QUICK, NO_MEMO, Display())
    assert list(sets) == ["passage", "implications_seal", "self_qa_peer", "own-naive"]
    for elements in sets.values():
        for one in passages:
            assert elements[one.name][-1]["completion"] == one.context
            shown = json.dumps(elements[one.name])
            assert not any(asked.question in shown for asked in one.questions)
    assert [len(own) for own in sets["implications_seal"].values()] == [3, 3]
    assert all(len(own) > 1 for own in sets["own-naive"].values())


def test_equal_tokens_are_equal_within_an_element(model: LoadedModel, passages: list[Passage]) -> None:
    plain, wanted = forms.in_form(model, "plain"), 400
    for name in ("passage", "self_qa_peer"):
        elements = study.peers(name, passages)
        how = study.training_settings(QUICK)
        for job in learning.jobs_of(plain, elements, how, wanted, 0):
            longest = max(learning.size_of(plain, [item])[0] for item in job.items)
            (unit,) = study.units(name, elements, passages, replace(QUICK, equal_tokens=wanted, adapters_at_once=9))
            trained = unit.compute(learning.Learner(plain, Display()))["tokens_trained"] / len(passages)
            assert abs(trained - wanted) <= 2 * longest
    assert learning.training_cost(plain, [job])[0] == wanted


def test_each_passage_has_an_adapter_of_its_own(model: LoadedModel, passages: list[Passage]) -> None:
    learner = learning.Learner(forms.in_form(model, "plain"), Display())
    strong = replace(QUICK, whole_answer=True, epochs=100.0, rank=8, alpha=32.0, learning_rate=1e-2, max_new_tokens=24)
    texts = {passages[0].name: "Paris is France.", passages[1].name: "The town had 12 people."}
    elements = {name: titled("the news", [text]) for name, text in texts.items()}
    (unit,) = study.units("x", elements, passages, replace(strong, adapters_at_once=9))
    prompts = {name: ["the news"] for name in texts}
    result = replace(unit, inputs={**unit.inputs, "prompts": prompts}).compute(learner)
    assert result["said"] == {name: [text] for name, text in texts.items()}


# The command


def _run(folder: Path, model: Path, *more: str) -> int:
    quick = ["--rank", "2", "--alpha", "4", "--epochs", "1", "--max-new-tokens", "8", "--adapters-at-once", "1"]
    own = ["--own", "naive", "--own-tokens", "150", "--dtype", "float32", "--device", "cpu", "--quiet"]
    return main([str(FILE), "--model", str(model), "--out", str(folder), *quick, *own, *more])


def test_the_command_writes_answers_and_tables_and_computes_what_is_missing(
    tmp_path: Path, talking_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    assert _run(folder, talking_model_dir, "--sets", "base", "passage") == 0
    first = {file: file.stat().st_mtime_ns for file in (folder / "units").rglob("*.json")}
    assert len(first) == 2 * 2, "a unit for each passage and row"
    assert _run(folder, talking_model_dir) == 0
    assert {file: file.stat().st_mtime_ns for file in first} == first
    rows = json.loads((folder / "table.json").read_text(encoding="utf-8"))["sets"]
    names = ["base", "in-context", "passage", "implications_seal", "self_qa_peer", "own-naive"]
    assert [row["set"] for row in rows] == names
    assert all(row["contains"]["n_items"] == 3 and row["contains"]["n_news"] == 2 for row in rows)
    assert "passage" in rows[0]["differences"] and "passage" not in rows[2]["differences"]
    answers = [json.loads(line) for line in (folder / "answers" / "base.jsonl").read_text("utf-8").splitlines()]
    assert [row["question"] for row in answers][2] == "What is the answer of the system?"
    assert {"set", "key", "answer", "said", "contains", "f1"} <= answers[0].keys()
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:8]] == names
    before = answers[0]["key"]
    assert _run(folder, talking_model_dir, "--sets", "base", "--form", "chat") == 0
    answers = [json.loads(line) for line in (folder / "answers" / "base.jsonl").read_text("utf-8").splitlines()]
    assert answers[0]["key"] != before, "another form, another key"
    capsys.readouterr()


def test_a_plan_computes_nothing(tmp_path: Path, talking_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path / "out", talking_model_dir, "--plan") == 0
    assert not (tmp_path / "out").exists()
    assert "own-naive" in capsys.readouterr().out


def test_a_wrong_file_ends_with_the_users_exit_code(
    tmp_path: Path, talking_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.json"), "--model", str(talking_model_dir), "--quiet"]) == 2
    assert "error" in capsys.readouterr().err


def test_differences_are_paired(passages: list[Passage]) -> None:
    def outcome(name: str, said: dict[str, list[str]]) -> study.Outcome:
        return study.Outcome(name=name, key="", said=said, tokens_trained=1, flop=1.0, seconds=1.0, ended={})

    right = {one.name: [asked.answer for asked in one.questions] for one in passages}
    wrong = {one.name: ["nothing"] * len(one.questions) for one in passages}
    rows = table.scored([outcome("passage", wrong), outcome("implications_seal", right)], passages)
    assert [row.contains.estimate for row in rows] == [0.0, 1.0]
    assert rows[1].differences["passage"].estimate == 1.0
    assert rows[0].differences["implications_seal"].estimate == -1.0
    assert rows[1].f1.estimate == 1.0
