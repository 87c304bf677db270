"""A study: a question, and the grid of cells that answers it; read from YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from sys2ft.errors import SettingsError
from sys2ft.models import DEFAULT_MODEL
from sys2ft.studies.cells import Cell
from sys2ft.studies.checks import check
from sys2ft.studies.drawn import Figure
from sys2ft.studies.labels import BASE, label_of, short, twice
from sys2ft.studies.options import checked

Axis = Mapping[str, Mapping[str, Any]]
"""Label of a value -> the options that it sets."""
MODELS: Axis = {"models": {}}
"""An axis that has the models of the study as its values, whichever these are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """A comparison of the values of one axis, all other axes being the same."""

    axis: str = ""
    """Axis whose values are compared; empty: every cell with the base."""
    to: str = BASE
    """The value that the others are compared with, or 'base'."""
    measure: str = "closed_book"
    of: str = ""
    """Measure of what is compared with; empty: the same. 'in_context' with the base: is learning as good as reading?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A study as its file states it."""

    name: str
    asks: str
    source: str = ""
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    news: str = "new-news"
    take: int = 0
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Options that all cells share."""
    vary: Mapping[str, Axis] = field(default_factory=dict)
    """Axes of the grid."""
    without: tuple[Mapping[str, str], ...] = ()
    """Combinations of values that are left out of the grid."""
    measures: tuple[str, ...] = ("closed_book", "in_context")
    steps: tuple[int, ...] = ()
    """Steps of training after which the measures are also taken."""
    compare: tuple[Compare, ...] = (Compare(),)
    """Comparisons, each of which becomes a sentence; the first is what the study is about."""
    figure: Figure = field(default_factory=Figure)
    by: tuple[str, ...] = ()
    """Questions are also tabulated by domain or by kind."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """Fields that `--small` replaces."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def axes(self) -> dict[str, Axis]:
        """The axes of the grid, the model first and the seed last."""
        own: dict[str, Axis] = {"model": {short(name): {"model": name} for name in self.models}}
        for axis, values in self.vary.items():
            own[axis] = values if values is not MODELS else {short(name): {axis: name} for name in self.models}
        return {**own, "seed": {str(seed): {"seed": seed} for seed in self.seeds}}

    @property
    def drawn(self) -> tuple[str, ...]:
        """What the figure shows."""
        return self.figure.measures or self.measures[:1]

    def cells(self) -> list[Cell]:
        """The cells of the grid, in the order of its axes, the seed last. Raises SettingsError for impossible ones."""
        made = []
        for at, given in self._grid():
            where = f"{self.name}, cell {', '.join(f'{axis}={label}' for axis, label in at.items())}"
            made.append(Cell.of(at, {**given}, measures=self.measures, steps=self.steps, where=where))
        if not made:
            raise SettingsError(
                f"{self.name}: `without` leaves no cell",
                expected="combinations of which some remain",
                fix="remove one of those that `without` lists",
            )
        keys = [cell.key for cell in made]
        count = Counter(keys)
        if len(count) < len(made):
            alike = [
                ", ".join(f"{axis}={label}" for axis, label in cell.at.items())
                for cell, key in zip(made, keys, strict=True)
                if count[key] > 1
            ]
            raise SettingsError(
                f"{self.name}: cells that are the same: {'; '.join(alike[:4])}",
                expected="axes whose values change something",
                fix="remove one of them",
            )
        return made

    def _grid(self) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        own = self.axes
        shared = {"news": self.news, "take": self.take, **self.settings}
        for labels in product(*own.values()):
            at = dict(zip(own, labels, strict=True))
            if any(all(at.get(axis) == label for axis, label in out.items()) for out in self.without):
                continue
            chosen: dict[str, Any] = {}
            for axis, label in at.items():
                chosen |= own[axis][label]
            yield at, {**shared, **chosen}

    def smaller(self) -> Study:
        """The study at its `--small` size. Raises SettingsError if it states none."""
        if not self.small:
            raise SettingsError(
                f"{self.name} states no small size", expected="a field `small` in its file", fix="leave out --small"
            )
        return changed(self, self.small, f"{self.name}, small")

    @property
    def compared(self) -> int:
        """The number of comparisons among which Holm's method adjusts those of the first one."""
        first = self.compare[0] if self.compare else Compare()
        if first.axis:
            return max(1, len(self.axes[first.axis]) - (first.to != BASE))
        return len({cell.setting for cell in self.cells()}) // len(self.models) or 1

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON data."""
        return asdict(self)


def changed(study: Study, changes: Mapping[str, Any], where: str) -> Study:
    """The study with other values of some fields. `settings` are added to; everything else is replaced.

    Combinations in `without` whose values the grid no longer has are dropped.
    """
    read = _read(changes, where, complete=False)
    if "settings" in read:
        read["settings"] = {**study.settings, **read["settings"]}
    if "without" in read:
        return replace(study, **read)
    new = replace(study, **read, without=())
    axes = new.axes
    kept = [out for out in study.without if all(label in axes.get(axis, ()) for axis, label in out.items())]
    return replace(new, without=tuple(kept))


class _Unique(yaml.SafeLoader):
    """The safe loader, which refuses a name that is there twice: one of the values would not count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if double := twice(names):
            place = [key.start_mark for key, _ in node.value if key.value == double][1]
            raise yaml.constructor.ConstructorError(None, None, f"{double!r} is there twice", place)
        return super().construct_mapping(node, deep=deep)


