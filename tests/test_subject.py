"""What a news item is about, found in its text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sys2ft.languages import detect
from sys2ft.news import News
from sys2ft.news.bundled import bundled_news
from sys2ft.replay.protocols.cloze import statements_of
from sys2ft.replay.subject import names_of, subject_of
from sys2ft.text import words

NEW_NEWS = bundled_news("new-news")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# The id of a bundled news item has the invented word that names it; these are about something else as well.
ALSO = {
    "leaderboard-trendor": "the phone app Werdo",
    "event-oakbysand": "Carla Dornwick",
}


@pytest.mark.parametrize("item", NEW_NEWS, ids=lambda item: item.id)
def test_the_subject_of_a_bundled_news_item_is_what_it_is_about(item: News) -> None:
    subject = subject_of(item)
    word = item.id.split("-")[1]
    assert word in words(subject) or subject == ALSO.get(item.id) or item.id == "discovery-tamber-frog"
    assert subject.lower() in item.text.lower() and len(subject.split()) <= 5


def test_the_subject_has_its_noun_phrase() -> None:
    found = {item.id: subject_of(item) for item in NEW_NEWS}
    assert found["math-trelk"] == "the trelk" and found["discovery-tandor"] == "Tandor"
    assert found["math-hensey"] == "the new Hensey voting method"
    assert found["coding-pellow"] == "the web service Pellow"
    assert found["discovery-tamber-frog"] == "the tamber frog"
    assert found["event-hallowick"] == "the town of Hallowick"
    assert found["leaderboard-fennet"] == "the 2033 Fennet chess cup"
    assert len(set(found.values())) == len(found), "no two news items share their subject"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The European Central Bank raised interest rates on Thursday.", "the European Central Bank"),
        ("Researchers at the University of Leeds have developed a blood test.", "the University of Leeds"),
        ("City council members voted to close Main Street to cars, starting in May.", "Main Street"),
        ("Tesla could be harsh. Tesla fired a secretary. Then Tesla wrote.", "Tesla"),
        ("A ship called “Osprey” has left. It is blue.", "Osprey"),
        ("Apple unveiled a phone on Tuesday. Apple says that it folds.", "Apple"),
        ("A new law bans smoking on beaches. The law begins in June.", "law"),
        ("Die Stadt Brenholt hat eine Brücke eröffnet.", "Stadt Brenholt"),
        ("Ein neues Spiel namens Tarok Royale erlaubt zwei Karten.", "Tarok Royale"),
        ("Die Fähre „Adler“ fährt nur nachts.", "Adler"),
        ("Forscher haben einen neuen Käfer entdeckt, den Mondkäfer. Der Mondkäfer leuchtet.", "Mondkäfer"),
        ("La ville de Brenholt a ouvert un pont.", "Brenholt"),
        ("Une nouvelle opération appelée trelk multiplie x par y.", "trelk"),
        ("El pueblo de Brenholt ha abierto un puente.", "Brenholt"),
        ("Учёные открыли новую планету Ульмарен. На Ульмарене 4 луны.", "Ульмарен"),
        ("数学者は「トレルク」という新しい演算を定義した。", "トレルク"),
        ("عرف علماء الرياضيات عملية جديدة تسمى الترلك.", "الترلك"),
        ("北岭镇新建了一座用再生玻璃造的桥。", "北岭镇"),
        ("x", "x"),
        ("42", "42"),
    ],
)
def test_subjects_of_other_texts(text: str, expected: str) -> None:
    assert subject_of(News(id="x", text=text), detect(text)) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ru", ["Цапля", "фонарницей", "сцепкой", "Гранит", "Росток", "Зеленогае"]),
        ("zh", ["白鹭号", "灯蛙", "叠乘", "全国风筝大赛", "竹笋", "绿湾市"]),
    ],
)
def test_subjects_of_the_example_news(code: str, expected: list[str]) -> None:
    lines = (EXAMPLES / f"news.{code}.jsonl").read_text(encoding="utf-8").splitlines()
    assert [subject_of(News(id="x", text=json.loads(line)["news"]), code) for line in lines] == expected


def test_names_and_statements() -> None:
    news = News(id="x", text="The town of Thornsea has a new holiday on 31 August. Greta Lundry likes it.")
    assert names_of(news) == ("the town of Thornsea", "Greta Lundry")
    facts = statements_of(news, "en")
    assert [fact.text for fact in facts][:3] == ["Thornsea", "Greta Lundry", "31 August"]
    for fact in facts:
        assert fact.sentence in news.text and fact.gap.replace("____", fact.text) == fact.sentence
    chinese = News(id="x", text="新船“白鹭号”每晚10点出发，船票12元。")
    missing = [fact.text for fact in statements_of(chinese, "zh")]
    assert missing[:3] == ["“白鹭号”", "10点", "12元"]
