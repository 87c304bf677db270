"""Tables: empty values and answers in CSV, spreadsheets, and compressed files."""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from base64 import b85decode
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from documents import write_docx, write_pdf
from sheet_files import Sheet, ods, xlsx
from sys2ft.errors import NewsError
from sys2ft.files import open_binary
from sys2ft.news import News, read_news
from sys2ft.news.importers import ImportSettings, ImportSummary, import_news
from sys2ft.news.importers.sheet_process import words_of


def imported(path: Path, **changes: object) -> tuple[list[News], ImportSummary]:
    out = path.parent / "out.jsonl"
    summary = import_news([path], out, ImportSettings(**changes))  # type: ignore[arg-type]
    return read_news(out), summary


def read(path: Path, **changes: object) -> list[tuple[str, list[tuple[str, str]]]]:
    """The texts with their questions and answers."""
    return [(one.text, [(q.text, q.answer) for q in one.questions]) for one in imported(path, **changes)[0]]


def reported(path: Path, **changes: object) -> dict[str, list[str]]:
    """What is reported, without the name of the file."""
    found = imported(path, **changes)[1].reported
    return {what: [one.removeprefix(f"{path}, ") for one in tally.first] for what, tally in found.items()}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# CSV

EMPTY = """title,text,question,answer
NaN,Olm is new.,,
B,n/a,Q?,a
C,Elm is old.,How many?,none
D,Oak is red.,Q?,N/A
E,,,
"""


def test_words_for_an_empty_value_are_no_text_no_title_and_no_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", EMPTY)
    assert read(path) == [("Olm is new.", []), ("C\nElm is old.", [("How many?", "none")]), ("D\nOak is red.", [])]
    assert reported(path) == {
        "word for an empty value (NaN, NULL, None, N/A ...): omitted": ["line 2 (title: NaN)"],
        "row without text": ["line 3 (text: n/a)", "line 6"],
        "question without a value (NaN, NULL, None, N/A ...) as text or answer": ["line 5 (Q?: N/A)"],
    }


def test_empty_values_are_left_out_of_a_text_of_several_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "city,people\nElm,NaN\nOak,7\nNA,NA\n")
    assert [text for text, _ in read(path, text_fields=("city", "people"))] == ["city: Elm", "city: Oak; people: 7"]
    assert reported(path, text_fields=("city", "people"))["row without text"] == ["line 4 (city: NA, people: NA)"]


def test_two_columns_of_one_name_without_a_role_are_no_fault(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "id,id,text\n1,2,Olm is new.\n")) == [("Olm is new.", [])]
    with pytest.raises(NewsError, match="the column 'answer' twice"):
        imported(write(tmp_path / "b.csv", "text,question,answer,answer\nOlm is new.,q?,a,b\n"))
    with pytest.raises(NewsError, match="the column 'name' twice"):
        imported(write(tmp_path / "c.csv", "name,name,text\na,b,c\n"), title_field="name")


ANSWERS = """context,question,answers
The bridge is green.,Q1?,"{'text': array(['green'], dtype=object), 'answer_start': array([14], dtype=int32)}"
The bridge is green.,Q2?,"{""text"": [""green"", ""Green""], ""answer_start"": [14, 14]}"
The bridge is green.,Q3?,"{'text': [], 'answer_start': []}"
The bridge is green.,Q4?,"{'text': array(['It\\'s green',
       'red'], dtype=object)}"
"""


def test_answers_of_a_data_set_in_a_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ANSWERS)
    ((news,), _) = imported(path)
    assert [(q.text, q.answer, q.aliases) for q in news.questions] == [
        ("Q1?", "green", ()),
        ("Q2?", "green", ("Green",)),
        ("Q4?", "It's green", ("red",)),
    ]
    assert reported(path) == {"question without an answer (unanswerable by the text)": ["line 4 (Q3?)"]}


