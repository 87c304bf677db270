"""A YAML file of flags, `sys2ft.yaml`: reads it, and turns it into the words of a command line.

Its keys are the names of the command's flags, with hyphens or underscores, and of its arguments; the values are what
would follow them. A flag on the command line wins over the file. Any command can be given a file in this way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import yaml
from tyro.conf import Positional

from sys2ft.errors import SettingsError
from sys2ft.terminal import print

DEFAULT_FILE = Path("sys2ft.yaml")
_FLAG = "--config"
_POSITIONAL = get_args(Positional[str])[1]


@dataclass(frozen=True, slots=True)
class _Flag:
    """How a field of a command is given on the command line."""

    positional: bool
    switch: bool
    several: bool


def with_config(words: Sequence[str], commands: Mapping[str, type]) -> list[str]:
    """The words of a command line with the flags of the file that `--config` names, or of `./sys2ft.yaml` without any.

    `commands`: the commands that read a file, by name, and their classes. Raises SettingsError that names the file and
    the key for a file that cannot be used.
    """
    words = list(words)
    if not words or words[0] not in commands or {"--help", "-h"} & {*words}:
        return words
    known = dict(_flags(commands[words[0]]))
    file, rest = _taken(words[1:])
    if file is None:
        if rest or not DEFAULT_FILE.is_file():
            return words
        file = DEFAULT_FILE
    values = _read(file, known)
    print(f"settings of {file}", file=sys.stderr, flush=True)
    arguments = [] if _has_arguments(rest, known) else _arguments(values, known)
    first = next((place for place, word in enumerate(rest) if word.startswith("--")), len(rest))
    # A flag that takes several words ends at the next flag, and not before an argument.
    return [words[0], *arguments, *rest[:first], *_as_words(values, known), *rest[first:]]


def _flags(kind: type) -> Iterator[tuple[str, _Flag]]:
    """The flags of a command by the names of their fields; those of its settings classes are flags of the command."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, marks = hints[field.name], list[Any]()
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _flags(hint)
        else:
            yield field.name, _Flag(_POSITIONAL in marks, hint is bool, get_origin(hint) is tuple)


def _taken(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file that `--config` names, if it is given, and the other words."""
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == _FLAG and place + 1 < len(words):
            return Path(words[place + 1]), [*words[:place], *words[place + 2 :]]
        if word.startswith(f"{_FLAG}="):
            return Path(word.partition("=")[2]), [*words[:place], *words[place + 1 :]]
    return None, list(words)


def _read(file: Path, known: Mapping[str, _Flag]) -> dict[str, Any]:
    """The values of a file by the names of fields. Raises SettingsError."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise SettingsError(
            f"{file} cannot be read: {why}", expected="a YAML file in UTF-8", fix="correct it, or --config"
        ) from error
    if not isinstance(found, dict):
        raise SettingsError(
            f"{file} holds {'nothing' if found is None else type(found).__name__}",
            expected="a mapping of flags to values, such as `model: smollm2-135m-instruct`",
            fix="correct the file",
        )
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = str(key).removeprefix("--").replace("-", "_")
        if name not in known or name == "config":
            names = [one.replace("_", "-") for one in known if one != "config"]
            near = get_close_matches(name.replace("_", "-"), names, n=1)
            raise SettingsError(
                f"{file}: the key {key!r}",
                expected="the name of a flag of the command",
                fix=f"did you mean {near[0]}?" if near else "see the command's --help",
            )
        if name in values:
            raise SettingsError(f"{file}: the key {key!r} twice", expected="each once", fix="remove one of them")
        values[name] = _checked(file, str(key), value, known[name])
    return values


def _checked(file: Path, key: str, value: Any, flag: _Flag) -> Any:
    several = isinstance(value, list)
    parts = value if several else [value]
    if flag.switch != isinstance(value, bool) or any(isinstance(one, bool | dict | list) for one in parts if several):
        expected, fix = ("true or false", "correct it") if flag.switch else ("a text or a number", "quote it")
        raise SettingsError(f"{file}, {key}: {value!r}", expected=expected, fix=fix)
    if isinstance(value, dict) or (several and not flag.several):
        raise SettingsError(f"{file}, {key}: {value!r}", expected="one value", fix="correct it")
    return value


def _has_arguments(words: Sequence[str], known: Mapping[str, _Flag]) -> bool:
    """Whether a word belongs to no flag."""
    open_for = 0
    for place, word in enumerate(words):
        if word == "--":
            return place + 1 < len(words)
        if word.startswith("--"):
            name, equals, _ = word.removeprefix("--").partition("=")
            flag = known.get(name.replace("-", "_"))
            open_for = 0 if equals or flag is None or flag.switch else len(words) if flag.several else 1
        elif not open_for:
            return True
        else:
            open_for -= 1
    return False


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _arguments(values: Mapping[str, Any], known: Mapping[str, _Flag]) -> list[str]:
    return [word for name, value in values.items() if known[name].positional for word in _listed(value)]


def _as_words(values: Mapping[str, Any], known: Mapping[str, _Flag]) -> list[str]:
    made: list[str] = []
    for name, value in values.items():
        flag, word = known[name], name.replace("_", "-")
        if flag.positional:
            continue
        if flag.switch:
            made.append(f"--{word}" if value else f"--no-{word}")
        elif flag.several:
            made += [f"--{word}", *_listed(value)]
        else:
            made.append(f"--{word}={value}")
    return made
