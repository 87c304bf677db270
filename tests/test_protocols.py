"""The bundled protocols: which elements they build from which replies, and what the parts of the seam do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sys2ft.engine import LogLikelihood
from sys2ft.errors import SettingsError
from sys2ft.generators import Generated, Likelihoods, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.languages import LANGUAGES
from sys2ft.models import Message
from sys2ft.news import News
from sys2ft.news.bundled import bundled_news
from sys2ft.replay import GenerateSettings, Protocol, Replay, Stage, Trail, generate, parse_template, plan, protocol
from sys2ft.replay.parsers import listed, listed_names, short_answer, up_to_end, whole_text
from sys2ft.replay.protocols import protocol_names
from sys2ft.replay.protocols.cloze import statements_of
from sys2ft.replay.protocols.entity_graph import chosen_entities
from sys2ft.replay.protocols.reverse import name_at
from sys2ft.replay.protocols.spa import STRATEGIES

FERRY = News(id="ferry", text="The Osmund ferry of Lower Tarn carries 40 people. A ticket costs 3 crowns.")


class Script:
    """A generator that says what it is given, in order, and keeps what it was asked."""

    identity = "script"

    def __init__(self, *texts: str, cut: Sequence[int] = ()) -> None:
        self.texts, self.cut, self.asked = list(texts), set(cut), list[Request]()

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
        start = len(self.asked)
        self.asked += requests
        places = range(start, start + len(requests))
        return Generated([Reply(self.texts[place], place not in self.cut, 1) for place in places], Usage())

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods:
        """The first half, with the news in context, is likelier."""
        half = len(pairs) // 2
        return Likelihoods([LogLikelihood(-1.0 if place < half else -9.0, 2) for place in range(len(pairs))], Usage())


def made(name: str | Protocol, script: Script, *, news: News = FERRY, count: int = 1) -> Replay:
    """The elements of one round."""
    one = protocol(name) if isinstance(name, str) else name
    settings = GenerateSettings(samples_per_news=count, rounds=1, margin=1, checks=("none",))
    return generate(script, [news], settings, protocols=[one])[one.name]


def shown(replay: Replay) -> list[tuple[str, str, str | None]]:
    return [(e.prompt[-1]["content"], e.completion, e.reason) for e in replay.elements]


# All of them ------------------------------------------------------------------------------------------------------


def test_the_bundled_protocols_in_every_language() -> None:
    assert len(protocol_names()) >= 19
    for name in protocol_names():
        one = protocol(name)
        assert one.name == name and one.version >= 1 and one.digest
        for code in LANGUAGES:
            for stage in one.stages:
                form = stage.template_in(code)
                known = {"news", "instruction", *stage.picks, *(earlier.name for earlier in one.stages)}
                assert form.placeholders <= known and "{" not in form.turns[0][1].replace("{news}", "")
                assert set(stage.picks) <= form.placeholders
            news = FERRY
            trail = one.trail(news, 0, {}, code)
            assert "{subject}" not in trail.cue


def test_cues_name_the_subject_so_that_news_items_do_not_share_them() -> None:
    news = bundled_news("new-news")
    for name in ("implication", "long", "entity_graph", "spa"):
        one = protocol(name)
        cues = [one.trail(item, index, {}).cue for item in news for index in range(len(one.cues_in("en")))]
        assert len(set(cues)) == len(cues)
    for name in ("naive", "paraphrase", "rewrite"):  # every other one names the subject, the rest name nothing
        one = protocol(name)
        cues = [one.trail(item, index, {}).cue for item in news for index in range(1, 48, 2)]
        assert len(set(cues)) == len(cues) == 24 * len(news)
        assert len({one.trail(item, index, {}).cue for item in news for index in range(0, 48, 2)}) == 8


# The seam ---------------------------------------------------------------------------------------------------------

FORM = parse_template("## user\n{news} {word} {instruction}\n## instructions\nSay it.", "form")
ROTATING = parse_template(
    "## user\nA {news}\n## assistant\none\n## user\nB\n## assistant\ntwo\n## user\n{news} {instruction}\n"
    "## instructions\nfirst\nsecond\nthird\n",
    "rotating",
)


def test_examples_in_rotation_follow_their_instructions() -> None:
    form = replace(ROTATING, in_rotation=True)
    texts = [[message.content for message in form.messages(index, news="N")] for index in range(3)]
    assert texts == [["A N", "one", "N first"], ["B", "two", "N second"], ["A N", "one", "N third"]]
    assert [m.content for m in form.only(1).messages(5, news="N")] == ["B", "two", "N second"]
    assert [m.content for m in ROTATING.only(2).messages(0, news="N")] == ["A N", "one", "B", "two", "N third"]


def picking(pick: Any, **how: Any) -> Protocol:
    stage = Stage(name="ask", template=FORM, parser=short_answer, picks={"word": pick}, **how)
    return Protocol(name="picking", version=1, stages=(stage,), cues=("Well?",))


def test_a_pick_fills_a_placeholder_or_ends_the_sample() -> None:
    script = Script("yes")
    assert shown(made(picking(lambda trail: f"word {trail.index}"), script)) == [("Well?", "yes", None)]
    assert f"{FERRY.text} word 0 Say it." in script.asked[0].messages[-1].content
    script = Script()
    assert shown(made(picking(lambda trail: None), script)) == [("Well?", "", "no_target")]
    assert script.asked == [], "nothing was generated"


@pytest.mark.parametrize("pick", [lambda trail: 7, lambda trail: trail.said["never"]], ids=["a number", "an error"])
def test_a_pick_that_fails_is_named(pick: Any) -> None:
    with pytest.raises(SettingsError, match=r"'picking', stage 'ask', news item 'ferry': `picks`"):
        made(picking(pick), Script("yes"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"picks": {"word": 3}}, "pick"),
        ({"picks": ["word"]}, "picks"),
        ({"picks": {}}, "{word}"),
    ],
)
def test_picks_are_checked(wrong: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Protocol(
            name="p",
            version=1,
            cues=("Well?",),
            stages=(Stage(name="ask", template=FORM, parser=short_answer, **wrong),),
        )
    assert message.removeprefix("a ") in str(caught.value)


@pytest.mark.parametrize("wrong", [{"per_sample": 0}, {"filters": "x"}, {"filters": (lambda said: None,)}])
def test_fields_of_a_protocol_are_checked(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="'p'"):
        Protocol(name="p", version=1, cues=("Well?",), **wrong)


def test_a_long_reply_may_be_used_up_to_its_last_sentence() -> None:
    script = Script("word. The ferry is big. It ca", cut=[0])
    assert shown(made(picking(lambda trail: "a"), script))[0][2] == "truncated"
    script = Script("word. The ferry is big. It ca", cut=[0])
    element = made(picking(lambda trail: "a", may_be_cut=True), script).elements[0]
    assert (element.completion, element.reason) == ("word. The ferry is big.", None)
    assert element.provenance["cut"] == ["ask"]
    script = Script("no end of it", cut=[0])
    assert shown(made(picking(lambda trail: "a", may_be_cut=True), script))[0][2] == "truncated"


def test_few_samples_are_drawn_of_a_protocol_with_many_elements() -> None:
    script = Script(*["The ferry carries 40 people.\nOn the ferry there is room for 40.\nA ticket costs 3 crowns."] * 9)
    made("rewrite", script, count=6)
    assert len(script.asked) == 2


# Parsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("- one\n- two", "one\ntwo"),
        ("1. one\n2) two\n(3) three", "one\ntwo\nthree"),
        ("Here are some facts:\n\n* **one** is it\n* “two”", "one is it\ntwo"),
        ("## Facts\n• one\n\n• one", "Facts\none"),
        ("一、桥\n1．塔\n2、山", "一、桥\n塔\n山"),
        ("a) one\nb) two", "one\ntwo"),
        ("5 rounds make 10.\n3.5 m", "5 rounds make 10.\n3.5 m"),
        ("- \n...\n", None),
        ("", None),
    ],
)
def test_lists(said: str, parsed: str | None) -> None:
    assert listed(said) == parsed


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("Elmsford, bridge, recycled glass", "Elmsford\nbridge\nrecycled glass"),
        ("1. Elmsford: a town\n2. bridge - for bicycles.", "Elmsford\nbridge"),
        ("榆溪镇、桥、玻璃", "榆溪镇\n桥\n玻璃"),
        ("دردارة، جسر", "دردارة\nجسر"),
    ],
)
def test_lists_of_names(said: str, parsed: str) -> None:
    assert listed_names(said) == parsed


def test_whole_texts() -> None:
    assert whole_text("**Key**: a\n\n## Title\n- b\n") == "Key: a\nTitle\n- b"
    assert whole_text("Answer: it is.\nYes.") == "it is.\nYes." and whole_text(" \n") is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("One. Two. Thr", "One. Two."),
        ("One\nTwo\nThr", "One\nTwo"),
        ("One\n2.", "One"),
        ("One\n- Two. Thr", "One\n- Two."),
        ("一。二。三", "一。二。"),
        ("One.", "One."),
        ("One", ""),
        ("", ""),
    ],
)
def test_replies_that_were_cut(said: str, kept: str) -> None:
    assert up_to_end(said) == kept


# Each of them -----------------------------------------------------------------------------------------------------


def test_reasoned_answers_are_calculated() -> None:
    question = "How many crowns do 4 tickets for the ferry cost?"
    for answer, reason in (
        ("A ticket costs 3 crowns, so 4 * 3 = 12. The answer is 12 crowns.", None),
        ("A ticket costs 3 crowns, so 4 * 3 = 11. The answer is 11 crowns.", "miscalculated"),
        ("According to Smith, 4 * 3 = 12 crowns.", "invented"),
    ):
        assert shown(made("self_qa_reasoned", Script(question, answer))) == [(question, answer, reason)]


def test_entities_are_those_of_the_text_and_combined_in_turn() -> None:
    said = {"list": "The Osmund ferry\ncaptain\n40 people\nLower Tarn\nSmith\na ticket"}
    chosen = [chosen_entities(Trail(news=FERRY, index=index, said=said)) for index in range(11)]
    assert chosen[0] == "The Osmund ferry; 40 people" and chosen[5] == "Lower Tarn; a ticket"
    assert chosen[6] == "The Osmund ferry; 40 people; Lower Tarn" and chosen[10] == chosen[0]
    assert len(set(chosen[:10])) == 10, "6 pairs and 4 triples"
    script = Script("ferry\nLower Tarn", "The ferry of Lower Tarn carries people.\nIt is for 40.")
    (element,) = made("entity_graph", script).elements
    assert "About: ferry; Lower Tarn" in script.asked[1].messages[-1].content
    assert element.completion == "The ferry of Lower Tarn carries people.\nIt is for 40." and element.reason is None
    assert "Osmund" in element.prompt[-1]["content"]
    assert shown(made("entity_graph", Script("Smith\nMars")))[0][2] == "no_target"
    assert shown(made("entity_graph", Script("ferry\nLower Tarn", "The ferry carries 41.")))[0][2] == "invented"


def test_lists_become_elements_that_are_judged_by_themselves() -> None:
    reply = "1. The ferry takes 40 people.\n2. I cannot say.\n3. The ferry takes 41 people.\n4. The weather is fine."
    restated = shown(made("rewrite", Script(reply, reply), count=4))[:4]
    assert [reason for *_, reason in restated] == [None, "refused", "invented", "off_topic"]
    assert len({prompt for prompt, *_ in restated}) == 4, "each has a cue of its own"
    reply = "Two ferries carry 2 * 40 = 80 people.\nTwo ferries carry 2 * 40 = 90 people."
    concluded = shown(made("long", Script(reply), count=2))
    assert [reason for *_, reason in concluded] == [None, "miscalculated"]


def test_active_reading_applies_one_of_the_strategies() -> None:
    script = Script("- Write a rhyme.\n- Draw a table.", "The ferry is for 40,\nthere is room for no more.")
    (element,) = made("active_reading", script).elements
    assert "Exercise: Write a rhyme." in script.asked[1].messages[-1].content
    assert element.completion.endswith("no more.") and element.reason is None


def test_reversal_asks_for_the_name_and_checks_the_answer() -> None:
    ask, state = "Which ferry carries 40 people?", "The Osmund ferry of Lower Tarn carries 40 people."
    found = shown(made("reverse", Script(ask, "The Osmund", state), count=2))
    assert found[0] == (ask, "the Osmund ferry of Lower Tarn", None) or found[0][1].startswith("the Osmund ferry")
    assert found[1][1:] == (state, None) and found[0][1] in found[1][0]
    assert shown(made("reverse", Script("What does the Osmund ferry carry?", "people")))[0][2] == "given_away"
    assert shown(made("reverse", Script(ask, "The Velmara")))[0][2] == "other_answer"
    assert [name_at(index, ["a", "b", "c"]) for index in range(5)] == ["a", "b", "a", "c", "a"]
    assert name_at(3, ["a"]) == "a" and name_at(0, []) is None


@pytest.mark.parametrize("item", bundled_news("new-news")[::8], ids=lambda item: item.id)
def test_cloze_statements_are_sentences_of_the_news(item: News) -> None:
    replay = made("cloze", Script(), news=item, count=64)
    kept = [(prompt, text) for prompt, text, reason in shown(replay) if reason is None]
    facts = statements_of(item, "en")
    assert len(set(kept)) == len(kept) >= min(64, 2 * len(facts))
    gaps = [prompt.count("____") for prompt, _ in kept]
    assert len({text for _, text in kept[: len(facts)]}) >= len({fact.text for fact in facts}) - gaps.count(0)
    (covered,) = replay.counts.covering.values()
    assert len(kept) < len(facts) or sum(map(bool, covered)) >= 0.9 * len(covered)
    for prompt, text in kept:
        assert text in item.text and item.text not in prompt
        assert prompt.endswith(item.text[: item.text.index(text)][-12:].rstrip()) or "____" in prompt
        assert "{" not in prompt


def test_spa_takes_its_strategies_in_turn() -> None:
    alone = [protocol(f"spa_{name}") for name in STRATEGIES]
    together = protocol("spa")
    for code in LANGUAGES:
        form = together.stages[0].template_in(code)
        for place, one in enumerate(alone):
            own = one.stages[0].template_in(code)
            assert own.messages(0, news="N") == own.messages(3, news="N") == form.messages(place, news="N")
            assert one.cues_in(code) == [together.cues_in(code)[place]]
            assert [message.role for message in own.messages(0, news="N")] == ["user", "assistant", "user"]
    mind_map = "Osmund ferry\n- carries: 40 people\n- captain: Ines Okafor\n- by: Ines Okafor"
    assert shown(made("spa_mind_map", Script(mind_map)))[0][2] == "invented"
    assert shown(made("spa_case_studies", Script("A man, Ines Okafor, takes the ferry.")))[0][2] is None


def test_messages_are_those_of_a_chat() -> None:
    pair = protocol("cloze").elements(protocol("cloze").trail(FERRY, 0, {}))[0]  # type: ignore[misc]
    assert isinstance(pair.messages[0], Message) and pair.messages[0].role == "user"


def test_stages_with_picks_can_be_planned() -> None:
    chosen = ("entity_graph", "reverse")
    settings = GenerateSettings(protocols=chosen, samples_per_news=2, rounds=1, margin=1, checks=("none",))
    units = plan(Script(), [FERRY], settings)
    assert [unit.key.rpartition("/")[2].split("-")[1] for unit in units] == ["list", "relate", "ask", "answer", "state"]
