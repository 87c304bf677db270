"""Evaluate the adapters of a run at another strength, in a copy of its folder.

    python -m tools.strength RUN OUT --strength 0.5

Nothing is trained: what the adapters add to the base is multiplied. `tools.effect` then compares the folders.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from sys2ft.evaluation import EvaluateSettings
from sys2ft.files import write_json
from sys2ft.job.portions import elements_of
from sys2ft.job.stages import cell_of, evaluate_stage, news_of
from sys2ft.models import load_model
from sys2ft.report import summarise, terminal_table, write_report
from sys2ft.runs import Run, display, read_json
from sys2ft.terminal import Console
from sys2ft.training import TrainSettings

LEFT = shutil.ignore_patterns("predictions", "controls", "report.html", "scores.json", "*.checkpoint", ".*")


def scaled_copy(run: Path, out: Path, strength: float) -> None:
    """Copy a run folder without its answers; its adapters get `strength` instead of the one that they have."""
    shutil.copytree(run, out, ignore=LEFT)
    record = read_json(out / "run.json")
    train = record["settings"]["train"]
    share = strength / train["strength"]
    train["strength"] = strength
    record["settings"].pop("evaluate", None)
    write_json(out / "run.json", record)
    for file in (out / "adapters").rglob("adapter_model.safetensors"):
        weights = load_file(file)
        scaled = {name: one * share if "lora_B" in name else one for name, one in weights.items()}
        save_file(scaled, file, metadata={"format": "pt"})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.strength", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--model", help="where the run's model is now, if it is no name that can be loaded")
    given = parser.parse_args(arguments)
    record = read_json(given.run / "run.json")
    settings = Run.open(given.run).settings("evaluate", EvaluateSettings)
    scaled_copy(given.run, given.out, given.strength)
    run = Run.open(given.out)
    for file in (given.out / "training").glob("*.json"):
        cell = cell_of(run, file.stem, run.settings("train", TrainSettings))
        jobs = cell.jobs(elements_of(run, file.stem), news_of(run))
        write_json(file, {**read_json(file), "version": cell.version(jobs)})
    model = load_model(given.model or record["model"]["name"], dtype=record["dtype"])
    with display() as show:
        evaluate_stage(run, model, settings, show)
    write_report(given.out)
    Console().print(terminal_table(summarise(given.out)))


if __name__ == "__main__":
    main()
