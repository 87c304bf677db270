"""The command line from the user's side: exit codes, messages, and the files on disk."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from sys2ft.cli.main import call
from sys2ft.news import bundled_news, news_to_dict
from talking import NEWS, write_news_file
from test_job import FLAGS, contents, leftovers, start

COMMANDS = (
    *(
        "run",
        "init",
        "demo",
        "generate",
        "train",
        "evaluate",
        "report",
        "compare",
        "represent",
        "models",
        "news",
        "lint",
    ),
)
GENERATE_FLAGS = [*FLAGS[: FLAGS.index("--adapters")], "--dtype", "float32", "--device", "cpu"]
TRAIN_FLAGS = [
    "--adapters",
    "per-news",
    "--epochs",
    "2",
    "--batch-size",
    "2",
    "--rank",
    "4",
    "--alpha",
    "8",
    "--checkpoint-seconds",
    "0",
]
EVALUATE_FLAGS = ["--direct-tokens", "8", "--reasoned-tokens", "16"]
# One protocol and one scoring, for tests of failures.
SMALL = ["--protocols", "naive", "--samples-per-news", "2", "--epochs", "1", "--rank", "4", "--alpha", "8"]
SMALL += ["--scorings", "cloze", "--dtype", "float32", "--device", "cpu", "--checkpoint-seconds", "0"]


@pytest.fixture
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a valid news file, and a file named `file` that blocks a folder of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SYS2FT_CACHE", str(tmp_path_factory.mktemp("cache")))
    write_news_file(tmp_path / "good.jsonl")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, talking_model_dir: Path) -> Path:
    """The folder of a finished `sys2ft run`."""
    folder = tmp_path_factory.mktemp("whole")
    news = write_news_file(folder / "good.jsonl")
    assert call(["run", str(news), "--model", str(talking_model_dir), "--out", str(folder / "run"), *FLAGS]) == 0
    return folder / "run"


def line(**changes: Any) -> str:
    """A news item with `changes`, as a line of a news file."""
    row = {**NEWS[0], **changes}
    return json.dumps({key: value for key, value in row.items() if value is not None}) + "\n"


def with_question(**changes: Any) -> str:
    question = {**NEWS[0]["questions"][0], **changes}
    return line(questions=[{key: value for key, value in question.items() if value is not None}])


@dataclass(frozen=True)
class Mistake:
    """A wrong command, and fragments of its error message: what was found, what was expected, how to fix it."""

    arguments: str
    fragments: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    id: str = ""
    makes_run: bool = False


NEWS_MISTAKES = [
    Mistake("nothing.jsonl", ("nothing.jsonl: found no such file", "expected: a news file", "fix:"), id="missing"),
    Mistake("god.jsonl", ("god.jsonl: found no such file", "did you mean good.jsonl?"), id="misspelt"),
    Mistake("n.jsonl", ("n.jsonl: found no news items, the file is empty",), {"n.jsonl": ""}, id="empty"),
    Mistake("n.jsonl", ("n.jsonl: found no news items, the file is empty",), {"n.jsonl": "\n\n"}, id="blank"),
    Mistake("n.jsonl", ("n.jsonl, line 2",), {"n.jsonl": line() + '{"id": "b", "news": \n'}, id="malformed line"),
    Mistake(
        "n.jsonl",
        ("n.jsonl, line 2, field 'id'", "the id 'town' again, already on line 1", "rename or remove one"),
        {"n.jsonl": line() + line()},
        id="duplicate id",
    ),
    Mistake(
        "n.jsonl",
        ("n.jsonl, line 1, question 1, field 'answer': found no such field", "expected: the right answer as text"),
        {"n.jsonl": with_question(answer=None, choices=None)},
        id="question without answer",
    ),
    Mistake(
        "n.jsonl",
        ("line 1, question 1, field 'answer'", "'Rom', which is not among the choices 'Paris', 'France', 'Rome'"),
        {"n.jsonl": with_question(answer="Rom")},
        id="answer not among the choices",
    ),
    Mistake("n.jsonl", ("line 1, field 'news'", "add the field"), {"n.jsonl": line(news=None)}, id="no text"),
    Mistake(
        "n.jsonl",
        ("n.jsonl: 2 problems", "line 1, field 'domian'", "did you mean 'domain'?", "line 2", "nothing was loaded"),
        {"n.jsonl": line(domian="x") + line(id="a b")},
        id="two problems",
    ),
]  # fmt: skip

OTHER_MISTAKES = [
    Mistake("news check .", ("found a folder", "good.jsonl"), id="folder"),
    Mistake("news check n.txt", ("a file name that ends in '.txt'", "that ends in"), {"n.txt": "x"}, id="ending"),
    Mistake(
        "run good.jsonl --model MODEL --out run --protocols naive paraphrasing",
        ("unknown protocol 'paraphrasing'", "one of naive, paraphrase, implication, self_qa", "correct --protocols"),
        id="unknown protocol",
        makes_run=True,
    ),
    Mistake(
        "run good.jsonl --model smollm2-135m-instrukt --out run",
        ("no model called 'smollm2-135m-instrukt'", "did you mean smollm2-135m-instruct?", "expected: a model folder"),
        id="unknown model",
    ),
    Mistake(
        "run good.jsonl --model org/unheard-of --out run",
        ("no model called 'org/unheard-of'", "HF_HUB_OFFLINE forbids the network", "which needs no network"),
        id="unknown hub id",
    ),
    Mistake(
        "run good.jsonl --model BARE --out run",
        ("model folder without tokenizer", "expected: tokenizer.json", "save or download the model again"),
        id="no tokenizer",
    ),
    Mistake("run good.jsonl --model file --out run", ("file is a file that does not end in .gguf",), id="file"),
    Mistake("run good.jsonl --model MODEL --out file", ("file exists and is not a run folder",), id="out is a file"),
    Mistake(
        "run good.jsonl --model MODEL --out file/run",
        ("file/run cannot be written (Not a directory)", "expected: a folder that this user may write to", "--out"),
        id="below a file",
    ),
    Mistake("run good.jsonl --model MODEL --out .", (". exists and is not a run folder",), id="out is no run"),
    Mistake("run good.jsonl --model MODEL --out run --dtype float8", ("dtype 'float8'", "float32"), id="dtype"),
    Mistake("run good.jsonl --model MODEL --out run --device cuda:99", ("cuda:99", "'auto' or 'cpu'"), id="device"),
    Mistake(
        "run good.jsonl --model MODEL --out run --protocols naive --target-modules q_proj nonsense",
        ("no linear layer named nonsense", "down_proj", "set --target-modules"),
        id="target modules",
    ),
    Mistake("train nowhere", ("nowhere is not a run folder", "sys2ft run NEWS --out FOLDER"), id="train nowhere"),
    Mistake("evaluate .", (". is not a run folder", "expected: a folder"), id="evaluate nowhere"),
    Mistake("report nowhere", ("nowhere is not a run folder", "check the path"), id="report nowhere"),
    Mistake("compare nowhere nowhere", ("nowhere is not a run folder", "check the path"), id="compare nowhere"),
    Mistake("lint nowhere", ("nowhere: cannot be read", "check the path"), id="lint nowhere"),
    Mistake("models info nothing", ("no model called 'nothing'", "fix:"), id="models info"),
    Mistake("models pull nothing", ("no model called 'nothing'", "fix:"), id="models pull"),
]  # fmt: skip


def mistaken(mistake: Mistake, here: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    for name, text in mistake.files.items():
        (here / name).write_text(text)
    shutil.copytree(model, here / "bare", ignore=shutil.ignore_patterns("tokenizer*", "special*", "chat*"))
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    places = {"MODEL": str(model), "BARE": str(here / "bare")}
    assert call([places.get(word, word) for word in mistake.arguments.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sys2ft: ")
    for fragment in (*mistake.fragments, "fix:"):
        assert fragment in said.err
    assert "Traceback" not in said.err
    after = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    assert {p: after.get(p) for p in before} == before
    if not mistake.makes_run:
        assert after.keys() == before.keys(), "nothing is written"
        assert not (here / "run").exists()
    return said.err


@pytest.mark.parametrize("mistake", NEWS_MISTAKES, ids=lambda m: m.id)
@pytest.mark.parametrize("command", ["news check {}", "run {} --model MODEL --out run"], ids=["check", "run"])
def test_mistakes_in_the_news(
    mistake: Mistake, command: str, here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Mistake(command.format(mistake.arguments), mistake.fragments, mistake.files)
    mistaken(asked, here, tiny_model_dir, capsys)


@pytest.mark.parametrize("mistake", OTHER_MISTAKES, ids=lambda m: m.id)
def test_other_mistakes(mistake: Mistake, here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mistaken(mistake, here, tiny_model_dir, capsys)
    if mistake.makes_run:
        assert not leftovers(here / "run")


@pytest.mark.slow
def test_a_corrected_command_resumes_in_the_same_folder(
    here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "good.jsonl", "--model", str(tiny_model_dir), "--out", "run", *SMALL]
    assert call([*run, "--protocols", "naiv"]) == 2
    assert call([*run, "--rank", "3", "--target-modules", "nonsense"]) == 2
    assert call(["generate", *run[1:6], "--protocols", "naive", "--samples-per-news", "2", "--dtype", "float32"]) == 0
    assert call(["train", "run", "--rank", "3", "--target-modules", "nonsense"]) == 2
    capsys.readouterr()
    # Refused settings must not be recorded in the folder.
    assert call(run) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([], ["run", "demo", "generate", "news"]),
        (["run", "good.jsonl", "--rnk", "3"], ["--rnk", "--rank"]),
        (["run", "good.jsonl", "--epochs", "many"], ["many", "epochs"]),
        (["frobnicate"], ["frobnicate"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_in_the_command_line(
    arguments: list[str], fragments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    for fragment in fragments:
        assert fragment in said.err
    assert not (here / "sys2ft-runs").exists()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ("--rank -1", ["rank=-1", "at least 0"]),
        ("--top-p 2", ["top_p=2.0", "at most 1"]),
        ("--warmup 1", ["warmup=1.0", "below 1"]),
        ("--samples-per-news 0", ["samples_per_news=0", "at least 1"]),
        ("--protocols naive naive", ["naive", "twice"]),
        ("--scorings letter", ["headline=cloze", "headline"]),
        ("--adapters each", ["adapters='each'", "per-news or joint"]),
        ("--samples-per-news 64 --tokens-per-news 100", ["several budgets: samples_per_news=64, tokens_per_news=100"]),
        ("--mix naive=0.5 cloze=0.2", ["sum to 0.7", "shares that sum to 1"]),
        ("--protocols mixed --mix unheard_of=1", ["unknown protocol 'unheard_of'", "correct --protocols or --mix"]),
        ("--objective unheard", ["unknown objective 'unheard'", "one of cross_entropy, distil, on_policy"]),
        ("--anchor file", ["the anchor file file is empty", "at least one line"]),
    ],
)
def test_mistakes_in_the_settings(
    arguments: str, fragments: list[str], here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are one error of the same form, before any work."""
    (here / "file").write_text(" \n")
    assert call(["run", "good.jsonl", "--model", str(tiny_model_dir), *arguments.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    errors = [line for line in said.err.splitlines() if line.startswith("sys2ft: ")]
    assert len(errors) == 1 and "expected: " in said.err and "fix: " in said.err
    for fragment in fragments:
        assert fragment in said.err
    assert not list(here.glob("sys2ft-runs/*/replay"))


@pytest.mark.slow
def test_other_settings_in_the_folder(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    news, model = whole.parent / "good.jsonl", json.loads((whole / "run.json").read_text())["model"]["name"]
    run = ["run", str(news), "--model", model, "--out", str(whole), *FLAGS]
    before = contents(whole)
    for change, shown in (
        (["--epochs", "3"], "epochs: the folder has 2.0, requested: 3.0"),
        (["--seed", "9"], "seed: the folder has 0, requested: 9"),
        (
            ["--protocols", "naive"],
            'protocols: the folder has ["naive", "paraphrase", "self_qa"], requested: ["naive"]',
        ),
    ):
        assert call([*run, *change]) == 2
        said = capsys.readouterr().err
        assert "with other settings" in said
        assert shown in said
        assert "choose another folder with --out" in said
    assert contents(whole) == before


@pytest.mark.slow
def test_stages_one_by_one_give_what_run_gives(
    here: Path, whole: Path, talking_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["generate", "good.jsonl", "--model", str(talking_model_dir), "--out", "run", *GENERATE_FLAGS]) == 0
    said = capsys.readouterr().out
    assert "self_qa" in said
    assert str(Path("run") / "replay") in said
    assert call(["train", "run", *TRAIN_FLAGS]) == 0
    assert "adapters" in capsys.readouterr().out
    assert call(["evaluate", "run", *EVALUATE_FLAGS]) == 0
    table = capsys.readouterr().out
    assert "closed book" in table
    assert "paraphrase" in table
    page = (here / "run" / "report.html").read_text()
    (here / "run" / "report.html").unlink()
    (here / "run" / "scores.json").unlink()
    assert call(["report", "run"]) == 0
    assert capsys.readouterr().out == table
    assert (here / "run" / "report.html").read_text() == page
    assert contents(here / "run") == contents(whole)


def test_a_stage_notices_that_the_model_changed(
    here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(tiny_model_dir, here / "model")
    assert call(["generate", "good.jsonl", "--model", str(model), "--out", "run", "--protocols", "naive"]) == 0
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    assert call(["train", "run"]) == 2
    assert "differs from that of run" in capsys.readouterr().err
    shutil.rmtree(model)
    assert call(["train", "run"]) == 2
    assert "no model called" in capsys.readouterr().err
    assert not (here / "run" / "training").exists()


def test_news_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["news", "check", "good.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "good.jsonl: 3 news items, 6 questions" in said
    assert "warning: news: only 1 question" in said
    assert "places" in said


def test_news_example_is_a_news_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["news", "example"]) == 0
    example = capsys.readouterr().out
    assert example.count("\n") == 2
    (here / "example.jsonl").write_text(example)
    assert call(["news", "check", "example.jsonl"]) == 0
    assert "2 news items" in capsys.readouterr().out
    assert call(["news", "example", "--count", "0"]) == 0
    demo = capsys.readouterr().out
    assert demo.startswith(example) and demo.count("\n") == 25
    assert call(["news", "example", "--set", "new-news", "--count", "0"]) == 0
    (here / "new-news.jsonl").write_text(capsys.readouterr().out)
    assert call(["news", "check", "new-news.jsonl"]) == 0
    assert "75 news items, 375 questions, 0 warnings" in capsys.readouterr().out
    assert call(["news", "check", "new-news"]) == 0
    assert "75 news items, 375 questions, 0 warnings" in capsys.readouterr().out
    assert call(["news", "example", "--set", "old-news"]) == 2
    assert "one of demo, new-news" in capsys.readouterr().err


def test_news_audit(here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["news", "audit", "demo"]) == 0
    said = capsys.readouterr().out
    assert "longest" in said and "25 news items: 0 repeated texts" in said and "closed book" not in said
    (here / "two.jsonl").write_text("".join(json.dumps(news_to_dict(one)) + "\n" for one in bundled_news()[:2]))
    audit = ["news", "audit", "two.jsonl", "--models", str(tiny_model_dir), "--out", "audit", "--dtype", "float32"]
    assert call([*audit, "--scorings", "cloze", "letter"]) == 0
    said = capsys.readouterr().out
    for part in ("by cloze", "by letter", "in context", "statements", "neighbours", "closed book off chance"):
        assert part in said, part
    (folder,) = (here / "audit").iterdir()
    assert (folder / "audit.json").is_file() and (folder / "predictions" / "statements.jsonl").is_file()
    assert call([*audit, "--scorings", "cloze"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_models_list_and_info(here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["models", "list"]) == 0
    assert "smollm2-135m-instruct" in capsys.readouterr().out
    assert call(["models", "info", str(tiny_model_dir)]) == 0
    said = capsys.readouterr().out
    for fragment in ("LlamaForCausalLM", "43,232", "chat template", "sha256"):
        assert fragment in said
    assert call(["models", "pull", str(tiny_model_dir)]) == 0
    assert capsys.readouterr().out.strip() == str(tiny_model_dir.resolve())


def test_version_without_torch() -> None:
    program = """
import sys
from sys2ft.cli.main import call
code = call(["--version"])
assert "torch" not in sys.modules
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for part in ("sys2ft ", "torch ", "transformers "):
        assert part in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_of_commands_and_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(["--tyro-print-completion", shell])
    assert not ended.value.code
    script = capsys.readouterr().out
    for word in (*COMMANDS, "import", "--samples-per-news"):
        assert word in script


@pytest.mark.slow
def test_help_is_there_and_quick() -> None:
    program = f"""
import contextlib, io, json, sys, time
begun = time.perf_counter()
from sys2ft.cli.main import call
said = {{}}
inner = (["models", "info"], ["models", "pull"], *(["news", n] for n in ("check", "audit", "import", "probe")))
for words in ([], *([c] for c in {COMMANDS!r}), *inner):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        call([*words, "--help"])
    said[" ".join(words)] = out.getvalue()
heavy = {{"torch", "transformers", "peft", "scipy", "vl_convert", "pypdf", "docx", "ijson"}} & set(sys.modules)
print(json.dumps([said, sorted(heavy), time.perf_counter() - begun]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, heavy, seconds = json.loads(done.stdout)
    assert heavy == []
    assert seconds < 10
    for command in COMMANDS:
        assert command in said[""]
        assert "usage: sys2ft" in said[command]
    for flag in ("--samples-per-news", "--learning-rate", "--scorings", "--out", "--seed", "--dtype"):
        assert flag in said["run"]
        assert flag in said["demo"]
    assert "--learning-rate" not in said["evaluate"]
    for flag in ("--text-fields", "--max-tokens", "--skip-bad", "--tokenizer"):
        assert flag in said["news import"]
    for flag in ("--probes-per-news", "--samples", "--keep-instructions", "--model"):
        assert flag in said["news probe"]
    assert done.stderr == ""


# Out of disk space, and interrupted -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few pages, which tests enlarge by remounting it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount") or not mount(disk, "-t", "tmpfs", "-o", "size=16k", "none"):
        pytest.skip("cannot mount a small file system here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def mount(disk: Path, *options: str) -> bool:
    return subprocess.run(["mount", *options, str(disk)], capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_full_disk_again_and_again(
    small_disk: Path, here: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk fills up in every stage: the command fails with a clear error, and no finished work is lost."""
    model = json.loads((whole / "run.json").read_text())["model"]["name"]
    out, size, step, stages = small_disk / "run", 16, 128, set[str]()
    for _ in range(100):
        code = call(["run", "good.jsonl", "--model", model, "--out", str(out), *FLAGS])
        said = capsys.readouterr()
        assert not list(out.rglob("*.tmp"))
        if code == 0 and {"predictions", "report.html"} <= stages:
            break
        if code == 0:  # removing the checkpoint freed enough space for the later stages: repeat them on a smaller disk
            shutil.rmtree(out / "predictions")
            (out / "report.html").unlink()
            size, step = shutil.disk_usage(small_disk).used // 1024 + 8, 16  # a larger step may pass over the report
            assert mount(small_disk, "-o", f"remount,size={size}k")
            continue
        assert code == 1
        assert said.err.startswith("sys2ft: the disk is full")
        assert "fix: free some space" in said.err
        assert "Traceback" not in said.err
        assert said.err.count("\n") == 3
        parts = said.err.partition(f"{out}/")[2].split(" ")[0].split("/")
        stages.add(parts[0])
        for file in out.rglob("*.json*"):
            for row in [file.read_text()] if file.suffix == ".json" else file.read_text().splitlines():
                json.loads(row)
        size += step
        assert mount(small_disk, "-o", f"remount,size={size}k")
    assert code == 0
    assert {"replay", "training", "predictions", "report.html"} <= stages  # adapters: see test_a_file_size_limit
    assert contents(out) == contents(whole)


def test_a_disk_that_may_only_be_read(
    small_disk: Path, here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mount(small_disk, "-o", "remount,ro")
    assert call(["run", "good.jsonl", "--model", str(tiny_model_dir), "--out", str(small_disk / "run")]) == 2
    said = capsys.readouterr().err
    assert "cannot be written (Read-only file system)" in said
    assert "choose another folder with --out" in said


@pytest.mark.slow
def test_a_file_size_limit(here: Path, tiny_model_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Works without root: the first adapter is larger than the file size limit."""
    run = ["run", "good.jsonl", "--model", str(tiny_model_dir), "--out", "run", *SMALL]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        code = call(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capfd.readouterr().err
    assert code == 1
    assert re.search(r"sys2ft: the disk is full: run.adapters.naive.\w+ could not be written", said)
    assert "Traceback" not in said
    assert not list((here / "run").rglob("*.tmp"))
    assert not list((here / "run").rglob("*.safetensors"))
    assert call(run) == 0


def test_output_to_a_full_disk() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sys2ft", "news", "example", "--count", "1"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("sys2ft: the disk is full")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away() -> None:
    command = f"{sys.executable} -m sys2ft news example --count 0 | head -c 5"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout == '{"id"'
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["generate --help", "--version"])
def test_help_into_a_closed_pipe(words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "sys2ft", *words.split()], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["replay/*.units/*", "predictions/*.units/*"], ids=["generation", "evaluation"])
def test_ctrl_c(stage: str, here: Path, whole: Path) -> None:
    model = Path(json.loads((whole / "run.json").read_text())["model"]["name"])
    # The same number of threads as for `whole`: in bfloat16 the last bits depend on how a product is split.
    process = start(here / "good.jsonl", model, here / "run", torch.get_num_threads())
    while process.poll() is None and not list((here / "run").glob(stage)):
        time.sleep(0.01)  # shorter ones take the processor from the command
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    kept = r"Finished work is kept: the same command resumes it\.\n"
    assert re.fullmatch(rf"sys2ft: stopped( at .*: [\d,]+ of [\d,]+)?\. {kept}", err.decode())
    assert out == b""
    assert not list((here / "run").rglob("*.tmp"))
    assert not (here / "run" / "scores.json").exists()
    assert call(["run", "good.jsonl", "--model", str(model), "--out", "run", *FLAGS]) == 0
    assert contents(here / "run") == contents(whole)
