"""The main job on a run folder: the files it writes, resuming after a kill, and the errors it raises."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from sys2ft.errors import SettingsError
from sys2ft.job import generate_stage, open_run, train_stage
from sys2ft.models import load_model
from sys2ft.runs import Display, Run, read_json, read_jsonl
from talking import NEWS

KILLS = int(os.environ.get("SYS2FT_KILLS", "3"))
PROTOCOLS = ("naive", "paraphrase", "self_qa")
GENERATE = sys2ft.GenerateSettings(
    protocols=PROTOCOLS, samples_per_news=4, max_new_tokens=24, rounds=2, rows_at_once=8, checks=("none",), min_gain=0.3
)
TRAIN = sys2ft.TrainSettings(adapters="per-news", epochs=2, batch_size=2, rank=4, alpha=8)
EVALUATE = sys2ft.EvaluateSettings(direct_tokens=8, reasoned_tokens=16)
SETTINGS: dict[str, Any] = {"generate": GENERATE, "train": TRAIN, "evaluate": EVALUATE}
# The same settings as command-line flags, with a checkpoint after every step.
FLAGS = f"""--protocols {" ".join(PROTOCOLS)} --samples-per-news 4 --max-new-tokens 24 --rounds 2 --rows-at-once 8
    --checks none --min-gain 0.3
    --adapters per-news --epochs 2 --batch-size 2 --rank 4 --alpha 8 --direct-tokens 8 --reasoned-tokens 16
    --dtype float32 --device cpu --checkpoint-seconds 0 --quiet""".split()


@pytest.fixture(scope="module")
def model(talking_model_dir: Path) -> sys2ft.LoadedModel:
    return load_model(str(talking_model_dir), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, news_file: Path, model: sys2ft.LoadedModel) -> Any:
    return sys2ft.run(news_file, model=model, out=tmp_path_factory.mktemp("run") / "run", seed=3, **SETTINGS)


def contents(folder: Path) -> dict[str, bytes]:
    """The files that must be identical between runs: elements, loss curves, adapters, predictions."""
    patterns = ("replay/*.jsonl", "training/*.jsonl", "adapters/*/*/*", "predictions/*.jsonl", "news.jsonl")
    return {str(f.relative_to(folder)): f.read_bytes() for p in patterns for f in folder.glob(p)}


def counted(folder: Path) -> dict[str, Any]:
    """The counts and scores of a run, without seconds."""
    files = [f for p in ("replay/*.json", "training/*.json", "scores.json") for f in folder.glob(p)]
    return {str(f.relative_to(folder)): without_seconds(read_json(f)) for f in files}


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(inner) for key, inner in value.items() if "seconds" not in key}
    return [without_seconds(inner) for inner in value] if isinstance(value, list) else value


def leftovers(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*") if f.name.endswith(".tmp") or "checkpoint" in f.name]


def test_a_run_leaves_everything(finished: Any, news_file: Path) -> None:
    folder = finished.folder
    questions = sum(len(row["questions"]) for row in NEWS)
    assert read_jsonl(folder / "news.jsonl") == [
        {
            **row,
            "questions": [{**q, "grader": "number" if q["answer"].isdigit() else "alias"} for q in row["questions"]],
        }
        for row in NEWS
    ]
    for name in PROTOCOLS:
        elements = [sys2ft.ReplayElement.from_dict(row) for row in read_jsonl(folder / "replay" / f"{name}.jsonl")]
        counts = read_json(folder / "replay" / f"{name}.yield.json")
        kept = [e for e in elements if e.status == "kept"]
        assert (counts["asked"], counts["kept"]) == (len(elements), len(kept))
        trained = read_json(folder / "training" / f"{name}.json")
        assert trained["elements"] == len(kept)
        assert trained["names"] == list(dict.fromkeys(e.news_id for e in kept))
        assert sorted(p.name for p in (folder / "adapters" / name).iterdir()) == sorted(trained["names"])
        curve = read_jsonl(folder / "training" / f"{name}.jsonl")
        assert {row["adapter"] for row in curve} == set(trained["names"])
        assert trained["tokens_trained"] == sum(row["tokens"] for row in curve)
    assert sorted(f.stem for f in (folder / "predictions").glob("*.jsonl")) == sorted(["base", *PROTOCOLS])
    for file in (folder / "predictions").glob("*.jsonl"):
        rows = [sys2ft.Prediction.from_dict(row) for row in read_jsonl(file)]
        assert len({row.id for row in rows}) == len(rows)
        # Three choice scorings and two free-text ones, under two conditions; one question has no choices.
        assert len(rows) == 2 * (3 * (questions - 1) + 2 * questions)
    assert len(read_jsonl(folder / "replay" / "naive.jsonl")) == 4 * len(NEWS)
    assert "<html" in finished.report.read_text(encoding="utf-8")
    assert read_json(folder / "scores.json")
    record = read_json(folder / "run.json")
    assert set(record["settings"]) == {"generate", "train", "evaluate"}
    assert record["settings"]["train"]["rank"] == 4
    assert (record["seed"], record["dtype"]) == (3, "float32")
    assert {"torch", "transformers", "python"} <= set(record["versions"])
    assert not leftovers(folder)


def test_the_table_has_a_row_for_the_base_and_each_protocol(finished: Any) -> None:
    table = finished.table()
    for name in ("base", *PROTOCOLS):
        assert re.search(rf"^\|\s*{name}\s*\|.*\d\.\d\d", table, re.MULTILINE), table
    best = finished.summary.best
    assert [path.parent.name for path in finished.adapters] == [best] * len(finished.adapters)


def test_adapters_change_the_answers(finished: Any) -> None:
    """Otherwise the comparison of bytes after a kill would prove little."""
    cloze = {
        name: {r["id"].split("/", 1)[1]: r["detail"] for r in rows if r["scoring"] == "cloze"}
        for name in ("base", "naive")
        for rows in [read_jsonl(finished.folder / "predictions" / f"{name}.jsonl")]
    }
    assert cloze["base"].keys() == cloze["naive"].keys()
    assert all(cloze["base"][key] != cloze["naive"][key] for key in cloze["base"])


def test_the_same_run_again_computes_nothing(finished: Any, news_file: Path, model: sys2ft.LoadedModel) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        kept = ("*.units/*", "adapters/*/*/*", "training/*", "run.json", "news.jsonl")
        files = [f for pattern in kept for f in finished.folder.rglob(pattern)]
        return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}

    before, results = state(), contents(finished.folder)
    scores = (finished.folder / "scores.json").read_bytes()
    assert len(before) > 40
    again = sys2ft.run(news_file, model=model, out=finished.folder, seed=3, **SETTINGS)
    assert state() == before
    assert contents(finished.folder) == results
    assert (finished.folder / "scores.json").read_bytes() == scores
    assert again.table() == finished.table()


@pytest.mark.slow
def test_the_seed_decides(finished: Any, news_file: Path, model: sys2ft.LoadedModel, tmp_path: Path) -> None:
    run = open_run(tmp_path / "same", model, sys2ft.read_news(news_file), seed=3)
    generate_stage(run, model, GENERATE, Display())
    other = open_run(tmp_path / "other", model, sys2ft.read_news(news_file), seed=4)
    generate_stage(other, model, GENERATE, Display())
    for name in PROTOCOLS[1:]:
        file = Path("replay") / f"{name}.jsonl"
        assert (run.path / file).read_bytes() == (finished.folder / file).read_bytes()
        assert (other.path / file).read_bytes() != (finished.folder / file).read_bytes()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"seed": 4}, "seed: the folder has 3, requested: 4"),
        ({"generate": sys2ft.GenerateSettings()}, "samples_per_news: the folder has 4, requested: 64"),
        (
            {"train": sys2ft.TrainSettings(adapters="per-news", epochs=2, batch_size=2, rank=8, alpha=8)},
            "rank: the folder has 4, requested: 8",
        ),
        ({"evaluate": sys2ft.EvaluateSettings()}, "direct_tokens: the folder has 8, requested: 24"),
        ({"news": sys2ft.bundled_news()[:1]}, "news: the folder has"),
    ],
    ids=["seed", "generate", "train", "evaluate", "news"],
)
def test_other_settings_in_the_same_folder_are_refused(
    finished: Any, news_file: Path, model: sys2ft.LoadedModel, change: dict[str, Any], shown: str
) -> None:
    before = {f: f.read_bytes() for f in finished.folder.rglob("*") if f.is_file()}
    asked = {"news": news_file, "model": model, "out": finished.folder, "seed": 3, **SETTINGS, **change}
    with pytest.raises(SettingsError) as caught:
        sys2ft.run(asked.pop("news"), **asked)
    assert shown in str(caught.value)
    assert "choose another folder with --out" in str(caught.value)
    after = {f: f.read_bytes() for f in finished.folder.rglob("*") if f.is_file()}
    assert {f for f in after if after[f] != before.get(f)} <= {finished.folder / "run.json"}
    assert (
        read_json(finished.folder / "run.json")["settings"]
        == json.loads(before[finished.folder / "run.json"])["settings"]
    )


def test_another_model_in_the_same_folder_is_refused(finished: Any, news_file: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(SettingsError, match=r"model.sha256: the folder has"):
        sys2ft.run(news_file, model=str(tiny_model_dir), out=finished.folder, seed=3, **SETTINGS)


@pytest.mark.parametrize("made", ["file in it", "a file"])
def test_a_folder_that_is_not_a_run_is_refused(
    tmp_path: Path, news_file: Path, model: sys2ft.LoadedModel, made: str
) -> None:
    out = tmp_path / "mine"
    if made == "a file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("precious")
    with pytest.raises(SettingsError, match="exists and is not a run folder"):
        sys2ft.run(news_file, model=model, out=out, **SETTINGS)
    assert [p.name for p in tmp_path.rglob("*")] == (["mine"] if made == "a file" else ["mine", "thesis.txt"])


@pytest.mark.parametrize("text", ['{"format": 99}', "[]", "{", ""])
def test_a_record_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(SettingsError, match="cannot be read as a run's record"):
        Run.open(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_kill_in_the_very_first_write_does_not_spoil_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.abc123.tmp").write_text('{"form')
    run = Run.open(tmp_path / "run", {"model": "m"})
    with run.lock():
        assert sorted(p.name for p in run.path.iterdir()) == [".holder.json", ".lock", "run.json"]
    assert sorted(p.name for p in run.path.iterdir()) == [".lock", "run.json"]


def test_one_process_per_folder(tmp_path: Path, model: sys2ft.LoadedModel, news_file: Path) -> None:
    run = open_run(tmp_path / "run", model, sys2ft.read_news(news_file), seed=0)
    program = f"""
