"""What cannot be imported: one clear error each, with file and place; the rest of a folder goes on when asked to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from documents import write_docx, write_pdf
from raw_pdf import down, raw_pdf
from sys2ft.cli.main import call
from sys2ft.errors import NewsError
from sys2ft.news import read_news
from sys2ft.news.importers import ImportSettings, import_news

FLAT = {"title": "Elm", "context": "Elm has 12 people.", "questions": [{"question": "How many?", "answer": "12"}]}
Content = str | bytes | Callable[[Path], object]


def scanned(path: Path) -> None:
    write_pdf(path, [[], []])


def locked(path: Path) -> None:
    write_pdf(path, [["Secret."]], password="x")


def cut_off(path: Path) -> None:
    write_pdf(path, [["Some text."] * 20] * 3)
    path.write_bytes(path.read_bytes()[:300])


def broken_docx(path: Path) -> None:
    write_docx(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def sheet(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")


def flipped(path: Path) -> None:
    data = bytearray(gzip.compress(b'{"text": "Words."}\n' * 999))
    data[-6] ^= 1
    path.write_bytes(bytes(data))


def zeros(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(101_000_000), 1))


def nameless(path: Path) -> None:
    raw_pdf(path, [down(["¤€¥¤€¥¤"])], unnamed="¤€¥")


class Case:
    """A file, how it is read, and what must be said: where, what was found, what to do."""

    def __init__(self, name: str, content: Content, *fragments: str, **changes: Any) -> None:
        self.name, self.content, self.fragments, self.changes = name, content, fragments, changes

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content.encode() if isinstance(self.content, str) else self.content)
        return path


SMALL = {"max_record_mb": 0.01}
CASES = {
    "scanned PDF": Case("a.pdf", scanned, "2 pages without text, probably scanned", "ocrmypdf a.pdf"),
    "PDF with a password": Case("a.pdf", locked, "a file that a password protects", "qpdf --decrypt"),
    "PDF cut off": Case("a.pdf", cut_off, "a damaged PDF (", "save it again"),
    "PDF that is none": Case("a.pdf", "Just words.", "found text", "expected: a PDF file", "rename it"),
    "DOCX with a password": Case(
        "a.docx", b"\xd0\xcf\x11\xe0" + bytes(600), "a file with a password", "without a password"
    ),
    "DOCX cut off": Case("a.docx", broken_docx, "an archive that is not a Word document", "save it again as DOCX"),
    "DOCX that is a sheet": Case("a.docx", sheet, "an archive that is not a Word document"),
    "DOCX that is none": Case("a.docx", "Just words.", "found text", "expected: a DOCX file"),
    "wrong encoding": Case(
        "a.txt", "Gut.\nStraße über Köln.\n".encode("cp1252"), "line 2: found the byte 0xdf", "not UTF-8", "--encoding"
    ),
    "wrong encoding in Markdown": Case("a.md", b"# T\n\ncaf\xe9", "line 3: found the byte 0xe9"),
    "wrong encoding in a table": Case("a.csv", b"text\nok\ncaf\xe9\n", "line 3: found the byte 0xe9"),
    "wrong encoding in HTML": Case("a.html", b"<p>ok</p>\n<p>caf\xe9</p>", "line 2: found the byte 0xe9"),
    "wrong encoding in JSON": Case("a.json", b'[{"text": "caf\xe9"}]', "after record 0: found text that is not JSON"),
    "wrong encoding given": Case("a.txt", "Straße", "line 1: found the byte 0xc3", "not ASCII", encoding="ascii"),
    "encoding that HTML invents": Case(
        "a.html", '<meta charset="utf-9"><p>x', "the unknown encoding 'utf-9' declared", "--encoding"
    ),
    "half of UTF-16": Case("a.txt", "Ab\nc".encode("utf-16")[:-1], "line 2 or shortly after it", "not utf-16"),
    "JSON in UTF-16": Case("a.json", json.dumps([FLAT]).encode("utf-16"), "JSON in utf-16", "save it as UTF-8"),
    "binary file": Case("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(50), "found a PNG image", "expected: text"),
    "binary file without a mark": Case("a.md", b"abc\0\0\x01", "found a binary file"),
    "half of UTF-16 without a mark": Case(
        "a.txt", "Ab\nc".encode("utf-16-le")[:-1], "line 2 or shortly after it", "not utf-16-le"
    ),
    "binary numbers": Case("a.txt", b"".join(n.to_bytes(4, "little") for n in range(40, 400)), "found a binary file"),
    "binary letters": Case("a.csv", b"ab\0\0cd\0\0", "found a binary file", "--encoding"),
    "a program's head": Case(
        "a.txt", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8" + bytes(40), "found a binary file"
    ),
    "binary file in an encoding given": Case("a.txt", b"ab\0\0\x01", "found a binary file", encoding="latin-1"),
    "archive as a table": Case("a.csv", b"PK\x03\x04" + bytes(50), "found a ZIP archive"),
    "binary JSON": Case("a.json", b"PAR1" + bytes(50), "found a Parquet file"),
    "empty": Case("a.txt", "", "no text: it is empty"),
    "blank": Case("a.md", " \n\n\t\n", "no text: it is empty"),
    "empty PDF": Case("a.pdf", "", "no text: it is empty"),
    "empty page": Case("a.html", "<html><body></body></html>", "no text: it is empty"),
    "table without rows": Case("a.csv", "text\n", "found a header and no rows"),
    "table of blank rows": Case("a.tsv", "text\ttitle\n\n\t\n", "found a header and no rows"),
    "empty table": Case("a.csv", "\n", "no text: it is empty"),
    "list without records": Case("a.json", "[]", "no text: it is empty"),
    "table without a text column": Case(
        "a.csv", "name,year\nElm,1\n", "line 1: found the columns 'name', 'year'", "--text-fields"
    ),
    "table without the named column": Case(
        "a.csv", "name,text\nElm,x\n", "line 1: found no column 'txt'", "did you mean 'text'?", text_fields=("txt",)
    ),
    "table without the named title": Case(
        "a.csv", "name,text\nElm,x\n", "no column 'title'", "correct --title-field", title_field="title"
    ),
    "rows without the named column": Case(
        "a.jsonl", '{"text": "x"}\n{"body": "x"}\n', "line 2: found no column 'text'", text_fields=("text",)
    ),
    "more values than columns": Case(
        "a.csv", "text,n\nElm,1\nOak, a tree,2\n", "line 3: found 3 values under 2 columns"
    ),
    "quotes in the wrong place": Case("a.csv", 'text,n\n"Elm" tree,1\n', "line 2: found a row that is not CSV"),
    "quote never closed": Case(
        "a.csv", 'text\nok\n"Elm' + "\nx" * 9000, "line 3: found a value", "never closed", **SMALL
    ),
    "long line": Case("a.txt", "ok\n" + "x" * 20_000, "line 2: found a line of more than 0.01 MB", **SMALL),
    "long line in UTF-16": Case(
        "a.txt", ("ok\n" + "x" * 20_000).encode("utf-16"), "line 2: found a line of more", **SMALL
    ),
    "long line in Markdown": Case(
        "a.md", "x" * 20_000, "line 1: found a line of more than", "--max-record-mb", **SMALL
    ),
    "long line in JSON Lines": Case(
        "a.jsonl", '{"text": "' + "x" * 20_000, "line 1: found a line of more than", **SMALL
    ),
    "long record": Case(
        "a.json",
        json.dumps([FLAT, {"context": "x" * 200_000, "questions": []}]),
        "record 2: found a record of more than 0.01 MB",
        **SMALL,
    ),
    "long record of one": Case("a.json", '{"x": "' + "x" * 200_000 + '"}', "record 1: found a record of more", **SMALL),
    "comment without end": Case(
        "a.html", "<p>ok</p><!-- " + "x" * 300_000, "a tag, comment or script of more", **SMALL
    ),
    "JSON of another shape": Case("a.json", '{"a": {"b": [1]}}', "a mapping with the fields a", "SQuAD articles"),
    "list of another shape": Case(
        "a.json", '[{"a": {"b": 1}}]', "record 1: found a record with the fields a", "--text-fields"
    ),
    "list of lists": Case("a.json", "[[1, 2]]", "record 1: found a list of 2"),
    "lines of another shape": Case("a.jsonl", '{"text": "x"}\n["y"]\n', "line 2: found a list of 1"),
    "set with a wrong field": Case(
        "a.json",
        json.dumps([FLAT, {**FLAT, "questions": [{"question": 7}]}]),
        "record 2: found no such field",
        "at questions.0.answer",
    ),
    "set with a wrong list": Case(
        "a.json", json.dumps([{**FLAT, "questions": "none"}]), "record 1: found 'none' at questions"
    ),
    "SQuAD with wrong paragraphs": Case(
        "a.json", json.dumps({"data": [{"title": "x", "paragraphs": [{"text": "x"}]}]}), "at paragraphs.0.context"
    ),
    "edit without target": Case(
        "a.json",
        json.dumps([{"requested_rewrite": {"prompt": "{} is", "subject": "x"}}]),
        "at requested_rewrite.target_new",
    ),
    "news with a wrong field": Case(
        "a.jsonl", '{"id": "a", "news": "x", "questions": [{}]}', "line 1", "field 'question'", "field 'answer'"
    ),
    "news with an id twice": Case(
        "a.jsonl", '{"id": "a", "news": "one"}\n{"id": "A", "news": "two"}\n', "line 2: found the id 'A' again"
    ),
    "JSON cut off": Case("a.json", json.dumps([FLAT])[:-1], "after record 1: found text that is not JSON"),
    "JSON that is words": Case("a.json", "hello", "a text that begins with 'h'"),
    "a line that is no JSON": Case(
        "a.jsonl", '{"text": "x"}\n{"text": \n', "line 2: found a line that is not JSON", ".json"
    ),
    "nested too deeply": Case("a.jsonl", "[" * 200_000, "line 1: found a line that is not JSON", "nested too deeply"),
    "half of a character": Case("a.jsonl", '{"text": "x \\ud83d"}', "line 1: found half of a surrogate pair"),
    "sheet that is none": Case(
        "a.xlsx", "Just words.", "not a readable spreadsheet", "expected: XLSX, XLS, XLSB or ODS"
    ),
    "sheet cut off": Case("a.ods", b"PK\x03\x04" + bytes(50), "not a readable spreadsheet", "save it again"),
    "sheet with a password": Case("a.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "a spreadsheet with a password"),
    "compressed file that is none": Case("a.txt.gz", "words", "cannot be unpacked", "Not a gzipped file", "rename it"),
    "compressed file cut off": Case(
        "a.txt.gz", gzip.compress(b"Words. " * 999)[:-9], "cannot be unpacked", "ended before the end-of-stream marker"
    ),
    "compressed file with a flipped bit": Case("a.jsonl.gz", flipped, "cannot be unpacked", "CRC check failed"),
    "compressed zeros": Case("a.txt.gz", zeros, "unpacks to more than 100 MB", "unpack it yourself"),
    **{
        f"{ending} that is compressed": Case(
            f"a{ending}",
            gzip.compress(b"text\nWords.\n"),
            "gzip under a name without .gz",
            f"rename it to a{ending}.gz",
        )
        for ending in (".txt", ".md", ".html", ".csv", ".jsonl", ".json", ".pdf", ".docx", ".epub", ".xlsx")
    },
    "compressed twice": Case("a.txt.gz", gzip.compress(gzip.compress(b"x")), "with gzip twice", "unpack it once"),
    "compressed and empty": Case("a.txt.gz", gzip.compress(b""), "no text: it is empty"),
    "column twice": Case("a.csv", "title,text,text\na,b,c\n", "line 1: found the column 'text' twice", "rename one"),
    "column twice in other letters": Case("a.csv", "Text,text\nb,c\n", "line 1: found the column 'Text' twice"),
    "field twice in JSON": Case("a.json", '[{"text": "x", "text": "y"}]', "record 1: found the field 'text' twice"),
    "field twice further in": Case(
        "a.json",
        '{"data": [{"context": "x", "questions": [{"question": "q", "answer": "a", "answer": "b"}]}]}',
        "record 1: found the field 'answer' twice",
    ),
    "field twice in the only record": Case(
        "a.json", '{"context": "x", "context": "y", "questions": []}', "'context' twice"
    ),
    "field twice in JSON Lines": Case(
        "a.jsonl", '{"text": "x"}\n{"text": "x", "text": "y"}\n', "line 2: found the field"
    ),
    "fonts that do not name their letters": Case(
        "a.pdf", nameless, "fonts do not name their characters", "--force-ocr"
    ),
    "unknown ending": Case("a.odg", "x", "a file name that ends in '.odg'", "save it in one of these forms"),
    **{
        f"unknown ending {one}": Case(f"a{one}", "x", "a file name that ends in", "save it as DOCX or PDF")
        for one in (".rtf", ".odt", ".doc", ".ppt", ".PPTX", ".docm", ".odp", ".rtf.gz")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_is_named(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.write(tmp_path)
    out = tmp_path / "out" / "news.jsonl"
    out.parent.mkdir()
    with pytest.raises(NewsError) as caught:
        import_news([path], out, ImportSettings(**case.changes))
    said = str(caught.value)
    assert said.startswith(str(path))
    for fragment in case.fragments:
        assert fragment in said
    assert caught.value.expected and caught.value.fix
    assert len(said) < 1500
    assert not list(out.parent.iterdir())


WHOLE_FILES = [name for name, case in CASES.items() if not case.changes and not name.startswith("unknown ending")]


def test_the_rest_of_a_folder_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "docs"
    for number, name in enumerate(WHOLE_FILES):
        CASES[name].write(folder / f"{number:02d}")
    (folder / "a.txt").write_text("The first.")
    (folder / "z.txt").write_text("The last.")
    out = tmp_path / "news.jsonl"
    assert call(["news", "import", str(folder), "--out", str(out)]) == 2
    assert not out.exists()
    capsys.readouterr()
    assert call(["news", "import", str(folder), "--out", str(out), "--skip-bad"]) == 0
    said = capsys.readouterr().out
    assert f"{len(WHOLE_FILES)} x not usable: skipped because of --skip-bad" in said
    assert f", {len(WHOLE_FILES)} not usable" in said.splitlines()[-2]
    texts = [one.text for one in read_news(out)]
    # Of a table or a list the bad record alone is left out; of any other file nothing stays.
    records = ["Elm\nElm has 12 people.", "x", "one", "Elm"]
    assert {text for text in texts if text not in records} == {"The first.", "The last."}
    assert set(records) <= set(texts)


@pytest.mark.parametrize(
    ("ending", "text"), [(".txt", "Good one.\n\n"), (".md", "# T\n\nGood one.\n\n"), (".html", "<p>Good one.</p>\n")]
)
def test_of_a_file_that_is_spoilt_further_on_nothing_stays(tmp_path: Path, ending: str, text: str) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    many = "".join(text.replace("one", f"number {n}") for n in range(5000))
    (folder / f"a{ending}").write_bytes(many.encode() + b"caf\xe9 au lait\n")
    (folder / "b.txt").write_text("Good number 3.")
    (folder / "c.txt").write_text("Other.")
    out = tmp_path / "news.jsonl"
    summary = import_news([folder], out, ImportSettings(skip_bad=True))
    assert [one.text for one in read_news(out)] == ["Good number 3.", "Other."]
    assert (summary.news, summary.bad.count, summary.duplicates.count) == (2, 1, 0)
    assert f"a{ending}, line " in summary.bad.first[0]


def test_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    with pytest.raises(NewsError, match="docs: found no news"):
        import_news([tmp_path / "docs"], tmp_path / "news.jsonl")
    (tmp_path / "docs" / "a.txt").write_text("")
    (tmp_path / "docs" / "b.png").write_text("x")
    with pytest.raises(NewsError, match=r"found no news .*ends in '\.png'.*1 x not usable: .*docs/a\.txt"):
        import_news([tmp_path / "docs"], tmp_path / "news.jsonl", ImportSettings(skip_bad=True))
    with pytest.raises(NewsError, match="no such file or folder"):
        import_news([tmp_path / "absent"], tmp_path / "news.jsonl")
    assert not (tmp_path / "news.jsonl").exists()


@given(content=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize(
    "ending", [".txt", ".md", ".html", ".pdf", ".docx", ".csv", ".xlsx", ".xls", ".ods", ".jsonl", ".json", ".txt.gz"]
)
def test_no_content_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / f"a{ending}").write_bytes(content)
    try:
        import_news([folder / f"a{ending}"], folder / "news.jsonl")
    except NewsError as error:
        assert str(folder / f"a{ending}") in str(error)
    else:
        assert read_news(folder / "news.jsonl")
