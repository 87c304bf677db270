"""Text from files on the terminal: shown as it is, never obeyed; and terminals that cannot show every character."""

from __future__ import annotations

import ast
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import sys2ft
from sys2ft.cli.main import call
from sys2ft.files import read_json, write_json
from sys2ft.runs.progress import TerminalDisplay, display
from sys2ft.terminal import Console, print_json, printable

PACKAGE = Path(sys2ft.__file__).parent

HOSTILE = {
    "clear": "\x1b[2J",
    "colour": "\x1b[31m",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://x.example\x1b\\here\x1b]8;;\x1b\\",
    "8-bit sequence": "\x9b31m",
    "8-bit title": "\x9d0;x\x9c",
    "overwritten": "right\rwrong",
    "backspace": "ab\x08c",
    "delete": "a\x7fb",
    "zero": "a\x00b",
    "override": "\u202edetrevni\u202c",
    "isolate": "\u2067x\u2069",
    "separator": "a\u2028b",
    "surrogate": "a\udce9b",
}
OBEYED = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x2028, 0x202F), 0x2066, 0x2067)]
MARKUP = ["[/x] y", "[bold]x", "[link=http://x.example]x[/link]", "[@click=app.bell]x[/]", ":smile: x", r"\[x] y"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_character_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not [char for char in OBEYED if char in printable(text)]
    assert printable(text).encode("utf-8").decode() == printable(text)


def test_escapes_are_visible_and_other_text_is_kept() -> None:
    assert printable("\x1b[31m") == r"\x1b[31m"
    assert printable("\u202e") == r"\u202e"
    for text in ("plain", "two\nlines\tand a tab", "Ölm 橋は؟ 👩‍👩‍👧 नमस्ते", "\u200fالجسر\u200e", r"C:\x1b"):
        assert printable(text) == text


def shown(renderable: object, **how: object) -> str:
    console = Console(**how)  # type: ignore[arg-type]
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("text", [*HOSTILE.values(), *MARKUP])
@pytest.mark.parametrize("as_text", [False, True])
def test_every_part_of_a_table_shows_text_as_it_is(text: str, as_text: bool) -> None:
    cell = Text(text) if as_text else text
    table = Table("column", "other", title=text, caption=text)
    table.add_column(text)
    table.add_row(cell, text, "x")
    for said in (shown(table, width=200), shown(table), shown(cell), shown(text)):
        assert not [char for char in OBEYED if char in said]
    parts = printable(text).split()  # a narrow cell is wrapped at spaces
    assert all(shown(table, width=200).count(part) >= 4 for part in parts)


@pytest.mark.parametrize("text", [*HOSTILE.values(), *MARKUP])
def test_progress_shows_text_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", screen)
    with display() as show:
        assert isinstance(show, TerminalDisplay)
        with show.task(text, 2) as advance:
            advance(2)
        show.note(f"note {text}")
    assert screen.getvalue().count(printable(text)) >= 2  # the escapes of the bars themselves are of course there
    assert text.isprintable() or text not in screen.getvalue()


def test_a_hostile_news_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "".join(HOSTILE.values()).replace("\udce9", "")
    news = [
        {"id": name, "domain": f"[/bold] {odd}", "news": f"{odd} [link=x] text {odd}.", "source": odd}
        | {
            "questions": [
                {"question": f"What {odd}?", "answer": f"{odd} a", "choices": [f"{odd} a", f"{odd} A", "[b]"]}
            ]
        }
        for name in ("a", "b")
    ]
    file = tmp_path / "[bold]\x1b[31m.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in news), encoding="utf-8")
    assert call(["news", "check", str(file)]) == 0
    said = capsys.readouterr().out
    assert "[/bold]" in said and r"\x1b[2J" in said and r"[bold]\x1b[31m.jsonl: 2 news items" in said
    assert not [char for char in OBEYED if char in said]
    file.write_text("{", encoding="utf-8")
    assert call(["news", "check", str(file)]) == 2
    said = capsys.readouterr().err
    assert r"[bold]\x1b[31m.jsonl" in said and not [char for char in OBEYED if char in said]


def test_import_and_its_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "b[").mkdir(parents=True)
    (folder / "[x]\x1b]0;t\x07.txt").write_text("A bridge was opened in Olm on Monday.\n", encoding="utf-8")
    (folder / "b[" / "y].txt").write_text("A bridge was opened in Olm on Monday.\n", encoding="utf-8")
    assert call(["news", "import", str(folder), "--out", "[b]\x1b.jsonl"]) == 0
    said = capsys.readouterr().out
    assert r"[x]\x1b]0;t\x07.txt" in said and "b[/y].txt" in said
    assert not [char for char in OBEYED if char in said]


