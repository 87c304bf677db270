"""Units of work: named, listable, with plain inputs; executors that compute them; memos that keep their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a unit needs: tokens read or sampled, floating-point operations, and peak memory (bytes) besides the model.

    Exact where the inputs decide it, an estimate where a model decides how much it says.
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
    """A piece of work that can be counted before it is done, and done anywhere.

    `function` ('package.module:name') is called as `function(context, **inputs)` and returns a JSON object. `inputs`
    are plain data (what JSON holds), so that they can be sent to another process; `context` holds what cannot be sent,
    such as the loaded model, and belongs to the executor. The result must depend on the inputs and on what the context
    was loaded from, and on nothing else.
    """

    key: str
    """Path of the result below the run folder, without '.json'."""
    function: str
    inputs: Mapping[str, Any]
    needs: Needs = field(default_factory=Needs)

    def compute(self, context: Any) -> dict[str, Any]:
        """Call the function in this process."""
        module, _, name = self.function.partition(":")
        result: dict[str, Any] = getattr(import_module(module), name)(context, **self.inputs)
        return result


class Executor(Protocol):
    """Computes units: in this process (`LocalExecutor`), or where an implementation sends them."""

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        """Results in the order of `units`, each as soon as it and those before it are computed."""
        ...


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Computes one unit after the other in this process, each when its result is asked for."""

    context: Any

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        for unit in units:
            yield unit.compute(self.context)


class Memo(Protocol):
    """Keeps results of finished units under their keys. A `Run` is one; `NO_MEMO` keeps nothing."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The result kept under `key`, or None."""
        ...

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        """Keep `result` whole, and return it as a later `get` will."""
        ...


class _NoMemo:
    def get(self, key: str) -> dict[str, Any] | None:
        return None

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        return result


NO_MEMO: Memo = _NoMemo()


@dataclass(frozen=True, slots=True)
class Below:
    """The memo `memo`, with `folder` put before every key."""

    memo: Memo
    folder: str

    def get(self, key: str) -> dict[str, Any] | None:
        return self.memo.get(f"{self.folder}/{key}")

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        return self.memo.put(f"{self.folder}/{key}", result)


def memoise(memo: Memo, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result kept under `key`, computed first if there is none."""
    kept = memo.get(key)
    return memo.put(key, compute()) if kept is None else kept


def compute_units(units: Sequence[Unit], executor: Executor, memo: Memo) -> Iterator[tuple[dict[str, Any], bool]]:
    """The result of each unit, in order, and whether it was computed now rather than read from `memo`.

    Only this function writes results, so an executor's workers need no access to the run folder.
    """
    missing = [unit for unit in units if memo.get(unit.key) is None]
    computed = executor.map(missing)
    to_compute = {unit.key for unit in missing}
    for unit in units:
        if unit.key in to_compute:
            yield memo.put(unit.key, next(computed)), True
        else:
            kept = memo.get(unit.key)
            assert kept is not None
            yield kept, False
