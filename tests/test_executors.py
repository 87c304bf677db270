"""Workers of Ray and Slurm: a lost one costs a unit, results are those of this process, and errors are clear."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from sys2ft.cli.main import call
from sys2ft.errors import LostUnit, SettingsError, StorageError, Sys2ftError
from sys2ft.executors import ExecutorSettings, Pool, PoolExecutor, Recipe, Worker, opened
from sys2ft.executors.pool import ATTEMPTS, WorkerLost
from sys2ft.runs import Unit, read_json, read_jsonl
from sys2ft.studies import changed, load_study, run_study
from test_job import SETTINGS, contents

HERE = "test_executors"


class Counted:
    """A context that says how often it was made."""

    made = 0

    def __init__(self, start: int) -> None:
        Counted.made += 1
        self.start, self.closed = start, False

    def close(self) -> None:
        self.closed = True


def counted(start: int) -> Counted:
    return Counted(start)


def above(base: Counted, more: int) -> int:
    return base.start + more


def add(context: int, value: int) -> dict[str, Any]:
    return {"sum": context + value}


def fails(context: int, how: str) -> dict[str, Any]:
    if how == "user":
        raise SettingsError("a wrong thing", expected="a right one", fix="mend it")
    if how == "disk":
        raise StorageError("the disk is full")
    if how == "memory":
        raise MemoryError
    raise KeyError(how)


def dies(context: int, file: str, times: int) -> dict[str, Any]:
    """Kill this worker as a preemption does, the first `times` times."""
    place = Path(file)
    place.write_text(place.read_text() + "x" if place.exists() else "x")
    if len(place.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    return {"process": os.getpid()}


def unit(function: str, **inputs: Any) -> Unit:
    return Unit(key=f"{function} {inputs}", function=f"{HERE}:{function}", inputs=inputs)


BASE = Recipe(f"{HERE}:counted", {"start": 10})
RECIPE = Recipe(f"{HERE}:above", {"more": 1}, base=BASE)


class Here:
    """A transport to workers in this process; `lost` says which of the given units are lost."""

    name = "here"

    def __init__(self, lost: Callable[[Unit, int], bool] = lambda unit, count: False, starts: bool = True) -> None:
        self.lost, self.starts = lost, starts
        self.workers: dict[int, Worker] = {}
        self.given: list[tuple[int, str]] = []
        self.replies: dict[int, Any] = {}
        self.version = Worker.about()
        self.dead: set[int] = set()

    def _ticket(self, reply: Any) -> int:
        self.replies[len(self.replies)] = reply
        return len(self.replies) - 1

    def start(self, number: int) -> int:
        self.workers[number] = Worker()
        return self._ticket(self.version if self.starts else WorkerLost("no room"))

    def publish(self, recipe: Recipe) -> Recipe:
        return recipe

    def submit(self, number: int, unit: Unit, recipe: Recipe, published: Recipe) -> int:
        self.given.append((number, unit.key))
        if self.lost(unit, sum(key == unit.key for _, key in self.given)):
            return self._ticket(WorkerLost("killed"))
        return self._ticket(self.workers[number].compute(unit, recipe.key, lambda: published))

    def wait(self, tickets: Collection[int], seconds: float) -> list[int]:
        return sorted(tickets, reverse=True)  # the last that was given is ready first

    def result(self, ticket: int) -> Any:
        if isinstance(reply := self.replies[ticket], WorkerLost):
            raise reply
        return reply

    def alive(self, number: int) -> bool:
        return number not in self.dead

    def end(self, number: int) -> None:
        del self.workers[number]
        self.dead.discard(number)

    def close(self) -> None:
        self.workers.clear()


def test_results_come_in_order_and_contexts_are_kept() -> None:
    Counted.made = 0
    with Pool(Here(), 2) as pool:
        units = [unit("add", value=value) for value in range(40)]
        assert [row["sum"] for row in pool.map(units, RECIPE)] == [11 + value for value in range(40)]
        other = Recipe(f"{HERE}:above", {"more": 2}, base=BASE)
        assert [row["sum"] for row in PoolExecutor(pool, other).map(units[:3])] == [12, 13, 14]
    assert Counted.made == 2  # one for each worker: the second recipe stands on the same base


def test_a_lost_unit_is_given_again_three_times_and_then_told() -> None:
    notes: list[str] = []
    transport = Here(lambda one, count: one.inputs["value"] == 3 and count < ATTEMPTS)
    with Pool(transport, 2, notes.append) as pool:
        units = [unit("add", value=value) for value in range(6)]
        assert [row["sum"] for row in pool.map(units, RECIPE)] == [11 + value for value in range(6)]
    assert len(notes) == 2 and "killed" in notes[0]
    with Pool(Here(lambda one, count: one.inputs["value"] == 3), 2) as pool:
        outcomes = list(pool.outcomes([unit("add", value=value) for value in range(6)], RECIPE))
    assert [isinstance(one, Sys2ftError) for one in outcomes] == [value == 3 for value in range(6)]
    assert "3 times" in str(outcomes[3])


@pytest.mark.parametrize(
    ("how", "error", "attempts", "says"),
    [
        ("user", SettingsError, 1, "a wrong thing"),
        ("disk", LostUnit, ATTEMPTS, "worker . .here., unit .*: the disk is full"),
        ("memory", LostUnit, ATTEMPTS, "memory ran out"),
        ("bug", Sys2ftError, 1, "KeyError: 'bug'"),
    ],
)
def test_what_a_unit_raises_is_raised_here(how: str, error: type[Exception], attempts: int, says: str) -> None:
    transport = Here()
    with Pool(transport, 2) as pool, pytest.raises(error, match=says):
        list(pool.map([unit("fails", how=how), unit("add", value=1)], RECIPE))
    assert sum("fails" in key for _, key in transport.given) == attempts


def test_workers_that_do_not_start_or_have_other_versions_are_an_error() -> None:
    with Pool(Here(starts=False), 1) as pool, pytest.raises(Sys2ftError, match="did not start: no room"):
        list(pool.map([unit("add", value=1)], RECIPE))
    transport = Here()
    transport.version = {**Worker.about(), "sys2ft": "0.0.7", "host": "far"}
    with Pool(transport, 1) as pool, pytest.raises(Sys2ftError, match=r"on far has sys2ft 0\.0\.7"):
        list(pool.map([unit("add", value=1)], RECIPE))
    with pytest.raises(Sys2ftError, match=r"on far has sys2ft 0\.0\.7"):  # and not a pool that waits for ever
        list(pool.map([unit("add", value=1)], RECIPE))


def test_a_worker_that_was_lost_while_idle_costs_no_attempt() -> None:
    transport = Here()
    with Pool(transport, 2) as pool:
        assert [row["sum"] for row in pool.map([unit("add", value=0)], RECIPE)] == [11]
        transport.dead = {0, 1}
        assert [row["sum"] for row in pool.map([unit("add", value=1)], RECIPE)] == [12]
        assert not transport.dead


def test_a_call_that_is_left_open_starts_nothing_in_a_closed_pool() -> None:
    transport = Here()
    with Pool(transport, 1) as pool:
        outcomes = pool.outcomes((unit("add", value=value) for value in range(40)), RECIPE)
        assert next(outcomes) == {"sum": 11}
    outcomes.close()  # type: ignore[attr-defined]
    assert not transport.workers


def test_settings_are_checked() -> None:
    for wrong, says in (
        ({"executor": "dask"}, "unknown executor 'dask'"),
        ({"workers": 3}, "3 workers with the executor local"),
        ({"executor": "ray", "workers": 0}, "workers=0"),
        ({"executor": "slurm", "address": "auto"}, "--address with the executor slurm"),
        ({"executor": "slurm", "slurm": ("gpus",)}, "--slurm gpus"),
    ):
        with pytest.raises(SettingsError, match=says):
            ExecutorSettings(**wrong)  # type: ignore[arg-type]
    assert ExecutorSettings(executor="slurm", slurm=("a=1", "b=x")).slurm_parameters == {"a": 1, "b": "x"}


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys2ft.executors.named.find_spec", lambda name: None)
    with (
        pytest.raises(SettingsError, match="the package ray is not installed"),
        opened(ExecutorSettings(executor="ray"), tmp_path / "out"),
    ):
        pass
    assert call(["run", "new-news", "--executor", "slurm", "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[None]:
    """Workers find this file, as they find the package that is installed."""
    before = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *([before] if before else [])])
    yield
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def cluster(elsewhere: None) -> Iterator[None]:
    """One cluster for all pools of a test, as with an address: starting Ray takes seconds."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture
