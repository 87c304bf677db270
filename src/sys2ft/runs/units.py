"""Units of work with plain inputs, executors that compute them, and memos that store their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sys2ft import files
from sys2ft.files import digest
from sys2ft.runs.stops import current_stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Resources a unit needs: tokens read or sampled, FLOP, and peak memory besides the model (bytes).

    Exact if the inputs determine them; an estimate if they depend on how much the model generates.
    """

    tokens: int = 0
    flop: float = 0.0
    memory: int = 0

    def __add__(self, other: Needs) -> Needs:
        return Needs(
            tokens=self.tokens + other.tokens, flop=self.flop + other.flop, memory=max(self.memory, other.memory)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A piece of work that can be counted in advance and computed in any process.

    `function` ('package.module:name') is called as `function(context, **inputs)` and returns a JSON object. `inputs`
    are JSON data, so that they can be sent to another process. `context` belongs to the executor and holds what cannot
    be sent, such as the loaded model. The result must depend only on the inputs, on `decided_by` and on what the run
    folder's identity describes (the model's files, number format and device).
    """

    key: str
    """Name of the unit: its place in the run folder, for people and error messages."""
    function: str
    inputs: Mapping[str, Any]
    decided_by: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the result: JSON data, such as the generator's identity or the version of the graders."""
    needs: Needs = field(default_factory=Needs)

    @property
    def path(self) -> str:
        """Where the result is stored, relative to the run folder and without '.json'.

        It ends in a digest of everything that decides the result, so a result is never read for other inputs.
        """
        return f"{self.key}-{digest([self.function, self.inputs, self.decided_by])[:12]}"

    def compute(self, context: Any) -> dict[str, Any]:
        """Call the function in this process."""
        module, _, name = self.function.partition(":")
        result: dict[str, Any] = getattr(import_module(module), name)(context, **self.inputs)
        return result


class Executor(Protocol):
    """Computes units, in this process (`LocalExecutor`) or elsewhere."""

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        """Yield the results in the order of `units`, each as soon as it and all earlier ones are computed."""
        ...


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Computes units sequentially in this process, each when its result is requested."""

    context: Any

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        for unit in units:
            yield unit.compute(self.context)


class Memo(Protocol):
    """Stores the results of finished units by key. A `Run` is a memo; `NO_MEMO` stores nothing."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The result stored under `key`, or None."""
        ...

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        """Store `result` atomically, and return it as a later `get` will."""
        ...


class _NoMemo:
    def get(self, key: str) -> dict[str, Any] | None:
        return None

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        return result


NO_MEMO: Memo = _NoMemo()


@dataclass(frozen=True, slots=True)
class FolderMemo:
    """Results as JSON files below a folder."""

    path: Path

    def get(self, key: str) -> dict[str, Any] | None:
        """The result stored under `key`, or None. Raises SettingsError if its file is damaged."""
        file = self.path / f"{key}.json"
        if not file.is_file():
            return None
        with files.damage_named(file, "delete it and give the same command again: it is computed anew"):
            result: dict[str, Any] = files.read_json(file)
            if not isinstance(result, dict):
                raise TypeError(f"{type(result).__name__} in place of an object")
        return result

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        file = self.path / f"{key}.json"
        files.write_json(file, result)
        # Read back because a resumed run reads it too: both must continue from the same values.
        unit: dict[str, Any] = files.read_json(file)
        return unit


@dataclass(frozen=True, slots=True)
class Below:
    """The memo `memo` with every key prefixed by `folder/`."""

    memo: Memo
    folder: str

    def get(self, key: str) -> dict[str, Any] | None:
        return self.memo.get(f"{self.folder}/{key}")

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        return self.memo.put(f"{self.folder}/{key}", result)


def memoise(memo: Memo, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result stored under `key`; computed and stored first if there is none, unless a stop is requested."""
    kept = memo.get(key)
    if kept is not None:
        return kept
    current_stop().check()
    return memo.put(key, compute())


def compute_units(units: Sequence[Unit], executor: Executor, memo: Memo) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the result of each unit, in order, and whether it was computed now rather than read from `memo`.

    Results are written here, so an executor's workers need no access to the run folder. Raises Stopped before the next
    unit if that was requested (see `runs.stops`).
    """
    stop = current_stop()
    paths = [unit.path for unit in units]
    kept = {path: result for path in paths if (result := memo.get(path)) is not None}
    computed = executor.map([unit for unit, path in zip(units, paths, strict=True) if path not in kept])
    for path in paths:
        if path in kept:
            yield kept[path], False
        else:
            stop.check()
            yield memo.put(path, next(computed)), True
