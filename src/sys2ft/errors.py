"""The errors a user can meet.

Every message says what was found, what was expected, and what to do. `cli` prints the message alone, without a
traceback, and exits with the class's `exit_code`; library callers catch the class.
"""

from __future__ import annotations


class Sys2ftError(Exception):
    """Base of every error this package raises on purpose: something outside the user's input failed."""

    exit_code = 1

    def __init__(self, found: str, *, expected: str | None = None, fix: str | None = None) -> None:
        self.found, self.expected, self.fix = found, expected, fix
        lines = [found]
        if expected:
            lines.append(f"expected: {expected}")
        if fix:
            lines.append(f"fix: {fix}")
        super().__init__("\n".join(lines))


class UserError(Sys2ftError, ValueError):
    """The input, a setting or a path is wrong, and the user can mend it."""

    exit_code = 2


class NewsError(UserError):
    """A news file that cannot be used as it stands."""


class ModelError(UserError):
    """A model that cannot be found, read or used."""


class SettingsError(UserError):
    """A setting that is not valid, or that contradicts the run folder it is used on."""


class StorageError(Sys2ftError):
    """Writing failed: disk full, folder not writable, file system gone."""


class MemoryShortage(Sys2ftError):
    """Memory ran out, and the engine had nothing left to make smaller."""


class LostUnit(Sys2ftError):
    """A unit of work that no worker of a pool could finish; the others are not concerned."""


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out."""
    # torch says so by a class of its own on CUDA, and in words on a CPU.
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def check_sampling(temperature: float, top_p: float, top_k: int) -> None:
    """Raise SettingsError unless temperature >= 0, 0 < top_p <= 1 and top_k >= 0."""
    if not (temperature >= 0 and 0 < top_p <= 1 and top_k >= 0):
        raise SettingsError(
            f"temperature={temperature}, top_p={top_p}, top_k={top_k}",
            expected="temperature at least 0, top_p above 0 and at most 1, top_k at least 0",
            fix="change the setting that is out of range",
        )