def test_a_file_name_that_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / os.fsdecode(b"b\xff.jsonl")
    try:
        file.write_text('{"id": "a", "news": "The bridge."}\n')
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert call(["news", "check", str(file)]) == 0
    assert r"b\udcff.jsonl: 1 news items" in capsys.readouterr().out
    write_json(tmp_path / "a.json", {"command": str(file)})
    assert read_json(tmp_path / "a.json") == {"command": str(file)}


def test_long_names_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "z" * 300
    (tmp_path / "news.jsonl").write_text(json.dumps({"id": "a", "news": "x", "domain": name}))
    assert call(["news", "check", str(tmp_path / "news.jsonl")]) == 0
    assert capsys.readouterr().out.count("z") == 300


def test_arguments_in_an_error_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(["news", "chekc", "\x1b[2J.jsonl"])
    said = capsys.readouterr().err
    assert r"\x1b[2J.jsonl" in said and "\x1b" not in said


# Encodings ------------------------------------------------------------------------------------------------------------

WIDE = [
    {"id": "a", "domain": "橋 é €", "news": "The bridge 橋 is green, it’s “new”."},
    {"id": "b", "domain": "мост", "news": "The bridge 橋 is green, it’s “new”.", "source": "é"},
]


ALL = """
import sys
from sys2ft.cli.main import call
for arguments in sys.argv[1:]:
    try:
        call(arguments.split())
    except SystemExit:
        pass
"""


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONUTF8", "LANG", "PYTHONIOENCODING")}
    own = {**kept, "PYTHONPATH": str(PACKAGE.parent), **environment}
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, timeout=60, check=False)


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return run(["bash", "-c", line.replace("sys2ft", f"{shlex.quote(sys.executable)} -m sys2ft")], cwd)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "news.jsonl").write_text(
        "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in WIDE), encoding="utf-8"
    )
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "domäin€": "橋", "news": "橋"}\n', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_a_terminal_that_lacks_characters_shows_a_question_mark(here: Path, environment: dict[str, str]) -> None:
    commands = ["news check news.jsonl", "news check bad.jsonl", "news import --help", "nwes 橋"]
    found = run([sys.executable, "-c", ALL, *commands], here, **environment)
    said = (found.stdout + found.stderr).decode("utf-8", "replace")
    assert "Traceback" not in said and "Error:" not in said
    assert "2 news items, 0 questions" in said and "a: no question" in said and "usage: sys2ft news import" in said
    assert "橋" in said or "?" in said


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "utf-16", "cp932"])
def test_json_for_programs_is_exact_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["plain", "橋 é 👩‍👩‍👧 \U00010348", "\x1b\x9b\u202e\x7f\u2028", '\\ " \\u202e']
    line = json.dumps(values, ensure_ascii=False)
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(line)
    stream.flush()
    said = raw.getvalue().decode(encoding)
    assert json.loads(said) == values
    assert not [char for char in OBEYED if char in said.rstrip("\n")]
    if encoding == "utf-8":
        assert "橋 é 👩‍👩‍👧" in said


def test_readers_that_end_early(here: Path) -> None:
    """`head` ends before the output does: no traceback, on standard output or on standard error."""
    assert shell("sys2ft news example --set new-news --count 0 | head -n 1 >/dev/null", here).stderr == b""
    assert shell("sys2ft news check missing.jsonl 2>&1 >/dev/null | true", here).stderr == b""
    assert shell("sys2ft news check news.jsonl >&-", here).stderr == b""


# Nothing forgets it ---------------------------------------------------------------------------------------------------


def careless(text: str) -> list[str]:
    """Lines that print with the built-in `print`, or make a console of `rich`."""
    tree, found = ast.parse(text), []
    own = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sys2ft.terminal"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.console"):
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in ("print", "Console")]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found += [] if "print" in own else [f"{node.lineno}: print"]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute | ast.Name):
            written = ast.unparse(node)
            if written in ("sys.stdout.write", "sys.stderr.write", "rich.print", "builtins.print"):
                found.append(f"{node.lineno}: {written}")
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_prints_by_the_terminal_module(file: Path) -> None:
    if file.name not in ("terminal.py", "sheet_process.py"):  # the latter prints JSON for its parent process
        assert careless(file.read_text(encoding="utf-8")) == [], "take print and Console from sys2ft.terminal"


@pytest.mark.parametrize(
    "text",
    ["print(1)", "from rich.console import Console", "import sys\nsys.stdout.write('')", "from rich import print"],
)
def test_what_is_careless(text: str) -> None:
    assert careless(text) != []
    assert careless("from sys2ft.terminal import Console, print\nprint(Console())") == []


def test_progress_is_a_console_of_this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with display() as show:
        assert isinstance(show, TerminalDisplay)
        progress = show._progress
    assert isinstance(progress, Progress) and isinstance(progress.console, Console)
