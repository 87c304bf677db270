"""What runs in a worker: it makes the context that units need, keeps it, and computes one unit after another."""

from __future__ import annotations

import contextlib
import os
import platform
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pickle import dumps
from typing import Any

from sys2ft import errors
from sys2ft.errors import StorageError, Sys2ftError, UserError
from sys2ft.runs import provenance
from sys2ft.runs.units import Unit


@dataclass(frozen=True)
class Recipe:
    """How a worker makes the context of units: a function, its inputs, and the context on which it stands.

    `function` ('package.module:name') is called as `function(base, **inputs)`, or `function(**inputs)` without a base.
    The inputs are picklable and may hold bytes, such as saved adapters. A worker keeps the contexts of its last recipe,
    so recipes on the same base share, say, the loaded model. A context with a method `close` is closed when it goes.
    """

    function: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    base: Recipe | None = None

    @cached_property
    def key(self) -> str:
        """A digest of everything that decides the context."""
        above = self.base.key if self.base else ""
        return sha256(dumps((above, self.function, sorted(self.inputs.items())))).hexdigest()

    @property
    def chain(self) -> list[Recipe]:
        """The recipes from the lowest base to this one."""
        return [*(self.base.chain if self.base else []), self]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a worker says about a unit: its result, or why there is none."""

    result: dict[str, Any] | None = None
    error: str = ""
    """Name of the error's class; empty: none."""
    found: str = ""
    expected: str | None = None
    fix: str | None = None
    again: bool = False
    """Whether another attempt, by this worker or another, may succeed: memory ran out, or the disk is full."""

    @classmethod
    def of(cls, error: BaseException) -> Reply:
        """The reply that describes an error."""
        short = errors.out_of_memory(error) or isinstance(error, errors.MemoryShortage)
        again = short or isinstance(error, StorageError)
        name = "MemoryShortage" if short else type(error).__name__
        if isinstance(error, Sys2ftError):
            return cls(error=name, found=error.found, expected=error.expected, fix=error.fix, again=again)
        if short:
            return cls(error=name, found=f"memory ran out: {error}", again=True)
        return cls(error=name, found="".join(traceback.format_exception(error)).strip())

    def raised(self, where: str) -> Sys2ftError:
        """The error to raise for it in the process that asked."""
        kind = getattr(errors, self.error, Sys2ftError)
        if isinstance(kind, type) and issubclass(kind, UserError):
            return kind(self.found, expected=self.expected, fix=self.fix)
        kind = kind if isinstance(kind, type) and issubclass(kind, Sys2ftError) else Sys2ftError
        return kind(f"{where}: {self.found}", expected=self.expected, fix=self.fix)


class Worker:
    """Computes units, each with the context of a recipe."""

    def __init__(self) -> None:
        self._held: list[tuple[str, Any]] = []  # key and context of the last recipe's chain

    @staticmethod
    def about() -> dict[str, str]:
        """Who this worker is: versions, host and process."""
        versions = provenance.versions()
        return {
            "sys2ft": str(versions["sys2ft"]),
            "torch": str(versions["torch"]).partition("+")[0],
            "host": platform.node(),
            "process": str(os.getpid()),
        }

    def compute(self, unit: Unit, key: str, recipe: Callable[[], Recipe]) -> Reply:
        """The reply to a unit. `recipe` is fetched only if the context with this key is not held."""
        try:
            if not self._held or self._held[-1][0] != key:
                self._make(recipe())
            return Reply(result=unit.compute(self._held[-1][1]))
        except Exception as error:
            reply = Reply.of(error)
            if reply.again:
                error.__traceback__ = error.__cause__ = error.__context__ = None  # its frames hold what fills memory
                self.forget()
            return reply

    def _make(self, recipe: Recipe) -> None:
        chain = recipe.chain
        same = 0
        while same < min(len(chain), len(self._held)) and self._held[same][0] == chain[same].key:
            same += 1
        self.forget(same)
        for step in chain[same:]:
            module, _, name = step.function.partition(":")
            below = [self._held[-1][1]] if self._held else []
            self._held.append((step.key, getattr(import_module(module), name)(*below, **step.inputs)))

    def forget(self, but: int = 0) -> None:
        """Close and drop the contexts above the lowest `but`."""
        while len(self._held) > but:
            _, context = self._held.pop()
            with contextlib.suppress(AttributeError):
                context.close()
