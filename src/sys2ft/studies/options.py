"""What a cell can vary: its own options, and every setting of generation, training and evaluation, by name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.generators import is_local
from sys2ft.models import DEFAULT_MODEL
from sys2ft.replay import GenerateSettings, RehearsalSettings
from sys2ft.replay.settings import BUDGETS
from sys2ft.training import TrainSettings

Shown = Literal["nothing", "news", "paraphrase", "other"]
Layout = Literal["elements", "document", "pieces", "abstract"]
Updating = Literal["training", "merging"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What decides a cell besides the settings of generation, training and evaluation."""

    model: str = DEFAULT_MODEL
    """Model that learns."""
    generator: str = ""
    """Local model that writes the elements; empty: the one that learns."""
    news: str = "new-news"
    """News file, or the name of a bundled set."""
    take: int = 0
    """Number of news items, spread evenly over the set; 0: all."""
    protocol: str = "mixed"
    """Protocol by which elements are generated."""
    seed: int = 0
    """Seed of generation and training."""
    elements: int = 0
    """Only the first elements of each news item, so many; 0: all that the budget allows."""
    written: str = ""
    """JSON Lines file (`news_id`, `text`) of texts that others wrote about the news items, in place of generation."""
    shown: Shown = "nothing"
    """What precedes the prompt of every element in training: nothing, its news item, a paraphrase of it, or another
    news item."""
    layout: Layout = "elements"
    """How the texts are cut into training samples. 'elements': one each. 'document': the news item and then all
    elements as one text. 'pieces': the same texts, one sample each. 'abstract': the news item alone."""
    updates: int = 1
    """Number of updates in which the news items arrive, one after the other, into one adapter."""
    updating: Updating = "training"
    """How an update gets in: by training the adapter on, or by merging one of its own into it, as in a ledger: it is
    trained alone, without rehearsal, and its update of the weights is added to that of the adapter so far."""

    def __post_init__(self) -> None:
        counts = {"take": self.take, "elements": self.elements, "updates": self.updates - 1}
        wrong = [f"{name}={getattr(self, name)}" for name, value in counts.items() if value < 0]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected="take and elements at least 0, updates at least 1",
                fix="correct the study",
            )


_OWNERS = (Options, GenerateSettings, TrainSettings, EvaluateSettings, RehearsalSettings)
Resolved = tuple[Options, GenerateSettings, TrainSettings, EvaluateSettings, RehearsalSettings]
# Set by the study itself, not by a cell, or without an effect on one: sets of retention are measures.
_NOT_VARIED = {"protocols", "scorings", "controls", "implied_facts", "retention", "retention_tokens", "max_drop"}


@lru_cache(maxsize=1)
def option_types() -> dict[str, tuple[type, TypeAdapter[Any]]]:
    """Name -> the class that has it and the check of its values, of everything that a cell can vary."""
    found: dict[str, tuple[type, TypeAdapter[Any]]] = {}
    for owner in _OWNERS:
        hints = get_type_hints(owner)
        for field in fields(owner):
            if field.name not in _NOT_VARIED:
                plain = hints[field.name] in (int, float, str, bool)
                config = ConfigDict(arbitrary_types_allowed=True) if not plain else None
                found[field.name] = (owner, TypeAdapter(hints[field.name], config=config))
    return found


def checked(name: str, value: Any, where: str) -> Any:
    """The value of an option, with its type. Raises SettingsError for an unknown option or a wrong value.

    `where` names the place of the value, the option among it. A number in quotes counts as a number: YAML reads 1e-3,
    which has no point, as text.
    """
    types = option_types()
    if name not in types:
        near = get_close_matches(name, types, n=1)
        raise SettingsError(
            f"{where} is not an option of a cell",
            expected="an option that `sys2ft study options` lists, or for an axis labels with such options",
            fix=f"did you mean {near[0]}?" if near else "correct the name, or remove it",
        )
    try:
        return types[name][1].validate_python(value)
    except ValidationError as error:
        raise SettingsError(f"{where}: {value!r}", expected=allowed(name), fix="correct the value") from error


def allowed(name: str) -> str:
    """What the values of an option may be, in words."""
    return _in_words(get_type_hints(option_types()[name][0])[name])


def _in_words(hint: Any) -> str:
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    if hint in plain:
        return plain[hint]
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return " or ".join(filter(None, [", ".join(map(str, parts[:-1])), str(parts[-1])]))
    if get_origin(hint) is tuple:
        (inner,) = {_in_words(one) for one in parts if one is not ...}
        return "a list of texts" if inner == "a text" else f"a list of {inner}"
    return " or ".join(map(_in_words, parts)) if parts else str(hint)


@lru_cache(maxsize=1)
def meanings() -> dict[str, str]:
    """What each option means: the text below its field."""
    found = {}
    for owner in _OWNERS:
        (made,) = ast.parse(inspect.getsource(owner)).body
        for one, text in pairwise(cast(ast.ClassDef, made).body):
            if isinstance(one, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[cast(ast.Name, one.target).id] = " ".join(str(text.value.value).split())
    return found


def resolved(given: Mapping[str, Any], where: str) -> Resolved:
    """The options of a cell as settings. Raises SettingsError, which begins with `where`, for what cannot be."""
    values: dict[type, dict[str, Any]] = {owner: {} for owner in _OWNERS}
    for name, value in given.items():
        values[option_types()[name][0]][name] = value
    protocol = values[Options].get("protocol", Options.__dataclass_fields__["protocol"].default)
    values[GenerateSettings]["protocols"] = (protocol,)
    values[EvaluateSettings]["controls"] = ("none",)
    headline = values[EvaluateSettings].get("headline", "cloze")
    values[EvaluateSettings] |= {"headline": headline, "scorings": (headline,)}
    if protocol != "mixed":
        values[GenerateSettings].pop("mix", None)
    try:
        made = tuple(owner(**own) for owner, own in values.items())
    except SettingsError as error:
        raise SettingsError(f"{where}: {error.found}", expected=error.expected, fix=error.fix) from error
    options, generate, train, evaluate, rehearsal = made
    _require_sense(options, generate, train, where)
    return options, generate, train, evaluate, rehearsal


def _require_sense(options: Options, generate: GenerateSettings, train: TrainSettings, where: str) -> None:
    """Raise SettingsError for options that contradict each other."""
    other = options.generator not in ("", options.model)
    contradictions = {
        "updates go into one adapter, and adapters='per-news'": options.updates > 1 and train.adapters != "joint",
        "updating='merging' without updates": options.updating == "merging" and options.updates == 1,
        f"a budget in {generate.budget[0]}, which is counted by the model that learns, and another generator": (
            other and generate.budget[0] != BUDGETS[0]
        ),
        "a generator that is no local model": bool(options.generator) and not is_local(options.generator),
        "texts that others wrote, and a generator": bool(options.written and options.generator),
        "a prompt that shows something, and samples without prompts of their own": (
            options.shown != "nothing" and options.layout != "elements"
        ),
    }
    wrong = [what for what, so in contradictions.items() if so]
    if wrong:
        raise SettingsError(
            f"{where}: {'; '.join(wrong)}",
            expected="options that go together",
            fix="change one of them, or leave the cell out with `without`",
        )
