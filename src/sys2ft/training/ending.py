"""Describes in one line why an adapter stopped before its last step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_end(name: str, ended: Mapping[str, Any]) -> str:
    """One line about adapter `name`; `ended` is a value of `Training.ended`."""
    steps = f"{ended['step']} step{'' if ended['step'] == 1 else 's'}"
    return f"{name} {ended['how']} after {steps} (epoch {ended['epoch']:g}): {ended['why']}"
