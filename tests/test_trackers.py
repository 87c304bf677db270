"""Experiment trackers: every step once, also over a training that is interrupted; the line of a progress bar."""

from __future__ import annotations

import io
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from displays import Interrupted, StopAt
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel
from sys2ft.runs import Display, read_json, require_tracker, tracked
from sys2ft.runs.progress import TerminalDisplay, clock
from sys2ft.runs.trackers import TRACKERS
from sys2ft.training import TrainItem, TrainSettings, jobs_of, train

HOW = TrainSettings(epochs=2, batch_size=2, rank=2, alpha=4, checkpoint_seconds=0.0, dropout=0.0)
ITEMS = [
    TrainItem(adapter="town", prompt=[{"role": "user", "content": "Who?"}], completion=f"Number {n}.") for n in range(6)
]


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each curve in TensorBoard's files, as they were written."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted((folder / "tensorboard").glob("events.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.tensor.float_val[0]))
    return found


def test_each_step_is_logged_once_over_an_interruption(model: LoadedModel, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    jobs, place = jobs_of(ITEMS, HOW, group="naive"), tmp_path / "checkpoint"
    show = StopAt(3)
    with pytest.raises(Interrupted), tracked(show, "tensorboard", tmp_path):
        train(model, jobs, checkpoint=place, show=show)
    first = logged(tmp_path)["train/naive/town/loss"]
    assert 0 < len(first) < 6
    for _ in range(2):  # a finished training hands everything over again
        again = Display()
        with tracked(again, "tensorboard", tmp_path):
            training = train(model, jobs, checkpoint=place, show=again)
            training.bank.close()
    curves = logged(tmp_path)
    for name in ("loss", "lr"):
        expected = [(row["step"], pytest.approx(row[name])) for row in training.curve]
        assert curves[f"train/naive/town/{name}"] == expected
    assert read_json(tmp_path / "trackers" / "tensorboard.json")["steps"] == {"train/naive/town": 5}
    assert again.listener is None


def hand_over(name: str, folder: Path) -> None:
    for last in (2, 4):
        show = Display()
        with tracked(show, name, folder):
            for step in range(last):
                show.measured("train/naive/joint", step, {"loss": 2.0 - step, "lr": 0.1})
            show.measured("scores/naive", 0, {"closed_book": 0.5})


def test_trackio_has_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    import trackio.sqlite_storage as storage
    import trackio.utils as utils

    place = tmp_path / "trackio"
    for module in (storage, utils):
        if hasattr(module, "TRACKIO_DIR"):
            monkeypatch.setattr(module, "TRACKIO_DIR", place)
    hand_over("trackio", tmp_path / "my-run")
    (file,) = place.glob("*.db")
    with sqlite3.connect(file) as found:
        rows = found.execute("select step, metrics from metrics order by id").fetchall()
    assert [step for step, metrics in rows if "train/naive/joint/loss" in str(metrics)] == [0, 1, 2, 3]
    assert len([1 for _, metrics in rows if "scores/naive/closed_book" in str(metrics)]) == 1


def records_of(log: bytes) -> list[bytes]:
    """The records of a `.wandb` file: LevelDB's log format (blocks of 32 KiB) after a header of 7 bytes."""
    records, at = [b""], 7
    while at < len(log):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", log, at)
        records[-1] += log[at + 7 : at + 7 + size]
        if kind in (1, 4):  # whole, or the last part
            records.append(b"")
        at += 7 + size
    return records[:-1]


def test_wandb_has_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    hand_over("wandb", tmp_path)
    steps: list[str] = []
    for file in sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb")):
        for data in records_of(file.read_bytes()):
            record: Any = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {"/".join(one.nested_key) or one.key: one.value_json for one in record.history.item}
            if "train/naive/joint/loss" in items:
                steps.append(items["train/naive/joint/step"])
    assert steps == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, TRACKERS[name][0], None)
    with pytest.raises(SettingsError) as caught:
        require_tracker(name)
    assert f"pip install 'sys2ft[{name}]'" in str(caught.value)


def test_a_line_has_stage_measurement_and_time() -> None:
    screen = io.StringIO()
    columns = (TextColumn("{task.description}"), TextColumn("{task.fields[live]}"))
    with Progress(*columns, console=Console(file=screen, force_terminal=True, width=80)) as progress:
        show = TerminalDisplay(progress)
        with show.stage(2, 4), show.task("train (steps)", 10) as advance:
            with show.task("  inner", 3, passing=True):
                show.live("loss 1.43")
            advance(2)
            progress.refresh()
    assert "2 of 4  train (steps) loss 1.43" in screen.getvalue()
    assert show.place == ""
    assert (clock(192), clock(3792)) == ("3:12", "1:03:12")


def test_without_a_terminal_nothing_is_measured_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    show = Display()
    with show.stage(1, 3), show.task("train", 2) as advance:
        show.live("loss 1.43")
        show.measured("train/a", 0, {"loss": 1.43})
        advance()
    assert capsys.readouterr() == ("", "")
