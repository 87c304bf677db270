"""What a job gets: the model it is about, a clock, and a way to say how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.clock import Clock
from sys2ft.models import LoadedModel, load_model, pick_device
from sys2ft.runs import Display


@dataclass
class Context:
    """The model's name and where it runs; `clock` is the job's only one, `number` the dtype of what was loaded last."""

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
        """The model, in this dtype if another one is wanted."""
        loaded = load_model(self.model, dtype=dtype or self.dtype, device=self.device, progress=self.show.note)
        self.number = str(loaded.dtype).removeprefix("torch.")
        return loaded

    def result(self, **more: Any) -> dict[str, Any]:
        """What a job reports: seconds and peak of its clock, threads, the dtype of the weights, and `more`."""
        common = {"seconds": self.clock.seconds, "peak_bytes": self.clock.peak_bytes, "dtype": self.number}
        return common | {"threads": torch.get_num_threads()} | more
