"""A pool of workers: hands units out, gathers replies in order, and gives a lost unit again.

How workers are started and reached is the transport's business (`ray_pool`, `slurm_pool`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Protocol

from sys2ft.errors import LostUnit, Sys2ftError
from sys2ft.executors.worker import Recipe, Reply, Worker
from sys2ft.runs.stops import current_stop
from sys2ft.runs.units import Unit

ATTEMPTS = 3
"""How often a unit is given before its loss is an error."""
_AHEAD = 16  # units for each worker that may be finished before one that is not
_POLL = 0.5  # seconds between two looks at a request to stop
_PATIENCE = 60  # seconds without a worker after which it is said what is waited for


class WorkerLost(Exception):
    """A worker is gone, and with it the unit that it had: killed, preempted, or out of memory."""


class Transport(Protocol):
    """Starts workers and carries units to them. A ticket stands for a reply that is awaited."""

    name: str

    def start(self, number: int) -> Hashable:
        """Start a worker and return the ticket of what it says about itself (`Worker.about`)."""
        ...

    def publish(self, recipe: Recipe) -> Any:
        """Make a recipe known to the workers, which fetch it when they need it."""
        ...

    def submit(self, number: int, unit: Unit, recipe: Recipe, published: Any) -> Hashable:
        """Give a unit to a worker that has nothing to do; return the ticket of its `Reply`."""
        ...

    def wait(self, tickets: Collection[Any], seconds: float) -> list[Any]:
        """The tickets that are ready, or whose worker is lost, after at most so many seconds."""
        ...

    def result(self, ticket: Any) -> Any:
        """What a ready ticket stands for. Raises WorkerLost."""
        ...

    def alive(self, number: int) -> bool:
        """Whether an idle worker is still there."""
        ...

    def end(self, number: int) -> None:
        """End a worker, also one that is busy."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


@dataclass(slots=True)
class _Work:
    """A unit of a call of `map` and how often it was given."""

    place: int
    unit: Unit
    attempts: int = 0


