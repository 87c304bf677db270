"""The schedule of training that a budget in FLOP is counted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sys2ft.errors import SettingsError
from sys2ft.replay import Schedule
from sys2ft.runs import Run, read_json
from sys2ft.training import TrainSettings


def schedule_of(settings: TrainSettings | None) -> Schedule:
    """What a budget in FLOP depends on of the settings of a training; None: the default ones."""
    settings = settings or TrainSettings()
    return Schedule(epochs=settings.epochs, batch_size=settings.batch_size)


def require_schedule(run: Run, protocols: Sequence[str], settings: TrainSettings) -> None:
    """Raise SettingsError where the budget of the elements was counted for another schedule of training."""
    for name in protocols:
        file = run.path / "replay" / f"{name}.yield.json"
        counted = read_json(file).get("budget", {}).get("schedule") if file.is_file() else None
        if counted and counted != asdict(schedule_of(settings)):
            raise SettingsError(
                f"epochs={settings.epochs:g}, batch_size={settings.batch_size}, and elements of {name} within a budget "
                f"in FLOP for epochs={counted['epochs']:g}, batch_size={counted['batch_size']}",
                expected="the training that the budget was counted for",
                fix=f"give --epochs {counted['epochs']:g} --batch-size {counted['batch_size']}, or generate again in "
                "this folder with the same settings and the new epochs and batch size",
            )
