"""Experiment trackers: hands losses, learning rates, yields and scores of a run to TensorBoard, Trackio or W&B.

Each is used by its own library's API and stores where that library does: TensorBoard in the run folder, Trackio and W&B
where their environment variables say. A resumed run repeats steps; `trackers/<name>.json` in the run folder says up to
which step each curve was handed over, so that no step is logged twice. It is written before the values are handed over:
a process that is killed between the two loses at most a second of a tracker's curve, which the run folder still has.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sys2ft.errors import SettingsError
from sys2ft.files import read_json, write_json
from sys2ft.runs.progress import Display

PROJECT = "sys2ft"
"""Name of the project in Trackio and W&B."""
_EVERY = 1.0  # seconds between two deliveries


class Tracker(Protocol):
    """Receives values under names such as 'train/mixed/joint/loss'."""

    def log(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        """Log the values of a curve at a step."""

    def close(self) -> None:
        """Deliver what is still held back."""


class _TensorBoard:
    def __init__(self, folder: Path, name: str, run_id: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def log(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{curve}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    def __init__(self, folder: Path, name: str, run_id: str) -> None:
        import trackio

        self._run: Any = trackio.init(project=PROJECT, name=f"{name}-{run_id}", resume="allow", embed=False)

    def log(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({f"{curve}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


class _Wandb:
    def __init__(self, folder: Path, name: str, run_id: str) -> None:
        import wandb

        settings = wandb.Settings(console="off")  # what is printed belongs to the command
        self._run: Any = wandb.init(
            project=PROJECT, name=name, id=run_id, resume="allow", dir=str(folder), settings=settings
        )
        self._curves: set[str] = set()

    def log(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        # A run has one counter of steps for all curves, which begin and end at different times: each has its own.
        if curve not in self._curves:
            self._run.define_metric(f"{curve}/*", step_metric=f"{curve}/step")
            self._curves.add(curve)
        self._run.log({f"{curve}/step": step, **{f"{curve}/{name}": value for name, value in values.items()}})

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, tuple[str, Callable[[Path, str, str], Tracker]]] = {
    "tensorboard": ("torch.utils.tensorboard", _TensorBoard),
    "trackio": ("trackio", _Trackio),
    "wandb": ("wandb", _Wandb),
}
"""By name: the module that the tracker needs, and what makes it. The name is also that of the extra."""


def require_tracker(name: str) -> None:
    """Raise SettingsError for an unknown tracker, and for one whose library is not installed. '' is none."""
    if not name:
        return
    if name not in TRACKERS:
        raise SettingsError(f"log_to={name!r}", expected=f"one of {', '.join(TRACKERS)}", fix="correct --log-to")
    try:
        import_module(TRACKERS[name][0])
    except ImportError as error:
        raise SettingsError(
            f"log_to={name!r}, and its library cannot be imported: {error}",
            expected=f"the package {name}",
            fix=f"pip install 'sys2ft[{name}]'",
        ) from error


@contextmanager
def tracked(show: Display, name: str, folder: Path) -> Iterator[None]:
    """While the block runs, the tracker `name` receives what `show` measures; '' is none.

    `folder` is the run folder. Raises SettingsError if the tracker cannot be opened.
    """
    require_tracker(name)
    if not name:
        yield
        return
    delivery = _Delivery(name, folder)
    before, show.listener = show.listener, delivery
    try:
        yield
    finally:
        show.listener = before
        delivery.close()


class _Delivery:
    """Hands each step of a curve to a tracker once, also over several processes."""

    def __init__(self, name: str, folder: Path) -> None:
        self._file = folder / "trackers" / f"{name}.json"
        self._state: dict[str, Any] = {"id": uuid.uuid4().hex[:8], "steps": {}}
        with suppress(FileNotFoundError):
            self._state = read_json(self._file)
        self._waiting: list[tuple[str, int, dict[str, float]]] = []
        self._delivered = time.monotonic()
        try:
            self._tracker = TRACKERS[name][1](folder, folder.resolve().name, self._state["id"])
        except Exception as error:  # another package's code: no login, no network, a folder that is not writable
            raise SettingsError(
                f"log_to={name!r}, which cannot be opened: {type(error).__name__}: {error}",
                expected=f"{name} set up as its own documentation says",
                fix="set WANDB_MODE=offline or run `wandb login`" if name == "wandb" else "leave out --log-to",
            ) from error
        write_json(self._file, self._state)

    def __call__(self, curve: str, step: int, values: Mapping[str, float]) -> None:
        if step <= self._state["steps"].get(curve, -1):
            return
        self._state["steps"][curve] = step
        self._waiting.append((curve, step, dict(values)))
        if time.monotonic() - self._delivered >= _EVERY:
            self._deliver()

    def _deliver(self) -> None:
        write_json(self._file, self._state)
        for row in self._waiting:
            self._tracker.log(*row)
        self._waiting = []
        self._delivered = time.monotonic()

    def close(self) -> None:
        """Deliver what waits, and close the tracker."""
        try:
            if self._waiting:
                self._deliver()
        finally:
            self._tracker.close()
