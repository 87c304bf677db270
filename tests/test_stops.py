"""Work that stops or fails half-way, and commands that meet in one folder: nothing is lost and nothing is mixed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from sys2ft.cli.main import call
from sys2ft.cli.signals import stopping_on_signals
from sys2ft.engine.adapters.checkpoint import State
from sys2ft.errors import SettingsError, Sys2ftError
from sys2ft.job import evaluate_stage, generate_stage, open_run, train_stage
from sys2ft.job.audit import _folder_name
from sys2ft.models import Source, load_model, resolve
from sys2ft.news import read_news
from sys2ft.runs import Display, Run, Stop, Stopped, current_stop, read_json, stoppable
from talking import write_news_file
from test_job import contents, leftovers

GENERATE = sys2ft.GenerateSettings(
    protocols=("naive", "self_qa"), samples_per_news=3, max_new_tokens=16, rows_at_once=4, checks=("none",)
)
TRAIN = sys2ft.TrainSettings(
    adapters="per-news", epochs=16, batch_size=1, rank=4, alpha=8, checkpoint_seconds=0.05, held_out=0.34, patience=99
)
FLAGS = ["--epochs", "16", "--batch-size", "1", "--rank", "4", "--alpha", "8", "--checkpoint-seconds", "0.05"]
FLAGS += ["--held-out", "0.34", "--patience", "99", "--adapters", "per-news"]


@pytest.fixture(scope="module")
def model(talking_model_dir: Path) -> sys2ft.LoadedModel:
    return load_model(str(talking_model_dir), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, model: sys2ft.LoadedModel) -> Path:
    """A run folder with replay elements."""
    news = write_news_file(tmp_path_factory.mktemp("news") / "news.jsonl")
    run = open_run(tmp_path_factory.mktemp("generated") / "run", model, read_news(news), seed=1)
    generate_stage(run, model, GENERATE, Display())
    return run.path


@pytest.fixture(scope="module")
def trained(generated: Path, model: sys2ft.LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after an uninterrupted training."""
    folder = shutil.copytree(generated, tmp_path_factory.mktemp("trained") / "run")
    train_stage(Run.open(folder), model, TRAIN, Display())
    return folder


@pytest.fixture
def fresh(generated: Path, tmp_path: Path) -> Path:
    """A copy of the folder before training."""
    return shutil.copytree(generated, tmp_path / "run")


def steps(text: str) -> tuple[int, int]:
    found = re.search(r"train \(steps\): ([\d,]+) of ([\d,]+)", text)
    assert found, text
    done, total = (int(group.replace(",", "")) for group in found.groups())
    return done, total


def checkpointed(folder: Path) -> int:
    """Steps of all adapters in the checkpoint of a folder."""
    state = State(folder / "training" / "bank-0.checkpoint" / "state.safetensors")
    return sum(values["step"] for _, _, values in state.record["adapters"])


# Two commands in one folder -------------------------------------------------------------------------------------------


def test_settings_that_another_process_recorded_meanwhile_count(tmp_path: Path) -> None:
    first = Run.open(tmp_path / "run", {"model": "m"})
    second = Run.open(tmp_path / "run", {"model": "m"})
    with first.lock():
        first.stage("train", {"rank": 4})
    with pytest.raises(SettingsError, match=r"rank: the folder has 4, requested: 8"), second.lock():
        second.stage("train", {"rank": 8})
    second.stage("train", {"rank": 4})
    second.stage("evaluate", {"k": 1})
    assert read_json(tmp_path / "run" / "run.json")["settings"] == {"train": {"rank": 4}, "evaluate": {"k": 1}}


def test_settings_are_not_written_beside_another_process(tmp_path: Path) -> None:
    first = Run.open(tmp_path / "run", {"model": "m"})
    second = Run.open(tmp_path / "run", {"model": "m"})
    with first.lock(), first.lock():  # its own lock again changes nothing
        holder = rf"in use by another process: process {os.getpid()} on .+, since 20.+: .+"
        with pytest.raises(SettingsError, match=holder):
            second.stage("train", {"rank": 8})
    assert sorted(file.name for file in second.path.iterdir()) == [".lock", "run.json"]
    second.stage("train", {"rank": 8})


