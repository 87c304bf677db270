"""Workers as actors of a Ray cluster: one that is running, or one started on this machine for as long as the pool."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection
from typing import Any

from sys2ft import machine
from sys2ft.errors import SettingsError
from sys2ft.executors.pool import WorkerLost
from sys2ft.executors.worker import Recipe, Reply, Worker
from sys2ft.runs.units import Unit

_SECONDS = 10  # to answer at an address


class RayTransport:
    """Actors of Ray, each on a GPU of its own where the cluster has any and `device` is not 'cpu'."""

    name = "ray"

    def __init__(self, workers: int, *, address: str = "", device: str = "auto") -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise SettingsError(
                f"the executor ray: {error}",
                expected="the package ray",
                fix="pip install 'sys2ft[ray]', or leave --executor out",
            ) from error
        self.ray = ray
        self._actors: dict[int, Any] = {}
        self._mine = not ray.is_initialized()
        threads = max(1, machine.cores() // workers)
        if self._mine:
            self._connect(address, threads * workers)
        resources = ray.cluster_resources()
        gpus = device != "cpu" and resources.get("GPU", 0) > 0
        room = int(resources.get("GPU", 0) if gpus else resources.get("CPU", 0) // (1 if address else threads))
        if room < workers:
            self.close()
            raise SettingsError(
                f"{workers} workers, and the Ray cluster has room for {room}: {resources.get('CPU', 0):g} CPUs, "
                f"{resources.get('GPU', 0):g} GPUs",
                expected="one GPU for each worker, or one CPU where there is no GPU",
                fix="lower --workers, or add nodes to the cluster",
            )
        options = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": 1 if address else threads}
        self._actor: Any = ray.remote(**options, max_restarts=0, max_task_retries=0)(_Actor)

    def _connect(self, address: str, cpus: int) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        try:
            if address:
                _require_answer(address)
                self.ray.init(address=address, **quiet)
            else:
                self.ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
        except (ConnectionError, TimeoutError, OSError, RuntimeError, ValueError) as error:
            raise SettingsError(
                f"no Ray cluster answers at {address}: {error}" if address else f"Ray could not be started: {error}",
                expected="a running cluster's address, which `ray start --head` prints" if address else "free ports",
                fix="correct --address, or leave it out to start Ray on this machine" if address else "look at its log",
            ) from error

    def start(self, number: int) -> Any:
        self._actors[number] = self._actor.remote()
        return self._actors[number].about.remote()

    def publish(self, recipe: Recipe) -> Any:
        return [self.ray.put(recipe)]  # in a list: an actor fetches it when it needs it

    def submit(self, number: int, unit: Unit, recipe: Recipe, published: Any) -> Any:
        return self._actors[number].compute.remote(unit, recipe.key, published)

    def wait(self, tickets: Collection[Any], seconds: float) -> list[Any]:
        ready: list[Any] = self.ray.wait([*tickets], num_returns=1, timeout=seconds)[0]
        if ready:  # and all others that are ready too
            ready = self.ray.wait([*tickets], num_returns=len(tickets), timeout=0)[0]
        return ready

    def result(self, ticket: Any) -> Any:
        try:
            return self.ray.get(ticket)
        except self.ray.exceptions.RayTaskError as error:  # not by a unit: a worker replies with its errors
            raise WorkerLost(f"{type(error.cause).__name__}: {error.cause}") from error
        except self.ray.exceptions.RayError as error:
            raise WorkerLost(_short(error)) from error

    def alive(self, number: int) -> bool:
        try:
            self.ray.get(self._actors[number].about.remote(), timeout=_SECONDS)
        except self.ray.exceptions.RayError:
            return False
        return True

    def end(self, number: int) -> None:
        self.ray.kill(self._actors.pop(number))

    def close(self) -> None:
        if self._mine:
            self.ray.shutdown()
            return
        for number in list(self._actors):
            self.end(number)


class _Actor:
    """A worker as Ray sees it."""

    def __init__(self) -> None:
        self.worker = Worker()

    def about(self) -> dict[str, str]:
        return self.worker.about()

    def compute(self, unit: Unit, key: str, published: list[Any]) -> Reply:
        import ray

        return self.worker.compute(unit, key, lambda: ray.get(published[0]))


def _require_answer(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT: Ray itself would try for minutes."""
    place = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d+)", address)
    if place:
        with socket.create_connection((place[1], int(place[2])), timeout=_SECONDS):
            pass


def _short(error: Exception) -> str:
    """The first line of what Ray says that is a reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in lines if "exit" in line.lower() or "memory" in line.lower()), lines[0] if lines else ""
    )
