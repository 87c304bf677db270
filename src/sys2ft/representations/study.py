"""represent(): a whole study of in-context representations in a run folder, from measurements to page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sys2ft.engine import open_adapter
from sys2ft.engine.adapters.bank import linear_layers
from sys2ft.errors import SettingsError
from sys2ft.files import digest_file
from sys2ft.models import DEFAULT_MODEL, LoadedModel, load_model
from sys2ft.replay import GenerateSettings, protocols_for
from sys2ft.representations.analyses.results import analyse
from sys2ft.representations.measuring.trace import trace
from sys2ft.representations.pages.page import write_study_page
from sys2ft.representations.plan import make_plan
from sys2ft.representations.settings import LEARN_GENERATE, LEARN_TRAIN, RepresentSettings
from sys2ft.runs import Display, Run, write_json
from sys2ft.training import FREE, JOINT, TrainSettings


@dataclass(frozen=True, slots=True)
class Study:
    """A finished study: its folder, its results, and the path of its page."""

    folder: Path
    results: dict[str, Any]
    report: Path


def represent(
    settings: RepresentSettings | None = None,
    *,
    model: str | LoadedModel = DEFAULT_MODEL,
    out: str | Path = "sys2ft-represent",
    adapter: str | Path | None = None,
    reference: str | Path | None = None,
    generate: GenerateSettings | None = None,
    train: TrainSettings | None = None,
    seed: int = 0,
    command: str = "",
    show: Display | None = None,
) -> Study:
    """Measure how a model's representations take the shape of graphs given in context, in the run folder `out`.

    `adapter`: a PEFT folder written by this package; the model reads through this adapter. `reference`: a JSON file
    with an accuracy curve to show next to the measured one (`model`, `context_length`, `accuracy`). `generate` and
    `train` apply to placements that are learnt in weights. An unfinished study in `out` with the same settings is
    resumed. Raises ModelError and SettingsError for invalid input, StorageError when writing fails.
    """
    settings = settings or RepresentSettings()
    generate, train = generate or LEARN_GENERATE, train or LEARN_TRAIN
    show = show or Display()
    compared = _read_reference(Path(reference)) if reference else None
    loaded = load_model(model, progress=show.note) if isinstance(model, str) else model
    plan = make_plan(loaded, settings)  # finds errors in the settings before any work
    if settings.learn:
        _check_learning(loaded, generate, train, adapter)
    bank = open_adapter(loaded.model, Path(adapter)) if adapter else None
    try:
        run = _open(out, loaded, adapter, seed, command)
        with run.lock():
            run.stage("represent", asdict(settings), free=("chunk", "focus"))
            if settings.learn:
                run.stage("generate", asdict(generate))
                run.stage("train", asdict(train), free=FREE)
            if compared is not None:
                write_json(run.path / "reference.json", compared)
            trace(run, loaded, plan, bank=bank, generating=generate, training=train, show=show)
            return finish_study(run)
    finally:
        if bank is not None:
            bank.close()


def finish_study(run: Run) -> Study:
    """Write results.json, results.npz and report.html into a study's folder."""
    results = analyse(run.path)
    return Study(run.path, results, write_study_page(run.path))


def _open(out: str | Path, model: LoadedModel, adapter: str | Path | None, seed: int, command: str) -> Run:
    about = model.described()
    weights = None
    if adapter:
        weights = digest_file(Path(adapter) / "adapter_model.safetensors")
    dtype, device = str(model.dtype).removeprefix("torch."), model.device.type
    identity = {
        "study": "represent",
        "model": about,
        "adapter": weights,
        "seed": seed,
        "dtype": dtype,
        "device": device,
    }
    return Run.open(
        out,
        identity,
        {
            "model": {"name": model.source.name, **about},
            "adapter": str(Path(adapter).resolve()) if adapter else None,
            "dtype": dtype,
            "device": device,
            "seed": seed,
            "command": command,
        },
    )


def _check_learning(
    model: LoadedModel, generate: GenerateSettings, train: TrainSettings, adapter: str | Path | None
) -> None:
    if adapter is not None:
        raise SettingsError(
            "placements are to be learnt over a model that reads through an adapter",
            expected="--learn with the untouched model, or --adapter without --learn",
            fix="omit one of the two",
        )
    if train.adapters != JOINT:
        raise SettingsError(
            f"adapters={train.adapters!r} for placements that are learnt",
            expected="joint: one adapter learns all edges of a placement",
            fix="omit --adapters",
        )
    protocols_for(generate)  # raises where one is not installed
    linear_layers(model.model, train.target_modules or None)  # raises where the model lacks one


def _read_reference(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        curve = {
            "model": str(held["model"]),
            "source": str(held.get("source", file.name)),
            "context_length": [int(n) for n in held["context_length"]],
            "accuracy": [float(a) for a in held["accuracy"]],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} cannot be read as a reference curve: {type(error).__name__}: {error}",
            expected="a JSON object with `model`, and the lists `context_length` and `accuracy` of equal length",
            fix="check the path given to --reference",
        ) from error
    if len(curve["context_length"]) != len(curve["accuracy"]):
        raise SettingsError(
            f"{file}: {len(curve['context_length'])} lengths and {len(curve['accuracy'])} accuracies",
            expected="two lists of equal length",
            fix="correct the file",
        )
    return curve
