"""Runs whose news items are taken in portions: the results are those of a run that takes all at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from displays import Interrupted, StopAt
from sys2ft.job import plan, portions as portions_module
from sys2ft.job.portions import portions
from sys2ft.runs import read_json, read_jsonl
from test_executors import close
from test_job import GENERATE, PROTOCOLS, SETTINGS, TRAIN, contents, counted, leftovers


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions_module, "PORTION", 1)


def test_portions_are_almost_equal_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions_module, "PORTION", 4)
    for count in range(30):
        divided = portions(range(count))
        sizes = [len(own) for own in divided]
        assert [one for own in divided for one in own] == list(range(count))
        assert max(sizes) <= 4 and max(sizes) - min(sizes) <= 1


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One round: a later one asks for a margin by the yield so far, which is that of a portion."""
    return {**SETTINGS, "generate": replace(GENERATE, rounds=1), "train": replace(TRAIN, adapters=request.param)}


@pytest.mark.parametrize("settings", ["per-news", "joint"], indirect=True)
def test_a_run_in_portions_equals_one_at_once(
    settings: dict[str, Any],
    news_file: Path,
    model: sys2ft.LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = sys2ft.run(news_file, model=model, out=tmp_path / "whole" / "run", seed=3, **settings).folder
    monkeypatch.setattr(portions_module, "PORTION", 1)
    parted = sys2ft.run(news_file, model=model, out=tmp_path / "parted" / "run", seed=3, **settings).folder
    own, theirs = contents(whole), contents(parted)
    assert own.keys() == theirs.keys() and not leftovers(parted) and not list(parted.glob("training/*.parts"))
    for name in own:
        if name.startswith("replay/"):
            assert own[name] == theirs[name], name
        elif name.endswith(".jsonl"):
            rows, beside = (sorted(read_jsonl(one / name), key=_place) for one in (whole, parted))
            assert close(rows, beside), name
    for name, record in counted(whole).items():
        found = counted(parted)[name]
        if name.startswith("training/"):
            # Portions compute less padding and more prefixes; their records have other versions.
            for one in (record, found):
                for key in ("version", "tokens_computed", "padding", "flop", "adapters_at_once"):
                    one.pop(key, None)
        if name == "scores.json":
            for one in (record, found):
                one.pop("costs")
                one.pop("controls")  # a portion of one news item has no other adapter
        assert close(record, found) or "replay" in name, name
    for name in PROTOCOLS:
        one, other = (counted(folder)[f"replay/{name}.yield.json"] for folder in (whole, parted))
        assert {key: one[key] for key in one if key != "flop"}.keys() == {key for key in other if key != "flop"}
        for key in ("asked", "parsed", "kept", "rejected", "wanted", "shortfall", "used", "covering", "languages"):
            assert one[key] == other[key], key
        assert close(one["diversity"], other["diversity"])


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return str(row.get("adapter", "")) + str(row.get("id", "")), row.get("step", 0)


@pytest.mark.parametrize("units", [5, 200])
def test_a_run_in_portions_resumes(
    units: int, one_at_a_time: None, news_file: Path, model: sys2ft.LoadedModel, tmp_path: Path
) -> None:
    straight = sys2ft.run(news_file, model=model, out=tmp_path / "one" / "run", seed=3, **SETTINGS).folder
    how: dict[str, Any] = {"model": model, "out": tmp_path / "two" / "run", "seed": 3, **SETTINGS}
    with pytest.raises(Interrupted):
        sys2ft.run(news_file, show=StopAt(units), **how)
    left = plan(sys2ft.read_news(news_file), **how)
    assert any(row.units for row in left)
    done = sys2ft.run(news_file, **how)
    assert contents(done.folder) == contents(straight)
    assert not any(row.units for row in plan(sys2ft.read_news(news_file), **how))
    before = {file: file.stat().st_mtime_ns for file in done.folder.glob("adapters/*/*/*")}
    sys2ft.run(news_file, **how)
    assert before == {file: file.stat().st_mtime_ns for file in done.folder.glob("adapters/*/*/*")}
    assert read_json(done.folder / "training" / "naive.json")["names"] == ["town", "system", "news"]
