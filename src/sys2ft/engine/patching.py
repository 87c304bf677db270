"""Replace the forward methods of some modules for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn


@contextlib.contextmanager
def patched_forwards(forwards: Mapping[nn.Module, Any]) -> Iterator[None]:
    """Within the block each module uses the forward given for it; its previous one is restored afterwards."""
    before = {module: module.__dict__.get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = forward
