"""The context of a job: its model, a clock and a progress display."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.clock import Clock
from sys2ft.models import LoadedModel, load_model, pick_device
from sys2ft.runs import Display


@dataclass
class Context:
    """The model's name and device; `clock` measures the job, `number` is the dtype of the model loaded last."""

    model: str
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 0
    show: Display = field(default_factory=Display)
    clock: Clock = field(init=False)
    number: str = ""

    def __post_init__(self) -> None:
        self.clock = Clock(pick_device(self.device))

    def load(self, dtype: str | None = None) -> LoadedModel:
        """The model, in `dtype` if given."""
        loaded = load_model(self.model, dtype=dtype or self.dtype, device=self.device, progress=self.show.note)
        self.number = str(loaded.dtype).removeprefix("torch.")
        return loaded

    def result(self, **more: Any) -> dict[str, Any]:
        """A job's report: seconds and peak of its clock, threads, dtype of the weights, and `more`."""
        common = {"seconds": self.clock.seconds, "peak_bytes": self.clock.peak_bytes, "dtype": self.number}
        return common | {"threads": torch.get_num_threads()} | more
