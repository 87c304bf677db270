"""Checkpoints of a training: a killed one goes on from its last to the same weights.

Adapters that are done are written once, each to a file of its own. Those that train are written together with all that
is counted, after a whole round. Those that wait follow from the seed.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sys2ft.engine import SlotAdamW
from sys2ft.engine.adapters.checkpoint import Part, State, write_state
from sys2ft.engine.trees.loss import StepCost
from sys2ft.errors import SettingsError
from sys2ft.runs import digest
from sys2ft.training.adapter import Adapter
from sys2ft.training.settings import FREE, TrainSettings

if TYPE_CHECKING:
    from sys2ft.training.loop import Training

_COUNTED = ("curve", "ended", "kept_epochs", "adapters_at_once", "halved", "seconds")
_COSTS = ("cost", "scored")


class Checkpoint:
    """The checkpoint of one training in `folder`."""

    def __init__(
        self,
        folder: Path,
        training: Training,
        adapters: list[Adapter],
        optimiser: SlotAdamW,
        settings: TrainSettings,
        seed: int,
    ) -> None:
        self.folder, self.training, self.adapters, self.optimiser = folder, training, adapters, optimiser
        fixed = {name: value for name, value in asdict(settings).items() if name not in FREE}
        elements = [[a.name, [[[*e.ids], [*e.loss_mask]] for e in (*a.examples, *a.held)]] for a in adapters]
        self._of = digest([training.bank.size, fixed, seed, elements])
        """What the checkpoint belongs to."""

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete what `save` wrote."""
        shutil.rmtree(folder, ignore_errors=True)

    def _done(self, adapter: Adapter) -> Path:
        return self.folder / f"done-{adapter.slot:05d}.safetensors"

    def save(self, active: list[Adapter]) -> None:
        """Write the state between two rounds; `active` train, what is neither that nor done waits."""
        done = [adapter for adapter in self.adapters if adapter.done]
        weights_KP = self.training.bank.weights_KP
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
        training = self.training
        record = {
            "of": self._of,
            "counted": {name: getattr(training, name) for name in _COUNTED},
            "costs": {name: asdict(getattr(training, name)) for name in _COSTS},
            "adapters": [[a.slot, a.record()] for a in [*done, *active]],
            "steps": [[a.slot, int(self.optimiser.steps[a.slot])] for a in active],
        }
        write_state(self.folder / "state.safetensors", tensors, record)

    def load(self) -> list[Adapter]:
        """Take up the state in the folder, if there is one, and return the adapters that train."""
        file = self.folder / "state.safetensors"
        if not file.is_file():
            for stray in self.folder.glob("done-*"):  # of a training that was killed before it wrote its first state
                stray.unlink()
            return []
        state = State(file)
        if state.record["of"] != self._of:
            raise SettingsError(
                f"{self.folder} holds the checkpoint of another training",
                expected="the same adapters, elements, seed and settings",
                do="give those, or delete that folder to begin again",
            )
        for name, value in state.record["counted"].items():
            setattr(self.training, name, value)
        for name, value in state.record["costs"].items():
            setattr(self.training, name, StepCost(**value))
        steps = dict(state.record["steps"])
        weights_KP = self.training.bank.weights_KP
        active = []
        for slot, record in state.record["adapters"]:
            adapter = self.adapters[slot]
            adapter.take_up(record)
            if adapter.done:
                weights_KP[slot].copy_(State(self._done(adapter))["weights"])
                continue
            weights_KP[slot].copy_(state[f"{slot}.weights"])
            self.optimiser.load_state(slot, state[f"{slot}.moments"].to(weights_KP.device), steps[slot])
            if adapter.held:
                adapter.best_P = state[f"{slot}.best"].to(weights_KP.device)
            active.append(adapter)
        return active
