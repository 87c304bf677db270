"""The labels of a study's axes: how a value is called, and whether its name says of what it is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BASE = "base"
"""What a comparison can be with besides a value of its axis: the model before training."""
_BARE = ("True", "False", "None")


def short(model: str) -> str:
    """The label of a model: the last part of its path, without the ending."""
    return Path(model).name.removesuffix(".gguf") if "/" in model or model.endswith(".gguf") else model


def label_of(axis: str, value: Any) -> str:
    """The label of a value that the study's file gives without one."""
    if axis in ("model", "generator"):
        return short(value) or "itself"
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value) or "all"
    return f"{value:g}" if isinstance(value, float) else str(value)


def asked_for(axis: str, label: str, asked: str) -> bool:
    """Whether `asked` means this label: it may also be a model as the study names it, or the same number."""
    if label in (asked, label_of(axis, asked)):
        return True
    return _is_number(asked) and _is_number(label) and float(asked) == float(label)


def said(axis: str, label: str) -> str:
    """A label as it is shown: with the axis before it where it is a bare number, 'True', 'False' or 'None'."""
    if not label:
        return f"{axis} ''"
    return f"{axis} {label}" if label in _BARE or all(map(_is_number, label.split())) else label


def is_number(label: str) -> bool:
    """Whether the label of a value is a number, or begins with one as '8 times'."""
    return _is_number(label.split()[0]) if label.split() else False


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def twice(labels: Iterable[str]) -> str:
    """The first label that is there more than once; '' if there is none."""
    return next((label for label, times in Counter(labels).items() if times > 1), "")
