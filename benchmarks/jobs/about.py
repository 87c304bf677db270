"""Model, machine and versions of a benchmark."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import torch

from benchmarks.context import Context
from sys2ft.engine.flops import weights
from sys2ft.models import cpu_has_bfloat16
from sys2ft.runs.provenance import git_revision, hardware, versions

_PEERS = ("trl", "accelerate", "datasets")


def describe(context: Context) -> dict[str, Any]:
    """Model, machine and versions."""
    loaded = context.load()
    body, head = weights(loaded.model)
    found = dict(versions())
    for package in _PEERS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {
        "model": {
            "name": context.model,
            "sha256": loaded.fingerprint,
            "architecture": type(loaded.model).__name__,
            "parameters": sum(p.numel() for p in loaded.model.parameters()),
            "body_weights": body,
            "head_weights": head,
            "bytes": sum(p.numel() * p.element_size() for p in loaded.model.parameters()),
        },
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": str(loaded.device),
        "native_bfloat16": loaded.device.type == "cuda" or cpu_has_bfloat16(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "versions": found,
        "git": git_revision(),
    }
