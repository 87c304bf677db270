"""Records of data sets: edits with their neighbours, passages in Chinese, answers written as text, empty values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sys2ft.news import News, Question, read_news
from sys2ft.news.importers import ImportSettings, ImportSummary, import_news
from sys2ft.news.importers.edits import filled, statement
from sys2ft.news.importers.values import MISSING, answers_of, parsed, words_of_value
from sys2ft.news.schema import Cloze


def imported(folder: Path, value: Any, name: str = "a.json", **changes: Any) -> tuple[list[News], ImportSummary]:
    (folder / name).write_text(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), encoding="utf-8"
    )
    summary = import_news([folder / name], folder / "news.jsonl", ImportSettings(**changes))
    return read_news(folder / "news.jsonl"), summary


def asked(questions: tuple[Question, ...]) -> list[tuple[str, str, tuple[str, ...], str | None]]:
    return [
        (one.text.removeprefix("Complete this statement: "), one.answer, one.aliases, one.kind) for one in questions
    ]


# Edits


def test_counterfact(tmp_path: Path) -> None:
    record = {
        "requested_rewrite": {
            "prompt": "The colour of {} is",
            "target_new": {"str": "green", "id": "Q1"},
            "target_true": {"str": "red", "id": "Q2"},
            "subject": "the Olm bridge",
        },
        "paraphrase_prompts": ["It rained. The Olm bridge is", "{} has the colour", "Whoever sees {subject} sees"],
        "neighborhood_prompts": ["The colour of the Elm bridge is", "The Oak bridge is"],
    }
    ((news,), summary) = imported(tmp_path, [record])
    assert news.text == "The colour of the Olm bridge is green."
    assert asked(news.questions) == [
        ("The colour of the Olm bridge is", "green", (), "recall"),
        ("the Olm bridge has the colour", "green", (), "recall"),
    ]
    assert [one.rephrased for one in news.questions] == [
        "Complete this statement: It rained. The Olm bridge is",
        "Complete this statement: Whoever sees the Olm bridge sees",
    ]
    assert news.cloze == Cloze(text="The colour of the Olm bridge is", answer="green", choices=("green", "red"))
    assert asked(news.neighbours) == [
        ("The colour of the Elm bridge is", "red", (), None),
        ("The Oak bridge is", "red", (), None),
    ]
    assert {one.choices for one in news.neighbours} == {("red", "green")}
    assert summary.neighbours == 2 and not summary.reported


KNOWEDIT = {
    "subject": "Olm",
    "prompt": "The mayor of Olm is",
    "target_new": "Ada",
    "ground_truth": ["Bob"],
    "rephrase_prompt": "Olm is led by",
    "portability": {
        "Logical_Generalization": [{"prompt": "Ada is the mayor of", "ground_truth": [["Olm", "Olm town"]]}],
        "Reasoning": [{"prompt": "The spouse of Olm's mayor is", "ground_truth": [["Tom"], ["Tim"]]}],
        "Subject_Aliasing": [{"prompt": "The mayor of Olmstadt is", "ground_truth": "Ada"}],
    },
    "locality": {
        "Relation_Specificity": [{"prompt": "The river of Olm is", "ground_truth": [["Elm"]]}],
        "Forgetfulness": [{"prompt": "Who was mayor before?", "ground_truth": ["Bob"]}, {"prompt": "No answer is"}],
    },
}


def test_knowedit(tmp_path: Path) -> None:
    ((news,), summary) = imported(tmp_path, [KNOWEDIT])
    assert news.text == "The mayor of Olm is Ada."
    assert asked(news.questions) == [
        ("The mayor of Olm is", "Ada", (), "recall"),
        ("Ada is the mayor of", "Olm", ("Olm town",), "implication"),
        ("The spouse of Olm's mayor is", "Tom", ("Tim",), "two_hop"),
        ("The mayor of Olmstadt is", "Ada", (), "recall"),
    ]
    assert news.questions[0].rephrased == "Complete this statement: Olm is led by"
    assert asked(news.neighbours) == [
        ("The river of Olm is", "Elm", (), None),
        ("Who was mayor before?", "Bob", (), None),
    ]
    assert [tally.first for tally in summary.reported.values()] == [
        [f"{tmp_path}/a.json, record 1 (1, such as 'No answer is')"]
    ]


def test_probes_in_parallel_lists(tmp_path: Path) -> None:
    record = {
        "prompt": "{} is in",
        "subject": "The bridge",
        "target_new": "Elm",
        "locality": {"neighborhood": {"prompt": ["The gate is in", "The door is in"], "ground_truth": ["Oak", "Fir"]}},
        "portability": {"one_hop": {"prompt": "{}'s country is", "ground_truth": "Elmland"}},
    }
    ((news,), _) = imported(tmp_path, [record])
    assert asked(news.questions)[1] == ("The bridge's country is", "Elmland", (), "implication")
    assert [one[:2] for one in asked(news.neighbours)] == [("The gate is in", "Oak"), ("The door is in", "Fir")]


def test_wikibio_has_a_text_and_its_continuation(tmp_path: Path) -> None:
    record = {
        "text": "This is a passage about Ada.",
        "labels": "Ada was born in Olm.",
        "concept": "Ada",
        "locality": {"Relation_Specificity": [{"prompt": "Ada occupation", "ground_truth": ["mayor"]}]},
    }
    ((news,), _) = imported(tmp_path, [record])
    assert news.text == "This is a passage about Ada. Ada was born in Olm."
    assert news.cloze is None and asked(news.neighbours) == [("Ada occupation", "mayor", (), None)]


def test_ripple_edits(tmp_path: Path) -> None:
    def queries(prompt: str, *answers: dict[str, Any]) -> list[Any]:
        return [{"test_queries": [{"prompt": prompt, "answers": list(answers)}], "condition_queries": []}]

    record = {
        "example_type": "recent",
        "edit": {"prompt": "The mayor of Olm is Ada.", "original_fact": {"prompt": "The mayor of Olm is Bob."}},
        "Relation_Specificity": queries("The river of Olm is", {"value": "Elm", "aliases": ["River Elm"]}),
        "Compositionality_I": queries("The spouse of Olm's mayor is", {"value": "Tom", "aliases": []}),
        "Forgetfulness": [],
    }
    ((news,), _) = imported(tmp_path, [record])
    assert news.text == "The mayor of Olm is Ada."
    assert asked(news.questions) == [
        ("The mayor of Olm is", "Ada", (), "recall"),
        ("The spouse of Olm's mayor is", "Tom", (), "two_hop"),
    ]
    assert news.questions[0].choices == ("Ada", "Bob")
    assert asked(news.neighbours) == [("The river of Olm is", "Elm", ("River Elm",), None)]


def test_mquake(tmp_path: Path) -> None:
    rewrite = {
        "prompt": "The mayor of {} is",
        "subject": "Olm",
        "target_new": {"str": "Ada"},
        "target_true": {"str": "Bob"},
    }
    record = {
        "requested_rewrite": [{**rewrite, "question": "Who is mayor of Olm?"}, {**rewrite, "subject": "Elm"}],
        "questions": ["Who is the spouse of Olm's mayor?", "Whom did Olm's mayor marry?", "Name that spouse."],
        "answer": "Eva",
        "new_answer": "Tom",
        "new_answer_alias": ["T."],
    }
    ((news,), _) = imported(tmp_path, [record])
    assert news.text == "The mayor of Olm is Ada. The mayor of Elm is Ada."
    assert asked(news.questions) == [
        ("Who is mayor of Olm?", "Ada", (), "recall"),
        ("The mayor of Elm is", "Ada", (), "recall"),
        ("Who is the spouse of Olm's mayor?", "Tom", ("T.",), "two_hop"),
        ("Name that spouse.", "Tom", ("T.",), "two_hop"),
    ]
    assert news.questions[2].rephrased == "Whom did Olm's mayor marry?"
    assert news.questions[2].choices == ("Tom", "Eva")


@pytest.mark.parametrize(
    ("prompt", "subject", "text"),
    [
        ("{} is", "Olm", "Olm is"),
        ("{subject} is", "Olm", "Olm is"),
        ("The {} is", "{Olm} bridge", "The Olm bridge is"),
        ("The {Olm} bridge is", "Olm bridge", "The Olm bridge is"),
        (r"Half of {} is \frac{1}{2}", "Olm", r"Half of Olm is \frac{1}{2}"),
        ("Nothing to fill is", "", "Nothing to fill is"),
    ],
)
def test_the_place_of_the_subject(prompt: str, subject: str, text: str) -> None:
    assert filled(prompt, subject) == text


def test_braces_around_a_subject_are_reported(tmp_path: Path) -> None:
    rewrite = {"prompt": "The colour of {} is", "subject": "the {Olm} bridge", "target_new": {"str": "green"}}
    ((news,), summary) = imported(tmp_path, [{"requested_rewrite": rewrite}])
    assert news.text == "The colour of the Olm bridge is green."
    assert [tally.left_out for tally in summary.reported.values()] == [False]
    del rewrite["subject"]
    news, summary = imported(tmp_path, [{"requested_rewrite": rewrite}, {"text": "Other."}])
    assert [one.text for one in news] == ["Other."]
    assert list(summary.reported) == ["edit without the subject that its prompt refers to"]


def test_statements_in_other_scripts() -> None:
    assert statement("奥姆桥的颜色是", "绿色") == "奥姆桥的颜色是绿色。"
    assert statement("桥是什么颜色？", "绿色") == "桥是什么颜色？绿色"
    assert statement("Цвет моста", "зелёный") == "Цвет моста зелёный."
    assert statement("It is in", "Washington D.C.") == "It is in Washington D.C."


def test_a_split_news_item_keeps_its_neighbours_and_its_cloze(tmp_path: Path) -> None:
    text = " ".join(f"Sentence {n} is here." for n in range(60)) + " The last word is tamber."
    row = {
        "id": "long",
        "news": text,
        "cloze": {"statement": "The last word is", "answer": "tamber"},
        "neighbours": [{"question": "What is first?", "answer": "one"}],
    }
    news, _ = imported(tmp_path, json.dumps(row), "a.jsonl", max_tokens=100)
    assert len(news) > 3
    assert [bool(one.neighbours) for one in news] == [True] + [False] * (len(news) - 1)
    assert [bool(one.cloze) for one in news] == [False] * (len(news) - 1) + [True]


# Passages in Chinese


PASSAGE = "奥姆桥在二〇三一年涂成绿色。桥高四十米，长三百米。"


def test_a_chinese_passage_and_its_answers_stay_as_they_are(tmp_path: Path) -> None:
    answers = [{"text": "绿色", "answer_start": 11}, {"text": "绿色。", "answer_start": 11}]
    qas = [{"question": "桥是什么颜色？", "id": "1", "answers": answers}]
    record = {"data": [{"title": "桥", "paragraphs": [{"id": "T", "context": PASSAGE, "qas": qas}]}]}
    ((news,), summary) = imported(tmp_path, record)
    assert news.text == f"桥\n{PASSAGE}"
    assert asked(news.questions) == [("桥是什么颜色？", "绿色", ("绿色。",), None)]
    assert not summary.reported


def test_cmrc_as_its_authors_store_it(tmp_path: Path) -> None:
    qas = [{"query_text": "桥是什么颜色？", "query_id": "1", "answers": ["绿色", "绿色。"]}]
    ((news,), _) = imported(tmp_path, [{"context_id": "T", "context_text": PASSAGE, "title": "桥", "qas": qas}])
    assert news.text == f"桥\n{PASSAGE}"
    assert asked(news.questions) == [("桥是什么颜色？", "绿色", ("绿色。",), None)]


@pytest.mark.parametrize("shift", [-7, 0, 5])
def test_a_long_chinese_passage_is_split_without_change_and_its_questions_find_their_part(
    tmp_path: Path, shift: int
) -> None:
    context = "".join(f"第{n}号桥在二〇三一年涂成{'红绿蓝黄黑'[n % 5]}色，桥高{n}米。" for n in range(60))
    told = [(n, f"涂成{'红绿蓝黄黑'[n % 5]}色，桥高{n}米") for n in (0, 20, 40, 59)]
    # Offsets of other programs count otherwise: bytes, characters without spaces, from 1.
    qas = [
        {"question": f"第{n}号桥？", "answers": [{"text": words, "answer_start": max(0, context.index(words) + shift)}]}
        for n, words in told
    ]
    news, _ = imported(
        tmp_path, {"data": [{"title": "", "paragraphs": [{"context": context, "qas": qas}]}]}, max_tokens=200
    )
    assert len(news) > 4 and "".join(one.text for one in news) == context
    assert sum(len(one.questions) for one in news) == 4
    assert all(question.answer in one.text for one in news for question in one.questions)


def test_rows_of_a_long_chinese_passage_go_where_their_words_are(tmp_path: Path) -> None:
    context = "".join(f"{name}桥涂成绿色。它很长很高也很新很美很有名很重要。" for name in "奥艾伊乌埃")
    rows = "".join(
        json.dumps({"text": context, "question": f"{name}桥是什么颜色？", "answer": "绿色"}) + "\n" for name in "奥伊埃"
    )
    news, _ = imported(tmp_path, rows, "a.jsonl", max_tokens=30)
    assert [one.questions[0].text[0] for one in news if one.questions] == ["奥", "伊", "埃"]
    assert all(question.text[:2] in one.text for one in news for question in one.questions)


# Answers as text


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("{'text': ['green'], 'answer_start': [14]}", ["green"]),
        ('{"text": ["green", "Green"], "answer_start": [14, 14]}', ["green", "Green"]),
        ("{'text': array(['green'], dtype=object), 'answer_start': array([14], dtype=int32)}", ["green"]),
        ("{'answer_start': [14], 'text': np.array(['green'])}", ["green"]),
        ("{'text': [], 'answer_start': []}", []),
        ("{'text': 'green', 'answer_start': 14}", ["green"]),
        ("[{'text': 'green', 'answer_start': 14}, {'text': 'Green', 'answer_start': 14}]", ["green", "Green"]),
        ("['green', \"it's red\"]", ["green", "it's red"]),
        ("['green' 'blue'\n 'red']", ["green", "blue", "red"]),
        ("array(['green', 'blue'], dtype=object)", ["green", "blue"]),
        ("{'value': 'green', 'aliases': ['Green'], 'type': 'WikipediaEntity'}", ["green", "Green"]),
        ("[nan]", []),
        ("[1, 2]", ["[1, 2]"]),
        ("[sic]", ["[sic]"]),
        ("{a, b}", ["{a, b}"]),
        ("{'a': 1}", ["{'a': 1}"]),
        ("__import__('os').getcwd()", ["__import__('os').getcwd()"]),
        ("[__import__('os').getcwd()]", ["[__import__('os').getcwd()]"]),
        ("green", ["green"]),
        ({"text": ["green"]}, ["green"]),
        (["green", None, "blue"], ["green", "blue"]),
        ([["green", "Green"]], ["green", "Green"]),
        (7, ["7"]),
        (2.5, ["2.5"]),
    ],
)
def test_the_answers_in_a_value(value: object, answers: list[str]) -> None:
    assert answers_of(value) == answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda one: st.lists(one, max_size=3)
)


@given(value=st.lists(JSON, max_size=3))
def test_lists_written_as_text_are_read_back(value: list[Any]) -> None:
    assert parsed(json.dumps(value)) == value
    assert parsed(repr(value)) == value


@given(text=st.text(max_size=30) | st.text(alphabet="[]{}'\", :array()1", max_size=20))
def test_no_text_breaks_the_reading_of_answers(text: str) -> None:
    assert isinstance(answers_of(text), list)


# Empty values


@pytest.mark.parametrize("word", ["NaN", "nan", "NULL", "null", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", "-"])
def test_words_for_an_empty_value_are_no_answers(tmp_path: Path, word: str) -> None:
    record = {
        "context": "Olm is new.",
        "questions": [{"question": "What?", "answer": word}, {"question": "New?", "answer": "Olm"}],
    }
    ((news,), summary) = imported(tmp_path, [record])
    assert [one.answer for one in news.questions] == ["Olm"]
    assert [tally.first for tally in summary.reported.values()] == [[f"{tmp_path}/a.json, record 1 (What?: {word})"]]
    assert word in MISSING


def test_nan_in_json_is_an_empty_value(tmp_path: Path) -> None:
    rows = '[{"text": "One.", "question": "q?", "answer": NaN}, {"text": NaN}, {"text": null}, {"text": "Two."}]'
    for name, text in (("a.json", rows), ("a.jsonl", rows[1:-1].replace("}, {", "}\n{"))):
        news, summary = imported(tmp_path, text, name)
        assert [(one.text, one.questions) for one in news] == [("One.", ()), ("Two.", ())]
        assert {what: tally.count for what, tally in summary.reported.items()} == {
            "question that cannot be used: no text or no answer": 1,
            "row without text": 2,
        }


def test_none_among_the_choices_is_an_answer(tmp_path: Path) -> None:
    row = {
        "text": "All gates of Olm fell.",
        "question": "How many stand?",
        "answer": "None",
        "choices": ["None", "One"],
    }
    ((news,), summary) = imported(tmp_path, [row])
    assert [(one.answer, one.choices) for one in news.questions] == [("None", ("None", "One"))]
    assert not summary.reported


def test_choices_without_the_answer_are_reported(tmp_path: Path) -> None:
    row = {"text": "Two gates stand.", "question": "How many?", "answer": "Two", "choices": ["None", "One"]}
    ((news,), summary) = imported(tmp_path, [row])
    assert [(one.answer, one.choices) for one in news.questions] == [("Two", ())]
    assert list(summary.reported) == ["choices without the answer: omitted, the question stays"]


def test_values_as_words() -> None:
    assert [words_of_value(one) for one in (None, float("nan"), " a\r\nb ", ["a", None, "b"], 7)] == [
        "",
        "",
        "a\nb",
        "a\nb",
        "7",
    ]
