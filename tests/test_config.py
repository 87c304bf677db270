"""`sys2ft.yaml`: flags of a file, those of the command line before them; `sys2ft init`, which writes one."""

from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path

import pytest
import yaml

from sys2ft.cli.config import with_config
from sys2ft.cli.main import call
from sys2ft.cli.run import Run
from sys2ft.errors import SettingsError
from talking import write_news_file

FILE = """\
sources: [a.pdf, wiki]
model: org/name
samples-per-news: 8
protocols: [naive, mixed]
dry_run: true
quiet: false
max_drop: null
"""
FLAGS = [
    *("--model=org/name", "--samples-per-news=8", "--protocols", "naive", "mixed", "--dry-run", "--no-quiet"),
    "--max-drop=None",
]


def read(words: str, text: str = FILE, name: str = "sys2ft.yaml") -> list[str]:
    Path(name).write_text(text)
    return with_config(words.split(), {"run": Run})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("run", ["run", "a.pdf", "wiki", *FLAGS]),
        ("run --config sys2ft.yaml", ["run", "a.pdf", "wiki", *FLAGS]),
        ("run --config=sys2ft.yaml --seed 3", ["run", "a.pdf", "wiki", *FLAGS, "--seed", "3"]),
        ("run b.pdf --config sys2ft.yaml", ["run", "b.pdf", *FLAGS]),
        ("run --config sys2ft.yaml --seed 3 b.pdf", ["run", *FLAGS, "--seed", "3", "b.pdf"]),
        ("run --quiet b.pdf --config sys2ft.yaml", ["run", *FLAGS, "--quiet", "b.pdf"]),
        ("run --protocols naive --config sys2ft.yaml", ["run", "a.pdf", "wiki", *FLAGS, "--protocols", "naive"]),
        ("run b.pdf", ["run", "b.pdf"]),
        ("run --help", ["run", "--help"]),
        ("demo", ["demo"]),
    ],
)
def test_a_file_becomes_words(words: str, expected: list[str]) -> None:
    assert read(words) == expected


