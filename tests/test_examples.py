"""The examples of docs/extending.md run, each in seconds on a tiny model."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import runpy
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sys2ft import plugins
from sys2ft.errors import NewsError
from sys2ft.evaluation import graders
from sys2ft.generators import open_generator
from sys2ft.models import load_model
from sys2ft.news import News, news_from_dict, schema
from sys2ft.replay import REASONS, protocol
from sys2ft.training import TrainSettings, learner_of, objective_of

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run_example(name: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the example prints."""
    monkeypatch.setattr(sys, "argv", [name, "--model", str(model)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_the_protocol_builds_elements_of_listed_facts(
    talking_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_example("protocol.py", talking_model_dir, monkeypatch, capsys)
    lines = said.splitlines()
    assert lines[0].startswith("facts/ferry/0000 ") and lines[-1].startswith("kept ")
    assert {line.split()[1] for line in lines[:-1]} <= {"kept", *REASONS}


def test_the_generator_writes_replay_data(
    talking_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_example("generator.py", talking_model_dir, monkeypatch, capsys)
    assert "paraphrase/ferry/0000" in said
    assert len(said.splitlines()) >= 3


def test_the_grader_judges_estimates(
    talking_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_example("grader.py", talking_model_dir, monkeypatch, capsys)
    assert "closed_book" in said and "in_context" in said
    assert "'About 42 people.': Grade(correct=True" in said
    assert "'Forty-five': Grade(correct=False" in said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("objective.py", ["cross_entropy", "label_smoothing"]),
        ("learner.py", ["losses", "the same weights"]),
        ("jobs.py", ["4 adapters in one bank of 4 slots", "ferry asked of ferry", "ferry asked of tower"]),
        pytest.param("executor.py", ["cloze-00000", "letter-00000", "4 predictions, the same"], marks=pytest.mark.slow),
        ("probe.py", ["closed_book", "in_context", "A friend wants to know: How many"]),
        ("cell.py", ["naive", "2 elements, 1 adapters", "in_context"]),
    ],
)
def test_an_example_of_a_seam(
    name: str,
    expected: list[str],
    talking_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = run_example(name, talking_model_dir, monkeypatch, capsys)
    for fragment in expected:
        assert fragment in said


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a package with the example's grader were installed."""

    class Entry:
        name = "roughly"

        def load(self) -> Any:
            return runpy.run_path(str(EXAMPLES / "grader.py"))["roughly"]

    plain = importlib.metadata.entry_points

    def entry_points(**how: Any) -> list[Any]:
        return [*plain(**how), *([Entry()] if how.get("group") == "sys2ft.graders" else [])]

    caches = (schema.grader_names, graders.grader)
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


# The package that docs/extending.md describes -----------------------------------------------------------------------

PAGE = (EXAMPLES.parent / "docs" / "extending.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ENTRIES = re.findall(r'entry-points."(.+)"\]\n +(\w+) = "(.+)"', PAGE)


@pytest.fixture
def my_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples as modules of a package called `my_package`."""
    monkeypatch.setitem(sys.modules, "my_package", types.ModuleType("my_package"))
    for name in ("protocol", "generator", "grader", "objective", "learner"):
        module = types.ModuleType(f"my_package.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"), module.__dict__)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0])
def test_the_entry_points_of_the_page_load(
    entry: tuple[str, str, str], my_package: None, monkeypatch: pytest.MonkeyPatch, talking_model_dir: Path
) -> None:
    group, name, value = entry
    plain = importlib.metadata.entry_points
    mine = importlib.metadata.EntryPoint(name, value, group)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **how: [*plain(**how), *([mine] if how["group"] == group else [])]
    )
    if group == plugins.GRADERS:
        assert callable(plugins.load_plugin(group, name))
    elif group == plugins.GENERATORS:
        assert open_generator(f"{name}:{talking_model_dir}").identity.startswith("transformers:")
    else:
        find = {
            plugins.PROTOCOLS: protocol,
            plugins.OBJECTIVES: lambda name: objective_of(TrainSettings(objective=name)),
            plugins.LEARNERS: lambda name: learner_of(TrainSettings(learner=name)),
        }
        assert find[group](name).name == name


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_of_the_page_run(number: int, my_package: None, talking_model_dir: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(SNIPPETS[number].replace("smollm2-135m-instruct", str(talking_model_dir)), names)
    for name, test in list(names.items()):
        if name.startswith("test_"):
            test(*([tmp_path] if "tmp_path" in inspect.signature(test).parameters else []))
    if "train_on" in names:
        script: dict[str, Any] = {}
        exec(next(text for text in SNIPPETS if "class Script" in text), script)
        said = (f"The ferry takes {word} people." for word in ("forty", "about 40", "some 40", "40") * 40)
        model = load_model(str(talking_model_dir), dtype="float32", device="cpu")
        news = [News(id="ferry", text="The ferry carries 40 people.")]
        training = names["train_on"](script["Script"](*said), model, news)
        training.bank.close()
        assert list(training.slots) == ["paraphrase/ferry"]


def test_the_page_has_entry_points_and_snippets() -> None:
    assert {group for group, _, _ in ENTRIES} == {
        plugins.PROTOCOLS, plugins.GRADERS, plugins.OBJECTIVES, plugins.LEARNERS, plugins.GENERATORS,
    }  # fmt: skip
    assert len(SNIPPETS) >= 7


# Graders in a news file -------------------------------------------------------------------------------------------


def row(grader: Any) -> dict[str, Any]:
    question = {"question": "How many?", "answer": "40", "grader": grader}
    return {"id": "a", "news": "There are 40.", "questions": [question]}


def test_a_news_file_may_name_an_installed_grader(installed: None) -> None:
    question = news_from_dict(row("roughly")).questions[0]
    assert graders.grade("About 42.", question).correct is True
    assert graders.grade("About 52.", question).correct is False
    with pytest.raises(NewsError, match="exact, alias, number, roughly") as caught:
        news_from_dict(row("rouhgly"))
    assert "'roughly'" in str(caught.value)


@pytest.mark.parametrize("grader", ["roughly", 3, None, ["exact"]])
def test_another_grader_is_refused(grader: Any) -> None:
    with pytest.raises(NewsError, match="exact, alias, number"):
        news_from_dict(row(grader))
