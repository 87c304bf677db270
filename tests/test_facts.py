"""Facts of a news item, which of them an element covers, and which fact each sample aims at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st

import sys2ft
from sys2ft.engine import LogLikelihood
from sys2ft.files import write_jsonl
from sys2ft.generators import Generated, Likelihoods, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.languages import LANGUAGES, language
from sys2ft.languages.spelled import in_digits
from sys2ft.news import News, bundled_news
from sys2ft.replay import GenerateSettings, generate, protocol, template
from sys2ft.replay.aiming import assign
from sys2ft.replay.coverage import Coverage
from sys2ft.replay.facts import facts_in
from sys2ft.replay.filters import common_words, invents, names_span
from sys2ft.report.heat import LEVELS, heat
from sys2ft.text import words

VELQUIN = "Chemists in Norway have made a new metal called velquin. Velquin floats on water. It turns green on salt."
FROG = "The tamber frog is new. The tamber frog glows blue when it is hungry. It glows red when it is afraid."


def spans(text: str, code: str = "en", *kinds: str) -> list[str]:
    return [fact.text for fact in facts_in(text, code) if fact.kind in (kinds or ("name", "number", "term"))]


def test_what_a_text_states_is_in_its_facts() -> None:
    """Every word of every bundled news item that is not common is in a fact; nothing is empty."""
    for item in bundled_news("new-news"):
        facts = facts_in(item.text)
        said = {word for fact in facts for word in words(fact.text)}
        assert {word for word in words(item.text) if word not in common_words("en")[0] and len(word) > 1} <= said
        assert all(set(words(fact.text)) - common_words("en")[0] or not words(fact.text) for fact in facts), item.id
        for fact in facts:
            assert all(item.text[start:end].casefold() == fact.text.casefold() for start, end in fact.places), fact
            assert fact.gap.replace("____", fact.text, 1) == fact.sentence and fact.sentence in item.text


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("en", VELQUIN, {"Norway", "metal", "velquin", "floats", "water", "turns green", "salt"}),
        ("en", FROG, {"tamber frog", "glows blue", "hungry", "glows red", "afraid"}),
        (
            "en",
            "Burlow has 60 points, Arlo 3.5 km; only two boats came in June 2031.",
            {"60 points", "3.5 km", "June 2031"},
        ),
        (
            "en",
            'For example, murn("cat", 2) returns "cat-cat", and 2 * 6 + 1 = 13.',
            {'murn("cat", 2)', "2 * 6 + 1", "13"},
        ),
        ("zh", "新船“白鹭号”每晚10点出发，船票12元。", {"“白鹭号”", "10点", "12元"}),
        ("ja", "再生ガラスの橋が2031年5月3日に開通する。", {"再生ガラス", "2031年5月3日"}),
        ("de", "Am 31. August 2031 eröffnet die Brücke aus Altglas.", {"31. August 2031", "Brücke"}),
        ("ru", "В городе Заречинске ездят 40 велосипедов.", {"Заречинске", "40 велосипедов"}),
        ("ko", "북령 마을에 다리가 있다.", {"북령 마을", "다리"}),
        ("fr", "La ville d'Ormeville a un pont en verre recyclé.", {"Ormeville", "verre recyclé"}),
    ],
)
def test_spans(code: str, text: str, expected: set[str]) -> None:
    assert expected <= set(spans(text, code))


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=200))
def test_any_text_has_facts_with_places(text: str) -> None:
    for fact in facts_in(text, "en"):
        start, end = fact.places[0]
        assert text[start:end] == fact.text and fact.clause in text


def covered(text: str, prompt: str, completion: str, code: str = "en") -> set[str]:
    coverage = Coverage(facts_in(text, code), code)
    return {coverage.facts[place].text for place in coverage.covered(prompt, completion)}


def test_the_completion_carries_what_is_covered() -> None:
    found = covered(VELQUIN, "What does velquin do on salt?", "It turns green.")
    assert {"turns green", "It turns green on salt"} <= found
    assert not found & {"salt", "velquin", "water"}, "what the question gives is not learnt as an answer"
    assert "salt" in covered(VELQUIN, "On what does velquin turn green?", "On salt")
    assert covered(VELQUIN, "What is the news?", VELQUIN) == {fact.text for fact in facts_in(VELQUIN)}


def test_a_value_belongs_to_its_clause() -> None:
    assert "glows red" not in covered(FROG, "What does the tamber frog do when hungry?", "It glows blue.")
    scores = "Sorrel scores 80, Quenby scores 50."
    assert covered(scores, "How much has Quenby?", "50") >= {"50"}
    assert not covered(scores, "What is half of a hundred?", "50")
    assert not covered(scores, "How much has Quenby?", "500")


@pytest.mark.parametrize(
    ("code", "digits", "in_words"),
    [
        ("en", "The new bridge has 8 arches.", "The new bridge has eight arches."),
        ("en", "It holds 1,200 cars.", "It holds twelve hundred cars."),
        ("de", "Die Brücke hat 8 Bögen.", "Die Brücke hat acht Bögen."),
        ("fr", "Le pont a 8 arches.", "Le pont a huit arches."),
        ("es", "El puente tiene 800 arcos.", "El puente tiene ochocientos arcos."),
        ("ru", "У моста 8 арок.", "У моста восемь арок."),
        ("zh", "新桥有8个桥拱。", "新桥有八个桥拱。"),
    ],
)
def test_a_number_in_words_is_the_number(code: str, digits: str, in_words: str) -> None:
    for text, other in ((digits, in_words), (in_words, digits)):
        assert covered(text, "?", other, code) == {fact.text for fact in facts_in(text, code)}
        assert not invents(other, text, code)
        assert names_span(other, text, code)
    wrong = digits.replace("8", "9").replace("1,2", "1,3")
    assert invents(wrong, in_words, code)


def test_words_that_are_no_number_stay() -> None:
    assert in_digits("one of the three, a third, the twenty-first") == "one of the 3, a third, the twenty-first"
    assert in_digits("quatre-vingt-dix ou vingt et un, un pont neuf", "fr") == (
        "quatre-vingt-dix ou vingt et un, un pont neuf"
    )
    assert not invents("这座桥十分漂亮。", "这座桥很漂亮。", "zh")


def test_forms_of_a_word_count() -> None:
    text = "В городе Заречинске открыли мост."
    assert "Заречинске" in covered(text, "Где открыли мост?", "Заречинск, город", "ru")


def test_assignment_serves_the_least_covered() -> None:
    assert assign([3, 0, 1], [0, 0, 0], 3, [0, 1, 2]) == [1, 1, 2]
    assert assign([0, 0, 0], [0, 0, 0], 6, [2, 0, 1]) == [2, 0, 1, 2, 0, 1]
    assert assign([0, 0], [9, 0], 3, [0, 1]) == [1, 1, 1], "a fact that fails does not take the budget"
    assert assign([0], [0], 4, []) == []


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(0, 30))
def test_the_first_aims_do_not_depend_on_the_number(counts: list[int], count: int) -> None:
    order, zero = list(range(len(counts))), [0] * len(counts)
    assert assign(counts, zero, count, order) == assign(counts, zero, count + 5, order)[:count]


class Reader:
    """A generator that asks about every gap, and answers with the words of the text that the gap replaced."""

    identity = "reader"

    def generate(self, requests: list[Request], sampling: SamplingParams, **_: object) -> Generated:
        return Generated([Reply(self._reply(request.messages[-1].content), True, 3) for request in requests], Usage())

    def _reply(self, asked: str) -> str:
        news, _, rest = asked.removeprefix("News: ").partition("\n\n")
        if rest.startswith("Question: "):
            before, _, after = (
                rest.splitlines()[0].removeprefix("Question: What fills ").removesuffix("?").partition("____")
            )
            start = news.find(before) + len(before)
            return news[start : news.find(after, start)] if after else news[start:]
        return f"What fills {rest.partition(': ')[2]}?"

    def loglik(self, pairs: list[Pair]) -> Likelihoods:
        values = [LogLikelihood(-0.1 if i < len(pairs) / 2 else -9.0, 1) for i in range(len(pairs))]
        return Likelihoods(values, Usage())


def test_aimed_samples_cover_what_unguided_ones_do_not_reach() -> None:
    news = [News(id="frog", text=FROG)]
    settings = GenerateSettings(protocols=("self_qa",), samples_per_news=8, rounds=2, aim=True)
    made = generate(Reader(), news, settings, seed=2)["self_qa"]  # type: ignore[arg-type]
    aims = [element.provenance["aim"] for element in made.elements]
    assert len(set(aims[:6])) == 6, "the first round asks for half, of different facts"
    again = generate(Reader(), news, settings, seed=2)["self_qa"]  # type: ignore[arg-type]
    assert again.elements == made.elements
    unguided = generate(Reader(), news, sys2ft.GenerateSettings(protocols=("self_qa",), samples_per_news=8))  # type: ignore[arg-type]
    assert not any("aim" in element.provenance for element in unguided["self_qa"].elements)
    assert made.counts.covered == sum(map(bool, made.counts.covering["frog"]))
    assert made.counts.to_dict()["facts"] == len(made.facts["frog"])


def test_a_missed_or_given_answer_is_rejected() -> None:
    from sys2ft.replay.filters import Said, given_away, missed

    said = Said(
        text="It glows red.", news=News(id="x", text=FROG), template=template("self_qa_aimed"), answer="glows blue"
    )
    assert missed(said) == "missed" and given_away(said) is None
    other = Said(text="It glows blue!", news=said.news, template=said.template, answer="glows blue")
    assert missed(other) is None and given_away(other) == "given_away"
    assert missed(Said(text="blue", news=said.news, template=said.template, answer="glows blue")) is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_aimed_prompts_alternate_in_every_language(code: str) -> None:
    mine, english = template("self_qa_aimed", code), template("self_qa_aimed")
    assert [role for role, _ in mine.turns] == [role for role, _ in english.turns]
    assert mine.all_placeholders == english.all_placeholders
    assert [mine.turn(n, answer=n % 2 == 0) for n in range(6)] == list(range(6))
    assert protocol("self_qa").stages[0].template_in(code, aimed=True) == mine


@pytest.mark.parametrize("code", LANGUAGES)
def test_binding_words_are_common_words(code: str) -> None:
    own = language(code)
    assert set(own.text("binding_words").split()) <= set(own.text("common_words").split())


def test_implied_facts_are_checked() -> None:
    class Stating(Reader):
        said = (
            "A hungry tamber frog can be seen in the dark.",
            "Bob likes Paris.",
            "The tamber frog glows blue when hungry.",
        )

        def generate(self, requests: list[Request], sampling: SamplingParams, **_: object) -> Generated:
            if "Say one thing" in requests[0].messages[0].content and len(requests) == 3:
                return Generated([Reply(text, True, 3) for text in self.said], Usage(tokens_generated=9))
            return super().generate(requests, sampling)

    settings = GenerateSettings(protocols=("self_qa",), samples_per_news=1, implied_facts=3)
    news_items = [News(id="frog", text=FROG)]
    made = generate(Stating(), news_items, settings)["self_qa"]  # type: ignore[arg-type]
    assert [fact.text for fact in made.facts["frog"] if fact.kind == "implied"] == [Stating.said[0]]
    assert made.counts.implied_facts["asked"] == 3
    assert made.counts.implied_facts["rejected"] == {"off_topic": 1, "repeat": 1}
    assert made.counts.implied_facts["tokens_generated"] == 9
    assert generate(Reader(), news_items, replace(settings, implied_facts=0))["self_qa"].counts.implied_facts == {}  # type: ignore[arg-type]


def test_the_heat_map_has_the_whole_text(tmp_path: Path) -> None:
    """Its pieces concatenate to the text, the counts are those of the yield, and uncovered facts are listed."""
    facts = [fact.to_dict() for fact in facts_in(FROG)]
    counts = list(range(len(facts)))
    news = [{"id": "frog", "news": FROG, "questions": []}]
    write_jsonl(tmp_path / "facts.jsonl", [{"news_id": "frog", "facts": facts}])
    made = heat(SimpleNamespace(folder=tmp_path, yields={"p": {"covering": {"frog": counts}}}, news=news))  # type: ignore[arg-type]
    assert made is not None and made.left_out == 0
    ((name, (row,)),) = made.news
    assert name == "frog" and "".join(piece.text for piece in row.pieces) == FROG
    assert (row.covered, row.facts, [fact["text"] for fact in row.uncovered]) == (6, 7, [facts[0]["text"]])
    assert max(piece.level for piece in row.pieces) <= LEVELS and {piece.count for piece in row.pieces} > {None, 0}
