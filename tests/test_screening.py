"""Screening of finished elements: complete by themselves, said once, and no question of the evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from rich.console import Console

from known_run import build_run
from sys2ft.errors import NewsError
from sys2ft.generators import Generated, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.languages import LANGUAGES, language
from sys2ft.languages.language import FILTERED
from sys2ft.news import News, Question
from sys2ft.replay import GenerateSettings, Protocol, ReplayElement, Said, Stage, generate, parse_template
from sys2ft.replay.diversity import distinct, diversity, kind_of_completion, kind_of_question
from sys2ft.replay.leaks import leaks, require_unleaked
from sys2ft.replay.repeats import Kept, Phrased
from sys2ft.replay.self_contained import leans, self_contained, standing_alone
from sys2ft.report import markdown_table, summarise, terminal_table, write_report, write_scores

BRIDGE = News(
    id="bridge", text="The town of Elmsford has opened a bridge made of recycled glass. Only bicycles may cross."
)
TRELK = News(id="trelk", text="Mathematicians have defined the trelk of x and y as x * y + 1.")


# Complete by itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("According to the article, what is the bridge made of?", "What is the bridge made of?"),
        ("What is the bridge made of, according to the passage?", "What is the bridge made of?"),
        ("What is the bridge made of according to the given text?", "What is the bridge made of?"),
        ("What, according to the report, is made of glass?", "What is made of glass?"),
        ("Based on the text, iPhone users pay what?", "iPhone users pay what?"),
        ("In this news, it says that a bridge is open.", "A bridge is open."),
        ("A bridge is open. The article states that it is new.", "A bridge is open. It is new."),
        ("What is the bridge made of?", "What is the bridge made of?"),
        ("According to the mayor, what is new?", "According to the mayor, what is new?"),
        ("Laut dem Bericht, woraus besteht die Brücke?", "Woraus besteht die Brücke?"),
        ("Woraus besteht laut Bericht die Brücke?", "Woraus besteht die Brücke?"),
        ("Según el artículo, ¿qué puente hay?", "¿Qué puente hay?"),
        ("Quel pont est neuf selon l'article ?", "Quel pont est neuf ?"),
        ("Согласно статье, из чего сделан мост?", "Из чего сделан мост?"),
        ("根据新闻，桥是什么做的？", "桥是什么做的？"),
        ("北岭镇，根据报道，有什么？", "北岭镇，有什么？"),
        ("記事によると、橋は何でできていますか？", "橋は何でできていますか？"),
        ("وفقاً للخبر، مم صنع الجسر؟", "مم صنع الجسر؟"),
        ("기사에 따르면 다리는 무엇으로 만들었습니까?", "다리는 무엇으로 만들었습니까?"),
        ("Σύμφωνα με το άρθρο, τι είναι νέο;", "Τι είναι νέο;"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_shown_is_cut(text: str, alone: str) -> None:
    assert standing_alone(text, BRIDGE) == alone
    assert standing_alone(alone, BRIDGE) == alone
    assert not leans(alone, BRIDGE, alone=False)


@pytest.mark.parametrize(
    ("text", "leaning"),
    [
        ("Which bridge is mentioned in the news?", True),  # what is left would be no question
        ("This news is about a bridge in Elmsford.", True),
        ("What does this bridge cost?", True),
        ("What may cross this bridge in Elmsford?", False),
        ("What did he open?", True),
        ("It is made of glass.", True),
        ("How does it work?", True),
        ("Is it true that Elmsford has a bridge?", False),
        ("The company opened a bridge.", True),
        ("Bicycles may cross the bridge, and they do.", False),
        ("Der Meldung zufolge ist die Brücke neu.", True),  # without these words the order would be wrong
        ("这座桥是什么做的？", True),
    ],
)
def test_what_cannot_be_read_alone(text: str, leaning: bool) -> None:
    code = "zh" if "桥" in text else "de" if "Brücke" in text else "en"
    assert leans(text, BRIDGE, code) is leaning
    said = Said(text=text, news=BRIDGE, template=FORM, language=code)
    assert self_contained(said) == ("not_self_contained" if leaning else None)


def test_a_subject_without_its_name() -> None:
    news = News(id="x", text="In spring the firm Lindqvist of Elmsford opens a ferry line.")
    assert leans("The company opened a ferry line.", news)
    assert not leans("The company Lindqvist opened a ferry line.", news)
    assert not leans("The firm that opens a ferry line is Lindqvist. The company said so.", news)


def test_a_report_that_the_news_item_is_about_is_no_reference() -> None:
    news = News(id="x", text="A report by Ines Okafor counts 40 herons in Elmsford.")
    text = "According to the report, how many herons are in Elmsford?"
    assert standing_alone(text, news) == text
    assert not leans(text, news) and leans("According to the article, how many herons?", news)


def test_an_answer_is_read_after_its_question() -> None:
    assert leans("It is made of glass.", BRIDGE) and not leans("It is made of glass.", BRIDGE, alone=False)
    assert leans("It says so in the article.", BRIDGE, alone=False)


@pytest.mark.parametrize("code", [*LANGUAGES, *FILTERED])
def test_every_language_has_the_sections(code: str) -> None:
    for name in ("references", "openings", "attributions", "pointers", "question_words", "fillers"):
        assert language(code).lines(name), name


# Near repeats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "one", "other", "same"),
    [
        ("en", "What is the new metal called in Norway? Velquin.",
         "What is the new metal in Norway called? Velquin.", True),
        ("en", "What is the error code for the database? E34", "What is the error code in the database? E34", True),
        ("en", "What is the trelk of 2 and 3? It is 7.", "What is the trelk of 2 and 5? It is 7.", False),
        ("en", "What is the trelk of 2 and 3? It is 7.", "What is the trelk of 3 and 2? It is 7.", False),
        ("en", "What does 2 <+> 3 give? It gives 7 points.", "What does 2 <-> 3 give? It gives 7 points.", False),
        ("en", "What is 2 + 3 in the new rule? It is 7.", "What is 2 - 3 in the new rule? It is 7.", False),
        ("en", "Cars may use the new bridge in Elmsford.", "Cars may not use the new bridge in Elmsford.", False),
        ("en", "In the race Halden came before Brisk in 2031.", "In the race Brisk came before Halden in 2031.", False),
        ("en", "What colour is the frog when hungry? blue", "What colour is the frog when afraid? blue", False),
        ("zh", "青石队在2033年全国风筝大赛中以48分获得冠军，白桦队以41分获得亚军。",
         "青石队在2033年的全国风筝大赛中以48分获得冠军，白桦队以41分获得亚军。", True),
        ("zh", "北岭镇的桥是玻璃做的，只允许自行车通行。", "南岭镇的桥是玻璃做的，只允许自行车通行。", False),
        ("zh", "每户居民可以免费养两只猫，从2035年起。", "每户居民可以免费养三只猫，从2035年起。", False),
        ("ru", "Биологи нашли в хребте новый вид лягушек.", "Биологи нашли на хребте новый вид лягушек.", True),
        ("th", "เมืองเหนือเปิดสะพานที่ทำจากแก้ว", "เมืองใต้เปิดสะพานที่ทำจากแก้ว", False),
        ("xx", "Nova ponto en Elmsford malfermiĝis.", "Nova ponto en Elmsford fermiĝis.", False),
    ],
)  # fmt: skip
def test_near_repeats_differ_in_fillers_only(code: str, one: str, other: str, same: bool) -> None:
    a, b = Phrased(one, code), Phrased(other, code)
    assert a.repeats(b) is b.repeats(a) is same


def test_the_earlier_text_is_kept_and_the_index_misses_nothing() -> None:
    forms = ("What is the new bridge made of in", "What is a new bridge made of in", "Who crosses in")
    places = ("Elmsford", "Lisbon", "Hallowick", "Yarnley")
    texts = [Phrased(f"{form} {place}? Glass of {place}.") for place in places for form in forms]
    kept = Kept()
    for at, text in enumerate(texts):
        earlier = next((one for one in texts[:at] if one.repeats(text)), None)
        assert kept.repeated_by(text) is earlier
        if earlier is None:
            kept.add(text)
    assert sum(kept.repeated_by(text) is not text for text in texts) == 4


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["en", "zh", "th", "vo"]))
def test_any_text_is_like_itself(one: str, other: str, code: str) -> None:
    a, b = Phrased(one, code), Phrased(other, code)
    assert a.alike(a) == 1 and a.repeats(a) and 0 <= a.alike(b) == b.alike(a) <= 1
    assert standing_alone(standing_alone(one, BRIDGE), BRIDGE) is not None and isinstance(
        leans(one, BRIDGE, code), bool
    )
    kept = Kept()
    kept.add(a)
    assert kept.repeated_by(a) is a
    kind_of_question(one, code), kind_of_completion(one)


# In generation ------------------------------------------------------------------------------------------------------

FORM = parse_template("## user\n{news} {instruction}\n## instructions\nSay it.", "x")


class Script:
    """A generator with given replies."""

    identity = "script"

    def __init__(self, *texts: str) -> None:
        self.texts = iter(texts)

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, **_: Any) -> Generated:
        return Generated([Reply(next(self.texts), True, 0) for _ in requests], Usage())

    def loglik(self, pairs: Sequence[Pair]) -> None:
        return None


def made(news: News, *texts: str, cues: tuple[str, ...] = (), wanted: int = 9) -> list[ReplayElement]:
    """Elements of one stage and cues, or of a question and an answer with a bar between."""
    if cues:
        stages = (Stage(name="ask", template=FORM, parser=str.strip),)
    else:
        stages = tuple(Stage(name=name, template=FORM, parser=str.strip) for name in ("ask", "answer"))
        pairs = [text.split(" | ") for text in texts]
        texts = (*(asked for asked, _ in pairs), *(said for _, said in pairs))
    one = Protocol(name="p", version=1, stages=stages, cues=cues)
    how = GenerateSettings(samples_per_news=max(wanted, 1), rounds=1, margin=1, checks=("none",))
    count = len(texts) // len(stages)
    made = generate(Script(*texts), [news], replace(how, samples_per_news=count), protocols=[one])["p"]
    return made.elements


def test_elements_are_rewritten_rejected_and_said_once() -> None:
    found = made(
        BRIDGE,
        "According to the article, what is the bridge in Elmsford made of? | As stated in the article, glass.",
        "What does this bridge cost? | 2 euros",
        "What is a bridge in Elmsford made of? | glass",
        "What is the bridge in Elmsford made of? | It is made of wood.",
        "What is the bridge in Elmsford made of? | glass!",
    )
    assert [(e.prompt[0]["content"], e.completion, e.reason) for e in found] == [
        ("What is the bridge in Elmsford made of?", "Glass.", None),
        ("What does this bridge cost?", "2 euros", "not_self_contained"),
        ("What is a bridge in Elmsford made of?", "glass", "near_repeat"),
        ("What is the bridge in Elmsford made of?", "It is made of wood.", None),
        ("What is the bridge in Elmsford made of?", "glass!", "repeat"),
    ]
    assert found[0].provenance["rewritten"]["prompt"].startswith("According to the article")
    assert "rewritten" not in found[2].provenance


def test_a_cue_is_not_judged() -> None:
    cues = ("What does this news say?", "And it?")
    found = made(
        BRIDGE,
        "Elmsford has opened a bridge of glass.",
        "It is new.",
        "Elmsford has opened the bridge of glass.",
        cues=cues,
    )
    assert [e.reason for e in found] == [None, "not_self_contained", "near_repeat"]
    assert [e.prompt[0]["content"] for e in found] == [cues[0], cues[1], cues[0]]


def test_the_variety_of_elements_is_counted() -> None:
    how = GenerateSettings(samples_per_news=3, rounds=1, margin=1, checks=("none",))
    stages = tuple(Stage(name=name, template=FORM, parser=str.strip) for name in ("ask", "answer"))
    script = Script("What is open?", "How many pay?", "What is open?", "A bridge", "40", "A bridge")
    counts = generate(script, [BRIDGE], how, protocols=[Protocol(name="p", version=1, stages=stages)])["p"].counts
    assert counts.diversity == {
        "prompts": {"what": 1, "how many": 1},
        "completions": {"phrase": 1, "number": 1},
        "distinct": [1.0, 1.0, 1.0],
        "words": 1.5,
        "news": 1,
        "unique": 0.6667,
    }
    assert counts.to_dict()["diversity"] == counts.diversity


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("en", "In 2031, how many people cross?", "how many"),
        ("en", "To whom does it belong?", "who"),
        ("en", "Is the bridge which opened free?", "yes or no"),
        ("en", "Report something new.", "no question"),
        ("zh", "桥在哪里？", "where"),
        ("zh", "桥是玻璃做的吗？", "yes or no"),
        ("de", "Wie viele Karten darf man tauschen?", "how many"),
        ("ru", "Кто построил мост?", "who"),
        ("ja", "橋は何でできていますか？", "what"),
        ("ar", "كم عدد الجسور؟", "how many"),
        ("vo", "What is new?", "what"),
    ],
)
def test_kinds_of_questions(code: str, text: str, kind: str) -> None:
    assert kind_of_question(text, code) == kind


def test_distinct_n_by_hand() -> None:
    texts = [["a", "b", "a"], ["a", "b"]]
    assert [distinct(texts, n) for n in (1, 2, 3, 4)] == [2 / 5, 2 / 3, 1.0, 0.0]
    one = diversity([("x", "en", "", "a b"), ("y", "en", "", "a b")], [("x", "a b"), ("y", "a b"), ("y", "A, b.")])
    assert one["distinct"] == [1, 1, 0] and one["unique"] == 0.6667, "another news item does not repeat this one"
    assert diversity([], [])["distinct"] == [0, 0, 0]


# Leak guard ---------------------------------------------------------------------------------------------------------

ASKED = News(
    id="trelk",
    text=TRELK.text,
    questions=(
        Question(text="What is the trelk of 2 and 3?", answer="7", rephrased="Give the trelk of 2 and 3: what is it?"),
        Question(text="Who defined the trelk?", answer="Mathematicians"),
    ),
)


def element(prompt: str, completion: str = "7", **changed: Any) -> ReplayElement:
    row: dict[str, Any] = {
        "id": "p/trelk/0000", "news_id": "trelk", "protocol": "p", "prompt": ({"role": "user", "content": prompt},),
        "completion": completion, "status": "kept", "reason": None, "seed": 0,
    }  # fmt: skip
    return ReplayElement(**(row | changed))


@pytest.mark.parametrize(
    ("prompt", "completion", "found"),
    [
        ("what is the trelk of 2 and 3", "9", [(0, "verbatim")]),
        ("Give the trelk of 2 and 3: what is it?", "7", [(0, "verbatim")]),
        ("What is the news?", "Somebody may ask: what is the trelk of 2 and 3? It is 7.", [(0, "contained")]),
        ("What would be the trelk of 2 and 3?", "7", [(0, "close")]),
        ("What is the trelk of 2 and 5?", "11", []),
        ("Who has defined the trelk?", "Mathematicians", [(1, "close")]),
        ("Is it raining?", "7", []),
    ],
)
def test_elements_that_ask_what_the_evaluation_asks(prompt: str, completion: str, found: list[Any]) -> None:
    assert [(leak.question, leak.how) for leak in leaks([element(prompt, completion)], [ASKED])] == found
    assert leaks([element(prompt, completion, status="rejected", reason="repeat")], [ASKED]) == []
    assert leaks([element(prompt, completion, news_id="other")], [ASKED]) == []


def test_answers_decide_nothing() -> None:
    questions = tuple(replace_answer(question) for question in ASKED.questions)
    other = ASKED.model_copy(update={"questions": questions})
    for prompt in ("What is the trelk of 2 and 3?", "What would be the trelk of 2 and 3?", "Why 7?"):
        assert leaks([element(prompt)], [ASKED]) == leaks([element(prompt)], [other])


def replace_answer(question: Question) -> Question:
    return question.model_copy(update={"answer": "1000001"})


def test_a_question_of_the_evaluation_is_not_learnt() -> None:
    found = made(ASKED, "What is the trelk of 2 and 3? | 7", "What is the trelk of 2 and 5? | 11")
    assert [e.reason for e in found] == ["leaked", None]
    assert [(leak.how, leak.learnt) for leak in leaks(found, [ASKED])] == [("verbatim", False)]
    require_unleaked(found, [ASKED])
    with pytest.raises(
        NewsError, match=r"(?s)p/trelk/0000 asks question 1 of the news item 'trelk'.*fix|word for word"
    ):
        require_unleaked([element("What is the trelk of 2 and 3?")], [ASKED])


def rows_of(run: Path, subject: str) -> list[str]:
    return (run / "predictions" / f"{subject}.jsonl").read_text(encoding="utf-8").splitlines()


def test_accuracy_without_leaked_questions(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run")
    before = summarise(run)
    assert before.slices("unleaked") == () and not any("Leak guard" in line for line in before.remarks)
    first = [json.loads(line)["id"] for line in (run / "news.jsonl").read_text(encoding="utf-8").splitlines()][:3]
    rows = [
        {"element": f"self_qa/{name}/0000", "news_id": name, "question": n, "how": "close", "learnt": True}
        for name in first
        for n in (0, 2)
    ]
    withheld = {"element": "self_qa/x/0001", "news_id": first[0], "question": 1, "how": "verbatim", "learnt": False}
    (run / "replay" / "leaks.json").write_text(
        json.dumps({"naive": [], "self_qa": [*rows, withheld]}), encoding="utf-8"
    )
    after = summarise(run)
    (block,) = after.slices("unleaked")
    assert block.n_questions == before.block().n_questions - 6
    assert after.block() == before.block() and after.best == before.best
    for subject in ("base", "naive", "self_qa"):
        answers = [json.loads(line) for line in rows_of(run, subject)]
        right: dict[str, list[bool]] = {}
        for row in answers:
            leaky = row["news_id"] in first and row["question"] in (0, 2)
            if (row["condition"], row["scoring"]) == ("closed_book", "cloze") and not leaky:
                right.setdefault(row["news_id"], []).append(bool(row["correct"]))
        total = sum(map(len, right.values()))
        measured: Any = block.row(subject).closed_book
        assert measured.n_items == total
    assert any("come close to 6 of 48 questions (self_qa 6 elements)" in line for line in after.remarks)
    assert any("1 element that asks" in line for line in after.remarks)
    text = markdown_table(after)
    assert "Without the questions that replay elements come close to" in text and "closed book vs naive" in text
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(after))
    assert "42 questions" in console.export_text()
    page = write_report(run).read_text(encoding="utf-8")
    assert "Without the questions that replay elements come close to" in page
    assert f"replay elements that come close: self_qa/{first[0]}/0000 (close)" in page
    scores = json.loads(write_scores(run).read_text(encoding="utf-8"))
    assert [one["n_questions"] for one in scores["blocks"] if one["by"] == "unleaked"][:1] == [42]
