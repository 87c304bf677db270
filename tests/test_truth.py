"""Truth: elements are held against their news items, by text, likelihood, judgement and second answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from memos import DictMemo
from sys2ft.engine import LogLikelihood
from sys2ft.errors import SettingsError
from sys2ft.generators import Generated, Likelihoods, Pair, Reply, Request, SamplingParams, Usage, as_generator
from sys2ft.languages import LANGUAGES, detect, language
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import REASONS, GenerateSettings, Replay, generate, plan
from sys2ft.replay.checks.agreement import AGREEMENT, agreement
from sys2ft.replay.checks.claim import Check, Claim
from sys2ft.replay.checks.entailment import ENTAILMENT
from sys2ft.replay.checks.gain import GAIN
from sys2ft.replay.checks.names import NAMES
from sys2ft.replay.truth import CHECKS, checks_for, examine
from sys2ft.runs import Display
from tools import truth

FERRY = News(id="ferry", text="The ferry Osprey of the Lindqvist line carries 40 people to Tarn. It costs 3 crowns.")
SETTINGS = GenerateSettings(
    protocols=("paraphrase", "self_qa"),
    samples_per_news=4,
    max_new_tokens=32,
    rounds=2,
    min_gain=-1.0,
    min_statement_support=-9.0,
    min_statement_entailment=-9.0,
    min_answer_entailment=-9.0,
    min_agreement=0.0,
    checks=("names", "gain", "entailment", "agreement"),
)


def claim(said: str, question: str = "", news: News = FERRY, **more: object) -> Claim:
    return Claim(name="x", news=news, said=said, question=question, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def replays(model: LoadedModel, news: list[News]) -> dict[str, Replay]:
    return generate(model, news, SETTINGS, seed=1)


class Scorer:
    """A generator that scores by a rule and replies with one text."""

    identity = "scorer"

    def __init__(self, rule: Callable[[str, str], float] | None, reply: str = "Forty.") -> None:
        self.rule, self.reply = rule, reply

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: object = None) -> Generated:
        return Generated([Reply(self.reply, True, 0) for _ in requests], Usage())

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        if self.rule is None:
            return None
        rows = [LogLikelihood(self.rule(pair.messages[-1].content, pair.text), 1) for pair in pairs]
        return Likelihoods(rows, Usage())


def scores(check: Check, one: Claim, rule: Callable[[str, str], float]) -> dict[str, object]:
    def answer(check: Check, asked: Sequence[Pair | Request]) -> list[dict[str, float]]:
        pairs = [pair for pair in asked if isinstance(pair, Pair)]
        return [{"total": rule(pair.messages[-1].content, pair.text), "tokens": 1} for pair in pairs]

    (verdict,) = examine([one], [check], answer, None)
    return verdict.scores


# Names and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "said", "unknown"),
    [
        ("", "The ferry Osprey takes 40 people to Tarn.", []),
        ("", "The ferry Osprey takes 45 people to Elmsford.", ["Elmsford", "45"]),
        ("What does a trip of 5 people on the Osprey cost?", "5 * 3 = 15 crowns", []),
        ("What does a trip of 5 people on the Osprey cost?", "(5 × 3) = 15, and 15 + 1 = 16", ["1", "16"]),
        ("What does a trip of 5 people on the Osprey cost?", "5 * 3 = 16 crowns", ["16"]),
        ("What does a trip of 5 people on the Osprey cost?", "15 crowns", ["15"]),
        ("How many go with 2 ferries?", "40 + 40 = 2 * 40 = 80", []),
        ("How many go with 2 ferries?", "7 * 10 = 70", ["7", "10", "70"]),
        ("How many go with 2 ferries?", "40 / 0 = 2", ["0"]),
        ("How many go with 2 ferries?", "(40 = 9", ["9"]),
        ("How does it go to Elmsford?", "By sea", ["Elmsford"]),
        ("", "Two ferries carry 2 * 40 = 80 people.", []),
        ("", "Two ferries carry 2 * 40 = 90 people.", ["2", "90"]),
        ("", "Twelve ferries carry forty people.", ["12"]),
        ("", "Forty people pay three crowns each, and three times forty is one hundred and twenty.", []),
    ],
)
def test_names_and_numbers_come_from_the_news_or_from_a_calculation(
    question: str, said: str, unknown: list[str]
) -> None:
    found = NAMES.read(claim(said, question), ())
    assert found["unknown"] == unknown
    assert NAMES.fails(claim(said), found, SETTINGS) is bool(unknown)


@pytest.mark.parametrize(
    ("question", "said", "share"),
    [
        ("", "The ferry Osprey carries 40 people.", 1.0),
        ("", "The ferry carries dogs and cats.", 0.5),
        ("Does the ferry carry dogs?", "The dogs", 1 / 3),
        ("", "It is so.", 0.0),
    ],
)
def test_words_are_shared_with_the_news(question: str, said: str, share: float) -> None:
    found = NAMES.read(claim(said, question), ())
    assert found["words"] == pytest.approx(share, abs=1e-4)
    assert NAMES.fails(claim(said), {**found, "unknown": []}, replace(SETTINGS, min_words=0.6)) is (share < 0.6)


# Likelihood -------------------------------------------------------------------------------------------------------


def test_gain_is_what_the_news_in_context_adds() -> None:
    answer, statement = claim("40 people", "How many?"), claim("40 people")
    found = scores(GAIN, answer, lambda asked, text: -1.0 if "Osprey" in asked else -3.5)
    assert found == {"support": -1.0, "gain": 2.5}
    for limit, fails in ((2.4, False), (2.5, True)):
        assert GAIN.fails(answer, found, replace(SETTINGS, min_gain=limit)) is fails
    found = scores(GAIN, statement, lambda asked, text: -1.0 if "Osprey" in asked else 1 / 0)
    assert found == {"support": -1.0}, "a statement is not asked about without the news"
    for limit, fails in ((-1.1, False), (-0.9, True)):
        assert GAIN.fails(statement, found, replace(SETTINGS, min_statement_support=limit)) is fails


# The judge --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", "How many people?"])
def test_a_preference_for_a_place_or_a_word_or_a_sound_cancels(question: str) -> None:
    def judge(asked: str, text: str) -> float:
        yes, no = asked.rindex("Yes"), asked.rindex("No")
        first = "Yes" if yes < no else "No"
        belief = (2.0 if "40 crowns" not in asked else -2.0) * ("Osprey" in asked)
        return 3.0 * (text == first) + 5.0 * (text == "Yes") + belief * (text == "Yes")

    right, wrong = (scores(ENTAILMENT, claim(said, question), judge) for said in ("40 people", "40 crowns"))
    assert (right["entailment"], wrong["entailment"]) == (2.0, -2.0)
    assert (right["entailed"], wrong["entailed"]) == (7.0, 3.0)
    least = replace(SETTINGS, **{"min_answer_entailment" if question else "min_statement_entailment": 0.0})
    said = claim("40 crowns", question)
    assert [ENTAILMENT.fails(said, wrong, how) for how in (SETTINGS, least)] == [False, True]
    assert not ENTAILMENT.fails(said, right, least)


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_judge_is_asked_in_the_language_of_the_news(code: str) -> None:
    yes, no = language(code).lines("judge_labels")
    for question in ("", "Q?"):
        pairs = ENTAILMENT.asks(claim("SAID", question, code=code), 0)
        asked = [pair.messages[-1].content for pair in pairs if isinstance(pair, Pair)]
        assert len(set(asked)) == 4
        assert all(text.count("SAID") == 1 and yes in text and no in text and "{" not in text for text in asked)
        assert sum(FERRY.text in text for text in asked) == len(asked) / 2
        assert detect(asked[-1].replace("SAID", "").replace("Q?", "")) == code
        assert {pair.text for pair in pairs if isinstance(pair, Pair)} == {yes, no}


# The second answer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "question", "share"),
    [
        ("Recycled glass", "It is made of recycled glass.", "What is the bridge made of?", 1.0),
        ("Recycled glass", "Steel", "What is the bridge made of?", 0.0),
        ("Glass and steel", "Steel", "What is the bridge made of?", 1.0),
        ("Glass and steel", "Wood and steel", "What is the bridge made of?", 0.5),
        ("3 * 2 = 6 cards", "6", "How many cards?", 1.0),
        ("3 * 2 = 6 cards", "3 * 2 = 5 cards", "How many cards?", 0.0),
        ("The bridge", "The bridge", "Is it the bridge or the ferry?", 1.0),
        ("The bridge", "The ferry", "Is it the bridge or the ferry?", 0.0),
        ("Yes", "No", "Is it new?", 0.0),
        ("Yes", "Yes.", "Is it new?", 1.0),
        ("Glass", "", "What is it?", 0.0),
    ],
)
def test_agreement_is_the_share_of_the_shorter_answer(one: str, other: str, question: str, share: float) -> None:
    assert agreement(one, other, question) == agreement(other, one, question) == share


def test_only_questions_are_answered_again() -> None:
    assert AGREEMENT.applies(claim("40", "How many?"))
    assert not any(AGREEMENT.applies(claim("It carries 40.", prompt)) for prompt in ("", "Say what it carries."))
    (asked,) = AGREEMENT.asks(claim("40", "How many?"), 1)
    assert isinstance(asked, Request)
    assert FERRY.text in asked.messages[-1].content and "How many?" in asked.messages[-1].content
    assert [one.seed for one in AGREEMENT.asks(claim("40", "How many?"), 2)] != [asked.seed]


# All of them in generation ----------------------------------------------------------------------------------------


def test_every_element_that_passed_its_stages_has_scores_and_kept_ones_pass(replays: dict[str, Replay]) -> None:
    seen: set[str | None] = set()
    for name, replay in replays.items():
        for element in replay.elements:
            seen.add(element.reason)
            found = element.provenance.get("truth")
            if element.status == "kept":
                assert found is not None and found["unknown"] == []
                assert found["support"] >= SETTINGS.min_statement_support
                assert name == "paraphrase" or found["gain"] > SETTINGS.min_gain
                assert found.keys() >= {"entailed", "entailment"}
                assert ("agreement" in found) is (name == "self_qa")
            if element.reason == "invented" and found:
                assert found["unknown"] and "gain" not in found, "nothing is asked about what has failed"
        assert sum(replay.counts.rejected.values()) + replay.counts.kept == replay.counts.asked
        assert replay.counts.checks == list(CHECKS)
        assert 0 < replay.counts.seconds_checking < replay.counts.seconds
    assert "invented" in seen and seen - {None} <= REASONS.keys()


def test_scores_are_those_of_the_element_alone(
    model: LoadedModel, news: list[News], replays: dict[str, Replay]
) -> None:
    """Elements are asked about in another order, in batches with shared beginnings."""
    by_id = {item.id: item for item in news}
    generator = as_generator(model)
    compared = 0
    for element in [*replays["paraphrase"].kept, *replays["self_qa"].kept][::3]:
        question = element.prompt[-1]["content"] if element.protocol == "self_qa" else ""
        one = claim(element.completion, question, by_id[element.news_id])
        for check in (GAIN, ENTAILMENT):
            pairs = [pair for pair in check.asks(one, 1) if isinstance(pair, Pair)]
            values = [generator.loglik([pair]) for pair in pairs]
            rows = [{"total": v.values[0].total, "tokens": v.values[0].tokens} for v in values if v]
            for name, value in check.read(one, rows).items():
                assert element.provenance["truth"][name] == pytest.approx(value, abs=2e-3), (element.id, name)
                compared += 1
    assert compared > 8


def test_elements_do_not_depend_on_the_batches_and_resume(model: LoadedModel, news: list[News]) -> None:
    memo = DictMemo()
    small = replace(SETTINGS, rows_at_once=3)
    whole = generate(model, news, small, seed=1, memo=memo)
    again = DictMemo({key: kept for place, (key, kept) in enumerate(memo.kept.items()) if place % 2})
    resumed = generate(model, news, small, seed=1, memo=again)
    for name, replay in whole.items():
        assert [element.to_dict() for element in replay.elements] == [e.to_dict() for e in resumed[name].elements]


def test_without_checks_nothing_is_asked(model: LoadedModel, news: list[News]) -> None:
    memo = DictMemo()
    made = generate(model, news, replace(SETTINGS, checks=("none",), protocols=("paraphrase",)), seed=1, memo=memo)
    assert not [key for key in memo.kept if "check_" in key]
    assert not [element for element in made["paraphrase"].elements if "truth" in element.provenance]
    assert made["paraphrase"].counts.checks == [] and made["paraphrase"].counts.seconds_checking == 0


def test_each_threshold_counts_its_own_reason(news: list[News]) -> None:
    """The scorer finds everything ten times likelier without the news, and says no."""
    item = News(id="ferry", text="The ferry carries people to the town. It is slow and old.")
    how = replace(SETTINGS, protocols=("self_qa",), samples_per_news=1, rounds=1, margin=1, min_gain=0)
    cases: list[tuple[GenerateSettings, Callable[[str, str], float], str | None]] = [
        (how, lambda asked, text: -1.0 if item.text in asked else -3.0, None),
        (
            replace(how, min_answer_entailment=0.5),
            lambda asked, text: -1.0 if item.text in asked else -3.0,
            "contradicted",
        ),
        (replace(how, min_agreement=1.1), lambda asked, text: -1.0 if item.text in asked else -3.0, "disagrees"),
        (how, lambda asked, text: -3.0 if item.text in asked else -1.0, "unsupported"),
    ]
    for settings, rule, reason in cases:
        (element,) = generate(Scorer(rule, "Is the ferry slow?"), [item], settings)["self_qa"].elements
        assert element.reason == reason


def test_a_generator_without_likelihoods_is_reported() -> None:
    class Notes(Display):
        lines: list[str]

        def note(self, text: str) -> None:
            self.lines.append(text)

    show = Notes()
    show.lines = []
    how = replace(SETTINGS, protocols=("paraphrase",), samples_per_news=1, rounds=1)
    made = generate(Scorer(None, "The ferry carries 40 people."), [FERRY], how, show=show)["paraphrase"]
    assert made.counts.checks == ["names", "agreement"]
    assert [line for line in show.lines if "gain, entailment" in line and "scorer" in line]
    assert [check.name for check in checks_for(how, Scorer(None))[0]] == ["names", "agreement"]


def test_a_plan_lists_the_checks(model: LoadedModel, news: list[News]) -> None:
    memo = DictMemo()
    how = replace(SETTINGS, rounds=1)
    keys = [unit.key for unit in plan(model, news, how, memo=memo)]
    assert [key for key in keys if "check_" in key] == [
        "replay/paraphrase.units/0-check_gain-00000 (estimate)",
        "replay/paraphrase.units/0-check_entailment-00000 (estimate)",
        "replay/self_qa.units/0-check_gain-00000 (estimate)",
        "replay/self_qa.units/0-check_entailment-00000 (estimate)",
        "replay/self_qa.units/0-check_agreement-00000 (estimate)",
    ]
    generate(model, news, how, memo=memo)
    assert plan(model, news, how, memo=memo) == []
    kept = {key: value for key, value in memo.kept.items() if "check_entailment" not in key}
    left = plan(model, news, how, memo=DictMemo(kept))
    assert [unit.key.split("/")[2] for unit in left if "estimate" not in unit.key] == ["0-check_entailment-00000"] * 2
    assert all(unit.needs.tokens > 0 for unit in left)


@pytest.mark.parametrize("checks", [(), ("names", "names"), ("none", "gain"), ("truth",)])
def test_unknown_checks_are_refused(checks: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="names, gain, entailment, agreement"):
        GenerateSettings(checks=checks)  # type: ignore[arg-type]


# The elements that were read --------------------------------------------------------------------------------------


def test_every_element_that_was_read_is_complete() -> None:
    read, texts = truth.rows(), truth.news_by_id()
    assert len({truth.key(row) for row in read}) == len(read) >= 200
    for row in read:
        assert isinstance(row["faithful"], bool) and bool(row["wrong"]) is not row["faithful"], row["id"]
        assert row["news"] == texts[row["news_id"]].text
        assert row["scores"].keys() >= {"unknown", "words", "support", "entailed", "entailment"}
        assert truth.asks(row) == ("gain" in row["scores"])
    assert {row["news_id"]: row["half"] for row in read} == truth.halves(read, texts), "a news item is in one half"
    assert all(NAMES.read(truth.claim(row, texts), ()).items() <= row["scores"].items() for row in read)


@pytest.mark.slow
def test_the_tables_are_those_of_the_elements_that_were_read() -> None:
    page = truth.PAGE.read_text(encoding="utf-8")
    assert truth.current(page) == page


def test_a_rule_reaches_its_precision_where_it_was_chosen() -> None:
    read = [
        {"faithful": good, "scores": {"a": a, "b": b}}
        for good, a, b in [(True, 1, 1), (True, 2, 0), (False, 0, 1), (False, 2, -1), (True, 3, 2)]
    ]
    assert truth.area(read, "a") == "0.75"
    rule = truth.choose(read, ["a", "b"], 0.9)
    assert [truth.keeps(rule, row) for row in read] == [row["faithful"] for row in read]
