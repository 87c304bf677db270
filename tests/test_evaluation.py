"""Evaluation: prompts, grading, and likelihoods compared with a plain forward pass of the model."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from sys2ft.engine import AdapterBank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import CONDITIONS, SCORINGS, Answerer, EvaluateSettings, Prediction, Route, evaluate
from sys2ft.evaluation.ask import asked, option_letters, option_order
from sys2ft.generators import Generated, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News, Question
from sys2ft.runs import LocalExecutor

SETTINGS = EvaluateSettings(direct_tokens=8, reasoned_tokens=24)
CHOICE = ("cloze", "cloze_raw", "letter")


@pytest.fixture(scope="module")
def predictions(model: LoadedModel, news: list[News]) -> list[Prediction]:
    return evaluate(model, news, SETTINGS, seed=1)


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
    assert "the reasoning was cut before an answer" in cut.why
    assert "cut after" in cut.why
    ended = evaluate(model, news[:1], settings, executor=scripted(model, "It may be\nParis", finished=True))[0]
    assert ended.correct is True
    assert "the last line was taken" in ended.why
    marked = evaluate(model, news[:1], settings, executor=scripted(model, "Answer: Paris", finished=False))[0]
    assert marked.correct is True
    middle = "The answer is Paris if it is a capital, but"
    assert evaluate(model, news[:1], settings, executor=scripted(model, middle, finished=False))[0].correct is False


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