def test_a_folder_that_became_another_run_is_refused(tmp_path: Path) -> None:
    first = Run.open(tmp_path / "run", {"model": "m"})
    shutil.rmtree(tmp_path / "run")
    Run.open(tmp_path / "run", {"model": "n"})
    with pytest.raises(SettingsError, match='model: the folder has "n"'), first.lock():
        pass


def test_one_of_two_runs_that_begin_at_once_is_refused(tmp_path: Path) -> None:
    """Threads with their own `Run`: the lock is between holders, not between processes only."""
    got: list[str] = []
    together = threading.Barrier(8)

    def begin(number: int) -> None:
        together.wait()
        try:
            with Run.open(tmp_path / "run", {"model": number}).lock():
                got.append("ran")
                time.sleep(0.3)
        except SettingsError:
            got.append("refused")

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["ran"] + ["refused"] * 7


def start_training(folder: Path, *flags: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.environ.get("OMP_NUM_THREADS", 1)), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "sys2ft", "train", str(folder), *FLAGS, *flags]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_two_commands_with_other_settings_in_one_folder(fresh: Path) -> None:
    commands = [start_training(fresh, "--epochs", "2", "--rank", rank) for rank in ("4", "8")]
    said = [command.communicate(timeout=120)[1] for command in commands]
    codes = [command.returncode for command in commands]
    assert sorted(codes) == [0, 2], said
    refused = said[codes.index(2)]
    assert "in use by another process" in refused or "rank: the folder has" in refused
    rank = (4, 8)[codes.index(0)]
    assert read_json(fresh / "run.json")["settings"]["train"]["rank"] == rank
    configs = list(fresh.glob("adapters/*/*/adapter_config.json"))
    assert configs and {read_json(config)["r"] for config in configs} == {rank}


