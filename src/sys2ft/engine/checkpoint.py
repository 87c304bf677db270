"""Checkpoints of a training: the bank, the optimiser and the counters, written whole, read back bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save

from sys2ft.engine.bank import AdapterBank
from sys2ft.engine.optimiser import SlotAdamW
from sys2ft.runs.atomic import write_bytes

_FILE = "checkpoint.safetensors"


class Counters(Protocol):
    """What is counted while training and must survive an interruption."""

    curve: list[dict[str, object]]
    diverged: list[str]
    tokens_trained: int
    tokens_computed: int
    predictions: int
    seconds: float


_COUNTED = ("curve", "diverged", "tokens_trained", "tokens_computed", "predictions", "seconds")


def save_checkpoint(folder: Path, step: int, bank: AdapterBank, optimiser: SlotAdamW, counters: Counters) -> None:
    """Write the state before step `step` to `folder`."""
    tensors = {f"bank.{i}": p.detach() for i, p in enumerate(bank.parameters())} | optimiser.state()
    counted = {name: getattr(counters, name) for name in _COUNTED}
    metadata = {"step": str(step), "counters": json.dumps(counted)}
    write_bytes(folder / _FILE, save({k: v.cpu().contiguous() for k, v in tensors.items()}, metadata))


def load_checkpoint(folder: Path, bank: AdapterBank, optimiser: SlotAdamW, counters: Counters) -> int:
    """Take up the state in `folder` and return the step to go on with; 0 where there is none."""
    file = folder / _FILE
    if not file.is_file():
        return 0
    with safe_open(file, "pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
    with torch.no_grad():
        for i, parameter in enumerate(bank.parameters()):
            parameter.copy_(tensors[f"bank.{i}"])
    optimiser.load(tensors)
    for name, value in json.loads(metadata["counters"]).items():
        setattr(counters, name, value)
    return int(metadata["step"])


def remove_checkpoint(folder: Path) -> None:
    """Delete what `save_checkpoint` wrote."""
    shutil.rmtree(folder, ignore_errors=True)
