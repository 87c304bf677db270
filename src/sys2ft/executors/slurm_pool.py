"""Workers as the jobs of one Slurm array, submitted by submitit; units and replies are files of a shared folder.

A worker ends by itself when the process that asked for it is gone: it looks at that process's sign of life.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sys2ft import files
from sys2ft.errors import SettingsError, StorageError
from sys2ft.executors.pool import WorkerLost
from sys2ft.executors.worker import Recipe, Worker
from sys2ft.runs.units import Unit

_BEAT = 10  # seconds between two signs of life
_SILENCE = 12 * _BEAT  # without one, the other side is taken for dead
_LOOK = 0.1  # seconds between two looks for a file
_CLUSTER = "cluster"  # the parameter that names submitit's own executors: slurm, or local for this machine
Ticket = tuple[int, int, int]  # worker, its start, unit; unit 0: what it says about itself


class SlurmTransport:
    """Jobs of a Slurm array, which share a folder beside `out` with this process."""

    name = "slurm"

    def __init__(self, workers: int, out: Path, parameters: dict[str, Any]) -> None:
        cluster = parameters.get(_CLUSTER, "slurm")
        if cluster == "slurm" and shutil.which("srun") is None:
            raise SettingsError(
                "the executor slurm, and there is no Slurm on this machine (`srun` is not found)",
                expected="a login node of a Slurm cluster",
                fix="run the command there, or try it with --slurm cluster=local, whose jobs are processes here",
            )
        # A folder of its own: what workers of a killed driver still write must not be taken for other units' replies.
        files.make_folder(out.parent)
        with files.storage_errors(out):
            self.spool = Path(tempfile.mkdtemp(prefix=f"{out.name}.workers-", dir=out.parent))
        self._jobs: dict[int, Any] = {}
        self._starts: dict[int, int] = {}
        self._units = 0
        self._beats: dict[Path, tuple[str, float]] = {}
        self._living = Beating(self.spool / "driver")
        try:
            self._submit_first(workers, cluster, parameters)
        except BaseException:
            self.close()
            raise

    def _submit_first(self, workers: int, cluster: str, parameters: dict[str, Any]) -> None:
        """Submit the first workers, as one array."""
        import submitit

        self._executor: Any = submitit.AutoExecutor(folder=self.spool / "logs", cluster=cluster)
        try:
            rest = {name: value for name, value in parameters.items() if name != _CLUSTER}
            self._executor.update_parameters(name="sys2ft", **rest)
        except (NameError, ValueError, TypeError, AssertionError) as error:
            raise SettingsError(
                f"--slurm {' '.join(f'{name}={value}' for name, value in parameters.items())}: {error}",
                expected="parameters that submitit knows, such as slurm_partition, gpus_per_node, timeout_min",
                fix="correct the names and values",
            ) from error
        with _submission(), self._executor.batch():
            for number in range(workers):
                self._starts[number] = 1
                self._jobs[number] = self._executor.submit(serve, str(self._folder(number)), str(self.spool))
        self._fresh = set(range(workers))

    def _folder(self, number: int) -> Path:
        return self.spool / f"worker-{number}-{self._starts[number]}"

    def start(self, number: int) -> Ticket:
        if number in self._fresh:
            self._fresh.discard(number)
        else:
            self._starts[number] += 1
            with _submission():
                self._jobs[number] = self._executor.submit(serve, str(self._folder(number)), str(self.spool))
        return number, self._starts[number], 0

    def publish(self, recipe: Recipe) -> Path:
        file = self.spool / f"recipe-{recipe.key[:16]}.pickle"
        if not file.is_file():
            files.write_bytes(file, pickle.dumps(recipe))
        return file

    def submit(self, number: int, unit: Unit, recipe: Recipe, published: Path) -> Ticket:
        self._units += 1
        work = pickle.dumps((unit, recipe.key, str(published)))
        files.write_bytes(self._folder(number) / f"unit-{self._units}.pickle", work)
        return number, self._starts[number], self._units

    def wait(self, tickets: Collection[Ticket], seconds: float) -> list[Ticket]:
        end = time.monotonic() + seconds
        while True:
            ready = [ticket for ticket in tickets if _reply_file(self._folder(ticket[0]), ticket[2]).is_file()]
            ready += [ticket for ticket in tickets if ticket not in ready and not self.alive(ticket[0])]
            if ready or time.monotonic() > end:
                return ready
            time.sleep(_LOOK)

    def alive(self, number: int) -> bool:
        if self._jobs[number].done():
            return False
        beat = self._folder(number) / "alive"
        return not beat.is_file() or not silent(beat, self._beats)  # one without a sign of life waits in the queue

    def result(self, ticket: Ticket) -> Any:
        file = _reply_file(self._folder(ticket[0]), ticket[2])
        if file.is_file():  # it may have come after the job's end was seen
            reply = pickle.loads(file.read_bytes())
            file.unlink()
            return reply
        raise WorkerLost(f"its job {self._jobs[ticket[0]].job_id} is {self._jobs[ticket[0]].state.lower()}")

    def end(self, number: int) -> None:
        self._jobs.pop(number).cancel(check=False)
        shutil.rmtree(self._folder(number), ignore_errors=True)

    def close(self) -> None:
        self._living.close()
        for number in list(self._jobs):
            job = self._jobs[number]
            with contextlib.suppress(KeyError):
                self.end(number)
            if hasattr(job, "_process"):  # submitit's local executor: the processes are children of this one
                job._process.wait()
        shutil.rmtree(self.spool, ignore_errors=True)


@contextlib.contextmanager
def _submission() -> Iterator[None]:
    """Turn what Slurm says to a refused job into one clear error."""
    try:
        yield
    except SettingsError:
        raise
    except (RuntimeError, OSError) as error:  # submitit's FailedJobError is a RuntimeError
        raise SettingsError(
            f"Slurm takes no job: {' '.join(str(error).split())}",
            expected="a partition, an account and limits that it accepts",
            fix="correct --slurm",
        ) from error


class Beating:
    """A thread that changes a file every `_BEAT` seconds, as a sign of life."""

    def __init__(self, file: Path) -> None:
        self.file, self._end = file, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._count = 0
        self._write()
        self._thread.start()

    def _write(self) -> None:
        self._count += 1
        files.write_text(self.file, str(self._count))

    def _beat(self) -> None:
        while not self._end.wait(_BEAT):
            try:
                self._write()
            except (OSError, StorageError):
                continue  # a full disk is reported by the next write that matters

    def close(self) -> None:
        self._end.set()
        self._thread.join()


def silent(file: Path, seen: dict[Path, tuple[str, float]]) -> bool:
    """Whether a sign of life has not changed for `_SILENCE` seconds of this machine's own clock."""
    try:
        beat = file.read_text()
    except OSError:
        beat = ""
    now = time.monotonic()
    if file not in seen or seen[file][0] != beat:
        seen[file] = beat, now
    return now - seen[file][1] > _SILENCE


