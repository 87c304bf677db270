"""Extensions of other packages, found by entry point; one that does not work is named in the error."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from sys2ft.errors import SettingsError

PROTOCOLS = "sys2ft.protocols"
GRADERS = "sys2ft.graders"
OBJECTIVES = "sys2ft.objectives"
LEARNERS = "sys2ft.learners"
GENERATORS = "sys2ft.generators"
_KINDS = {
    PROTOCOLS: "protocol",
    GRADERS: "grader",
    OBJECTIVES: "objective",
    LEARNERS: "learner",
    GENERATORS: "kind of generator",
}


def plugin_names(group: str) -> list[str]:
    """Names of the installed extensions of a group, sorted."""
    return sorted({entry.name for entry in metadata.entry_points(group=group)})


def load_plugin(group: str, name: str, *, flag: str = "", known: Sequence[str] = ()) -> Any:
    """The object of the entry point `name`. `known`: the names to list in place of those of the entry points.

    Raises SettingsError that lists the installed names, or says what went wrong in the package that provides it.
    """
    kind = _KINDS[group]
    entries = {entry.name: entry for entry in metadata.entry_points(group=group)}
    if name not in entries:
        raise SettingsError(
            f"unknown {kind} {name!r}",
            expected=f"one of {', '.join(known or plugin_names(group))}",
            fix=f"correct {flag or 'the name'}, or install the package that provides it",
        )
    try:
        return entries[name].load()
    except Exception as error:  # another package's code may raise anything
        raise broken_plugin(group, name, f"{entries[name].value!r} cannot be imported", error) from error


def made_plugin(group: str, name: str, make: Any, *arguments: Any, kind: type | tuple[str, ...]) -> Any:
    """What the entry point's function `make` returns. Raises SettingsError unless it is one of `kind` called `name`.

    `kind` is a class, or the names of the methods that the object must have.
    """
    what = _KINDS[group]
    try:
        made = make(*arguments)
    except Exception as error:
        raise broken_plugin(group, name, "its function cannot be called", error) from error
    fits = isinstance(made, kind) if isinstance(kind, type) else has_methods(made, kind)
    if not fits or getattr(made, "name", None) != name:
        wanted = f"a {kind.__name__}" if isinstance(kind, type) else f"an object with {', '.join(kind)}"
        raise SettingsError(
            f"the {what} {name!r}: its function returned {getattr(made, 'name', made)!r}",
            expected=f"{wanted}, whose name is {name!r}",
            fix="correct the package that provides it",
        )
    return made


def has_methods(made: Any, methods: tuple[str, ...]) -> bool:
    """Whether `made` is an object, and not a class, with these methods."""
    return not isinstance(made, type) and all(callable(getattr(made, method, None)) for method in methods)


def broken_plugin(group: str, name: str, what: str, error: Exception) -> SettingsError:
    """The error for an extension whose own code failed."""
    return SettingsError(
        f"the {_KINDS[group]} {name!r} (entry point in {group!r}): {what}: {type(error).__name__}: {error}",
        expected="an importable function, as docs/extending.md describes",
        fix="correct the package that provides it, or uninstall it",
    )
