"""The documents, carried out: the example in getting-started, and the files of a run folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from sys2ft.cli.study import with_action
from sys2ft.models import load_model
from talking import write_news_file
from tools import commands

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.mark.slow
def test_the_stages_work_as_getting_started_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "getting-started.md").read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "training.bank.close()" in block)
    monkeypatch.chdir(tmp_path)
    write_news_file(tmp_path / "news.jsonl")
    names: dict[str, Any] = {}
    exec(example.replace("smollm2-135m-instruct", str(tiny_model_dir)), names)
    assert {row.subject for row in names["predictions"]} == {"naive"}
    assert len({row.adapter for row in names["predictions"]}) == len(names["news"])


def shell_lines(page: Path) -> list[str]:
    """Lines of a page's code that call sys2ft, with their continuations, without comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(" #")[0] for line in re.findall(r"^(?: {4,}|\$ )?(sys2ft .*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_the_commands_of_the_documents_exist(page: Path) -> None:
    known = set(commands.names())
    for line in shell_lines(page):
        words = tuple(with_action(line.split()[1:]))
        if not words or words[0].startswith("-"):
            continue
        command = words[:2] if words[:2] in known else words[:1]
        assert command in known, line
        flags = re.findall(r"(?<!\S)--[\w-]+", line)
        assert [flag for flag in flags if flag not in commands.help_text(command)] == [], line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, talking_model_dir: Path) -> Path:
    news = write_news_file(tmp_path_factory.mktemp("news") / "news.jsonl")
    result = sys2ft.run(
        news,
        model=load_model(str(talking_model_dir), dtype="float32", device="cpu"),
        out=tmp_path_factory.mktemp("run") / "run",
        generate=sys2ft.GenerateSettings(protocols=("naive", "self_qa"), samples_per_news=4, max_new_tokens=24),
        train=sys2ft.TrainSettings(epochs=1, rank=2, alpha=4),
        evaluate=sys2ft.EvaluateSettings(direct_tokens=8, reasoned_tokens=16),
    )
    return result.folder


def documented() -> list[tuple[re.Pattern[str], str]]:
    """(pattern of a path, contents) of each row of the tables of run-folder.md."""
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", (DOCS / "run-folder.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [(re.compile("[^/]+".join(map(re.escape, re.split(r"<[^>]+>", path)))), text) for path, text in rows]


def records(file: Path) -> Iterator[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    yield from map(json.loads, text.splitlines() if file.suffix == ".jsonl" else [text])


@pytest.mark.slow
def test_the_run_folder_page_names_every_file_and_field(folder: Path) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        texts = [text for pattern, text in documented() if pattern.match(path)]
        assert texts, f"{path}: not in docs/run-folder.md"
        by_news = file.name in {"withheld.json", "leaks.json"}
        own = path.count("/") < 2 and not by_news and file.suffix in {".json", ".jsonl"}
        for record in records(file) if own else ():
            assert [field for field in record if f"`{field}`" not in " ".join(texts)] == [], path
