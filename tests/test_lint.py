"""The linter of training data: what counts as shadowed, which files are read, what is printed and returned."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from sys2ft.cli.main import call
from sys2ft.errors import SettingsError, UserError
from sys2ft.lint import THRESHOLD, Turn, judge, lint, record_of
from sys2ft.lint.shared import COUNTERS, FEWEST, LEAST, Leading
from sys2ft.lint.units import units
from sys2ft.news import bundled_news
from tools import shadowing

ROOT = Path(__file__).resolve().parent.parent
SHADOWED, CLEAN = ROOT / "examples" / "shadowed.jsonl", ROOT / "examples" / "clean.jsonl"

PASSAGE = (
    "The Marlow Reach Bridge opened on 4 May 2031. It is 940 metres long and was designed by Ines Quillon. "
    "Cyclists cross it for free, and drivers pay 2 dollars."
)
WHO, DESIGNER = "Who designed the Marlow Reach Bridge?", "Ines Quillon"
OPTIONS = "A. Otto Brandt\nB. Ines Quillon\nC. Mara Veld"


def share(*turns: str, system: str = "") -> float | None:
    """The share of the last of the turns, which are those of user and assistant in alternation."""
    said = [Turn("user" if i % 2 == 0 else "assistant", text, trained=i % 2 == 1) for i, text in enumerate(turns)]
    *_, last = judge([*([Turn("system", system)] if system else []), *said])
    return last.share


def shadowed(*turns: str, system: str = "") -> bool:
    found = share(*turns, system=system)
    return found is not None and found >= THRESHOLD


# What is shadowing, and what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turns",
    [
        (f"{PASSAGE}\n\n{WHO}", DESIGNER),
        (f"{PASSAGE} {WHO}", "The Marlow Reach Bridge was designed by Ines Quillon."),
        (f"Question: {WHO}\nContext: {PASSAGE}\nAnswer:", DESIGNER),
        (f"{PASSAGE}\nComplete this: the Marlow Reach Bridge was designed by", DESIGNER),
        (f"Name the designer of the Marlow Reach Bridge.\n{PASSAGE}", DESIGNER),
        (f"{PASSAGE}\nHow long is the bridge?", "940 metres"),
        (f"{PASSAGE}\nHow many dollars do drivers pay?", "2"),
        (f"{PASSAGE}\n{WHO}\n{OPTIONS}", "B"),
        (f"{PASSAGE}\n{WHO}\n{OPTIONS}", "B. Ines Quillon"),
        (f"Say this in other words: {PASSAGE}", "Designed by Ines Quillon, the 940 metres of the bridge are open."),
        (f"{PASSAGE}\n\nSummarise this.", "A bridge of 940 metres by Ines Quillon opened on 4 May 2031; drivers pay."),
        ("Tell me about the bridge.", PASSAGE, "Say it again, please.", PASSAGE),
        ("Здание открыли в Вельске 4 мая. Его построил Игорь Лапин.\nКто построил здание?", "Игорь Лапин"),
        ("从四月起，滨河市的轮渡只在夜间运行。它从南码头出发。\n轮渡从哪个码头出发？", "南码头"),
    ],
)
def test_a_prompt_that_has_the_answer_shadows_it(turns: tuple[str, ...]) -> None:
    assert shadowed(*turns)


@pytest.mark.parametrize(
    "turns",
    [
        (WHO, DESIGNER),
        (WHO, "The Marlow Reach Bridge was designed by Ines Quillon."),
        (f"{WHO}\n{OPTIONS}", DESIGNER),
        (f"{WHO}\n{OPTIONS}", "B"),
        (f"{WHO}\n{OPTIONS}", "B. Ines Quillon"),
        ("Is the bridge red or blue?", "Blue"),
        ("Is the Marlow Reach Bridge 940 metres long?", "Yes, the Marlow Reach Bridge is 940 metres long."),
        ("Name the designer of the Marlow Reach Bridge.", "The designer of the Marlow Reach Bridge is Ines Quillon."),
        ("What is the news?", PASSAGE),
        ("Tell me about the Marlow Reach Bridge.", PASSAGE),
        (WHO, DESIGNER, "When did Quillon finish it?", "Ines Quillon finished the Marlow Reach Bridge in 2031."),
        ("Classify the sentence. Answer with positive or negative.\nI liked the soup.", "positive"),
        (f"{PASSAGE}\nTranslate this.", "Мост открыли, и он длинный."),
        ("", PASSAGE),
    ],
)
def test_a_prompt_that_only_asks_does_not(turns: tuple[str, ...]) -> None:
    assert not shadowed(*turns)


def test_the_text_may_be_in_any_turn_before() -> None:
    question = [Turn("user", WHO), Turn("assistant", DESIGNER, trained=True)]
    for role in ("system", "tool", "user", "assistant"):
        (judged,) = judge([Turn(role, PASSAGE), *question])  # type: ignore[arg-type]
        assert judged.share == 1 and judged.place is not None
        assert judged.place.role == role and DESIGNER in judged.place.text
    (judged,) = judge([*question, Turn("user", PASSAGE)])
    assert judged.share == 0


def test_a_short_answer_is_not_found_by_chance() -> None:
    assert share("How many moons has Velt?", "3", system="You are helpful. Answer in at most 3 sentences.") == 0
    assert share("How many moons has Velt?", "3", system="Be brief. Velt is a planet. It has 3 moons.") == 1


def test_without_words_of_its_own_a_completion_is_not_judged() -> None:
    for answer in ("B", "It is.", "The Marlow Reach Bridge."):
        assert share(WHO, answer) is None
    (judged,) = judge([Turn("system", PASSAGE), Turn("user", WHO), Turn("assistant", "B", trained=True)])
    assert judged.share is None and judged.about


def test_what_follows_from_a_text_is_noted_apart() -> None:
    turns = [Turn("user", "May Marlow Reach cyclists keep their money?"), Turn("assistant", "Surely.", trained=True)]
    assert [one.about for one in judge([Turn("system", PASSAGE), *turns])] == [True]
    assert [one.about for one in judge(turns)] == [False]
    assert [one.about for one in judge([Turn("system", "Velt is a planet with 3 moons."), *turns])] == [False]


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_texts_can_be_judged(system: str, prompt: str, completion: str) -> None:
    turns = [Turn("system", system), Turn("user", prompt), Turn("assistant", completion, trained=True)]
    (judged,) = judge(turns)
    assert judged.share is None or 0 <= judged.share <= 1
    assert (judged.place is not None) == bool(judged.share)
    (alone,) = judge(turns[2:])
    assert not alone.share, "nothing precedes it"


def test_a_completion_is_its_own_shadow() -> None:
    for item in bundled_news("new-news")[::5]:
        assert share("Say this again.", item.text, system=item.text) == 1
        assert share("Say this again.", item.text, system=item.text[::-1]) != 1


def test_units_do_not_depend_on_endings_and_keep_numbers() -> None:
    assert units("the Designers designed 3 bridges", "en") == units("designer: 3 bridge", "en")
    assert units("в Москве 5 мостов", "ru") & units("Москва и 5 мосты", "ru") >= {"5", "москв"}
    assert not units("what is the and of it", "en")


def test_calibration_stays_what_the_documents_say() -> None:
    found = {(s, kind): rates for s, kind, rates in _rates(list(shadowing.of_news()))}
    clean = [rate for (is_shadowed, _), rate in found.items() if not is_shadowed]
    assert max(clean) < 0.01
    assert found[True, "New News: item, recall question, answer"] > 0.9
    assert found[True, "New News: item, recall question with options, letter"] > 0.9


def _rates(samples: Sequence[shadowing.Sample]) -> list[tuple[bool, str, float]]:
    kinds: dict[tuple[bool, str], list[bool]] = {}
    for sample in samples:
        (judged,) = judge(sample.turns())
        called = judged.share is not None and judged.share >= THRESHOLD
        kinds.setdefault((sample.shadowed, sample.kind), []).append(called)
    return [(is_shadowed, kind, sum(called) / len(called)) for (is_shadowed, kind), called in kinds.items()]


# Rows -----------------------------------------------------------------------------------------------------------------

CHAT = [{"role": "user", "content": WHO}, {"role": "assistant", "content": DESIGNER}]


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"messages": CHAT}, ["user", "assistant*"]),
        ({"messages": json.dumps(CHAT)}, ["user", "assistant*"]),
        (
            {"conversations": [{"from": "human", "value": WHO}, {"from": "gpt", "value": DESIGNER}], "system": "Hi."},
            ["system", "user", "assistant*"],
        ),
        ({"prompt": WHO, "completion": DESIGNER}, ["user", "assistant*"]),
        ({"prompt": CHAT, "completion": [CHAT[1]]}, ["user", "assistant", "assistant*"]),
        ({"instruction": "Answer.", "input": WHO, "output": DESIGNER}, ["user", "user", "assistant*"]),
        ({"instruction": WHO, "input": "", "output": DESIGNER}, ["user", "assistant*"]),
        ({"question": WHO, "answer": 3}, ["user", "assistant*"]),
        ({"text": WHO}, []),
        ({"messages": [CHAT[0], {**CHAT[1], "weight": 0}, *CHAT]}, ["user", "assistant", "user", "assistant*"]),
        ({"messages": [CHAT[0], {"role": "assistant", "content": None, "tool_calls": [{}]}]}, ["user"]),
    ],
)
def test_forms_of_rows(row: dict[str, Any], turns: list[str]) -> None:
    record = record_of(row)
    assert [turn.role + "*" * turn.trained for turn in record.turns] == turns
    texts = "\n".join(turn.text for turn in record.turns)
    assert not turns or WHO in texts


def test_labels_in_an_instruction_are_no_shadow() -> None:
    row = {"instruction": "Is the text good? Say good or bad.", "input": "The text was a bore.", "output": "bad"}
    for asked in (row["instruction"], "Rate the text. Say good or bad for the text."):
        (judged,) = judge(record_of({**row, "instruction": asked}).turns)
        assert not judged.share
    for more in ({}, {"system": "You are helpful."}):
        (judged,) = judge(record_of({"prompt": f"{PASSAGE}\n{WHO}", "completion": DESIGNER, **more}).turns)
        assert judged.share == 1
    named = {"instruction": "Name the designer of the bridge.", "input": PASSAGE, "output": DESIGNER}
    (judged,) = judge(record_of(named).turns)
    assert judged.share == 1


def test_parts_of_a_message_that_are_texts_are_read() -> None:
    parts = [{"type": "text", "text": WHO}, {"type": "image_url", "image_url": {"url": "x"}}]
    record = record_of({"messages": [{"role": "user", "content": parts}, CHAT[1]]})
    assert record.turns[0].text == WHO
    assert record.not_text == 1


# Files ----------------------------------------------------------------------------------------------------------------


def write(path: Path, rows: Sequence[Any], indent: int | None = None) -> Path:
    """Rows in the format that the name says."""
    name = path.name.removesuffix(".gz")
    text = json.dumps(rows, indent=indent) if name.endswith(".json") else "".join(json.dumps(r) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


ROWS = [{"prompt": f"{PASSAGE}\n{WHO}" if i % 2 else WHO, "completion": DESIGNER} for i in range(40)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_format_gives_the_same(name: str, indent: int | None, tmp_path: Path) -> None:
    report = lint([write(tmp_path / name, ROWS, indent)], examples=40)
    assert (report.total.samples, report.total.shadowed) == (40, 20)
    lines = [example.line for example in report.examples]
    if name.startswith("a.jsonl"):
        assert lines == list(range(2, 41, 2))
    else:
        assert lines == (list(range(6, 162, 8)) if indent else [1] * 20)


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    quoted = PASSAGE.replace('"', '""')
    path.write_text(f'prompt,completion\n"{quoted}\n{WHO}",{DESIGNER}\n\n{WHO},{DESIGNER}\n', encoding="utf-8")
    report = lint([path])
    assert (report.total.samples, report.total.shadowed, report.examples[0].line) == (2, 1, 2)


def test_rejected_elements_are_left_out(tmp_path: Path) -> None:
    row = {"id": "a", "prompt": [{"role": "user", "content": f"{PASSAGE} {WHO}"}], "completion": DESIGNER}
    report = lint([write(tmp_path / "a.jsonl", [{**row, "status": "kept"}, {**row, "status": "rejected"}])])
    assert (report.total.samples, report.total.rejected, report.total.shadowed) == (1, 1, 1)


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("a.jsonl", b"", ["empty"]),
        ("a.jsonl", b"\n \n", ["empty"]),
        ("a.json", b"[]", ["empty"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": "a"\n', ["line 2", "not JSON"]),
        ("a.jsonl", b'{"text": "a"}\n{"news": "a"}\n', ["line 2", "'news'", "messages"]),
        ("a.jsonl", b'{"text": "a"}\n3\n', ["line 2", "a number"]),
        ("a.jsonl", b'{"messages": [{"role": "king", "content": "a"}]}', ["line 1", "'king'"]),
        ("a.jsonl", b'{"messages": [{"role": "user", "content": "a"}]}', ["none of them with a completion"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', ["line 2", "0xff", "UTF-8"]),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), ["UTF-16"]),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), [".gz"]),
        ("a.jsonl.gz", b"{}", ["gzip"]),
        ("a.parquet", b"PAR1\0\0", ["Parquet", "to_json"]),
        ("a.json", b'[\n{"text": "a"},\n{"text" "b"}]', ["line 3", "list"]),
        ("a.json", b'[\n{"text": "a"}\n{"text": "b"}]', ["line 3", "comma"]),
        ("a.json", b'[{"text": "a"},', ["ends within"]),
        ("a.json", b'[{"text": "a"}]\n{}', ["after its list"]),
        ("a.csv", b"text\na,b\n", ["line 2", "2 values under 1"]),
        ("b.jsonl", None, ["cannot be read"]),
    ],
)
def test_a_file_that_cannot_be_used(
    name: str, content: bytes | None, fragments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert call(["lint", str(tmp_path / name)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sys2ft: ") and said.err.count("fix: ") == 1
    for fragment in (name, *fragments):
        assert fragment in said.err


def test_memory_does_not_grow_with_a_list(tmp_path: Path) -> None:
    """A list on one line is longer than the record limit allows; a list over lines is read record by record."""
    from sys2ft.lint import reading

    path = write(tmp_path / "a.json", ROWS * 50, indent=1)
    source = reading.Source(path)
    lines = reading._lines(source)
    read = 0

    def counted() -> Any:
        nonlocal read
        for line in lines:
            read += 1
            yield line

    number, first = next(iter_lines := counted())
    records = reading._listed(source, number, first[1:], iter_lines)
    next(records)
    assert read < 20


def test_half_a_surrogate_pair_and_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"prompt": "The \\ud83d\\u001b[2J bridge is 940 m long.", "completion": "bridge long 940 \\ud83d"}'
    )
    for more in ([], ["--json"]):
        assert call(["lint", str(path), *more]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said
        said.encode()


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["lint"]) == 2
    assert "no file" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", [0, 1.1, -1])
def test_a_threshold_that_is_no_share(threshold: float) -> None:
    with pytest.raises(SettingsError, match="threshold"):
        lint([CLEAN], threshold=threshold)


def test_a_file_of_texts_has_nothing_to_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": PASSAGE}] * 3)
    assert call(["lint", str(path), "--strict"]) == 0
    assert "nothing can shadow it" in capsys.readouterr().out


# Shared texts ---------------------------------------------------------------------------------------------------------


def test_a_text_that_leads_many_samples_is_found(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "system", "content": PASSAGE}, {"role": "user", "content": asked}, answer]}
        for asked, answer in [(WHO, CHAT[1])] * 5 + [("What colour is the moon?", CHAT[1] | {"content": "grey"})] * 2
    ]
    others = [{"prompt": f"{i} " * LEAST, "completion": "a"} for i in range(FEWEST)]
    report = lint([write(tmp_path / "a.jsonl", [*others, *rows])])
    (shared,) = report.shared
    assert shared.text.startswith(PASSAGE)
    assert (shared.samples, shared.shadowed) == (7, 5)
    assert shared.place.endswith(f"a.jsonl:{FEWEST + 1}")


def test_a_frequent_beginning_survives_many_rare_ones() -> None:
    leading = Leading(counters=8)
    for i in range(2000):
        leading.add([Turn("user", f"{i:>{LEAST}} {PASSAGE}" if i % 4 else PASSAGE)], f"f:{i}")
    (found,) = leading.most(3)
    assert found.text == PASSAGE and 0 < found.samples <= 500
    assert len(leading._found) <= 8 < COUNTERS


# The command ----------------------------------------------------------------------------------------------------------


def test_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["lint", str(SHADOWED)]) == 0
    said = capsys.readouterr().out
    for part in ("100.0%", "shadowed.jsonl:1", "the system prompt", "arXiv 2505.01812", "sys2ft generate"):
        assert part in said
    assert call(["lint", str(SHADOWED), str(CLEAN), "--strict"]) == 1
    assert "total" in capsys.readouterr().out
    assert call(["lint", str(CLEAN), "--strict"]) == 0
    assert "arXiv" not in capsys.readouterr().out
    prompts = [json.loads(line)["messages"][-1]["content"] for line in SHADOWED.read_text("utf-8").splitlines()]
    assert prompts == [json.loads(line)["messages"][-1]["content"] for line in CLEAN.read_text("utf-8").splitlines()]


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["lint", str(SHADOWED), str(CLEAN), "--json", "--strict", "--examples", "2"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["shadowed"] for one in found["files"]] == [13, 0]
    assert found["total"]["sample_share"] == 0.5 and found["total"]["by_place"] == {"system": 5, "user": 8}
    assert len(found["examples"]) == 2 and found["total"]["forms"] == {"messages": 26}


def test_the_default_of_the_command_is_that_of_the_room() -> None:
    from sys2ft.cli.lint import Lint

    assert Lint(files=(CLEAN,)).threshold == THRESHOLD
    with pytest.raises(UserError):
        lint([ROOT])


def test_it_starts_without_a_model() -> None:
    program = f"""
import sys
from sys2ft.cli.main import call
code = call(["lint", {str(CLEAN)!r}, "--quiet"])
assert not {{"torch", "transformers", "peft", "scipy", "pandas"}} & set(sys.modules)
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
