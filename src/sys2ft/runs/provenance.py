"""Records the provenance of results (versions, hardware, git revision) and derives the seed of each item."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sys2ft import machine
from sys2ft.files import digest

_PACKAGES = ("sys2ft", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def item_seed(*parts: str | int) -> int:
    """A 63-bit seed that depends only on the item (ids, index, the run's seed), never on batch or order."""
    return int(digest(list(parts))[:16], 16) >> 1


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware() -> dict[str, Any]:
    """Description of this machine: processor, cores available to torch, memory, accelerator."""
    import torch

    described: dict[str, Any] = {
        "system": platform.system(),
        "processor": machine.processor(),
        "cores": torch.get_num_threads(),
        "memory_gib": round(machine.memory() / 2**30, 1),
    }
    if torch.cuda.is_available():
        described["accelerator"] = torch.cuda.get_device_name(0)
    return described


def git_revision() -> str | None:
    """The git revision of the checkout that contains this package, with '+' if modified; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        top = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", Path(__file__).name], cwd=here, capture_output=True, timeout=10
        )
        if tracked.returncode != 0:  # an installed copy inside an unrelated repository
            return None
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return top.stdout.strip() + ("+" if changed.stdout.strip() else "")
