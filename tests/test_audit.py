"""The audit: rules that look at the choices alone, repetition, and what an untrained model gets right."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from sys2ft.errors import SettingsError
from sys2ft.evaluation import Prediction, Statements, evaluate
from sys2ft.evaluation.controls import neighbours, rephrased
from sys2ft.evaluation.settings import BY_CHOICE
from sys2ft.evaluation.statements import before_end, example as as_example
from sys2ft.job import audit_model, audit_text
from sys2ft.job.audit import _count_selected, blocks, level_of
from sys2ft.models import LoadedModel, load_model
from sys2ft.models.chat import ChatFormat
from sys2ft.news import Found, News, Selection, bundled_news, news_from_dict, surface
from sys2ft.news.checks import NEAR_DUPLICATE, near_pairs
from sys2ft.statistics import noise_of_chance


def news(*questions: dict[str, Any], id: str = "n", text: str = "Something new.", **fields: Any) -> News:
    return news_from_dict({"id": id, "news": text, "questions": list(questions), **fields})


def question(text: str, answer: str, *wrong: str, **fields: Any) -> dict[str, Any]:
    return {"question": text, "answer": answer, "choices": [*wrong, answer], **fields}


def right(rule: str, *questions: dict[str, Any]) -> list[float]:
    return list(surface([news(*questions)]).right[rule].values())


# text


def test_a_cue_is_seen_and_ties_are_shared() -> None:
    cued = question("Which blue bird sings?", "the blue bird", "a cat", "a dog", "an ox")
    for rule in ("longest", "likest to the question", "at place 4"):
        assert right(rule, cued) == [1], rule
    for rule in ("shortest", "least like the question", "at place 1"):
        assert right(rule, cued) == [0], rule
    even = question("Which?", "red", "tan", "jet", "sky")
    assert right("longest", even) == right("shortest", even) == right("likest to the question", even) == [0.25]
    assert right("longest", question("Which?", "three", "seven", "one", "two")) == [0.5]


def test_rules_for_numbers_apply_to_numbers_only() -> None:
    numbers = question("How many?", "20", "9", "31", "40")
    others = question("Who?", "Ann", "Ben", "Cid", "Dan")
    assert right("a number in the middle", numbers, others) == [0.5], "9 < 20 < 31 < 40: two are in the middle"
    assert right("a round number", numbers, others) == [0.5]
    assert right("the smallest number", numbers, others) == [0] and right("the largest number", others) == []
    assert right("the largest number", question("How many?", "100", "9", "31", "40")) == [1], "as numbers, not as texts"


def test_questions_without_choices_are_left_out() -> None:
    one = news({"question": "Who?", "answer": "Ann"}, question("Why?", "red", "tan"))
    assert list(surface([one]).chances.items()) == [(("n", 1), 0.5)]
    with pytest.raises(SettingsError, match="has choices"):
        audit_text([news({"question": "Who?", "answer": "Ann"})])


def test_what_repeats_and_what_betrays_is_found() -> None:
    a = news(
        question("Which colour does the velt glow at night?", "blue", "red"),
        id="a",
        text="The velt is a fish of the deep sea.",
        neighbours=[question("Which colour has grass in a garden?", "green", "red")],
    )
    b = news(id="b", text="At night the velt will glow blue in every sea.")
    c = news(id="c", text="A ship of blue glass sails from Rome in May.")
    d = news(
        question("Which colour has the grass in a garden?", "green", "tan"),
        id="d",
        text="A ship of blue glass sails from Rome in June.",
    )
    assert surface([a, b, c, d]).found == (
        Found(what="same news", where=("c", "d"), text=d.text),
        Found(what="same question", where=("a, neighbour 1", "d, question 1"), text=d.questions[0].text),
        Found(what="answer in another news", where=("a, question 1", "b"), text="blue"),
    )


@settings(deadline=None)
@given(st.lists(st.text(alphabet="abcdefgh ", max_size=20), max_size=12))
def test_near_pairs_are_those_of_comparing_all_with_all(texts: list[str]) -> None:
    sets = [set(text.split()) for text in texts]
    expected = [
        (i, j)
        for i, a in enumerate(sets)
        for j, b in enumerate(sets)
        if i < j and a and b and len(a & b) >= NEAR_DUPLICATE * len(a | b)
    ]
    assert near_pairs(texts) == expected


def test_noise_of_chance_is_the_binomial() -> None:
    for n, p, level in [(375, 0.25, 0.95), (40, 0.5, 0.99), (7, 0.25, 0.9)]:
        mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        low, high = noise_of_chance([p] * n, level=level)
        a, b = round(low * n), round(high * n)
        tail = (1 - level) / 2
        assert sum(mass[:a]) <= tail < sum(mass[: a + 1]) and sum(mass[b + 1 :]) <= tail < sum(mass[b:])
    assert noise_of_chance([0.25] * 375) == pytest.approx((78 / 375, 110 / 375))
    mixed = noise_of_chance([0.5] * 50 + [0.1] * 50)
    assert mixed[0] < 0.3 < mixed[1] and mixed != noise_of_chance([0.3] * 100)


def test_blocks_and_their_levels() -> None:
    several = [
        news(question("a?", "x", "y", kind="recall"), question("b?", "x", "y"), id="m1", domain="math"),
        news(question("c?", "x", "y", kind="recall"), id="e1", domain="events"),
    ]
    items = [("m1", 0), ("m1", 1), ("e1", 0)]
    parts = blocks(several, items)
    assert {name: len(own) for name, own in parts.items()} == {
        "all": 3, "math": 2, "events": 1, "recall": 2, "unspecified": 1
    }  # fmt: skip
    assert list(blocks(several[:1], items[:1])) == ["all"], "a block that is everything says nothing more"
    assert level_of("all", 5) == 0.95 and level_of("math", 5) == pytest.approx(1 - 0.05 / 4)


# models


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LoadedModel:
    return load_model(str(tiny_model_dir), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def some() -> list[News]:
    return [bundled_news("new-news")[place] for place in (0, 1, 15)]


def complete(model: LoadedModel, news: list[News]) -> list[Prediction]:
    return evaluate(model, news, BY_CHOICE, probe=Statements())


def test_statements_are_scored_as_plain_text(model: LoadedModel, some: list[News]) -> None:
    predictions = complete(model, some)
    assert [(p.condition, p.news_id) for p in predictions] == [
        (condition, one.id) for condition in ("closed_book", "in_context") for one in some
    ]
    many = [one.model_copy(update={"id": f"{one.id}-{i}"}) for i in range(7) for one in some]
    assert [p.said for p in complete(model, many) if p.condition == "closed_book"] == [
        p.said for p in predictions[:3]
    ] * 7
    for prediction, one in zip(predictions, some * 2, strict=True):
        assert one.cloze is not None
        text = before_end(one, one.cloze.text, prediction.condition)
        assert text.endswith(one.cloze.text) and (one.text in text) == (prediction.condition == "in_context")
        means = {}
        for choice in one.cloze.choices:
            ids = model.tokenizer(f"{text} {choice}", add_special_tokens=False)["input_ids"]
            start = len(model.tokenizer(text, add_special_tokens=False)["input_ids"])
            with torch.no_grad():
                log_TV = model.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            own = [log_TV[t - 1, ids[t]].item() for t in range(start, len(ids))]
            assert prediction.detail["choices"][choice] == pytest.approx(sum(own), abs=2e-3)
            means[choice] = sum(own) / len(own)
        assert prediction.said == max(means, key=means.__getitem__)
        assert prediction.correct == (prediction.said == one.cloze.answer)


def test_an_end_that_merges_with_the_statement_is_supervised_from_where_it_differs(model: LoadedModel) -> None:
    # A tokenizer whose tokens reach over spaces: behind "it is" the end "red" changes the statement's last token.
    backend = Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=["<end>"], show_progress=False, vocab_size=40)
    backend.train_from_iterator(["is red"] * 9 + ["it is", "tan"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    example = as_example(replace(model, chat=ChatFormat.of(tokenizer)), "it is", "red", 0)
    texts = tokenizer.convert_ids_to_tokens(example.ids)
    assert "".join(texts) == "it is red" and "is red" in texts
    supervised = [text for text, counts in zip(texts, example.loss_mask, strict=True) if counts]
    assert "".join(supervised) == " is red", "what the end changed, and no token that stands in the prompt too"


def test_news_without_a_cloze_have_no_statement(model: LoadedModel) -> None:
    open_end = {"id": "n", "news": "x", "cloze": {"statement": "The news is", "answer": "here"}}
    assert complete(model, [News(id="a", text="x"), news_from_dict(open_end)]) == []


def test_rephrased_and_neighbours_take_the_place_of_the_questions(some: list[News]) -> None:
    for one, again, beside in zip(some, rephrased(some), neighbours(some), strict=True):
        (recall,) = [q for q in one.questions if q.kind == "recall"]
        assert [(q.text, q.answer) for q in again.questions] == [(recall.rephrased, recall.answer)]
        assert beside.questions == one.neighbours and beside.text == one.text


@pytest.mark.slow
def test_audit_of_a_model(model: LoadedModel, some: list[News], tmp_path: Path) -> None:
    result = audit_model(some, model, out=tmp_path, seed=3)
    assert list(result.scorings) == list(BY_CHOICE.scorings)
    for measured in result.scorings.values():
        assert [one.block for one in measured][:3] == ["all", "math", "coding"] and len(measured) == 8
        assert [one.closed_book.n_items for one in measured] == [15, 10, 5, 3, 3, 3, 3, 3]
        assert {one.chance for one in measured} == {0.25}
    assert [(one.block, one.closed_book.n_items) for one in result.probes] == [
        ("recall as it was", 3), ("recall rephrased", 3), ("statements", 3)
    ]  # fmt: skip
    assert result.neighbours is not None and result.neighbours.closed_book.n_items == 6
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "audit.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    rows = [json.loads(line) for line in (folder / "predictions" / "base.jsonl").read_text().splitlines()]
    whole = [r for r in rows if r["scoring"] == "letter" and r["condition"] == "in_context"]
    assert result.scorings["letter"][0].in_context.estimate == sum(r["correct"] for r in whole) / 15
    asked = [json.loads(line) for line in (folder / "predictions" / "rephrased.jsonl").read_text().splitlines()]
    assert {r["asked"] for r in asked if r["condition"] == "closed_book"} == {
        q.rephrased for one in some for q in one.questions if q.rephrased
    }

    assert result.selected == 0


def test_an_audit_counts_what_the_model_selected(model: LoadedModel, some: list[News]) -> None:
    own = Selection(by="elsewhere", sha256=model.fingerprint, in_context="right")
    marks = ({"selected": own}, {"selected": own.model_copy(update={"sha256": "00"})}, {"made_by": model.source.name})
    questions = [q.model_copy(update=mark) for q, mark in zip(some[0].questions, marks, strict=False)]
    marked = some[0].model_copy(update={"questions": tuple(questions)})
    assert _count_selected([marked, *some[1:]], {"name": model.source.name, "sha256": model.fingerprint}) == 2


def test_an_audit_goes_on_where_it_stopped_and_refuses_another_seed(
    model: LoadedModel, some: list[News], tmp_path: Path
) -> None:
    first = audit_model(some, model, out=tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "audit.json").unlink()
    (unit,) = (folder / "predictions" / "neighbours.units").iterdir()
    changed = json.loads(unit.read_text())
    for row in changed["rows"]:
        row["correct"] = True
    unit.write_text(json.dumps(changed))
    again = audit_model(some, model, out=tmp_path)
    assert again.scorings == first.scorings
    assert again.neighbours is not None
    assert again.neighbours.closed_book.estimate == 1, "what was finished is read and not computed again"
    with pytest.raises(SettingsError, match="other settings"):
        audit_model(some, model, out=tmp_path, seed=1)


def test_news_without_choices_or_probes_have_fewer_tables(model: LoadedModel, tmp_path: Path) -> None:
    plain = news({"question": "Who?", "answer": "Ann"}, question("Why?", "red", "tan"))
    only = audit_model([plain], model, out=tmp_path)
    assert [one.closed_book.n_items for one in only.scorings["cloze"]] == [1]
    assert (only.probes, only.neighbours) == ((), None)


def test_free_text_has_no_chance_level(model: LoadedModel, some: list[News], tmp_path: Path) -> None:
    settings = replace(BY_CHOICE, scorings=("cloze", "direct"), direct_tokens=2)
    result = audit_model(some[:1], model, out=tmp_path, settings=settings)
    assert {one.chance for one in result.scorings["direct"]} == {None}
    assert not any(one.off_chance for one in result.scorings["direct"])
