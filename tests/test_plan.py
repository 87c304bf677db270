"""Units, memos and executors, and the plan of a run: what is left, before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from memos import DictMemo
from sys2ft.cli.main import call
from sys2ft.errors import SettingsError
from sys2ft.job import Left, evaluate_stage, generate_stage, open_run, plan, stage_train, train_stage
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.runs import Display, LocalExecutor, Needs, Unit, compute_units, read_json
from talking import write_news_file
from test_job import EVALUATE, FLAGS, GENERATE, PROTOCOLS, SETTINGS, TRAIN

UNITS = [Unit(key=f"k/{n}", function="test_plan:doubled", inputs={"number": n}) for n in range(4)]


def doubled(context: list[int], number: int) -> dict[str, Any]:
    context.append(number)
    return {"value": 2 * number}


def test_units_are_computed_once_and_in_order() -> None:
    memo, computed = DictMemo(), list[int]()
    memo.put(UNITS[2].path, {"value": 4})
    got = list(compute_units(UNITS, LocalExecutor(computed), memo))
    assert [(result["value"], new) for result, new in got] == [(0, True), (2, True), (4, False), (6, True)]
    assert computed == [0, 1, 3]
    again = list(compute_units(UNITS, LocalExecutor(computed), memo))
    assert [new for _, new in again] == [False] * 4
    assert computed == [0, 1, 3]


def test_results_before_a_failure_are_kept() -> None:
    class Failing:
        def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
            for unit in units:
                if unit.key == "k/2":
                    raise OSError("the worker is gone")
                yield unit.compute([])

    memo = DictMemo()
    with pytest.raises(OSError, match="the worker is gone"):
        list(compute_units(UNITS, Failing(), memo))
    assert sorted(memo.kept) == sorted(unit.path for unit in UNITS[:2])
    assert len(list(compute_units(UNITS, LocalExecutor([]), memo))) == 4


def test_needs_add_up() -> None:
    total = sum([Needs(tokens=2, flop=3.0, memory=5), Needs(tokens=1, flop=1.0, memory=4)], Needs())
    assert total == Needs(tokens=3, flop=4.0, memory=5)


def left(parts: Sequence[Left], stage: str) -> list[Left]:
    return [part for part in parts if part.stage == stage]


@pytest.mark.slow
def test_the_plan_follows_the_run(model: LoadedModel, news: list[News], tmp_path: Path) -> None:
    how: dict[str, Any] = {"model": model, "out": tmp_path / "run", "seed": 3, **SETTINGS}
    before = plan(news, **how)
    assert not (tmp_path / "run").exists(), "nothing is written"
    assert [part.part for part in left(before, "generate")] == list(PROTOCOLS)
    assert [part.part for part in left(before, "train")] == [", ".join(PROTOCOLS)], "one bank"
    assert [part.part for part in left(before, "evaluate")] == ["base", *PROTOCOLS]
    assert all(part.units and part.needs.tokens and part.needs.flop and part.seconds > 0 for part in before[1:])

    run = open_run(tmp_path / "run", model, news, seed=3)
    generate_stage(run, model, GENERATE, Display())
    generated = plan(news, **how)
    assert [part.units for part in left(generated, "generate")] == [0] * 3
    (training,) = left(generated, "train")
    assert not training.estimated

    train_stage(run, model, TRAIN, Display())
    totals = [read_json(run.path / "training" / f"{name}.json") for name in PROTOCOLS]
    assert training.units == sum(total["adapters"] for total in totals)
    assert training.needs.tokens == sum(total["tokens_computed"] for total in totals)
    assert training.needs.flop == pytest.approx(sum(total["flop"] for total in totals))
    trained = plan(news, **how)
    assert [part.units for part in left(trained, "train")] == [0]

    evaluate_stage(run, model, EVALUATE, Display())
    after = plan(news, **how)
    assert [part.units for part in after] == [0] * len(after)
    for part in left(trained, "evaluate"):
        found = (run.path / folder for folder in ("predictions", "controls"))
        assert part.units == sum(len(list(folder.rglob(f"{part.part}.units/*.json"))) for folder in found)
    with pytest.raises(SettingsError, match="rank"):
        plan(news, **{**how, "train": sys2ft.TrainSettings(rank=5)})


def test_protocols_of_a_run_train_in_one_bank(
    model: LoadedModel, news: list[News], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path / "run", model, news, seed=3)
    generate_stage(run, model, GENERATE, Display())
    groups = list[list[str]]()
    whole = stage_train.train

    def counted(model: LoadedModel, jobs: Any, **rest: Any) -> Any:
        groups.append(list(dict.fromkeys(job.group for job in jobs)))
        return whole(model, jobs, **rest)

    monkeypatch.setattr(stage_train, "train", counted)
    train_stage(run, model, TRAIN, Display())
    assert groups == [list(PROTOCOLS)]
    train_stage(run, model, TRAIN, Display())
    assert len(groups) == 1, "what is trained is not trained again"


def test_a_dry_run_prints_what_is_left_and_writes_nothing(
    talking_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_news_file(tmp_path / "news.jsonl")
    before = sorted(tmp_path.iterdir())
    assert call(["run", "news.jsonl", "--model", str(talking_model_dir), "--dry-run", *FLAGS]) == 0
    said = capsys.readouterr().out
    for fragment in ("generate", "train", "evaluate", "base", *PROTOCOLS, "TFLOP", "GiB", "tokens"):
        assert fragment in said
    assert sorted(tmp_path.iterdir()) == before