import sys
from sys2ft.runs import Run
with Run.open({str(run.path)!r}).lock():
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SettingsError, match="in use by another process"):
            sys2ft.run(news_file, model=model, out=run.path, **SETTINGS)
        assert not (run.path / "replay").exists()
        other.kill()
    with run.lock():
        pass  # a killed process no longer holds the lock


def test_news_without_questions_take_part(tmp_path: Path, model: sys2ft.LoadedModel) -> None:
    silent = sys2ft.News(id="silent", text="The capital of the town is Rome.")
    news = [*sys2ft.bundled_news()[:1], silent]
    only = sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=2)
    result = sys2ft.run(news, model=model, out=tmp_path / "run", generate=only, train=TRAIN, evaluate=EVALUATE)
    assert (tmp_path / "run" / "adapters" / "naive" / "silent" / "adapter_model.safetensors").is_file()
    rows = read_jsonl(tmp_path / "run" / "predictions" / "naive.jsonl")
    assert {row["news_id"] for row in rows} == {news[0].id}
    assert "naive" in result.table()


def test_news_without_any_question_are_refused_before_the_work(tmp_path: Path, model: sys2ft.LoadedModel) -> None:
    with pytest.raises(SettingsError, match="none of the news items has a question"):
        sys2ft.run([sys2ft.News(id="n", text="Rome.")], model=model, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run" / "replay").exists()


def test_stages_ask_for_the_one_before(tmp_path: Path, model: sys2ft.LoadedModel, news_file: Path) -> None:
    run = open_run(tmp_path / "run", model, sys2ft.read_news(news_file), seed=0)
    with pytest.raises(SettingsError, match="holds no finished replay elements"):
        train_stage(run, model, TRAIN, Display())
    assert "train" not in run.record["settings"]


def test_an_adapter_that_diverges_is_not_saved(
    tmp_path: Path, model: sys2ft.LoadedModel, news_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sys2ft.engine import AdapterBank

    plain = AdapterBank.initialise

    def spoil(bank: AdapterBank, slot: int, seed: int) -> None:
        plain(bank, slot, seed)
        if slot == 1:
            for parameter in bank.a.values():
                parameter.data[slot] = float("inf")

    run = open_run(tmp_path / "run", model, sys2ft.read_news(news_file), seed=0)
    generate_stage(run, model, sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=4), Display())
    monkeypatch.setattr(AdapterBank, "initialise", spoil)
    train_stage(run, model, TRAIN, Display())
    record = read_json(run.path / "training" / "naive.json")
    assert record["diverged"] == ["system"]
    assert record["names"] == ["town", "news"]
    assert sorted(p.name for p in (run.path / "adapters" / "naive").iterdir()) == ["news", "town"]


# Killed and resumed -------------------------------------------------------------------------------------------------


def start(news_file: Path, model_dir: Path, out: Path, threads: int = 1) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "sys2ft",
        "run",
        str(news_file),
        "--model",
        str(model_dir),
        "--out",
        str(out),
        *FLAGS,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    # A shell's background jobs ignore SIGINT and pass that on to child processes: restore the default handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    finally:
        signal.signal(signal.SIGINT, before)


# Stage -> (files that it writes repeatedly, maximum number of writes before the kill).
STAGES = {
    "generation": ("replay/*.units/*.json", 3),
    "training": ("training/*.checkpoint/*.safetensors", 5),
    "evaluation": ("predictions/*.units/*.json", 6),
}


def kill_in(stage: str, process: subprocess.Popen[bytes], folder: Path, rng: random.Random) -> bool:
    """Send SIGKILL shortly after some writes of `stage`; return whether the process was still running."""
    pattern, most = STAGES[stage]
    seen = {(f, f.stat().st_mtime_ns) for f in folder.glob(pattern)}
    after, moment, writes = rng.randint(1, most), rng.uniform(0, 0.02), 0
    while process.poll() is None and writes < after:
        for file in folder.glob(pattern):
            try:
                key = (file, file.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
            if key not in seen:
                seen.add(key)
                writes += 1
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path: Path, news_file: Path, talking_model_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    begun = time.perf_counter()
    whole = start(news_file, talking_model_dir, tmp_path / "whole" / "run")
    _, said = whole.communicate()
    assert whole.returncode == 0, said.decode()
    record_property("uninterrupted_seconds", time.perf_counter() - begun)
    expected = contents(tmp_path / "whole" / "run")
    assert len(expected) > 20

    rng, killed = random.Random(20), dict.fromkeys(STAGES, 0)
    attempt = 0
    while sum(killed.values()) < KILLS:
        out = tmp_path / f"killed-{attempt}" / "run"
        attempt += 1
        assert attempt < 3 + KILLS, f"the run is over before it can be killed: {killed}"
        for stage in STAGES:
            if sum(killed.values()) < KILLS:
                killed[stage] += kill_in(stage, start(news_file, talking_model_dir, out), out, rng)
                assert not (out / "scores.json").is_file(), "nothing would be left to resume"
        last = start(news_file, talking_model_dir, out)
        _, said = last.communicate()
        assert last.returncode == 0, said.decode()
        got = contents(out)
        assert got.keys() == expected.keys()
        assert [name for name in expected if got[name] != expected[name]] == []
        assert counted(out) == counted(tmp_path / "whole" / "run")
        assert not leftovers(out)
        assert (out / "report.html").is_file()
    assert min(killed.values()) >= KILLS // 3, killed
