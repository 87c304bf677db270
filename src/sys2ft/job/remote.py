"""What workers of a pool need for a run: the model by its name, adapters as bytes, a bank to train.

Each function named here is called in a worker; its inputs are sent there.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft import files
from sys2ft.errors import ModelError, StorageError
from sys2ft.evaluation import Answerer
from sys2ft.executors import Pool, PoolExecutor, Recipe
from sys2ft.generators import Context, EngineGenerator, Generator
from sys2ft.job.trained import Answering, adapter_folders, trained_settings
from sys2ft.models import LoadedModel, load_model
from sys2ft.runs import Display, Run, Unit
from sys2ft.training import AdapterJob, TrainSettings, learner_of, train

Files = Mapping[str, bytes]
"""Path below a folder -> content."""


def model_recipe(model: LoadedModel) -> Recipe:
    """How a worker loads a model: by its name, as the same numbers, and on its own device of the same kind."""
    numbers = {"dtype": str(model.dtype).removeprefix("torch."), "device": model.device.type}
    return Recipe("sys2ft.job.remote:load", {"name": model.source.name, "sha256": model.fingerprint, **numbers})


def load(name: str, sha256: str, dtype: str, device: str) -> LoadedModel:
    """The model called `name`. Raises ModelError unless its files are those that the process that asked has."""
    model = load_model(name, dtype=dtype, device=device)
    if model.fingerprint != sha256:
        raise ModelError(
            f"the model {name} on this worker has the SHA-256 {model.fingerprint[:12]}..., that of the process that "
            f"asked {sha256[:12]}...",
            expected="the same weights on all machines",
            fix="copy the model to a folder that all machines share, and give its path",
        )
    return model


def writing(pool: Pool, writer: Generator | LoadedModel, rows_at_once: int) -> PoolExecutor | None:
    """The executor of units of generation; None if what writes is not a model of this package's engine."""
    model = writer.model if isinstance(writer, EngineGenerator) else writer
    if not isinstance(model, LoadedModel):
        return None
    return PoolExecutor(
        pool, Recipe("sys2ft.job.remote:author", {"rows_at_once": rows_at_once}, base=model_recipe(model))
    )


def author(model: LoadedModel, rows_at_once: int) -> Context:
    """The context of units of generation."""
    return Context(EngineGenerator(model, rows_at_once=rows_at_once))


@dataclass(frozen=True)
class _Answering(Answerer):
    def close(self) -> None:
        if self.bank is not None:
            self.bank.close()


def answering_at(pool: Pool, run: Run, model: LoadedModel, who: Answering) -> PoolExecutor:
    """The executor of units that ask a subject: the base, or a trained protocol, whose adapters travel as bytes."""
    folder = adapter_folders(run, who.name)
    saved = [read_all(folder / adapter) for adapter in who.adapters]
    settings = trained_settings(run, who.name) if saved else None
    return PoolExecutor(
        pool, Recipe("sys2ft.job.remote:answerer", {"saved": saved, "settings": settings}, base=model_recipe(model))
    )


def answerer(model: LoadedModel, saved: Sequence[Files], settings: TrainSettings | None) -> Answerer:
    """The context of units of evaluation: the model with a bank of the saved adapters, or without one."""
    if settings is None or not saved:
        return Answerer(model)
    learner = learner_of(settings)
    bank = learner.bank(model.model, len(saved))
    for slot, own in enumerate(saved):
        with tempfile.TemporaryDirectory() as folder:
            write_all(Path(folder), own)
            learner.load(bank, slot, Path(folder))
    return _Answering(model, bank)


Banked = tuple[list[AdapterJob], Path, int]
"""The jobs of a bank, the place of its checkpoint, and the number of its portion."""


def trained_at(pool: Pool, model: LoadedModel, banks: Iterable[Banked], show: Display) -> Iterator[Banked]:
    """Train each bank in a worker; yield them in order.

    The checkpoint then holds the finished training, which `training.train` only reads. One that is there travels to
    the worker.
    """
    given = deque[Banked]()

    def units() -> Iterator[Unit]:
        for bank in banks:
            given.append(bank)
            inputs = {"jobs": tuple(bank[0]), "kept": read_all(bank[1])}
            yield Unit(key=f"training/{bank[1].name}", function="sys2ft.job.remote:train_bank", inputs=inputs)

    with show.task("train (banks)", None) as advance:
        for result in pool.map(units(), model_recipe(model)):
            bank = given.popleft()
            with files.atomic_folder(bank[1]) as folder:
                write_all(folder, result["kept"])
            advance(1)
            yield bank


def train_bank(model: LoadedModel, jobs: Sequence[AdapterJob], kept: Files) -> dict[str, Any]:
    """Train the jobs of a bank to the end; return the files of the last checkpoint."""
    with tempfile.TemporaryDirectory(prefix="sys2ft-") as folder:
        place = Path(folder) / "checkpoint"
        write_all(place, kept)
        train(model, jobs, checkpoint=place).bank.close()
        if len(list(place.glob("done-*.safetensors"))) < len(jobs):  # `train` keeps its result if only this fails
            raise StorageError(f"the disk of this worker is full: {place} holds no finished training")
        return {"kept": read_all(place)}


def read_all(folder: Path) -> dict[str, bytes]:
    """The files below a folder, which need not exist."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def write_all(folder: Path, contents: Files) -> None:
    """Write files below a folder."""
    for name, content in contents.items():
        files.write_bytes(folder / name, content)
