"""The examples of docs/extending.md run, each in seconds on a tiny model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

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
    assert "facts/ferry/0000" in said
    assert " kept " in said


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