def test_the_command_line_wins(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the parser itself: the last of two flags counts, and a flag that takes several words ends in time."""
    write_news_file(Path("news.jsonl"))
    Path("sys2ft.yaml").write_text("sources: news.jsonl\nmodel: no-such-model\nprotocols: [naive]\nquiet: true\n")
    assert call(["run"]) == 2
    assert "no model called 'no-such-model'" in capsys.readouterr().err
    assert call(["run", "--config", "sys2ft.yaml", "--protocols", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert "unknown protocol 'nonsense'" in said and "settings of sys2ft.yaml" in said


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("samples_per_new: 8", ("sys2ft.yaml: the key 'samples_per_new'", "did you mean samples-per-news?")),
        ("config: a.yaml", ("the key 'config'", "see the command's --help")),
        ("seed: 1\n--seed: 2", ("the key '--seed' twice", "remove one")),
        ("quiet: 3", ("sys2ft.yaml, quiet: 3", "true or false")),
        ("model: no", ("sys2ft.yaml, model: False", "a text or a number", "quote it")),
        ("epochs: [1, 2]", ("sys2ft.yaml, epochs: [1, 2]", "one value")),
        ("protocols: {a: 1}", ("sys2ft.yaml, protocols", "one value")),
        ("- run", ("sys2ft.yaml holds list", "a mapping of flags to values")),
        ("", ("sys2ft.yaml holds nothing", "a mapping")),
        ("a: [", ("sys2ft.yaml cannot be read", "expected")),
    ],
)
def test_mistakes_in_the_file(text: str, fragments: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        read("run", text)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read: No such file"):
        with_config(["run", "--config", "none.yaml"], {"run": Run})


def answered(monkeypatch: pytest.MonkeyPatch, *answers: str) -> tuple[int, str]:
    """The exit code of `sys2ft init` on a terminal where these lines are typed, and what the screen shows."""
    leader, follower = pty.openpty()
    os.write(leader, "".join(f"{line}\n" for line in answers).encode())
    name = Path(os.ttyname(follower))
    with name.open(encoding="utf-8") as keys, name.open("w", encoding="utf-8") as screen, monkeypatch.context() as here:
        here.setattr(sys, "stdin", keys)
        here.setattr(sys, "stdout", screen)
        code = call(["init"])
    said = b""
    while select.select([leader], [], [], 0)[0]:
        said += os.read(leader, 4096)
    os.close(follower)
    os.close(leader)
    return code, said.decode()


def test_five_questions_make_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_news_file(Path("my news.jsonl"))
    code, said = answered(monkeypatch, "nowhere.pdf", "'my news.jsonl'", "no-such-model", "", "", "many", "8", "none")
    assert code == 0, said
    for fragment in ("no such file or folder: nowhere.pdf", "no model called 'no-such-model'", "give a number from 1"):
        assert fragment in said, "a wrong answer is asked again"
    assert "next: sys2ft run --dry-run" in said
    assert yaml.safe_load(Path("sys2ft.yaml").read_text()) == {
        "sources": ["my news.jsonl"],
        "model": "smollm2-135m-instruct",
        "out": "sys2ft-runs/my news",
        "samples-per-news": 8,
    }
    assert read_back() == ["run", "my news.jsonl", "--model=smollm2-135m-instruct", *OUT]
    before = Path("sys2ft.yaml").read_bytes()
    code, said = answered(monkeypatch, "")
    assert code == 0 and "sys2ft.yaml exists. Overwrite it?" in said and "left as it is" in said
    assert Path("sys2ft.yaml").read_bytes() == before


OUT = ["--out=sys2ft-runs/my news", "--samples-per-news=8"]


def read_back() -> list[str]:
    return with_config(["run"], {"run": Run})


def test_without_a_terminal_the_file_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["init"]) == 2
    said = capsys.readouterr().err
    for fragment in ("no terminal", "sources: [handbook.pdf, wiki/]", "write sys2ft.yaml, then: sys2ft run"):
        assert fragment in said
    assert not Path("sys2ft.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ("", ("nothing to learn from", "sys2ft init")),
        ("news.jsonl --protocols nonsense", ("unknown protocol 'nonsense'",)),
        ("news.jsonl --protocols naive --aim", ("aim, and protocols that cannot aim: naive", "leave out --aim")),
        ("news.jsonl --objective nonsense", ("unknown objective 'nonsense'",)),
        ("news.jsonl --learner nonsense", ("unknown learner 'nonsense'",)),
        ("news.jsonl --teacher smollm2-135m-instruct", ("a teacher", "add --objective distil")),
        ("news.jsonl --anchor nowhere.txt", ("the anchor file nowhere.txt",)),
        ("news.jsonl --retention nonsense", ("the retention set 'nonsense'",)),
        ("news.jsonl --max-drop 0.1 --controls none", ("max_drop=0.1, and nothing whose accuracy could drop",)),
        ("news.jsonl --max-drop 0.1", ("max_drop=0.1, and nothing whose accuracy could drop",)),
        ("news.jsonl --dtype float8", ("dtype 'float8'",)),
        ("news.jsonl --device cuda:99", ("cuda:99",)),
        ("news.jsonl --log-to nonsense", ("log_to='nonsense'", "one of tensorboard, trackio, wandb")),
        ("news.jsonl --out taken", ("taken exists and is not a run folder",)),
        ("news.jsonl --max-tokens 3", ("max_tokens=3",)),
        ("news.jsonl --probes-per-news 0", ("probes_per_news=0",)),
        ("free.jsonl", ("none of the questions has choices", "--headline direct")),
    ],
)
def test_settings_are_refused_before_the_model_is_looked_for(
    arguments: str, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    write_news_file(Path("news.jsonl"))
    row = {"id": "a", "news": "A town of 12.", "questions": [{"question": "How many?", "answer": "12"}]}
    write_news_file(Path("free.jsonl"), [row])
    Path("taken").write_text("")
    before = sorted(Path().rglob("*"))
    assert call(["run", *arguments.split(), "--model", "no-such-model"]) == 2
    said = capsys.readouterr()
    assert "no model called" not in said.err and said.out == ""
    for fragment in fragments:
        assert fragment in said.err
    assert sorted(Path().rglob("*")) == before, "nothing is written"