# A disk that fails after the last step -----------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", ["adapters/self_qa", "training/self_qa.jsonl"])
def test_files_that_cannot_be_written_do_not_cost_the_training(
    blocked: str, fresh: Path, trained: Path, model: sys2ft.LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fresh / blocked
    place.parent.mkdir(exist_ok=True)
    if place.suffix:
        place.mkdir()  # a file cannot replace a folder
    else:
        place.write_text("in the way")
    with pytest.raises(Sys2ftError, match="cannot be written"):
        train_stage(Run.open(fresh), model, TRAIN, Display())
    if place.suffix:
        place.rmdir()
    else:
        place.unlink()

    def never(*_arguments: Any, **_settings: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("sys2ft.training.loop.backward", never)
    train_stage(Run.open(fresh), model, TRAIN, Display())
    assert contents(fresh) == contents(trained)
    assert not leftovers(fresh)


def test_a_checkpoint_that_outlived_its_results_is_removed(
    fresh: Path, trained: Path, model: sys2ft.LoadedModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained, tmp_path / "again")
    checkpoint = folder / "training" / "bank-0.checkpoint"
    checkpoint.mkdir()
    (checkpoint / "state.safetensors").write_text("of a process killed before it removed this")
    train_stage(Run.open(folder), model, TRAIN, Display())
    assert not leftovers(folder)


def test_no_room_for_the_last_checkpoint_is_no_reason_to_stop(
    fresh: Path, trained: Path, model: sys2ft.LoadedModel
) -> None:
    (fresh / "training" / "bank-0.checkpoint" / "state.safetensors").mkdir(parents=True)  # in the way
    lines: list[str] = []

    class Lines(Display):
        def note(self, text: str) -> None:
            lines.append(text)

    train_stage(Run.open(fresh), model, replace(TRAIN, checkpoint_seconds=1e9), Lines())
    assert contents(fresh) == contents(trained)
    assert ["the last checkpoint was not written" in line for line in lines] == [True]


# Stopped on request -------------------------------------------------------------------------------------------------


class RequestAfter(Display):
    """Requests a stop when so many units of a task are done."""

    def __init__(self, stop: Stop, units: int, task: str) -> None:
        self.stop, self.left, self.name = stop, units, task

    @contextmanager
    def _shown(self, name: str, total: int, passing: bool) -> Iterator[Any]:
        def advance(units: int = 1) -> None:
            if name.startswith(self.name):
                self.left -= units
                if self.left <= 0:
                    self.stop.request(signal.SIGTERM)

        yield advance


def test_training_stops_after_the_step_with_a_checkpoint(fresh: Path, trained: Path, model: sys2ft.LoadedModel) -> None:
    before, wanted = 0, 0
    while not list(fresh.glob("training/*.json")):  # stop again and again
        stop = Stop()
        wanted += 50
        with stoppable(stop):
            try:
                train_stage(Run.open(fresh), model, TRAIN, RequestAfter(stop, wanted, "train"))
            except Stopped as stopped:
                assert stopped.number == signal.SIGTERM
                (place,) = stopped.places
                done, total = steps(place)
                assert done == checkpointed(fresh)
                assert min(total, wanted) <= done <= total
                assert before < done
                before = done
    assert before >= 100, "it was stopped twice or more"
    assert current_stop().requested is False
    assert contents(fresh) == contents(trained)
    assert not leftovers(fresh)


def test_generation_and_evaluation_stop_between_units(
    fresh: Path, generated: Path, trained: Path, model: sys2ft.LoadedModel, tmp_path: Path
) -> None:
    run, stop = open_run(tmp_path / "cut" / "run", model, read_news(generated / "news.jsonl"), seed=1), Stop()
    with stoppable(stop), pytest.raises(Stopped) as caught:
        generate_stage(run, model, GENERATE, RequestAfter(stop, 1, "  round"))
    inner, outer = caught.value.places
    assert re.fullmatch(r"round \d: \w+: \d+ of \d+", inner)
    assert re.fullmatch(r"generate self_qa: \d+ of \d+", outer)
    generate_stage(run, model, GENERATE, Display())
    assert contents(run.path) == contents(generated)

    stop = Stop()
    settings = sys2ft.EvaluateSettings(direct_tokens=4, reasoned_tokens=8)
    folder = Run.open(shutil.copytree(trained, tmp_path / "again"))
    with stoppable(stop), pytest.raises(Stopped) as caught:
        evaluate_stage(folder, model, settings, RequestAfter(stop, 1, "evaluate base"))
    assert re.fullmatch(r"evaluate base: \d+ of \d+", caught.value.places[0])


def test_nothing_stops_without_a_request() -> None:
    with stoppable() as stop:
        assert current_stop() is stop
        with stoppable() as inner:
            inner.request()
        stop.check()
        with stop.finish_steps():
            pass
        stop.request()
        with pytest.raises(Stopped), stop.finish_steps():
            pass
    assert current_stop() is not stop


# Signals ------------------------------------------------------------------------------------------------------------


def stopped_in_training(said: str, folder: Path) -> None:
    """Check what a stopped training printed, and its checkpoint."""
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("sys2ft:")]
    assert lines[0] == "sys2ft: stopping after the step in progress; once more stops at once"
    done, total = steps(lines[-1])
    assert lines[-1] == (
        f"sys2ft: stopped at train (steps): {done:,} of {total:,}. Finished work is kept: the same command resumes it."
    )
    assert 0 < done < total
    assert checkpointed(folder) == done
    assert not list(folder.rglob("*.tmp"))


def wait_for_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob("training/*.checkpoint/state.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.002)


def test_a_signal_stops_a_command_in_training(fresh: Path, trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        wait_for_checkpoint(fresh)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # of a signal that comes too late
    try:
        thread = threading.Thread(target=stop)
        thread.start()
        code = call(["train", str(fresh), *FLAGS])
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 143
    stopped_in_training(capfd.readouterr().err, fresh)
    assert call(["train", str(fresh), *FLAGS]) == 0
    assert contents(fresh) == contents(trained)
    assert not leftovers(fresh)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_and_writes_a_checkpoint(
    number: signal.Signals, code: int, fresh: Path, trained: Path
) -> None:
    process = start_training(fresh)
    wait_for_checkpoint(fresh)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    stopped_in_training(err, fresh)
    assert call(["train", str(fresh), *FLAGS]) == 0
    assert contents(fresh) == contents(trained)
    assert not leftovers(fresh)


@pytest.fixture
def attended() -> Iterator[None]:
    """SIGINT as in a foreground process: a background job of a shell, such as these tests may be, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("attended")
def test_the_second_signal_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as caught, stopping_on_signals(), current_stop().finish_steps():
        signal.raise_signal(signal.SIGTERM)
        assert current_stop().requested
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still running")
    assert caught.value.number == signal.SIGINT
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_a_step_the_first_signal_stops() -> None:
    with pytest.raises(Stopped) as caught, stopping_on_signals():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_on_signals():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_in_another_thread_installs_no_handler(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(call(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


# Where a local model is -------------------------------------------------------------------------------------------


def test_a_relative_model_is_found_again_from_another_folder(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "models").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    shutil.copytree(tiny_model_dir, tmp_path / "a" / "models" / "m")
    news = write_news_file(tmp_path / "a" / "news.jsonl")
    monkeypatch.chdir(tmp_path / "a")
    small = ["--samples-per-news", "2", "--protocols", "naive", "--dtype", "float32", "--device", "cpu"]
    assert call(["generate", news.name, "--model", "models/m", "--out", "run", *small]) == 0
    monkeypatch.chdir(tmp_path / "b")
    assert call(["train", "../a/run", "--epochs", "1", "--rank", "2"]) == 0
    where = str(tmp_path / "a" / "models" / "m")
    assert read_json(tmp_path / "a" / "run" / "run.json")["model"]["name"] == where
    for config in (tmp_path / "a" / "run" / "adapters").rglob("adapter_config.json"):
        assert read_json(config)["base_model_name_or_path"] == where
    # The same weights elsewhere are the same model.
    shutil.copytree(tmp_path / "a" / "models" / "m", tmp_path / "b" / "copy")
    assert call(["generate", "../a/news.jsonl", "--model", "copy", "--out", "../a/run", *small]) == 0
    assert resolve("copy").name == str(tmp_path / "b" / "copy")


def test_models_of_one_name_have_audits_of_their_own(
    tmp_path: Path, tiny_family_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = write_news_file(tmp_path / "news.jsonl")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_family_dir("llama"), "one/m")
    shutil.copytree(tiny_family_dir("qwen2"), "two/m")
    audit = ["news", "audit", str(news), "--dtype", "float32", "--device", "cpu", "--scorings", "letter"]
    assert call([*audit, "--models", "one/m", "two/m", "--headline", "letter"]) == 0
    folders = sorted(folder.name for folder in (tmp_path / "sys2ft-runs" / "audit").iterdir())
    assert len(folders) == 2
    assert all(re.fullmatch(r"m-[0-9a-f]{8}", folder) for folder in folders)


def test_folders_of_audits_are_named_after_the_whole_id(model: sys2ft.LoadedModel) -> None:
    def named(name: str, kind: Any, path: str, digest: str = "ab" * 32) -> str:
        return _folder_name(replace(model, source=Source(name, kind, Path(path)), fingerprint=digest))

    assert named("org1/m", "hub", "snapshots/1") == "org1--m"
    assert named("org2/m", "hub", "snapshots/1") == "org2--m"
    assert named("smollm2-135m-instruct", "embedded", "a.gguf") == "smollm2-135m-instruct"
    assert named("/models/my model", "folder", "/models/my model") == "my-model-abababab"
    assert named("/models/m.gguf", "gguf", "/models/m.gguf", "cd" * 32) == "m.gguf-cdcdcdcd"
