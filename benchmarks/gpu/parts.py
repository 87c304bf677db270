"""What `python -m benchmarks.gpu` measures, in order of value, with upper estimates of the seconds that each takes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.budget import Part
from benchmarks.gpu.parity import parity
from benchmarks.gpu.speed import Machine

ADAPTERS = (1, 8, 32)


def parts(machine: Machine, *, tiny: bool) -> list[Part]:
    """All parts; with `tiny`, each once and on a model that any machine computes in a moment."""
    device, half = machine.device, torch.bfloat16
    exact = partial(parity, device, torch.float32)
    if tiny:
        small: dict[str, Any] = {"size": "tiny", "pairs": 2, "steps": 2}
        return [
            Part("parity float32", 5, partial(exact, **small)),
            Part("parity bfloat16", 5, partial(parity, device, half, **small)),
            Part("limits", 1, machine.limits),
            Part("train tiny x 2", 5, partial(machine.train, "tiny", 2)),
            Part("decode tiny", 5, partial(machine.decode, "tiny")),
            Part("choice tiny", 5, partial(machine.choice, "tiny")),
            Part("offload tiny x 2", 5, partial(machine.offload, "tiny", 2)),
        ]
    listed = [
        Part("parity float32", 25, exact),
        Part("parity bfloat16", 20, partial(parity, device, half)),
        Part("limits", 8, machine.limits),
        *(Part(f"train 0.5B x {count}", 15 + count, partial(machine.train, "0.5B", count)) for count in ADAPTERS),
        Part("decode 0.5B", 30, partial(machine.decode, "0.5B")),
        Part("choice 0.5B", 30, partial(machine.choice, "0.5B")),
        Part("train 7B x 8", 60, partial(machine.train, "7B", 8)),
        Part("decode 7B", 45, partial(machine.decode, "7B")),
        Part("train 7B x 32", 90, partial(machine.train, "7B", 32)),
        Part("choice 7B", 45, partial(machine.choice, "7B")),
        Part("train 7B x 1", 25, partial(machine.train, "7B", 1)),
        Part("offload 7B x 8", 30, partial(machine.offload, "7B", 8)),
    ]
    # A sliding window takes another branch of attention in every form.
    window: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 2}
    return [*listed, Part("parity bfloat16, sliding window", 20, partial(parity, device, half, **window))]
