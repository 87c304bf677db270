"""The thread that runs the model: all answers of all clients in one batch, token by token.

Requests are handed over by `submit` on the server's event loop; what is said comes back through each job's queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sys2ft.engine import Bank, Decoder, Logprobs, Row, decoding
from sys2ft.engine.decoding.decode import key_value_bytes
from sys2ft.errors import out_of_memory
from sys2ft.models import LoadedModel
from sys2ft.serve.failures import ApiError, failed, queue_full, stopping
from sys2ft.serve.writer import TokenText, Writer

Found = TypeVar("Found")

_STATE_BYTES = 2**31  # of the keys and values of all rows


@dataclass(slots=True, eq=False)
class Choice:
    """One of the answers that a request asks for: its row in the decoder and its text."""

    index: int
    row: Row
    writer: Writer
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of one answer: text that will not change, and how it ended if it did ('stop' or 'length')."""

    index: int
    text: str
    tokens: list[TokenText]
    ended: str | None
    sampled: int
    """Tokens sampled for this answer so far."""


@dataclass(slots=True, eq=False)
class Job:
    """The answers of one request. `said` receives their pieces, or the error that ended all of them."""

    choices: Sequence[Choice]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    said: asyncio.Queue[Piece | ApiError] = field(default_factory=asyncio.Queue)


class Worker:
    """Runs the model in a thread of its own between `start` and `close`."""

    def __init__(self, model: LoadedModel, bank: Bank | None, *, rows_at_once: int, max_queue: int) -> None:
        self.model, self.bank, self.rows_at_once, self.max_queue = model, bank, rows_at_once, max_queue
        self._thread = threading.Thread(target=self._run, name="sys2ft engine", daemon=True)
        self._changed = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._jobs: dict[Row, tuple[Job, Choice]] = {}  # of every answer that has not ended
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._stopping = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all answers with an error, and the thread after the step in progress."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def close(self) -> None:
        """`stop`, and wait for the thread."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def open(self) -> int:
        """Answers that run or wait."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Append the answers of a job to the queue. Raises ApiError if they are too many for it."""
        with self._changed:
            if self._stopping:
                raise stopping()
            if len(self._jobs) + len(job.choices) > self.max_queue:
                raise queue_full(self.max_queue)
            for choice in job.choices:
                self._jobs[choice.row] = (job, choice)
            self._inbox.append(job)
            self._changed.notify()

    def call(self, function: Callable[[], Found]) -> Future[Found]:
        """Run a function in the model's thread, between two steps. Raises ApiError if too many wait for it."""
        work: Future[Found] = Future()
        with self._changed:
            if self._stopping:
                raise stopping()
            if len(self._calls) >= self.max_queue:
                raise queue_full(self.max_queue)
            self._calls.append((work, function))
            self._changed.notify()
        return work

    def cancel(self, job: Job) -> None:
        """End the answers of a job that nobody waits for any more."""
        with self._changed:
            for choice in job.choices:
                choice.row.ended = True  # the decoder leaves it out from its next step on
                self._jobs.pop(choice.row, None)

    def _run(self) -> None:
        decoder = self._decoder()
        with decoding(self.model.model):
            while True:
                with self._changed:
                    while not (self._stopping or self._inbox or self._calls or decoder.busy):
                        self._changed.wait()
                    new = [choice.row for job in self._inbox for choice in job.choices]
                    self._inbox.clear()
                    calls = list(self._calls)
                    self._calls.clear()
                    ending = self._stopping
                for work, function in calls:
                    _answer(work, function, ending)
                if ending:
                    self._fail(stopping())
                    return
                decoder.add(new)
                try:
                    said = decoder.step()
                except Exception as error:  # all running answers have lost their state; the server keeps running
                    self._report(error)
                    decoder = self._decoder()
                    continue
                pieces: list[tuple[Job, Piece | ApiError]] = []
                for one in said:
                    known = self._jobs.get(one.row)
                    if known is not None:
                        job, choice = known
                        choice.sampled += 1
                        pieces.append((job, self._piece(choice, one.token, one.logprobs)))
                        if one.row.ended:
                            with self._changed:
                                self._jobs.pop(one.row, None)
                self._deliver(pieces)

    def _decoder(self) -> Decoder:
        return Decoder(
            self.model.model,
            self.bank,
            rows_at_once=self.rows_at_once,
            stop_ids=self.model.chat.stop_ids,
            state_bytes=_STATE_BYTES,
            token_bytes=key_value_bytes(self.model.model),
        )

    def _piece(self, choice: Choice, token: int | None, logprobs: Logprobs | None) -> Piece:
        row, writer = choice.row, choice.writer
        if token is not None and row.top_logprobs is not None:
            writer.note(token, logprobs)
        text, tokens = writer.take(row.ids, last=row.ended)
        ended = None if not row.ended else "stop" if row.finished or writer.stopped else "length"
        return Piece(choice.index, text, tokens, ended, choice.sampled)

    def _report(self, error: Exception) -> None:
        """Print what failed, and end all answers that were being computed."""
        traceback.print_exception(error, file=sys.stderr)
        self._fail(failed("memory ran out" if out_of_memory(error) else "the engine failed; the server's log says why"))

    def _fail(self, error: ApiError) -> None:
        with self._changed:
            jobs = list(dict.fromkeys(job for job, _ in self._jobs.values()))
            self._jobs.clear()
            self._inbox.clear()
        self._deliver([(job, error) for job in jobs])

    def _deliver(self, pieces: Sequence[tuple[Job, Piece | ApiError]]) -> None:
        """Put pieces into their jobs' queues, with one call for each event loop."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Job, Piece | ApiError]]] = {}
        for job, piece in pieces:
            loops.setdefault(job.loop, []).append((job, piece))
        for loop, own in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the answer
                loop.call_soon_threadsafe(_put, own)


def _answer(work: Future[Any], function: Callable[[], Any], ending: bool) -> None:
    """Run a function for those who wait for its result, if they still do."""
    if not work.set_running_or_notify_cancel():
        return
    try:
        if ending:
            raise stopping()
        work.set_result(function())
    except Exception as error:
        work.set_exception(error)


def _put(pieces: Sequence[tuple[Job, Piece | ApiError]]) -> None:
    for job, piece in pieces:
        job.said.put_nowait(piece)