def records(path: Path, *rows: dict[str, object]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"options": ["Ann", "Bob", "Cy"], "answer": "C"}, "Cy"),  # RACE
        ({"choices": ["3", "4", "5", "6"], "answer": 1}, "4"),  # MMLU: from 0
        ({"choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "2"}, "blue"),  # ARC
        ({"choices": ["B", "A"], "answer": "A"}, "A"),  # a choice itself, not a letter
        ({"choices": ["4", "1"], "answer": 1}, "1"),
    ],
)
def test_an_answer_that_is_the_letter_or_number_of_a_choice(
    tmp_path: Path, fields: dict[str, object], answer: str
) -> None:
    path = records(tmp_path / "a.jsonl", {"text": "Olm is new.", "question": "Q?", **fields})
    (news,), summary = imported(path)
    assert news.questions[0].answer == answer and answer in news.questions[0].choices
    replaced = "letter or number of a choice as the answer: replaced by that choice" in summary.reported
    assert replaced == (str(fields.get("answer", fields.get("answerKey"))) != answer)


def test_a_truth_value_is_yes_or_no(tmp_path: Path) -> None:
    rows = ({"passage": "Olm is new.", "question": f"is it {n}", "answer": n == 1} for n in (1, 2))
    ((news,), _) = imported(records(tmp_path / "a.jsonl", *rows))
    assert [(q.answer, q.aliases) for q in news.questions] == [("yes", ("true",)), ("no", ("false",))]


def test_a_question_whose_answers_are_in_no_known_column_is_reported(tmp_path: Path) -> None:
    path = records(tmp_path / "a.jsonl", {"text": "Olm is new.", "question": "Is it?", "solution": "yes"})
    assert read(path) == [("Olm is new.", [])]
    assert reported(path) == {
        "question without an answer column (name it with --answer-field): omitted": ["line 1 (Is it?)"]
    }


def test_answers_of_drop_and_paragraphs_of_hotpot(tmp_path: Path) -> None:
    drop = {"passage": "3 and 4.", "question": "Sum?", "answers_spans": {"spans": ["7"], "types": ["number"]}}
    assert read(records(tmp_path / "a.jsonl", drop)) == [("3 and 4.", [("Sum?", "7")])]
    context = {"title": ["Rye", "Oak"], "sentences": [["Rye is old.", " Very."], ["Oak is new."]]}
    hotpot = {"context": context, "question": "Which is old?", "answer": "Rye"}
    said = "Rye\nRye is old.\nVery.\nOak\nOak is new."
    assert read(records(tmp_path / "b.jsonl", hotpot)) == [(said, [("Which is old?", "Rye")])]


