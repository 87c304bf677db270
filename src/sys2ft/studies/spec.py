"""A study: a question, and the grid of cells that answers it; read from YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from sys2ft.errors import SettingsError
from sys2ft.files import FILE_NAME_RULE, is_file_name
from sys2ft.models import DEFAULT_MODEL
from sys2ft.studies.cells import Cell
from sys2ft.studies.drawn import Figure, problems_of
from sys2ft.studies.measures import known_measure, measure_names
from sys2ft.studies.options import checked

Axis = Mapping[str, Mapping[str, Any]]
"""Label of a value -> the options that it sets."""
MODELS: Axis = {"models": {}}
"""An axis that has the models of the study as its values, whichever these are."""
BASE = "base"
"""What a comparison can be with besides a value of its axis: the model before training."""
BY = ("domain", "kind")


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
    def drawn(self) -> tuple[str, ...]:
        """What the figure shows."""
        return self.figure.measures or self.measures[:1]

    def cells(self) -> list[Cell]:
        """The cells of the grid, in the order of its axes, the seed last. Raises SettingsError for impossible ones."""
        made = []
        for at, given in self._grid():
            where = f"{self.name}, cell {', '.join(f'{axis}={label}' for axis, label in at.items())}"
            made.append(Cell.of(at, {**given}, measures=self.measures, steps=self.steps, where=where))
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
        own: dict[str, Axis] = {"model": {short(name): {"model": name} for name in self.models}}
        for axis, values in self.vary.items():
            own[axis] = values if values is not MODELS else {short(name): {axis: name} for name in self.models}
        own["seed"] = {str(seed): {"seed": seed} for seed in self.seeds}
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
            values = len(self.models) if first.axis == "model" else len(self.vary.get(first.axis, ("",)))
            return max(1, values - (first.to != BASE))
        return len({cell.setting for cell in self.cells()}) // len(self.models) or 1

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON data."""
        return asdict(self)


def short(model: str) -> str:
    """The label of a model: the last part of its path, without the ending."""
    return Path(model).name.removesuffix(".gguf") if "/" in model or model.endswith(".gguf") else model


def changed(study: Study, changes: Mapping[str, Any], where: str) -> Study:
    """The study with other values of some fields. `settings` are added to; everything else is replaced."""
    read = _read(changes, where, complete=False)
    if "settings" in read:
        read["settings"] = {**study.settings, **read["settings"]}
    if "vary" in read and "without" not in read:
        read["without"] = tuple(
            out
            for out in study.without
            if all(axis in ("model", "seed") or label in read["vary"].get(axis, ()) for axis, label in out.items())
        )
    return replace(study, **read)


def parse_study(text: str, source: str) -> Study:
    """The study in the text of a YAML file; errors name `source`."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{source} is not YAML: {' '.join(str(error).split())}",
            expected="a study, such as `sys2ft study new STUDY.yaml` writes",
            fix="correct the file",
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
        return {str(key): checked(str(key), one, where) for key, one in _mapping(value, where).items()}
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
                str(key): checked(str(key), one, f"{where}: {label}") for key, one in _mapping(own, where).items()
            }
            for label, own in given.items()
        }
    values = [checked(axis, one, where) for one in _list(given, where)]
    labels = [_label(axis, value) for value in values]
    if twice := _twice(labels):
        raise SettingsError(f"{where}: {twice} is there twice", expected="different values", fix="remove one of them")
    return {label: {axis: value} for label, value in zip(labels, values, strict=True)}


def _twice(labels: Sequence[str]) -> str:
    return next((label for label, times in Counter(labels).items() if times > 1), "")


def _label(axis: str, value: Any) -> str:
    if axis in ("model", "generator"):
        return short(value) or "itself"
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value) or "all"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _record(kind: type[Any], given: Mapping[str, Any], where: str) -> Any:
    known = [one.name for one in fields(kind)]
    odd = [str(name) for name in given if name not in known]
    if odd:
        raise SettingsError(
            f"{where}: {', '.join(odd)}", expected=f"some of {', '.join(known)}", fix="correct the name"
        )
    read = {name: tuple(map(str, one)) if isinstance(one, list) else str(one) for name, one in given.items()}
    if isinstance(alone := read.get("measures"), str):
        read["measures"] = (alone,)
    return kind(**read)


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise SettingsError(
            f"{where}: {value!r}", expected="a list with at least one value", fix="write [value, value]"
        )
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}: {value!r}", expected="names with values", fix="write `name: value` lines")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise SettingsError(f"{where}: {value!r}", expected="a text", fix="correct the value")
    return " ".join(str(value).split())


def check(study: Study) -> None:
    """Raise SettingsError for a study whose parts do not fit each other."""
    where = f"study {study.name}"
    if not is_file_name(study.name):
        raise SettingsError(f"{where}: its name", expected=FILE_NAME_RULE, fix="choose another name")
    unknown = [name for name in study.measures if not known_measure(name)]
    if unknown or not study.measures:
        raise SettingsError(
            f"{where}: measures: {', '.join(unknown) or 'none'}",
            expected=f"some of {', '.join(measure_names())}",
            fix="correct the names",
        )
    axes = ("model", *study.vary, "seed")
    if "model" in study.vary or "seed" in study.vary:
        raise SettingsError(
            f"{where}: vary: model or seed",
            expected="models and seeds in fields of their own",
            fix="use `models`, `seeds`",
        )
    problems = problems_of(study.figure, study.vary, axes, study.measures)
    if twice := _twice([short(name) for name in study.models]):
        problems.append(f"models: several are called {twice}, so that their cells would have one name")
    for compare in study.compare:
        if compare.axis and compare.axis not in axes:
            problems.append(f"compare: axis {compare.axis!r} is not one of {', '.join(axes)}")
        values = [*study.vary.get(compare.axis, {}), *(map(short, study.models) if compare.axis == "model" else ())]
        if compare.to != BASE and compare.to not in values:
            problems.append(f"compare: to {compare.to!r} is not {BASE} nor a value of {compare.axis or 'an axis'}")
        problems += [
            f"compare: measure {name!r} is not one of the study's"
            for name in (compare.measure, compare.of)
            if name and name not in study.measures
        ]
    problems += [f"by: {name!r} is not one of {', '.join(BY)}" for name in study.by if name not in BY]
    problems += [
        f"without: {axis}={label} is no value of the grid"
        for out in study.without
        for axis, label in out.items()
        if label not in study.vary.get(axis, {}) and axis not in ("model", "seed")
    ]
    if problems:
        raise SettingsError(
            f"{where}: {'; '.join(problems)}", expected="parts that fit each other", fix="correct the study"
        )
