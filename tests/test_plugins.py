"""Extensions of other packages: one that does not work is named, with the reason."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sys2ft.engine import CROSS_ENTROPY, CrossEntropy, LoRA
from sys2ft.errors import SettingsError
from sys2ft.evaluation import graders
from sys2ft.evaluation.graders import Grade
from sys2ft.news import Question, schema
from sys2ft.plugins import GRADERS, LEARNERS, OBJECTIVES, PROTOCOLS, plugin_names
from sys2ft.replay import Protocol, protocol
from sys2ft.training import TrainSettings, learner_of, objective_of


def graded(name: str) -> Grade:
    graders.grader(name)
    return graders.grade("40", Question(text="How many?", answer="40", grader=name))


FIND: dict[str, Callable[[str], Any]] = {
    PROTOCOLS: protocol,
    GRADERS: graded,
    OBJECTIVES: lambda name: objective_of(TrainSettings(objective=name)),
    LEARNERS: lambda name: learner_of(TrainSettings(learner=name)),
}
MADE = [PROTOCOLS, OBJECTIVES, LEARNERS]  # a grader is the function itself
KINDS = {PROTOCOLS: "protocol", GRADERS: "grader", OBJECTIVES: "objective", LEARNERS: "learner"}
PACKAGE = "a_package_of_tests"


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    caches = (schema.grader_names, graders.grader)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """As if a package whose entry point `mine` names `function` were installed; None: one that is not there."""

    def installed(group: str, function: Any = None) -> None:
        module = types.ModuleType(PACKAGE)
        if function:
            module.function = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, PACKAGE, module)
        entry = EntryPoint("mine", f"{PACKAGE}:function", group)
        plain = importlib.metadata.entry_points

        def entry_points(**how: Any) -> list[EntryPoint]:
            return [*plain(**how), *([entry] if how.get("group") == group else [])]

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return installed


def failure(group: str, name: str = "mine") -> str:
    with pytest.raises(SettingsError) as caught:
        FIND[group](name)
    return str(caught.value)


def fails(*arguments: Any) -> Any:
    raise KeyError("gone")


@pytest.mark.parametrize("group", FIND)
def test_an_unknown_name_lists_the_installed_ones(group: str, install: Callable[..., None]) -> None:
    install(group, fails)
    said = failure(group, "mien")
    assert f"unknown {KINDS[group]} 'mien'" in said
    names = [*schema.GRADERS, "mine"] if group == GRADERS else plugin_names(group)
    assert "mine" in names
    for name in names:
        assert name in said


@pytest.mark.parametrize("group", FIND)
def test_an_entry_point_that_cannot_be_imported(group: str, install: Callable[..., None]) -> None:
    install(group)
    said = failure(group)
    assert f"the {KINDS[group]} 'mine'" in said
    assert f"'{PACKAGE}:function' cannot be imported: AttributeError" in said


@pytest.mark.parametrize("group", FIND)
def test_a_function_that_raises(group: str, install: Callable[..., None]) -> None:
    install(group, fails)
    said = failure(group)
    assert f"the {KINDS[group]} 'mine'" in said
    assert "KeyError: 'gone'" in said


@pytest.mark.parametrize("group", MADE)
@pytest.mark.parametrize("returned", [None, object(), 3, CrossEntropy], ids=["None", "object", "number", "class"])
def test_a_function_that_returns_another_kind(group: str, returned: Any, install: Callable[..., None]) -> None:
    install(group, lambda *arguments: returned)
    said = failure(group)
    assert f"the {KINDS[group]} 'mine': its function returned" in said
    assert "whose name is 'mine'" in said


def test_an_object_of_the_right_name_but_another_kind(install: Callable[..., None]) -> None:
    class Mine(CrossEntropy):
        name = "mine"

    install(OBJECTIVES, lambda settings: Mine)
    assert "its function returned" in failure(OBJECTIVES)
    install(LEARNERS, lambda settings: Mine())
    assert "size, bank, save, load" in failure(LEARNERS)


@pytest.mark.parametrize(
    ("group", "made"),
    [
        (PROTOCOLS, Protocol(name="other", version=1, cues=("Well?",))),
        (OBJECTIVES, CROSS_ENTROPY),
        (LEARNERS, LoRA(rank=1, alpha=1.0)),
    ],
    ids=MADE,
)
def test_an_object_of_another_name(group: str, made: Any, install: Callable[..., None]) -> None:
    install(group, lambda *arguments: made)
    assert f"its function returned {made.name!r}" in failure(group)


@pytest.mark.parametrize("returned", [True, None, "correct"], ids=repr)
def test_a_grader_returns_a_grade(returned: Any, install: Callable[..., None]) -> None:
    install(GRADERS, lambda said, question: returned)
    said = failure(GRADERS)
    assert "the grader 'mine'" in said and "'How many?'" in said
    assert f"{returned!r} and not a Grade" in said


def test_one_that_works(install: Callable[..., None]) -> None:
    class Mine(CrossEntropy):
        name = "mine"

    install(GRADERS, lambda said, question: Grade(said == question.answer, "same"))
    assert FIND[GRADERS]("mine") == Grade(True, "same")
    install(OBJECTIVES, lambda settings: Mine())
    assert FIND[OBJECTIVES]("mine").name == "mine"