def _reply_file(folder: Path, unit: int) -> Path:
    return folder / f"reply-{unit}.pickle"


def _end_without(driver: Path) -> None:
    """End this process, also in the middle of a unit, when the one that asked is silent."""
    seen = dict[Path, tuple[str, float]]()
    while not silent(driver, seen):
        time.sleep(_BEAT)
    os._exit(1)


def _loaded(recipe: Path) -> Recipe:
    found: Recipe = pickle.loads(recipe.read_bytes())
    return found


def serve(place: str, spool: str) -> None:
    """Compute the units that come as files into a worker's folder, until the process that asked is silent."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it; a preempted worker should not go on
    folder, driver = files.make_folder(Path(place)), Path(spool) / "driver"
    worker, seen = Worker(), dict[Path, tuple[str, float]]()
    living = Beating(folder / "alive")
    threading.Thread(target=_end_without, args=(driver,), daemon=True).start()
    try:
        files.write_bytes(_reply_file(folder, 0), pickle.dumps(worker.about()))
        while folder.is_dir() and not silent(driver, seen):
            for file in sorted(folder.glob("unit-*.pickle")):
                unit, key, recipe = pickle.loads(file.read_bytes())
                file.unlink()
                reply = worker.compute(unit, key, partial(_loaded, Path(recipe)))
                files.write_bytes(_reply_file(folder, int(file.stem.partition("-")[2])), pickle.dumps(reply))
            time.sleep(_LOOK)
    finally:
        living.close()
        worker.forget()