def finished(news_file: Path, model: sys2ft.LoadedModel, tmp_path: Path) -> Path:
    return sys2ft.run(news_file, model=model, out=tmp_path / "local", seed=3, **SETTINGS).folder


def assert_same(folder: Path, other: Path) -> None:
    """Elements and predictions are the same, and losses and likelihoods within 1e-5 of a nat."""
    own, theirs = contents(folder), contents(other)
    assert own.keys() == theirs.keys() and len(own) > 10
    assert [own[name] == theirs[name] for name in own if name.startswith("replay/")].count(False) == 0
    for name in (one for one in own if one.startswith(("training/", "predictions/"))):
        for row, beside in zip(read_jsonl(folder / name), read_jsonl(other / name), strict=True):
            assert close(row, beside), (name, row, beside)
    assert close(read_json(folder / "scores.json"), read_json(other / "scores.json"))


def close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all("seconds" in key or close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(one == pytest.approx(other, abs=1e-4 if abs(one) > 1 else 1e-5, nan_ok=True))
    return bool(one == other)


def test_a_run_by_ray_equals_a_local_one_with_a_worker_killed(
    cluster: None, finished: Path, news_file: Path, model: sys2ft.LoadedModel, tmp_path: Path
) -> None:
    settings = ExecutorSettings(executor="ray", workers=2)
    notes: list[str] = []
    with opened(settings, tmp_path / "out", note=notes.append) as pool:
        assert pool is not None
        units = [unit("dies", file=str(tmp_path / "deaths"), times=1), *(unit("add", value=one) for one in range(4))]
        first, *others = pool.map(units, RECIPE)
        assert [row["sum"] for row in others] == [11, 12, 13, 14] and first["process"] != os.getpid()
        assert len(notes) == 1 and "the worker is lost" in notes[0]
    done = sys2ft.run(news_file, model=model, out=tmp_path / "by-ray" / "local", seed=3, where=settings, **SETTINGS)
    assert_same(done.folder, finished)
    small = {"models": [str(model.source.path)], "take": 4, "settings": {"rank": 2}}
    study = changed(load_study("gap").smaller(), small, "a test")
    how: dict[str, Any] = {"dtype": "float32", "device": "cpu"}
    there = run_study(study, tmp_path / "there", where=settings, **how)
    here = run_study(study, tmp_path / "here", **how)
    assert not there.failures and not here.failures
    assert close(there.found.to_dict(), here.found.to_dict())
    names = {file.relative_to(there.folder) for file in there.folder.glob("[ceb]*/*.json*")}
    assert names == {file.relative_to(here.folder) for file in here.folder.glob("[ceb]*/*.json*")}


def test_a_unit_that_kills_every_worker_of_slurm_is_told_and_the_others_are_kept(
    elsewhere: None, tmp_path: Path
) -> None:
    settings = ExecutorSettings(executor="slurm", workers=2, slurm=("cluster=local",))
    with opened(settings, tmp_path / "out") as pool:
        assert pool is not None
        units = [unit("dies", file=str(tmp_path / "deaths"), times=9), *(unit("add", value=one) for one in range(3))]
        told, *others = pool.outcomes(units, RECIPE)
    assert isinstance(told, Sys2ftError) and "3 times" in str(told)
    assert others == [{"sum": 11}, {"sum": 12}, {"sum": 13}]
    assert not list(tmp_path.glob("out.workers*"))


def test_an_address_that_does_not_answer_and_a_machine_without_slurm(tmp_path: Path) -> None:
    for settings, says in (
        (ExecutorSettings(executor="ray", address="127.0.0.1:9"), "no Ray cluster answers at 127"),
        (ExecutorSettings(executor="slurm"), "no Slurm on this machine"),
        (ExecutorSettings(executor="slurm", slurm=("cluster=local", "gpu_sort=x")), "gpu_sort"),
    ):
        with pytest.raises(SettingsError, match=says), opened(settings, tmp_path / "out"):
            pass
