"""Errors about news files whose advice is followed to the letter: what comes out is what the author wrote."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sys2ft.cli.main import call
from sys2ft.errors import NewsError
from sys2ft.news import News, read_news
from sys2ft.news.reader import parse_text

QUOTES = "put it in quotes: "


def error_of(text: str, ending: str) -> NewsError:
    with pytest.raises(NewsError) as caught:
        parse_text(text, source="news", ending=ending)
    return caught.value


def follow_quotes(text: str, written: str, ending: str) -> News:
    """The news item that is read when `written`, in brackets in `text`, is replaced by what the error says."""
    error = error_of(text.replace("<>", written), ending)
    assert error.fix is not None and QUOTES in error.fix, str(error)
    (news,) = parse_text(text.replace("<>", error.fix.partition(QUOTES)[2]), source="news", ending=ending)
    return news


YAML = "- id: a\n  news: The text.\n  questions:\n    - question: What?\n      answer: <>\n"
SCALARS = [
    *("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "off", "OFF", "true", "True", "false", "FALSE"),
    *("0123", "0o17", "0x1F", "0b101", "1_000", "1,000", "007", "+5", "-5", "1.0", "1.50", "1.0e+3", "1e3", ".5", "5."),
    *("12:30", "12:30:45", "1:2:3.5", ".inf", "-.INF", ".nan", "2031-05-04", "2031-5-4", "2031-02-30", "2031-99-99"),
    *(
        "2031-05-04 12:00:00",
        "2031-05-04T12:00:00Z",
        "~",
        "null",
        "Null",
        "NULL",
        "=",
        "<<",
        "!important",
        "!x y",
        "#1",
    ),
]


@pytest.mark.parametrize("written", SCALARS)
def test_yaml_advice_keeps_what_was_written(written: str) -> None:
    try:
        (news,) = parse_text(YAML.replace("<>", written), source="news", ending=".yaml")
    except NewsError:
        news = follow_quotes(YAML, written, ".yaml")
    assert news.questions[0].answer == written


@given(st.text("0123456789._:+-eExobyYnN~TZ", min_size=1, max_size=8))
def test_a_plain_yaml_value_is_read_as_written_or_the_advice_keeps_it(written: str) -> None:
    try:
        (news,) = parse_text(YAML.replace("<>", written), source="news", ending=".yaml")
    except NewsError as error:
        if QUOTES not in (error.fix or ""):  # '- x' and 'a: b' are a list and a mapping
            assert written[0] in "-:" or written.endswith(":")
            return
        news = follow_quotes(YAML, written, ".yaml")
    assert news.questions[0].answer == written


@pytest.mark.parametrize("written", ["no", "12:30", "0123", "2031-05-04", "NULL", "1_000"])
@pytest.mark.parametrize(
    "text",
    [
        "- {id: a, domain: x, news: <>}",
        "- {id: a, domain: <>, news: x}",
        "- {id: <>, domain: x, news: x}",
        "- {id: a, news: x, questions: [{question: <>, answer: x}]}",
        "- {id: a, news: x, questions: [{question: q, answer: x, aliases: [<>]}]}",
        "- {id: a, news: x, questions: [{question: q, answer: x, choices: [x, <>]}]}",
        "- {id: a, news: x, cloze: {statement: It is, answer: <>}}",
    ],
)
def test_yaml_advice_holds_in_every_field(text: str, written: str) -> None:
    if text.startswith("- {id: <>") and not re.fullmatch(r"[\w.-]+", written):
        return  # quotes make a text of it, which is no id
    assert written in repr(follow_quotes(text, written, ".yaml"))


def test_yaml_names_what_a_value_was_read_as() -> None:
    assert "found 0123 (a number)" in str(error_of(YAML.replace("<>", "0123"), ".yaml"))
    assert "found no (a yes/no value)" in str(error_of(YAML.replace("<>", "no"), ".yaml"))
    assert "found 2031-05-04 (a date)" in str(error_of(YAML.replace("<>", "2031-05-04"), ".yaml"))
    assert "found no value" in str(error_of(YAML.replace("<>", ""), ".yaml"))


def test_null_still_leaves_an_optional_field_out() -> None:
    text = "- {id: a, news: x, source: null, cloze: ~, questions: [{question: q, answer: b, kind: , made_by: null}]}"
    (news,) = parse_text(text, source="news", ending=".yaml")
    assert news.source is None and news.cloze is None and news.questions[0].kind is None


def test_fields_called_like_values_are_named_as_written() -> None:
    assert "field 'no'" in str(error_of("- {id: a, news: x, no: y}", ".yaml"))
    assert "line 3, field '0123'" in str(error_of("- id: a\n  news: x\n  0123: y\n", ".yaml"))


@pytest.mark.parametrize(
    "written", ["true", "false", "1.0", "1e3", "-0", "12345678901234567890.10", "NaN", "1E+2", "null"]
)
def test_json_advice_keeps_what_was_written(written: str) -> None:
    text = '{"id": "a", "news": "x", "questions": [{"question": "q", "answer": <>}]}'
    assert follow_quotes(text, written, ".jsonl").questions[0].answer == written


ONE = {"id": "a", "news": "The bridge."}


@pytest.mark.skipif(shutil.which("jq") is None, reason="the advice needs jq")
@pytest.mark.parametrize("value", [[ONE, {**ONE, "id": "b", "news": "橋 1.0 😀"}], ONE])
def test_the_command_for_ordinary_json_works(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "it's.json"
    file.write_text(json.dumps(value, indent=1))
    with pytest.raises(NewsError) as caught:
        read_news(file)
    command = re.search(r"jq -c \S+ FILE > news\.jsonl", str(caught.value.fix))
    assert command is not None
    subprocess.run(command.group().replace("FILE", shlex.quote(str(file))), shell=True, cwd=tmp_path, check=True)
    wanted = value if isinstance(value, list) else [value]
    assert [news.text for news in read_news(tmp_path / "news.jsonl")] == [one["news"] for one in wanted]


# Encodings and archives -----------------------------------------------------------------------------------------------

TEXT = '{"id": "a", "news": "The café on 橋 street, “new”."}\n{"id": "b", "news": "Another one."}\n'
ASCII = '{"id": "a", "news": "The bridge."}\n'


@pytest.mark.parametrize("ending", [".jsonl", ".yaml"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_form_of_unicode_is_read(encoding: str, mark: str, ending: str, tmp_path: Path) -> None:
    text = (
        TEXT
        if ending == ".jsonl"
        else "# 橋\n- id: a\n  news: The café on 橋 street, “new”.\n- id: b\n  news: Another one.\n"
    )
    file = tmp_path / f"news{ending}"
    file.write_bytes((mark + text).encode(encoding))
    assert [news.text for news in read_news(file)] == ["The café on 橋 street, “new”.", "Another one."]
    file.write_bytes((mark + "\n\n" + text).encode(encoding))
    assert len(read_news(file)) == 2


def test_utf_16_that_begins_with_another_script_is_read(tmp_path: Path) -> None:
    file = tmp_path / "news.yaml"
    for encoding in ("utf-16-le", "utf-16-be"):
        file.write_bytes(
            "\u3000\n- id: a\n  news: The bridge of the town.\n".replace("\u3000", "# 橋").encode(encoding)
        )
        assert read_news(file)[0].text == "The bridge of the town."


def test_damaged_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_bytes(TEXT.encode("utf-16")[:-1])
    with pytest.raises(NewsError, match="not UTF-16"):
        read_news(tmp_path / "news.jsonl")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["news.jsonl{}", "news.JSON{}", "news.yaml{}", "my.news.ndjson{}", "unmarked.jsonl"])
def test_compressed_files_are_read(pack: Callable[[bytes], bytes], name: str, tmp_path: Path) -> None:
    ending = {"gzip": ".gz", "bz2": ".bz2", "lzma": ".xz"}[pack.__module__]
    text = "- {id: a, news: The bridge.}\n" if "yaml" in name else ASCII
    file = tmp_path / name.format(ending)
    for encoding in ("utf-8", "utf-16"):
        file.write_bytes(pack(text.encode(encoding)))
        assert [news.text for news in read_news(file)] == ["The bridge."]
    file.write_bytes(pack(text.encode())[:-4])
    with pytest.raises(NewsError, match="damaged or not complete"):
        read_news(file)


OLD = {
    "cp1252": "The café opened in Zürich, says the señor; it’s “new” and costs 5 €.",
    "cp1250": "Most w Olm został pomalowany na zielono, żółć i gęślą jaźń.",
    "cp1251": "Мост в Ольме покрасили в зелёный цвет в июне этого года.",
    "cp1253": "Η γέφυρα του Ολμ βάφτηκε πράσινη τον Ιούνιο του έτους.",
    "cp1254": "Köprü haziran ayında yeşile boyandı, diyor şehrin başkanı ığdır.",
    "cp932": "オルムの橋は六月に緑色に塗られました。",
    "gb18030": "奥尔姆大桥于今年六月被漆成了绿色。",
    "cp949": "올름의 다리는 6월에 초록색으로 칠해졌다.",
    "koi8_r": "Мост в Ольме покрасили в зелёный цвет в июне этого года.",
}


@pytest.mark.skipif(shutil.which("iconv") is None, reason="the advice needs iconv")
@pytest.mark.parametrize(("encoding", "text"), OLD.items(), ids=OLD)
def test_the_command_for_an_old_encoding_works(encoding: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "it's my.jsonl"
    file.write_bytes((ASCII + json.dumps({"id": "b", "news": text}, ensure_ascii=False)).encode(encoding))
    with pytest.raises(NewsError) as caught:
        read_news(file)
    assert "line 2" in str(caught.value)
    command = re.search(r"(iconv .*?) \(", str(caught.value.fix))
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)  # as a user would paste it
    assert [news.text for news in read_news(tmp_path / "utf8-it's my.jsonl")] == ["The bridge.", text]


# Names ----------------------------------------------------------------------------------------------------------------


def test_the_commands_for_another_ending_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my news.txt"
    for content, wanted in ((ASCII, "mv "), ("The bridge of Olm was painted green.\n", "sys2ft news import ")):
        file.write_text(content)
        with pytest.raises(NewsError) as caught:
            read_news(file)
        commands = [command.partition(": ")[2] for command in str(caught.value.fix).split("; ")]
        (command,) = [shlex.split(one) for one in commands if one.startswith(wanted)]
        if command[0] == "mv":
            subprocess.run(command, check=True)
        else:
            assert call(command[1:]) == 0
        assert "bridge" in read_news(tmp_path / "my news.jsonl")[0].text
        (tmp_path / "my news.jsonl").unlink()


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "news.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(NewsError, match=r"unpack it: unzip .*news\.zip"):
        read_news(tmp_path / "news.zip")


def test_a_folder_names_its_compressed_files_too(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl.gz").write_bytes(b"")
    with pytest.raises(NewsError, match=r"news\.jsonl\.gz"):
        read_news(tmp_path)