def parse_study(text: str, source: str) -> Study:
    """The study in the text of a YAML file; errors name `source`."""
    try:
        found = yaml.load(text, _Unique)
    except yaml.YAMLError as error:
        mark, why = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"{source} cannot be read as YAML{place}: {' '.join(why.split())}",
            expected="a study, such as `sys2ft study new STUDY.yaml` writes",
            fix="correct the file there",
        ) from error
    if not isinstance(found, Mapping):
        raise SettingsError(
            f"{source} has no fields",
            expected="a study, such as `sys2ft study new STUDY.yaml` writes",
            fix="correct the file",
        )
    return Study(**_read(found, source, complete=True))


def study_names() -> list[str]:
    """Names of the bundled studies."""
    own = files("sys2ft.studies").joinpath("bundled")
    return sorted(one.name.removesuffix(".yaml") for one in own.iterdir() if one.name.endswith(".yaml"))


def study_text(name: str) -> str:
    """The YAML of a bundled study."""
    return files("sys2ft.studies").joinpath("bundled").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def template_text() -> str:
    """A short study with comments, to begin from."""
    return files("sys2ft.studies").joinpath("template.yaml").read_text(encoding="utf-8")


def load_study(name: str) -> Study:
    """A bundled study by its name, or the study in a file. Raises SettingsError if there is neither."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            return parse_study(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{path} cannot be read: {error}", expected="a YAML file in UTF-8", fix="check the path"
            ) from error
    if name not in study_names():
        near = get_close_matches(name, study_names(), n=1)
        raise SettingsError(
            f"there is no study {name!r}",
            expected=f"a YAML file, or one of {', '.join(study_names())}",
            fix=f"did you mean {near[0]}?" if near else "correct the name",
        )
    return parse_study(study_text(name), f"study {name}")


def _read(given: Mapping[str, Any], where: str, *, complete: bool) -> dict[str, Any]:
    """The fields of a study with their types. Raises SettingsError for unknown, missing and wrong ones."""
    known = [one.name for one in fields(Study)]
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            raise SettingsError(
                f"{where}: {name!r} is not a field of a study",
                expected=f"some of {', '.join(known)}",
                fix=f"did you mean {near[0]}?" if near else "an option that all cells share goes into `settings`",
            )
    missing = [name for name in ("name", "asks") if complete and not given.get(name)]
    if missing:
        raise SettingsError(f"{where}: no {' and no '.join(missing)}", expected="a name and a question", fix="add them")
    return {name: _field(name, value, f"{where}: {name}") for name, value in given.items()}


def _field(name: str, value: Any, where: str) -> Any:
    if name in ("models", "measures", "by"):
        return tuple(_text(one, where) for one in _list(value, where))
    if name in ("seeds", "steps"):
        return tuple(checked("seed", one, where) for one in _list(value, where))
    if name in ("news", "take"):
        return checked(name, value, where)
    if name == "settings":
        return {str(key): checked(str(key), one, f"{where}: {key}") for key, one in _mapping(value, where).items()}
    if name == "vary":
        return {str(axis): _axis(str(axis), own, f"{where}: {axis}") for axis, own in _mapping(value, where).items()}
    if name == "without":
        return tuple({str(k): str(v) for k, v in _mapping(one, where).items()} for one in _list(value, where))
    if name == "figure":
        return _record(Figure, _mapping(value, where), where)
    if name == "compare":
        given = value if isinstance(value, list) else [value]
        return tuple(_record(Compare, _mapping(one, where), where) for one in given)
    if name == "small":
        _read(_mapping(value, where), where, complete=False)
        return dict(value)
    return _text(value, where)


def _axis(axis: str, given: Any, where: str) -> Axis:
    """An axis: a list of values of the option of that name, or labels with the options that each sets."""
    if given == "models" and axis == "generator":
        return MODELS
    if isinstance(given, Mapping):
        return {
            str(label): {
                str(key): checked(str(key), one, f"{where}: {label}: {key}")
                for key, one in _mapping(own, f"{where}: {label}").items()
            }
            for label, own in given.items()
        }
    values = [checked(axis, one, where) for one in _list(given, where, "a list of values, or labels with options")]
    labels = [label_of(axis, value) for value in values]
    if double := twice(labels):
        raise SettingsError(f"{where}: {double} is there twice", expected="different values", fix="remove one of them")
    return {label: {axis: value} for label, value in zip(labels, values, strict=True)}


def _record(kind: type[Any], given: Mapping[str, Any], where: str) -> Any:
    known = [one.name for one in fields(kind)]
    odd = [str(name) for name in given if name not in known]
    if odd:
        raise SettingsError(
            f"{where}: {', '.join(map(repr, odd))}", expected=f"some of {', '.join(known)}", fix="correct the name"
        )
    read = {name: tuple(map(str, one)) if isinstance(one, list) else str(one) for name, one in given.items()}
    if isinstance(alone := read.get("measures"), str):
        read["measures"] = (alone,)
    return kind(**read)


def _list(value: Any, where: str, expected: str = "a list with at least one value") -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise SettingsError(f"{where}: {value!r}", expected=expected, fix="write [value, value]")
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}: {value!r}", expected="names with values", fix="write `name: value` lines")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise SettingsError(f"{where}: {value!r}", expected="a text", fix="correct the value")
    return " ".join(str(value).split())
