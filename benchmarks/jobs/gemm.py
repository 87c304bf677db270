"""How much of the machine's matrix rate training reaches."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.context import Context
from benchmarks.jobs.train import items, settings
from sys2ft.models import cpu_has_bfloat16
from sys2ft.training import TrainSettings, train

_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192)}


def ours(context: Context, *, adapters: int, pairs: int, rank: int, seconds: float) -> dict[str, Any]:
    """Training, between two measurements of the GEMM rate in the same process."""
    model, how = context.load(), settings(rank)
    warm = TrainSettings(rank=rank, alpha=2.0 * rank, epochs=1)
    train(model, items(adapters, how.batch_size), warm, seed=context.seed).bank.close()
    before = rates(model.device, model.dtype, seconds)
    with context.clock.running():
        training = train(model, items(adapters, pairs), how, seed=context.seed, show=context.show)
    after = rates(model.device, model.dtype, seconds)
    return context.result(
        flop=training.totals["flop"],
        tokens=training.totals["tokens_trained"],
        tokens_computed=training.totals["tokens_computed"],
        gemm={number: max(before[number], after[number]) for number in before},
        share=training.totals["flop"] / context.clock.seconds / max(before[context.number], after[context.number]),
    )


def rates(device: torch.device, dtype: torch.dtype, seconds: float) -> dict[str, float]:
    """FLOP a second of the best square `torch.matmul`: in `dtype`, and in bfloat16 where the hardware has it."""
    wanted = {dtype}
    if device.type == "cuda" or cpu_has_bfloat16():
        wanted.add(torch.bfloat16)
    return {str(one).removeprefix("torch."): _best(device, one, seconds) for one in wanted}


def _best(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    best = 0.0
    for size in _SIZES[device.type]:
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = left @ right
        spent, begun = 0.0, time.perf_counter()
        while spent < seconds:
            started = time.perf_counter()
            torch.matmul(left, right, out=out)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = max(best, 2.0 * size**3 / (time.perf_counter() - started))
            spent = time.perf_counter() - begun
    return best
