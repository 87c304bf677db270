"""Evaluation: prompts, grading, and likelihoods compared with a plain forward pass of the model."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sys2ft.engine import AdapterBank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import CONDITIONS, SCORINGS, Answerer, EvaluateSettings, Prediction, Route, evaluate
from sys2ft.evaluation.ask import asked, option_letters, option_order
from sys2ft.evaluation.graders import alias, exact, final_answer, grade, normalise, number, numbers
from sys2ft.generators import Generated, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.news import News, Question, news_from_dict
from sys2ft.runs import LocalExecutor
from talking import NEWS

SETTINGS = EvaluateSettings(direct_tokens=8, reasoned_tokens=24)
CHOICE = ("cloze", "cloze_raw", "letter")


@pytest.fixture(scope="module")
def model(talking_model_dir: Path) -> LoadedModel:
    return load_model(str(talking_model_dir), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def news() -> list[News]:
    return [news_from_dict(row) for row in NEWS]


@pytest.fixture(scope="module")
def predictions(model: LoadedModel, news: list[News]) -> list[Prediction]:
    return evaluate(model, news, SETTINGS, seed=1)


# Graders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("13", [13]),
        ("it is 2 * 6 + 1 = 13.", [2, 6, 1, 13]),
        ("1,234", [1234]),
        ("12,345,678.5 people", [12345678.5]),
        ("1,23", [1, 23]),
        ("-3", [-3]),
        ("−3", [-3]),
        ("−1,234.5", [-1234.5]),
        ("3.50", [3.5]),
        ("2e3 and 1E-2", [2000, 0.01]),
        ("5%", [5]),
        ("$5", [5]),
        ("fifteen", [15]),
        ("Twenty one", [21]),
        ("forty-two", [42]),
        ("Forty\u2011two eggs", [42]),  # non-breaking hyphen
        ("ninety", [90]),
        ("seventy, eighty", [70, 80]),
        ("four hundred sixty-four", [464]),
        ("Four Hundred and Sixty-Four", [464]),
        ("nine hundred ninety nine", [999]),
        ("a hundred people", [100]),
        ("one hundred and two hundred", [100, 200]),
        ("a hundred and four thousand", [104000]),
        ("two thousand thirty-four", [2034]),
        ("nineteen hundred", [1900]),
        ("two thousand and five hundred", [2500]),
        ("two thousand and three thousand", [2000, 3000]),
        ("three hundred thousand and one", [300001]),
        ("five six", [5, 6]),
        ("twenty eleven", [20, 11]),
        ("twenty, one", [20, 1]),
        ("forty\ntwo", [40, 2]),
        ("sixty and four", [60, 4]),
        ("twenty-minute tests", [20]),
        ("20 million", [20]),
        ("twenty million", [20]),
        ("hundreds of thousands", []),
        ("zero", [0]),
        ("often the tone is one", [1]),  # number words inside other words do not count
        ("２５", [25]),  # full width
        ("x2", []),
        ("none", []),
        ("", []),
    ],
)
def test_numbers(said: str, found: list[float]) -> None:
    assert numbers(said) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Town.", "town"),
        ("  a   TOWN!  ", "town"),
        ("“Town”", "town"),
        ("−3", "-3"),
        ("x*y + 1", "x * y + 1"),
        ("3.5", "3.5"),
        ("the", ""),
        ("...", "..."),
        ("Ｔｏｗｎ", "town"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


TOWN = Question(text="Where?", answer="Paris", choices=("Paris", "Rome", "New Rome"), aliases=("the capital",))
THIRTEEN = Question(text="How many?", answer="13")
EGGS = Question(text="How many?", answer="42", aliases=("forty-two", "3 bronds", "three bronds of eggs"))
FORMULA = Question(
    text="Formula?", answer="x * y + 1", choices=("x * y - 1", "x * y + 1"), aliases=("x times y plus 1",)
)
LIST = Question(text="Which?", answer="[5, 9]", choices=("5", "[5, 9]", "9"), grader="alias")


@pytest.mark.parametrize(
    ("grader", "said", "question", "correct"),
    [
        (exact, "Paris.", TOWN, True),
        (exact, "the paris", TOWN, True),
        (exact, "the capital", TOWN, False),
        (exact, "In Paris", TOWN, False),
        (alias, "paris", TOWN, True),
        (alias, "The capital!", TOWN, True),
        (alias, "It happened in Paris, last year.", TOWN, True),
        (alias, "It happened in the capital.", TOWN, True),
        (alias, "It was Paris, not Rome.", TOWN, False),
        (alias, "Rome", TOWN, False),
        (alias, "Parisian", TOWN, False),
        (alias, "anti-Paris", TOWN, False),
        (alias, "", TOWN, False),
        (alias, "...", TOWN, False),
        (alias, "It is x*y + 1.", FORMULA, True),
        (alias, "x times y plus 1", FORMULA, True),
        (alias, "x * y - 1", FORMULA, False),
        (alias, "The result is [5, 9]", LIST, True),
        (alias, "5", LIST, False),
        (number, "2 * 6 + 1 = 13", THIRTEEN, True),
        (number, "thirteen", THIRTEEN, True),
        (number, "13.0000000001", THIRTEEN, True),
        (number, "13 or 14", THIRTEEN, False),
        (number, "-13", THIRTEEN, False),
        (number, "many", THIRTEEN, False),
        (number, "1,300", Question(text="?", answer="1300"), True),
        (number, "−4", Question(text="?", answer="-4"), True),
        (number, "4", Question(text="?", answer="-4"), False),
        (number, "0.1", Question(text="?", answer="0.2"), False),
        (number, "Forty-two.", EGGS, True),
        (number, "That is forty two eggs.", EGGS, True),
        (number, "the 3 bronds", EGGS, True),
        (number, "That is 3 bronds.", EGGS, False),  # an alias counts only alone; in a longer text the number decides
        (number, "forty-three", EGGS, False),
        (number, "two", EGGS, False),
        (number, "forty-two, or forty", EGGS, False),
        (number, "13", TOWN, None),
    ],
)
def test_graders(grader: Callable[[str, Question], Any], said: str, question: Question, correct: bool | None) -> None:
    verdict = grader(said, question)
    assert verdict.correct is correct
    assert verdict.why


def test_a_verdict_says_why() -> None:
    assert alias("It was Paris, not Rome.", TOWN).why == "names 'Paris', but the choice 'Rome' too"
    assert alias("Rome", TOWN).why == "names the choice 'Rome'"
    assert number("The three  bronds of eggs.", EGGS).why == "equals 'three bronds of eggs'"
    assert number("2 or 3", THIRTEEN).why == "the last number said is 3, expected was 13"
    assert "cannot be judged" in number("3", TOWN).why


def test_the_question_names_its_grader() -> None:
    assert grade("thirteen", THIRTEEN).correct
    assert grade("capital", TOWN).correct
    assert not grade("capital", TOWN.model_copy(update={"grader": "exact"})).correct
    with pytest.raises(SettingsError, match="unknown grader 'vibes'"):
        grade("x", TOWN.model_copy(update={"grader": "vibes"}))


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("2 + 2 is 4.\nAnswer: 4", "4", True),
        ("Answer: 3\nNo, wait.\nAnswer: 4", "4", True),
        ("The final answer is: Paris.", "Paris.", True),
        ("So the answer is Paris", "Paris", True),
        ("**Answer:** Paris", "Paris", True),
        ("Final Answer: `Paris`", "Paris", True),
        ("First this.\n\nThen Paris.\n", "Then Paris.", False),
        ("First this.\nAnswer:", "Answer:", False),
        ("", "", False),
    ],
)
def test_the_final_answer_of_a_reasoning(text: str, said: str, marked: bool) -> None:
    assert final_answer(text) == (said, marked)


# Prompts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_news_appears_only_in_context(news: list[News], scoring: Any) -> None:
    for item in news:
        for question in item.questions:
            closed = asked(item, question, "closed_book", scoring, question.choices)
            within = asked(item, question, "in_context", scoring, question.choices)
            assert item.text not in closed
            assert within == f"News: {item.text}\n\n{closed}"
            assert closed.startswith(question.text)


def test_letters_list_the_options(news: list[News]) -> None:
    text = asked(news[0], news[0].questions[0], "closed_book", "letter", ("Rome", "Paris"))
    assert text == "What is the new capital?\nA. Rome\nB. Paris\nAnswer with the letter only."
    assert option_letters(28) == [*string.ascii_uppercase, "AA", "AB"]


def test_the_option_order_is_seeded(news: list[News]) -> None:
    order = option_order(news[0], 0, 1)
    assert sorted(order) == sorted(news[0].questions[0].choices)
    assert option_order(news[0], 0, 1) == order
    first = Counter(option_order(news[0], 0, seed)[0] for seed in range(300))
    assert min(first.values()) > 60, "each choice comes first about as often"
    renamed = news[0].model_copy(update={"id": "other"})
    assert any(option_order(renamed, 0, seed) != option_order(news[0], 0, seed) for seed in range(5))


# Predictions ------------------------------------------------------------------------------------------------------


def test_every_question_condition_and_scoring_once(predictions: list[Prediction], news: list[News]) -> None:
    expected = Counter(
        (item.id, index, condition, scoring)
        for item in news
        for index, question in enumerate(item.questions)
        for condition in CONDITIONS
        for scoring in SCORINGS
        if question.choices or scoring not in CHOICE
    )
    assert Counter((p.news_id, p.question, p.condition, p.scoring) for p in predictions) == expected
    assert not any(q.choices for item in news for q in item.questions[2:]), "one question is free text only"
    assert len({p.id for p in predictions}) == len(predictions)
    by_id = {item.id: item for item in news}
    for p in predictions:
        question = by_id[p.news_id].questions[p.question]
        assert (p.subject, p.adapter, p.domain) == ("base", None, by_id[p.news_id].domain)
        assert (p.expected, p.kind) == (question.answer, question.kind)
        assert (by_id[p.news_id].text in p.asked) == (p.condition == "in_context")
        assert p.why
        assert Prediction.from_dict(json.loads(json.dumps(p.to_dict()))) == p
        if p.scoring in CHOICE:
            assert p.said in question.choices
            assert p.correct is (p.said == question.answer)
        else:
            assert p.grader == question.grader
    assert len({p.correct for p in predictions if p.scoring == "cloze"}) == 2, "some are right and some are wrong"


def log_likelihood(model: LoadedModel, text: str, continuation: str) -> tuple[float, int]:
    """Log-likelihood (nats) and token count of a continuation after a question, from one plain forward pass."""
    prompt = model.chat.prompt_ids([Message("user", text)])
    ids = model.chat.continuation_ids(continuation)
    with torch.inference_mode():
        log = model.model(input_ids=torch.tensor([prompt + ids])).logits[0].float().log_softmax(-1)
    return sum(log[len(prompt) + i - 1, token].item() for i, token in enumerate(ids)), len(ids)


def test_choices_are_made_by_the_models_own_likelihood(
    predictions: list[Prediction], news: list[News], model: LoadedModel
) -> None:
    by_id = {item.id: item for item in news}
    seen, spread = Counter[str](), set()
    for p in predictions:
        if p.scoring not in CHOICE:
            continue
        options = option_order(by_id[p.news_id], p.question, 1)
        said = option_letters(len(options)) if p.scoring == "letter" else options
        plain = [log_likelihood(model, p.asked, text) for text in said]
        assert list(p.detail["choices"]) == said
        assert list(p.detail["choices"].values()) == pytest.approx([total for total, _ in plain], abs=1e-3)
        values = [total / tokens if p.scoring == "cloze" else total for total, tokens in plain]
        best = max(range(len(values)), key=lambda i: values[i])
        assert p.said == options[best]
        seen[p.scoring] += 1
        spread.add(round(values[best], 3))
    assert min(seen[s] for s in CHOICE) >= 8
    assert len(spread) > 10
    both = {s: {(p.news_id, p.question, p.condition): p.said for p in predictions if p.scoring == s} for s in CHOICE}
    assert both["cloze"] != both["cloze_raw"], "length matters for some question"


def test_options_have_the_same_order_under_all_conditions(predictions: list[Prediction]) -> None:
    orders: dict[tuple[str, int], set[tuple[str, ...]]] = {}
    for p in predictions:
        if p.scoring == "letter":
            listed = tuple(line for line in p.asked.splitlines() if line[1:3] == ". ")
            orders.setdefault((p.news_id, p.question), set()).add(listed)
    assert all(len(found) == 1 for found in orders.values())


def test_scorings_do_not_depend_on_one_another(
    model: LoadedModel, news: list[News], predictions: list[Prediction]
) -> None:
    for scoring in SCORINGS:
        alone = evaluate(model, news, replace(SETTINGS, scorings=(scoring,), headline=scoring), seed=1)
        assert alone == [p for p in predictions if p.scoring == scoring]


def test_a_prediction_does_not_depend_on_the_other_news(
    model: LoadedModel, news: list[News], predictions: list[Prediction]
) -> None:
    for company in (news[1:], news[::-1], news[:1]):
        for p in evaluate(model, company, SETTINGS, seed=1):
            same = next(q for q in predictions if q.id == p.id)
            assert (p.said, p.asked, p.correct) == (same.said, same.asked, same.correct)
            if p.scoring in CHOICE:
                assert p.detail["choices"] == pytest.approx(same.detail["choices"], abs=2e-4)


class Scripted:
    """A generator that answers every request with `text`."""

    identity = "scripted"

    def __init__(self, text: str, finished: bool = True) -> None:
        self.reply = Reply(text, finished, len(text.split()))

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
        return Generated([self.reply] * len(requests), Usage())

    def loglik(self, pairs: Sequence[Pair]) -> None:
        return None


def scripted(model: LoadedModel, text: str, finished: bool = True) -> LocalExecutor:
    return LocalExecutor(Answerer(model, generator=Scripted(text, finished)))


def test_free_text_is_graded_and_kept(model: LoadedModel, news: list[News]) -> None:
    who = scripted(model, " The sum is 67.\nAnswer: Paris ")
    got = evaluate(model, news[:1], replace(SETTINGS, scorings=("direct", "reasoned"), headline="direct"), executor=who)
    direct, reasoned = ([p for p in got if p.scoring == s and p.question == 0] for s in ("direct", "reasoned"))
    assert [p.said for p in direct] == ["The sum is 67.\nAnswer: Paris"] * 2
    assert [p.said for p in reasoned] == ["Paris"] * 2
    assert all(p.correct for p in (*direct, *reasoned))
    assert [p.detail["text"] for p in reasoned] == ["The sum is 67.\nAnswer: Paris"] * 2
    assert [p.detail for p in direct] == [{}] * 2
    assert all(p.correct is False for p in got if p.question == 1 and p.scoring == "reasoned")


def test_a_reasoning_that_was_cut_gives_no_answer(model: LoadedModel, news: list[News]) -> None:
    settings = replace(SETTINGS, scorings=("reasoned",), headline="reasoned")
    cut = evaluate(model, news[:1], settings, executor=scripted(model, "It may be\nParis", finished=False))[0]
    assert cut.correct is False
    assert "no final answer was reached" in cut.why
    assert "cut after" in cut.why
    ended = evaluate(model, news[:1], settings, executor=scripted(model, "It may be\nParis", finished=True))[0]
    assert ended.correct is True
    assert "the last line was taken" in ended.why
    marked = evaluate(model, news[:1], settings, executor=scripted(model, "Answer: Paris", finished=False))[0]
    assert marked.correct is True


def test_a_subject_answers_through_its_own_adapters(model: LoadedModel, news: list[News]) -> None:
    settings = replace(SETTINGS, scorings=("cloze", "direct"))
    base = {p.id.partition("/")[2]: p for p in evaluate(model, news, settings)}
    bank = AdapterBank(model.model, 2, rank=4, alpha=8)
    try:
        generator = torch.Generator().manual_seed(0)
        for parameter in bank.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        names = [news[2].id, news[0].id]  # the second news item has no adapter
        routes = {item.id: Route() for item in news} | {name: Route(slot, name) for slot, name in enumerate(names)}
        got = evaluate(model, news, settings, subject="naive", bank=bank, routes=routes)
        for p in got:
            same = base[p.id.partition("/")[2]]
            assert p.subject == "naive"
            assert p.adapter == (p.news_id if p.news_id in names else None)
            if p.scoring == "cloze":
                assert (p.detail == same.detail) == (p.adapter is None)
        to_all = {item.id: Route(0, "joint") for item in news}
        joint = evaluate(model, news, settings, subject="joint", bank=bank, routes=to_all)
        assert {p.adapter for p in joint} == {"joint"}
        # Slot 0 belongs to the third news item in `got`.
        third = {p.id.partition("/")[2]: p.detail for p in got if p.news_id == news[2].id and p.scoring == "cloze"}
        found = {p.id.partition("/")[2]: p.detail for p in joint if p.id.partition("/")[2] in third}
        assert third.keys() == found.keys()
        for key, detail in third.items():
            assert found[key]["choices"] == pytest.approx(detail["choices"], abs=2e-4)
    finally:
        bank.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scorings": ("cloze", "vibes")}, {"scorings": ("letter",)}, {"scorings": ("cloze", "cloze")}, {"scorings": ()},
        {"headline": "vibes"}, {"direct_tokens": 0}, {"reasoned_tokens": 0}, {"free_text_temperature": -1.0},
        {"free_text_top_p": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="fix:"):
        EvaluateSettings(**wrong)


def test_more_options_than_letters(model: LoadedModel) -> None:
    question = Question(text="Which?", answer="29", choices=tuple(str(n) for n in range(30)), grader="alias")
    item = News(id="n", text="Many.", questions=(question,))
    settings = replace(SETTINGS, scorings=("letter",), headline="letter")
    asked_text = evaluate(model, [item], settings)[0].asked
    assert all(f". {n}\n" in asked_text for n in range(30))


def test_routes_decide_who_answers_regardless_of_names(model: LoadedModel, news: list[News]) -> None:
    """A news item called 'joint' is a news item like any other."""
    first, second = news[0].model_copy(update={"id": "joint"}), news[1]
    settings = replace(SETTINGS, scorings=("cloze",))
    bank = AdapterBank(model.model, 2, rank=4, alpha=8)
    try:
        got = evaluate(
            model, [first, second], settings, subject="x", bank=bank, routes={"joint": Route(1, "joint"), second.id: 0}
        )
        assert {(p.news_id, p.adapter) for p in got} == {("joint", "joint"), (second.id, "0")}
        for routes in ({}, {"joint": 0}, {"joint": 2, second.id: 0}, {"joint": -2, second.id: 0}):
            with pytest.raises(SettingsError, match="route"):
                evaluate(model, [first, second], settings, subject="x", bank=bank, routes=routes)
    finally:
        bank.close()
