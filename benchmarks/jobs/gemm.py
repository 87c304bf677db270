"""How much of the machine's matrix rate training reaches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import harmonic_mean, median
from typing import Any

import torch

from benchmarks.clock import Clock, wait
from benchmarks.context import Context
from benchmarks.jobs.train import items, settings
from sys2ft.models import LoadedModel
from sys2ft.runs import Advance, Display
from sys2ft.training import TrainSettings, jobs_of, train

_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192)}
_TURN = 0.3  # seconds of each product after a step


def ours(context: Context, *, adapters: int, pairs: int, rank: int, seconds: float) -> dict[str, Any]:
    """Training, and after each step the best `torch.matmul` in the same process while the clock is stopped.

    Other load on the machine slows both: `gemm` is the FLOP of all products over their total time, as for the training;
    `gemm_best` is the highest rate.
    """
    model, how = context.load(), settings(rank)
    warm = TrainSettings(rank=rank, alpha=2.0 * rank, epochs=1)
    train(model, jobs_of(items(adapters, how.batch_size), warm, seed=context.seed)).bank.close()
    matmuls = {number: Matmul.best(model.device, dtype, seconds) for number, dtype in _dtypes(model).items()}
    taking_turns = _TakingTurns(context.show, context.clock, list(matmuls.values()))
    with context.clock.running():
        training = train(model, jobs_of(items(adapters, pairs), how, seed=context.seed), show=taking_turns)
    gemm = {number: matmul.rate for number, matmul in matmuls.items()}
    reached = training.totals["flop"] / context.clock.seconds
    return context.result(
        flop=training.totals["flop"],
        tokens=training.totals["tokens_trained"],
        tokens_computed=training.totals["tokens_computed"],
        gemm=gemm,
        gemm_best={number: max(matmul.rates) for number, matmul in matmuls.items()},
        gemm_size={number: matmul.size for number, matmul in matmuls.items()},
        share={number: reached / rate for number, rate in gemm.items()},
    )


def _dtypes(model: LoadedModel) -> dict[str, torch.dtype]:
    """The model's dtype, and bfloat16, which a CPU without it emulates."""
    return {str(one).removeprefix("torch."): one for one in (model.dtype, torch.bfloat16)}


class Matmul:
    """One square `torch.matmul`, and the FLOP per second of each run."""

    def __init__(self, device: torch.device, dtype: torch.dtype, size: int) -> None:
        self.size, self.rates = size, list[float]()
        self.left, self.right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        self.out = self.left @ self.right

    @classmethod
    def best(cls, device: torch.device, dtype: torch.dtype, seconds: float) -> Matmul:
        """The product of the size with the highest median rate."""
        tried = [cls(device, dtype, size) for size in _SIZES[device.type]]
        for one in tried:
            one.run(seconds)
        best = max(tried, key=lambda one: median(one.rates))
        best.rates.clear()
        return best

    def run(self, seconds: float) -> None:
        """Repeat the product for `seconds`."""
        begun = time.perf_counter()
        while (started := time.perf_counter()) - begun < seconds:
            torch.matmul(self.left, self.right, out=self.out)
            wait(self.out.device)
            self.rates.append(2.0 * self.size**3 / (time.perf_counter() - started))

    @property
    def rate(self) -> float:
        """FLOP over seconds of all runs."""
        return harmonic_mean(self.rates)


class _TakingTurns(Display):
    """Runs the products after each step of the training."""

    def __init__(self, show: Display, clock: Clock, matmuls: list[Matmul]) -> None:
        self.show, self.clock, self.matmuls = show, clock, matmuls

    @contextmanager
    def task(self, name: str, total: int | None, *, passing: bool = False) -> Iterator[Advance]:
        with self.show.task(name, total, passing=passing) as further:

            def advance(units: int = 1) -> None:
                further(units)
                if units:
                    with self.clock.aside():
                        for matmul in self.matmuls:
                            matmul.run(_TURN)

            yield advance

    def note(self, text: str) -> None:
        self.show.note(text)