class Pool:
    """Workers that compute units of any recipe. Use it in a `with` block, which ends the workers."""

    def __init__(self, transport: Transport, workers: int, note: Callable[[str], None] = lambda text: None) -> None:
        self.transport, self.workers, self.note = transport, workers, note
        self._own = Worker.about()
        self._idle: list[int] = []
        self._starting: dict[Any, int] = {}
        self._lost_starts = 0
        self._closed = False
        self._unusable: Sys2ftError | None = None
        self._since: float | None = time.monotonic()
        for number in range(workers):
            self._starting[transport.start(number)] = number

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self.transport.close()

    def map(self, units: Iterable[Unit], recipe: Recipe) -> Iterator[dict[str, Any]]:
        """The results of `outcomes`. Raises the first error among them."""
        for outcome in self.outcomes(units, recipe):
            if isinstance(outcome, Sys2ftError):
                raise outcome
            yield outcome

    def outcomes(self, units: Iterable[Unit], recipe: Recipe) -> Iterator[dict[str, Any] | Sys2ftError]:
        """Yield the result or the error of each unit, in order, as soon as it and all earlier ones are there.

        Units are taken from the iterable as they can be given out, so that it may be much longer than memory holds.

        A unit whose worker is lost, runs out of memory or has a full disk is given again, `ATTEMPTS` times in all.
        Raises Sys2ftError if no worker starts, and for one of another version; and Stopped.
        """
        if self._unusable is not None:
            raise self._unusable
        coming = (_Work(place, unit) for place, unit in enumerate(units))
        waiting = deque[_Work]()
        waiting.extend(islice(coming, 1))
        if not waiting:
            return
        published = self.transport.publish(recipe)
        for number in [one for one in self._idle if not self.transport.alive(one)]:
            self._idle.remove(number)  # lost since the last call: it had no unit
            self._restart(number)
        given: dict[Any, tuple[int, _Work]] = {}
        done: dict[int, dict[str, Any] | Sys2ftError] = {}
        following = 0
        try:
            while waiting or given or done:
                while self._idle and waiting and waiting[0].place < following + _AHEAD * self.workers:
                    work, number = waiting.popleft(), self._idle.pop(0)
                    work.attempts += 1
                    given[self.transport.submit(number, work.unit, recipe, published)] = number, work
                    waiting.extend(islice(coming, not waiting))
                current_stop().check()
                self._tell_waiting(bool(given))
                for ticket in self.transport.wait([*self._starting, *given], _POLL):
                    if ticket in self._starting:
                        self._begin(ticket, bool(given))
                        continue
                    number, work = given.pop(ticket)
                    outcome = self._outcome(ticket, number, work)
                    if outcome is None:
                        waiting.appendleft(work)
                    else:
                        done[work.place] = outcome
                while following in done:
                    yield done.pop(following)
                    following += 1
        finally:  # those still busy would answer a later call
            for number, _ in given.values():
                if not self._closed:
                    self._restart(number)

    def _tell_waiting(self, working: bool) -> None:
        """Say once that no worker has started yet: a cluster may be full, and that may be what the user expects."""
        if self._since is not None and not working and time.monotonic() - self._since > _PATIENCE:
            self._since = None
            self.note(f"{self.transport.name}: none of {self.workers} workers has started yet; waiting for the cluster")

    def _begin(self, ticket: Any, working: bool) -> None:
        """A worker has started, or failed to; `working`: others have units."""
        number = self._starting.pop(ticket)
        try:
            about = self.transport.result(ticket)
        except WorkerLost as lost:
            self._lost_starts += 1
            others = bool(working or self._idle or self._starting)
            if self._lost_starts >= ATTEMPTS and others:
                self.note(f"worker {number} ({self.transport.name}) did not start: {lost}; others continue")
                return
            if self._lost_starts >= ATTEMPTS:
                raise Sys2ftError(
                    f"worker {number} ({self.transport.name}) did not start: {lost}",
                    expected="a worker in which this package can be imported and that is left to run",
                    fix="look into the log of the cluster; the same command continues where this one ended",
                ) from lost
            self._restart(number)
            return
        self._lost_starts = 0
        differing = [f"{name} {about.get(name)}" for name in ("sys2ft", "torch") if about.get(name) != self._own[name]]
        if differing:
            self._unusable = Sys2ftError(
                f"worker {number} on {about.get('host')} has {', '.join(differing)}",
                expected=f"the versions of this process: sys2ft {self._own['sys2ft']}, torch {self._own['torch']}",
                fix="install the same versions on all machines of the cluster",
            )
            raise self._unusable
        self._idle.append(number)

    def _outcome(self, ticket: Any, number: int, work: _Work) -> dict[str, Any] | Sys2ftError | None:
        """What came of a unit; None if it is to be given again."""
        where = f"worker {number} ({self.transport.name}), unit {work.unit.key}"
        try:
            reply: Reply = self.transport.result(ticket)
        except WorkerLost as lost:
            self._restart(number)
            if work.attempts >= ATTEMPTS:
                return LostUnit(
                    f"{work.unit.key} was given {ATTEMPTS} times, and its worker was lost each time: {lost}",
                    expected="a worker that is left to finish, with enough memory for it",
                    fix="give the workers more memory or time; the same command continues where this one ended",
                )
            self.note(f"{where}: the worker is lost ({lost}); given again")
            return None
        self._idle.append(number)
        if not reply.error:
            return reply.result
        if reply.again and work.attempts < ATTEMPTS:
            self.note(f"{where}: {reply.found}; given again")
            return None
        if reply.again:
            return LostUnit(
                f"{where}: {reply.found}",
                expected=reply.expected or "a worker with enough memory for it",
                fix="give the workers more memory or disk; the same command continues where this one ended",
            )
        return reply.raised(where)

    def _restart(self, number: int) -> None:
        self.transport.end(number)
        self._starting[self.transport.start(number)] = number


@dataclass(frozen=True, slots=True)
class PoolExecutor:
    """The executor (`runs.units.Executor`) of units that need the context of `recipe`."""

    pool: Pool
    recipe: Recipe

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        return self.pool.map(units, self.recipe)
