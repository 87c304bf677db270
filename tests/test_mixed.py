"""The protocol `mixed`: shares of a budget, the same elements as the parts by themselves, and what falls short."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from memos import DictMemo, Killed
from sys2ft.cli.main import call
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import DEFAULT_MIX, GenerateSettings, Mix, Part, Replay, Schedule, generate, plan, protocol
from sys2ft.runs import read_json, read_jsonl
from talking import NEWS, write_news_file

MIX = ("paraphrase=0.5", "naive=0.2", "self_qa=0.3")
ALONE = GenerateSettings(
    protocols=("mixed",), mix=MIX, samples_per_news=6, max_new_tokens=32, rounds=6, temperature=1.5,
    checks=("gain",), min_gain=0.0, min_statement_support=-9.0,
)  # fmt: skip
BESIDE = replace(ALONE, protocols=("mixed", "paraphrase", "self_qa", "naive"))
SCHEDULE = Schedule(epochs=2, batch_size=2)


@pytest.fixture(scope="module")
def beside(model: LoadedModel, news: list[News]) -> dict[str, Replay]:
    return generate(model, news, BESIDE, seed=1, memo=DictMemo())


@pytest.mark.parametrize(
    "mix",
    [
        ("naive",), ("naive=",), ("=1",), ("naive=1", "naive=0"), ("naive=0.5",), ("naive=1.5", "self_qa=-0.5"),
        ("naive=0.5", "naive=0.5"), ("mixed=1",), ("naive=nan",), ("naive=inf",), ("naive=1", "self_qa=0"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mix_that_cannot_be_used_is_refused(mix: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="mix") as caught:
        GenerateSettings(protocols=("mixed",), mix=mix)
    assert "correct --mix" in str(caught.value)


def test_an_empty_mix_and_a_mix_for_nobody_are_refused() -> None:
    with pytest.raises(SettingsError, match="no protocol"):
        Mix("mine", ())
    with pytest.raises(SettingsError, match="add mixed to --protocols"):
        GenerateSettings(protocols=("naive",), mix=MIX)
    assert replace(GenerateSettings(), protocols=("naive",)).mix == ()


def test_an_unknown_part_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_news_file(tmp_path / "news.jsonl")
    assert call(["generate", "news.jsonl", "--protocols", "mixed", "--mix", "naive=0.5", "unheard_of=0.5"]) == 2
    assert "unknown protocol 'unheard_of'" in capsys.readouterr().err
    assert not (tmp_path / "sys2ft-runs").exists()


def test_the_default_mix_is_recorded() -> None:
    assert GenerateSettings(protocols=("mixed",)).mix == DEFAULT_MIX


def test_the_parts_get_their_shares(beside: dict[str, Replay]) -> None:
    counts = beside["mixed"].counts
    assert counts.used == {row["id"]: 6 for row in NEWS}
    assert counts.shortfall == {}
    assert list(counts.parts) == ["paraphrase", "naive", "self_qa"]
    for name, part in counts.parts.items():
        if not part["shortfall"]:
            assert abs(part["used"] - part["wanted"]) <= len(NEWS), name
    assert sum(part["kept"] for part in counts.parts.values()) == counts.kept == 18
    kept = Counter(e.provenance["part"] for e in beside["mixed"].kept)
    assert kept == {name: part["kept"] for name, part in counts.parts.items()}


def test_elements_are_those_of_the_parts(beside: dict[str, Replay]) -> None:
    mixed = beside["mixed"]
    ids = [e.id for replay in beside.values() for e in replay.elements]
    assert len(set(ids)) == len(ids)
    for e in mixed.elements:
        assert e.protocol == "mixed"
        name = e.provenance["part"]
        (own,) = [one for one in beside[name].elements if one.id == e.id.replace(f"{name}-", "").replace("mixed", name)]
        assert (own.prompt, own.completion, own.seed) == (e.prompt, e.completion, e.seed)
    for name in mixed.counts.parts:
        for row in NEWS:
            taken = [e.completion for e in mixed.kept if (e.news_id, e.provenance["part"]) == (row["id"], name)]
            own_kept = [e.completion for e in beside[name].kept if e.news_id == row["id"]]
            assert own_kept[: len(taken)] == taken, "the first ones of the part"


def test_a_mix_beside_its_parts_generates_nothing(model: LoadedModel, news: list[News]) -> None:
    parts, both = DictMemo(), DictMemo()
    without = replace(BESIDE, protocols=BESIDE.protocols[1:], mix=())
    generate(model, news, without, seed=1, memo=parts)
    generate(model, news, BESIDE, seed=1, memo=both)
    assert both.kept.keys() == parts.kept.keys()


def test_a_mix_alone_generates_less_and_the_same(
    model: LoadedModel, news: list[News], beside: dict[str, Replay]
) -> None:
    alone = generate(model, news, ALONE, seed=1)["mixed"]
    assert set(alone.counts.used.values()) == {6}
    assert 0 < alone.counts.tokens_generated < sum(beside[name].counts.tokens_generated for name in MIX_PARTS)
    first = {e.id: (e.prompt, e.completion, e.seed) for e in alone.kept}
    for e in beside["mixed"].kept:
        assert first.get(e.id, (e.prompt, e.completion, e.seed)) == (e.prompt, e.completion, e.seed)


MIX_PARTS = ("paraphrase", "self_qa")


def test_what_a_part_lacks_the_others_make_up_for(model: LoadedModel, news: list[News]) -> None:
    """One round is not enough for the last part: the naive elements, which come before it, make up for it."""
    short = replace(ALONE, rounds=1, margin=1, mix=("naive=0.2", "paraphrase=0.8"))
    counts = generate(model, news, short, seed=1)["mixed"].counts
    assert counts.parts["paraphrase"]["shortfall"]
    assert counts.parts["naive"]["used"] > counts.parts["naive"]["wanted"]
    assert counts.used == {row["id"]: 6 for row in NEWS}
    assert counts.shortfall == {}
    none = generate(model, news, replace(short, mix=("paraphrase=1",)), seed=1)["mixed"].counts
    assert none.shortfall
    assert all(none.used[name] + missing == 6 for name, missing in none.shortfall.items())


@pytest.mark.parametrize("budget", [{"tokens_per_news": 400}, {"flop": 3e8}], ids=["tokens", "flop"])
def test_shares_are_counted_in_the_unit_of_the_budget(
    model: LoadedModel, news: list[News], budget: dict[str, float]
) -> None:
    how = replace(ALONE, samples_per_news=None, mix=("paraphrase=0.5", "naive=0.5"), rounds=8, **budget)  # type: ignore[arg-type]
    counts = generate(model, news, how, seed=1, schedule=SCHEDULE)["mixed"].counts
    (amount,) = budget.values()
    assert all(abs(used - amount) < 0.25 * amount for used in counts.used.values())
    assert all(abs(part["used"] - 1.5 * amount) < 0.4 * amount for part in counts.parts.values())


def test_several_mixes_as_objects(model: LoadedModel, news: list[News]) -> None:
    text, questions = protocol("naive"), protocol("paraphrase")
    mixes = [Mix(name, (Part(text, share), Part(questions, 1 - share))) for name, share in (("a", 0.25), ("b", 0.75))]
    how = replace(ALONE, protocols=("naive",), mix=(), samples_per_news=4, rounds=24)
    made = generate(model, news, how, seed=1, protocols=mixes)
    assert [made[name].counts.parts["naive"]["kept"] for name in "ab"] == [3, 9]


def test_an_interrupted_mix_ends_with_the_same_elements(model: LoadedModel, news: list[News]) -> None:
    whole = generate(model, news, ALONE, seed=1, memo=DictMemo())["mixed"]
    kept: dict[str, str] = {}
    for _ in range(40):
        try:
            again = generate(model, news, ALONE, seed=1, memo=DictMemo(kept, limit=3))["mixed"]
            break
        except Killed:
            continue
    assert again.elements == whole.elements
    assert again.counts.parts == whole.counts.parts


def test_a_plan_lists_each_part_once(model: LoadedModel, news: list[News]) -> None:
    for how in (ALONE, BESIDE):
        memo = DictMemo()
        units = plan(model, news, how, seed=1, memo=memo)
        folders = [unit.key.split("/")[1] for unit in units]
        assert folders.count("paraphrase.units") == 2, "the stage and the check"
        assert folders.count("self_qa.units") == 3, "the stages and the check"
        generate(model, news, how, seed=1, memo=memo)
        assert plan(model, news, how, seed=1, memo=memo) == []


def test_a_run_with_a_mix(talking_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_news_file(tmp_path / "news.jsonl")
    flags = f"""--model {talking_model_dir} --dtype float32 --device cpu --protocols naive mixed --mix naive=0.5
        paraphrase=0.5 --tokens-per-news 120 --max-new-tokens 24 --temperature 1.5 --checks none
        --epochs 1 --rank 4 --alpha 8 --scorings cloze --controls none --quiet --out {tmp_path / "run"}""".split()
    assert call(["run", str(tmp_path / "news.jsonl"), *flags, "--dry-run"]) == 0
    assert call(["run", str(tmp_path / "news.jsonl"), *flags]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Budget: 120 tokens for each news item and protocol." in said
    assert "mixed: shares of the budget: naive 50%" in said
    costs = {cost["protocol"]: cost for cost in read_json(tmp_path / "run" / "scores.json")["costs"]}
    trained = read_json(tmp_path / "run" / "training" / "mixed.json")["tokens_trained"]
    assert costs["mixed"]["used"] == trained
    assert {row["provenance"]["part"] for row in read_jsonl(tmp_path / "run" / "replay" / "mixed.jsonl")} == {
        "naive",
        "paraphrase",
    }
