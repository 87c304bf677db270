"""`sys2ft run` on what it is given: documents, tables, addresses; questions where there are none; what it says last."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from displays import Notes
from sys2ft.cli.main import call
from sys2ft.errors import NewsError, SettingsError
from sys2ft.job import fitted, given, out_of, plan
from sys2ft.job.given import is_news, probe_folder
from sys2ft.models import LoadedModel
from sys2ft.news import News, bundled_names, read_news
from sys2ft.news.importers import ImportSettings
from sys2ft.runs import Run, read_json
from talking import NEWS, write_news_file
from test_cli import SMALL
from test_import_web import Server
from test_probing import LOOSE

ROOT = Path(__file__).resolve().parent.parent
BARE = [News(id=row["id"], domain=row["domain"], text=row["news"]) for row in NEWS]
QUICK: dict[str, Any] = {
    "generate": sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=2),
    "train": sys2ft.TrainSettings(epochs=1, rank=4, alpha=8),
    "evaluate": sys2ft.EvaluateSettings(scorings=("cloze",)),
}


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_news_file(tmp_path / "news.jsonl")
    (tmp_path / "notes.md").write_text("# Town\n\nThe town has 12 people.\n\n# Sea\n\nThe sea has 67 fish.\n")
    (tmp_path / "table.csv").write_text("text,question,answer\nA town of 12 people.,How many people?,12\n")
    squad = [{"context": "A system of 67 people.", "question": "How many?", "answers": {"text": ["67"]}}]
    (tmp_path / "squad.jsonl").write_text(json.dumps(squad[0]) + "\n")
    (tmp_path / "squad.json").write_text(json.dumps(squad, indent=1))
    (tmp_path / "rows.json").write_text(json.dumps({"data": [{"text": "A town of 12 people."}]}))
    (tmp_path / "news.json").write_text("[" + json.dumps(NEWS[0]) + "]")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "news"),
    [
        *((name, True) for name in bundled_names()),
        *(("news.jsonl", True), ("news.json", True), ("nowhere.jsonl", True), ("nowhere", True), ("a.yaml", True)),
        *(("squad.jsonl", False), ("squad.json", False), ("rows.json", False), ("table.csv", False)),
        *(("notes.md", False), (".", False), ("https://example.org/news.jsonl", False), ("nowhere.pdf", False)),
    ],
)
def test_a_news_file_is_told_from_what_is_imported(source: str, news: bool, folder: Path) -> None:
    assert is_news(source) == news


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("examples/harbour.pdf", "harbour"),
        ("wiki/", "wiki"),
        ("https://example.org/a/page.html?x=1", "page"),
        ("https://example.org/", "example.org"),
    ],
)
def test_a_run_is_named_after_its_first_source(source: str, name: str) -> None:
    assert out_of([source, "other"]) == Path("sys2ft-runs") / name


def test_documents_are_imported_once(folder: Path) -> None:
    out = folder / "runs" / "notes"
    first = given(["notes.md", "table.csv"], out, ImportSettings())
    assert first.summary is not None and first.imported is not None and first.asked
    assert read_news(first.imported) == first.news
    again = given(["notes.md", "table.csv"], out, ImportSettings())
    assert again.news == first.news and again.summary is None, "the second import is that of the first"
    (folder / "notes.md").write_text("# Town\n\nThe town has 13 people.\n")
    changed = given(["notes.md", "table.csv"], out, ImportSettings())
    assert changed.news != first.news, "nothing has begun yet, so what has changed is imported again"
    Run.open(out, {"news": "x"})
    (folder / "notes.md").write_text("# Town\n\nThe town has 14 people.\n")
    with pytest.raises(SettingsError, match=r"notes\.md has changed"):
        given(["notes.md", "table.csv"], out, ImportSettings())
    with pytest.raises(SettingsError, match="max_tokens was 512, now 64"):
        given(["notes.md", "table.csv"], out, ImportSettings(max_tokens=64))
    assert read_news(changed.imported or "") == changed.news, "the run keeps what it was begun with"


def test_an_address_is_asked_once(folder: Path, server: Server) -> None:
    address = server.at("/page.md", "# Town\n\nThe town has 12 people.\n", "text/markdown")
    first = given([address], folder / "page", ImportSettings())
    server.at("/page.md", "# Town\n\nThe town has 99 people.\n", "text/markdown")
    assert given([address], folder / "page", ImportSettings()).news == first.news
    assert server.asked == ["/page.md"]


def test_the_evaluation_fits_what_is_given(folder: Path) -> None:
    plain = sys2ft.EvaluateSettings()
    own = given(["news.jsonl"], folder / "a", ImportSettings())
    assert fitted(plain, own) == (plain, []), "news items with questions are asked as it was set"
    squad = given(["squad.json"], folder / "b", ImportSettings())
    assert fitted(plain, squad)[0] == replace(plain, headline="direct", retention=("prose",))
    bare = given(["notes.md"], folder / "c", ImportSettings())
    evaluate, said = fitted(plain, bare)
    assert evaluate == replace(plain, retention=("prose",)) and "prose" in said[0]
    chosen = sys2ft.EvaluateSettings(retention=("mine=notes.md",))
    assert fitted(chosen, bare) == (chosen, [])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> tuple[Path, sys2ft.Result, list[str]]:
    """A run on news items without questions, the plan before it and what it said."""
    out, show = tmp_path_factory.mktemp("asked") / "run", Notes()
    before = plan(BARE, model=model, out=out, probe=LOOSE, seed=5, **QUICK)
    assert [(one.stage, bool(one.units)) for one in before] == [
        *(("probe", True), ("generate", False), ("train", True), ("evaluate", True), ("evaluate", True))
    ]
    assert not list(out.parent.iterdir()), "a plan writes nothing"
    result = sys2ft.run(BARE, model=model, out=out, probe=LOOSE, seed=5, show=show, **QUICK)
    return out, result, show.lines


def test_questions_are_written_where_there_are_none(asked: tuple[Path, sys2ft.Result, list[str]]) -> None:
    out, result, _ = asked
    written = read_news(out / "news.jsonl")
    questions = [question for item in written for question in item.questions]
    assert questions and all(question.selected and question.made_by for question in questions)
    assert (probe_folder(out) / "probes.jsonl").is_file()
    assert result.summary.block().n_questions == len(questions)
    assert len(result.adapters) == 1, "one adapter"


def test_the_same_command_reads_what_was_written(
    asked: tuple[Path, sys2ft.Result, list[str]], model: LoadedModel
) -> None:
    out = asked[0]
    left = plan(BARE, model=model, out=out, probe=LOOSE, seed=5, **QUICK)
    assert [one.units for one in left] == [0] * len(left)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    sys2ft.run(BARE, model=model, out=out, probe=LOOSE, seed=5, **QUICK)
    same = {path: path.read_bytes() for path in files}
    assert {p.name for p in files if same[p] != files[p]} <= {"report.html"}, "nothing is computed again"


def test_no_question_that_passes_is_said(model: LoadedModel, tmp_path: Path) -> None:
    nothing = replace(LOOSE, candidates=1, rounds=1, answer_tokens=1)
    with pytest.raises(NewsError, match=r"questions that .* wrote passed its checks") as caught:
        sys2ft.run(BARE[:1], model=model, out=tmp_path / "run", probe=nothing, seed=5, **QUICK)
    assert "larger model" in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_command_from_a_file_of_settings(
    folder: Path, talking_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sys2ft run` without arguments: settings of ./sys2ft.yaml, an import, a plan, one adapter and the verdict."""
    pytest.importorskip("tensorboard")
    words = iter(SMALL)
    settings: dict[str, Any] = {}
    for word in words:
        settings[word.removeprefix("--")] = next(words)
    settings |= {"sources": ["squad.json", "table.csv"], "model": str(talking_model_dir), "log_to": "tensorboard"}
    settings |= {"scorings": ["cloze", "direct"], "direct-tokens": 8, "quiet": False}
    (folder / "sys2ft.yaml").write_text(json.dumps(settings))
    assert call(["run"]) == 0
    said = capsys.readouterr()
    for fragment in ("settings of sys2ft.yaml", "imported: 2 news items, 2 questions", "what is left to do:"):
        assert fragment in said.err
    assert "--headline direct" in said.err and "in all, and" in said.err
    out = Path("sys2ft-runs/squad")
    lines = said.out.splitlines()
    assert f"adapter   {out / 'adapters' / 'naive' / 'joint'} (PEFT format)" in lines
    assert any(line.startswith("verdict   ") for line in lines)
    assert any(line.startswith("lost      Loss on prose") for line in lines)
    assert lines[-2:] == [f"next      sys2ft export {out} --to gguf", f"          sys2ft serve {out}"]
    steps = read_json(folder / out / "trackers" / "tensorboard.json")["steps"]
    assert {"train/naive/joint", "scores/base", "scores/naive"} <= steps.keys()
    assert read_json(folder / out / "run.json")["settings"]["evaluate"]["retention"] == ["prose"]
    assert call(["run", "--seed", "1"]) == 2, "arguments: the file is not read"
    assert "nothing to learn from" in capsys.readouterr().err
