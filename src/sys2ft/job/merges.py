"""Merged adapters of a run, in PEFT's format; one is made again when what decides it has changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sys2ft.combining import CompareSettings, merge
from sys2ft.combining.adaptive import learn_weights
from sys2ft.combining.merging import WEIGHTS, even_weights
from sys2ft.combining.settings import Merge
from sys2ft.engine import Bank, save_adapter
from sys2ft.models import LoadedModel
from sys2ft.runs import Display, Run, digest, read_json, write_json
from sys2ft.training import AdapterJob, TrainSettings
from sys2ft.training.loop import rendered_examples


def merged_adapter(
    run: Run,
    model: LoadedModel,
    bank: Bank,
    protocol: str,
    method: Merge,
    settings: CompareSettings,
    *,
    rank: int,
    version: str,
    jobs: Sequence[AdapterJob],
    show: Display,
) -> dict[str, Any]:
    """Merge the adapters of a protocol, unless the folder has the result; return its record.

    `bank` has these adapters, and `version` says what they were trained on. `rank` is that of the merged adapter. The
    elements of `jobs` are those on which `adamerging` learns its weights. The record is `compare/<name>.json`:
    `version`, `method`, `weights` (one, or by layer and adapter), `rank`, `density`, `entropies` (of `adamerging`, by
    step) and `seconds`.
    """
    name = f"{protocol}-{method}"
    file, folder = run.path / "compare" / f"{name}.json", run.path / "adapters" / name
    learns, seed = method == "adamerging", run.record["seed"]
    weight = None if learns else settings.weight or WEIGHTS[method]
    density = settings.density if method in ("ties", "dare", "dare_ties") else None
    size = bank.slots if method == "cat" else rank
    decided = digest([version, method, weight, density, size, settings.steps if learns else None, seed])
    if file.is_file() and folder.is_dir() and read_json(file)["version"] == decided:
        found: dict[str, Any] = read_json(file)
        return found
    begun = time.perf_counter()
    entropies: list[float] = []
    if weight is None:
        examples = [example for job in jobs for example in rendered_examples(model, 0, job)]
        at_once = run.settings("train", TrainSettings).tokens_a_pass(model.model)
        weights, entropies = learn_weights(
            bank, examples, steps=settings.steps, tokens_at_once=at_once, seed=seed, show=show
        )
    else:
        weights = even_weights(bank, weight)
    show.note(f"merging {bank.slots} adapters of {protocol} by {method}")
    merged = merge(bank, method, weights=weights, rank=rank, density=density or 1.0, seed=seed)
    try:
        save_adapter(merged, 0, folder, base_name=run.record["model"]["name"])
    finally:
        merged.close()
    record = {
        "version": decided,
        "method": method,
        "weights": weights if learns else weight,
        "rank": merged.rank,
        "density": density,
        "entropies": entropies,
        "seconds": round(time.perf_counter() - begun, 3),
    }
    write_json(file, record)  # written last: its presence means that the adapter is complete
    return record


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
