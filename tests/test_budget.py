"""Budgets of replay generation: in samples, tokens or FLOP, what is used of them, and a run at equal tokens or FLOP."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import sys2ft
from memos import DictMemo, Killed
from sys2ft.cli.main import call
from sys2ft.errors import SettingsError
from sys2ft.generators import EngineGenerator, Generated, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.job import generate_stage, open_run, plan as job_plan, train_stage
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News
from sys2ft.replay import GenerateSettings, Replay, ReplayElement, Schedule, generate, plan
from sys2ft.replay.budget import Account, Budget, Cost, Drawn
from sys2ft.runs import Display, read_json
from talking import write_news_file

SETTINGS = GenerateSettings(
    protocols=("naive", "paraphrase"), max_new_tokens=32, rounds=4, temperature=1.5, checks=("none",)
)
TOKENS = replace(SETTINGS, samples_per_news=None, tokens_per_news=300, rounds=24)  # few of its texts are new
FLOP = replace(SETTINGS, samples_per_news=None, flop=2e8)
SCHEDULE = Schedule(epochs=2, batch_size=2)
TRAIN = sys2ft.TrainSettings(epochs=2, batch_size=2, rank=4, alpha=8)


@pytest.fixture(scope="module")
def by_tokens(model: LoadedModel, news: list[News]) -> dict[str, Replay]:
    return generate(model, news, TOKENS, seed=1)


@pytest.fixture(scope="module")
def by_flop(model: LoadedModel, news: list[News]) -> dict[str, Replay]:
    return generate(model, news, FLOP, seed=1, schedule=SCHEDULE)


def rendered(model: LoadedModel, element: ReplayElement) -> int:
    messages = [Message(**turn) for turn in element.prompt]  # type: ignore[arg-type]
    return len(model.chat.render(messages, element.completion).ids)


# The settings -----------------------------------------------------------------------------------------------------


def test_samples_are_the_default_budget_and_recorded() -> None:
    assert GenerateSettings().budget == ("samples_per_news", 64)
    assert asdict(GenerateSettings())["samples_per_news"] == 64
    assert GenerateSettings(**asdict(TOKENS)) == TOKENS
    assert TOKENS.samples_per_news is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples_per_news": 64, "tokens_per_news": 100},
        {"tokens_per_news": 100, "flop": 1e12},
        {"tokens_per_news": 0},
        {"flop": -1.0},
        {"flop": float("inf")},
        {"flop": float("nan")},
    ],
    ids=str,
)
def test_budgets_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        GenerateSettings(**wrong)
    assert all(name in str(caught.value) for name in wrong)


def test_two_budgets_on_the_command_line_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_news_file(tmp_path / "news.jsonl")
    assert call(["run", "news.jsonl", "--samples-per-news", "64", "--tokens-per-news", "100"]) == 2
    assert capsys.readouterr().err.startswith("sys2ft: several budgets: samples_per_news=64, tokens_per_news=100\n")


# The account ------------------------------------------------------------------------------------------------------


def account(goal: float, sizes: list[float], costs: list[float] | None = None) -> Account:
    """An account that has read one sample for each size, which is that of its element; 0: it was rejected."""
    schedule = Schedule(epochs=1, batch_size=1) if costs else None
    budget = Budget("flop" if costs else "tokens_per_news", goal, lambda pair: float(pair.text), len, 1.0, schedule)  # type: ignore[arg-type]
    made = Account(budget, {"n": goal})
    for number, size in enumerate(sizes):
        passed = [(str(number), Pair(messages=(), text=str(size)))] if size else []
        made.add("n", Drawn(Cost(flop=costs[number] if costs else 0.0), passed))
    return made


@given(st.integers(1, 500), st.lists(st.integers(0, 100), max_size=40), st.lists(st.integers(0, 100), max_size=10))
def test_the_use_is_near_the_goal_and_depends_on_nothing_drawn_later(
    goal: int, sizes: list[int], later: list[int]
) -> None:
    made, more = account(goal, list(map(float, sizes))), account(goal, list(map(float, [*sizes, *later])))
    taken = made.taken["n"]
    assert more.taken["n"][: len(taken)] == taken
    assert made.used["n"] == sum(sizes[int(name)] for name in taken)
    assert taken == [str(n) for n, size in enumerate(sizes) if size][: len(taken)], "in the order of the samples"
    if taken:
        assert made.used["n"] - goal <= sizes[int(taken[-1])] / 2
    if "n" not in made.closed:
        assert len(taken) == sum(map(bool, sizes)), "all that passed is taken"


def test_generation_counts_where_flop_are_the_budget() -> None:
    made = account(100, [10, 0, 0, 10, 10, 10], [20.0] * 6)
    assert made.taken["n"] == ["0", "3"]
    assert made.used["n"] == 30 + 20 + 20 + 30, "rejected samples have cost something too"
    assert account(100, [0] * 9, [20.0] * 9).read["n"] == 5, "all of it can be spent on samples that are rejected"


# Tokens -----------------------------------------------------------------------------------------------------------


def test_all_protocols_use_the_same_tokens(by_tokens: dict[str, Replay], model: LoadedModel) -> None:
    for name, replay in by_tokens.items():
        for news_id, used in replay.counts.used.items():
            own = [rendered(model, e) for e in replay.kept if e.news_id == news_id]
            assert used == sum(own), name
            assert abs(used - 300) <= max(own) / 2
        assert replay.counts.wanted == 900
        assert replay.counts.budget == {"name": "tokens_per_news", "amount": 300, "schedule": None}
    prompts = [e.prompt[0]["content"] for e in by_tokens["naive"].kept if e.news_id == "town"]
    assert len(set(prompts)) == len(prompts) > 1, "the text is repeated with its cues"


def test_the_budget_is_what_training_counts(model: LoadedModel, news: list[News], tmp_path: Path) -> None:
    for name, how in (("tokens", TOKENS), ("flop", FLOP)):
        run = open_run(tmp_path / name, model, news, seed=1)
        replays = generate_stage(run, model, how, Display(), train=TRAIN)
        if how is FLOP:
            with pytest.raises(SettingsError, match=r"epochs=3.*epochs=2"):
                train_stage(run, model, replace(TRAIN, epochs=3), Display())
        train_stage(run, model, TRAIN, Display())
        for protocol, counts in replays.items():
            trained = read_json(run.path / "training" / f"{protocol}.json")
            used = sum(counts.used.values())
            if how is TOKENS:
                assert trained["tokens_trained"] == 2 * used
            else:
                spent = trained["flop"] + counts.flop
                assert 0.75 * used < spent < 1.15 * used, "elements of a batch share beginnings"


def test_a_budget_that_is_too_small_says_what_to_give(model: LoadedModel, news: list[News]) -> None:
    for small in (replace(TOKENS, tokens_per_news=20), replace(FLOP, flop=1e5)):
        field, amount = small.budget
        with pytest.raises(SettingsError) as caught:
            generate(model, news, small, seed=1, schedule=SCHEDULE)
        said = str(caught.value)
        assert "naive, news item town" in said
        assert f"{field}=" in said
        least = float(said.partition(f"give --{field.replace('_', '-')} ")[2].split()[0])
        assert least > amount
        only = replace(small, protocols=("naive",), **{field: int(least) if field != "flop" else least})
        made = generate(model, news[:1], only, seed=1, schedule=SCHEDULE)["naive"]
        assert made.counts.kept >= 1


# FLOP -------------------------------------------------------------------------------------------------------------


def test_what_generation_costs_is_not_trained_on(by_flop: dict[str, Replay]) -> None:
    naive, paraphrase = by_flop["naive"].counts, by_flop["paraphrase"].counts
    for counts in (naive, paraphrase):
        assert all(used <= 1.2 * 2e8 for used in counts.used.values())
        assert counts.budget["schedule"] == {"epochs": 2, "batch_size": 2}
    assert min(naive.used.values()) > 0.9 * 2e8
    assert naive.flop == 0 < paraphrase.flop < sum(paraphrase.used.values())
    alone = sum(naive.used.values()) / naive.kept
    assert paraphrase.flop + paraphrase.kept * alone / 10 < sum(paraphrase.used.values())


def test_more_epochs_leave_room_for_fewer_elements(model: LoadedModel, news: list[News]) -> None:
    only = replace(FLOP, protocols=("naive",))
    few, many = (
        generate(model, news, only, seed=1, schedule=Schedule(epochs=n, batch_size=2))["naive"].counts.kept
        for n in (2, 6)
    )
    assert few > 2 * many


def test_without_a_schedule_or_a_model_the_budget_cannot_be_counted(model: LoadedModel, news: list[News]) -> None:
    class Other:
        """A generator of which nothing is known."""

        identity = "other"

        def generate(self, requests: list[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
            return Generated([Reply(f"Paris is {n}.", True, 4) for n, _ in enumerate(requests)], Usage())

        def loglik(self, pairs: list[Pair]) -> None:
            return None

    with pytest.raises(SettingsError, match="no schedule"):
        generate(model, news, FLOP)
    with pytest.raises(SettingsError, match="learner"):
        generate(Other(), news, TOKENS)  # type: ignore[arg-type]
    assert generate(Other(), news[:1], replace(TOKENS, protocols=("naive",)), learner=model)["naive"].kept  # type: ignore[arg-type]


# Resuming and planning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [TOKENS, FLOP], ids=["tokens", "flop"])
def test_an_interrupted_generation_ends_with_the_same_elements(
    model: LoadedModel, news: list[News], how: GenerateSettings
) -> None:
    whole = generate(model, news, how, seed=1, schedule=SCHEDULE, memo=DictMemo())
    kept: dict[str, str] = {}
    for _ in range(20):
        try:
            again = generate(model, news, how, seed=1, schedule=SCHEDULE, memo=DictMemo(kept, limit=1))
            break
        except Killed:
            continue
    for name, replay in whole.items():
        assert again[name].elements == replay.elements
        assert again[name].counts.used == replay.counts.used
        assert again[name].counts.kept == replay.counts.kept


def test_a_plan_understands_budgets(model: LoadedModel, news: list[News], tmp_path: Path) -> None:
    memo = DictMemo()
    units = plan(model, news, TOKENS, seed=1, memo=memo)
    assert [unit.key.split("/")[1] for unit in units] == ["paraphrase.units"]
    generate(model, news, TOKENS, seed=1, memo=memo)
    assert units[0].path in memo.kept
    assert plan(model, news, TOKENS, seed=1, memo=memo) == []
    left = job_plan(news, model=model, out=tmp_path / "run", generate=TOKENS, train=TRAIN, seed=1)
    (training,) = [part for part in left if part.stage == "train"]
    assert 0.5 < training.needs.tokens / (2 * 2 * 900) <= 1.1, "two protocols, two epochs"


def test_the_engine_generator_brings_its_model(model: LoadedModel, news: list[News]) -> None:
    only = replace(TOKENS, protocols=("naive",))
    assert generate(EngineGenerator(model), news, only)["naive"].kept == generate(model, news, only)["naive"].kept