@pytest.mark.parametrize("mark", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_the_line_that_names_the_delimiter(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "a.csv", f"{mark}\ntext;question;answer\nOlm, the new.;Q?;a, b\n")
    assert read(path) == [("Olm, the new.", [("Q?", "a, b")])]


@pytest.mark.parametrize(
    ("text", "encoding"), [("Der Turm ist grün – 5 €.", "cp1252"), ("Привет, мир. Это текст о новой погоде.", "cp1251")]
)
def test_the_commonest_of_the_encodings_that_fit_is_advised(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"text\n{text}\n".encode(encoding))
    with pytest.raises(NewsError, match=f"perhaps --encoding {encoding}"):
        imported(path)


def test_choices_in_a_cell(tmp_path: Path) -> None:
    rows = "text,question,answer,choices\nNo gate stands.,How many stand?,None,\"['None', 'One']\"\n"
    ((news,), _) = imported(write(tmp_path / "a.csv", rows))
    assert [(q.answer, q.choices) for q in news.questions] == [("None", ("None", "One"))]


# Spreadsheets

BRIDGES: Sheet = [
    ["title", "text", "question", "answer"],
    ["Olm", "It is green.", "How high?", 40],
    [None, None, None, None],
    ["Elm", "It is red.", "How long?", 3.5],
]


def test_a_sheet_is_a_table(tmp_path: Path) -> None:
    expected = [("Olm\nIt is green.", [("How high?", "40")]), ("Elm\nIt is red.", [("How long?", "3.5")])]
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": BRIDGES})
    assert read(path) == expected
    assert [one.source for one in imported(path)[0]] == [
        "a.xlsx, sheet 'Sheet1', row 2",
        "a.xlsx, sheet 'Sheet1', row 4",
    ]
    assert reported(path) == {}
    assert read(ods(tmp_path / "a.ods", [row for row in BRIDGES if row[0]])) == expected


XLS = (
    "c-rk)O=uHA6#izKf71NaRA_|~3s$YIPzCYQu1d9dNU0+D3!0ckOT$)Tz@LLwYc7Hycv8F+>cLCZi$AEKHxEKZ4}u^hdK3?Wf`>Ni"
    "o430)trZ&3LUq4o-n@A;-_G0ld9%B(CgY{Cd(CCcK@aLsF@x|`*#xDaQ;31;O;f2(9-w5pSW*ZEXd-=HJg$G~S97T5y9|lDp64Wi"
    "50nn!1p0>!J-LY3#y+Hl@}Zlgz)iA5(8OLfusq6g8OuA|@(If=Y`Ma+o7$Gd0ZeNB?VIgYyic}rT?FdB518|gEnR5D3$=>RUlmqc"
    "FSh0f)43&9(c%eX95kVQx}oP)If`2d0s9G^sZ?igZwU#S>~VZElfYMJS3gU-_Qkaekp25?yZ<-#08Qdt`!(qSMqnP{O;V(|ywYO@"
    "<2~t&p3CW7Q`ki70-UI-pr0<#YB5MXbzC>Xz|KN)@MQ8>Ue}HFA*Yzvv#J0qK*VMRh<e^QVUk%yS&#GfiBYdpx4*njWd^jvY#HH0"
    "!8$rtDNkYIf?^Ok!Zmd>vYi?0SYG72u3){HWrF;tyltS-R(6bXn@e2VM*VDLywO%y>1#+Ye%kf0rT9@>OZr4#`D|k1tu}^MI?A%d"
    "SJx;yM2EO>UEz`D<iZX!?^!ne5^@4EX8Ug1=VKJpYLgM-EUl6n9Whgq_E;&ln1?Nxt;XXi^)HycfkWQq&ytvmC+Fcw=BW`rCqwp}"
    "93-QVK1lAhM>gQTYDNL_Cqi)H!i5VLE?l^9@gG6(E2;GY?y)}-)GNN<{;xAlsp9@7`Dd{k!*mtsqjEb8%JVo=)B0HsuW;@q7RYh_"
    "7b@(f-t!njhW!|-dHvESny7xB1ruX`ZVT1gf29^b|8oC705qlA76"
)
"""A workbook of Excel 97 (made by xlwt): text, n, when; It is green., 12, 2031-05-02; It is red., 1.5, nothing."""


def test_an_old_workbook(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(zlib.decompress(b85decode(XLS)))
    assert [text for text, _ in read(tmp_path / "a.xls", text_fields=("text", "n", "when"))] == [
        "text: It is green.; n: 12; when: 2031-05-02",
        "text: It is red.; n: 1.5",
    ]


def test_values_are_written_as_a_person_reads_them(tmp_path: Path) -> None:
    rows: Sheet = [["name", "n", "share", "when", "open"], ["Olm", 12, 0.1 + 0.2, date(2031, 5, 2), True]]
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": rows})
    assert read(path, text_fields=("name", "n", "share", "when", "open"))[0][0] == (
        "name: Olm; n: 12; share: 0.3; when: 2031-05-02; open: TRUE"
    )
    values = {
        "12": 12.0, "-3": -3.0, "1e+21": 1e21, "0.25": 0.25, "TRUE": True, "": None,
        "2031-05-02 14:30": datetime(2031, 5, 2, 14, 30), "2031-05-02": datetime(2031, 5, 2), "06:00": time(6),
        "2031-05-02 14:30:05": datetime(2031, 5, 2, 14, 30, 5), "06:00:07": time(6, 0, 7),
        "30:00:00": timedelta(hours=30),
    }  # fmt: skip
    assert {words_of(value): value for value in values.values()} == values


def test_titles_above_the_header_and_merged_cells(tmp_path: Path) -> None:
    rows: Sheet = [
        ["Bridges", None, None, None],
        [],
        *BRIDGES[:2],
        [None, "It is red.", "How long?", 3],
    ]
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": rows}, merged=["A1:D1", "A4:A5"])
    assert [text for text, _ in read(path)] == ["Bridges > Olm\nIt is green.", "Bridges > Olm\nIt is red."]


def test_questions_beside_a_merged_text_are_about_it(tmp_path: Path) -> None:
    rows: Sheet = [["text", "question", "answer"], ["It is green.", "Q1?", "a"], [None, "Q2?", "b"], [None, "Q3?", "c"]]
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": rows}, merged=["A2:A4"])
    assert read(path) == [("It is green.", [("Q1?", "a"), ("Q2?", "b"), ("Q3?", "c")])]


def test_several_sheets(tmp_path: Path) -> None:
    other: Sheet = [["body"], ["Tom is new."]]
    sheets = {
        "Bridges": BRIDGES,
        "People": other,
        "Sums": [["n", "m"], [1, 2]],
        "Notes": [["text"], ["Secret."]],
        "Empty": [],
    }
    path = xlsx(tmp_path / "a.xlsx", sheets, hidden=["Notes"])
    texts = ["Bridges > Olm\nIt is green.", "Bridges > Elm\nIt is red.", "People\nTom is new."]
    assert [text for text, _ in read(path)] == texts
    found = reported(path)
    assert found["hidden sheet"] == ["sheet 'Notes'"]
    assert found["several sheets: each read as a table"] == ["workbook ('Bridges', 'People')"]
    assert "sheet 'Sums'" in found["sheet without a usable table"][0]


def test_a_workbook_without_a_text_column_names_its_columns(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": [["name", "height"], ["Olm", 40]]})
    with pytest.raises(NewsError, match="row 1: found the columns 'name', 'height', none of which") as caught:
        imported(path)
    assert "--text-fields" in str(caught.value)
    with pytest.raises(NewsError, match="the column 'text' twice"):
        imported(xlsx(tmp_path / "b.xlsx", {"Sheet1": [["text", "text"], ["a", "b"]]}))
    with pytest.raises(NewsError, match="no text: it is empty"):
        imported(xlsx(tmp_path / "c.xlsx", {"Sheet1": []}))
    with pytest.raises(NewsError, match="sheet 'Towns': found a header and no rows"):
        imported(xlsx(tmp_path / "d.xlsx", {"Towns": [["title", "text"]]}))


def test_a_sheet_that_claims_more_cells_than_memory_is_one_clear_error(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", {"Sheet1": BRIDGES})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    far = parts["xl/worksheets/s1.xml"].replace(b'<row r="4">', b'<row r="1048576">').replace(b'"A4"', b'"XFD1048576"')
    parts["xl/worksheets/s1.xml"] = far
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(NewsError, match=r"not a readable spreadsheet.*4 GB of memory"):
        imported(path)


# Compressed files


def test_any_form_is_read_compressed(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    write(plain / "a.txt", "The ferry is free.")
    write(plain / "b.md", "# Ferry\n\nIt is free.")
    write(plain / "c.html", "<p>The ferry sank.</p>")
    write(plain / "d.csv", "text\nThe gate is open.\n")
    write(plain / "e.tsv", "title\ttext\nGates, all\tThe gate, it is open.\n")
    write(plain / "f.jsonl", '{"text": "The gate is new."}\n')
    write(plain / "g.json", json.dumps([{"text": "The gate is old."}]))
    write(plain / "README", "The last.")
    write_pdf(plain / "h.pdf", [["A bridge fell."]])
    write_docx(plain / "i.docx")
    xlsx(plain / "j.xlsx", {"Sheet1": BRIDGES})
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in plain.iterdir():
        (packed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    one, two = imported(plain)[0], imported(packed)[0]
    assert len(one) > 10
    assert [(n.id, n.text, n.questions) for n in one] == [(n.id, n.text, n.questions) for n in two]
    assert two[0].source == "README.gz, line 1"


def test_parts_of_a_compressed_file_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt.GZ").write_bytes(gzip.compress(b"One is here.\n\n") + gzip.compress(b"Two is here.\n"))
    assert [text for text, _ in read(tmp_path / "a.txt.GZ")] == ["One is here.\nTwo is here."]


def test_an_ending_before_gz_must_be_known(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(NewsError, match=r"a file name that ends in '\.tar\.gz'"):
        imported(tmp_path / "a.tar.gz")


def test_a_compressed_file_is_opened_like_any_other(tmp_path: Path) -> None:
    content = b"first\nsecond\n" * 1000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    for name in ("a", "a.gz"):
        with open_binary(tmp_path / name) as file:
            assert (file.readline(), file.readline(3), file.read(4)) == (b"first\n", b"sec", b"ond\n")
            assert b"".join(file) == content[13:]
            assert file.read() == b""
    (tmp_path / "b.gz").write_bytes(gzip.compress(content)[:-4])
    with open_binary(tmp_path / "b.gz") as file, pytest.raises(OSError, match="compression is damaged"):
        file.read()
    with pytest.raises(FileNotFoundError):
        open_binary(tmp_path / "c.gz")
