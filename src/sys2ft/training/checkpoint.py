"""Training checkpoints: an interrupted training resumes from its last checkpoint and ends with the same weights.

Each finished adapter is written once, to its own file. Adapters in training are written to one file with all
counters, between rounds. Waiting adapters are not written: their initial weights are derived from the seed. The last
checkpoint holds the finished training, until its caller has written the results.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sys2ft.engine import SlotAdamW
from sys2ft.engine.adapters.checkpoint import Part, State, write_state
from sys2ft.errors import SettingsError
from sys2ft.files import digest_file
from sys2ft.runs import digest
from sys2ft.training.adapter import Adapter
from sys2ft.training.choices import files_named
from sys2ft.training.result import Training
from sys2ft.training.settings import FREE

_COUNTED = ("adapters_at_once", "halved")


class Checkpoint:
    """The checkpoint of one training in `folder`."""

    def __init__(self, folder: Path, training: Training, optimiser: SlotAdamW) -> None:
        self.folder, self.training, self.optimiser = folder, training, optimiser
        self._of = digest([training.bank.size, [_identity(adapter) for adapter in training.adapters]])
        """Digest of everything that decides the adapters' weights; a checkpoint with another digest is refused."""

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete what `save` wrote."""
        shutil.rmtree(folder, ignore_errors=True)

    def _done(self, adapter: Adapter) -> Path:
        return self.folder / f"done-{adapter.slot:05d}.safetensors"

    def save(self, active: list[Adapter]) -> None:
        """Write the state between two rounds. `active` are the adapters in training; the others are done or waiting."""
        training = self.training
        done = [adapter for adapter in training.adapters if adapter.done]
        weights_KP = training.bank.weights_KP
        size = weights_KP.shape[1]
        for adapter in done:
            if not self._done(adapter).is_file():
                weights: Part = (size,), partial(weights_KP.select, 0, adapter.slot)
                write_state(self._done(adapter), {"weights": weights}, None)
        tensors: dict[str, Part] = {}
        for adapter in active:
            slot, best_P = adapter.slot, adapter.best_P
            tensors[f"{slot}.weights"] = (size,), partial(weights_KP.select, 0, slot)
            tensors[f"{slot}.moments"] = (2, size), partial(self.optimiser.moments.read, slot)
            if best_P is not None:
                tensors[f"{slot}.best"] = (size,), best_P.detach
        kept = {a.slot for a in (*done, *active)}
        record = {
            "of": self._of,
            "counted": {name: getattr(training, name) for name in _COUNTED},
            "adapters": [[a.slot, a.slot in kept, a.state_dict()] for a in training.adapters],
            "steps": [[a.slot, int(self.optimiser.steps[a.slot])] for a in active],
        }
        write_state(self.folder / "state.safetensors", tensors, record)

    def load(self) -> list[Adapter]:
        """Load the state in the folder, if there is one, and return the adapters in training.

        Raises SettingsError if the checkpoint belongs to another training.
        """
        file = self.folder / "state.safetensors"
        if not file.is_file():
            for stray in self.folder.glob("done-*"):  # left by a training killed before its first state was written
                stray.unlink()
            return []
        state = State(file)
        if state.record["of"] != self._of:
            raise SettingsError(
                f"{self.folder} holds the checkpoint of another training",
                expected="the same adapters, elements, seeds and settings",
                fix="use those, or delete the folder to start again",
            )
        for name, value in state.record["counted"].items():
            setattr(self.training, name, value)
        steps = dict(state.record["steps"])
        weights_KP = self.training.bank.weights_KP
        active = []
        for slot, kept, values in state.record["adapters"]:
            adapter = self.training.adapters[slot]
            adapter.load_state(values)
            if not kept:
                continue
            if adapter.done:
                weights_KP[slot].copy_(State(self._done(adapter))["weights"])
                continue
            weights_KP[slot].copy_(state[f"{slot}.weights"])
            self.optimiser.load_state(slot, state[f"{slot}.moments"].to(weights_KP.device), steps[slot])
            if adapter.held:
                adapter.best_P = state[f"{slot}.best"].to(weights_KP.device)
            active.append(adapter)
        return active


def _identity(adapter: Adapter) -> list[Any]:
    """Everything that decides an adapter's weights."""
    fixed = {name: value for name, value in asdict(adapter.job.settings).items() if name not in FREE}
    every = (*adapter.examples, *adapter.held, *adapter.shown, *adapter.held_in_context)
    elements = [[[*e.ids], [*e.loss_mask]] for e in every]
    job = adapter.job
    fixed |= files_named(job.settings)
    start = {} if job.start is None else {file.name: digest_file(file) for file in sorted(job.start.iterdir())}
    return [job.group, job.name, job.seed, job.chosen_objective.name, job.chosen_learner.name, fixed, elements, start]
