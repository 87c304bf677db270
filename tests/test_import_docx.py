"""Word files: what a reader of the document sees is text; deleted, struck-out and hidden text is left out, told."""

# ruff: noqa: E501 - tables of markup

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from importing import imported, paragraph, run, table, write_word
from sys2ft.errors import NewsError
from sys2ft.news.importers import import_news

DELETED, STRUCK, HIDDEN = "deleted text (tracked changes)", "struck-out text", "hidden text"
BEGIN, SEPARATE, END = (f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "separate", "end"))


def code(text: str) -> str:
    return f"<w:r><w:instrText>{text}</w:instrText></w:r>"


def math(xml: str) -> str:
    return f"<m:oMath>{xml}</m:oMath>"


def symbol(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def part(name: str, *parts: tuple[str, str], properties: str = "") -> str:
    """An element of an equation from (name, XML) pairs."""
    inner = "".join(f"<m:{key}>{xml}</m:{key}>" for key, xml in parts)
    return f"<m:{name}>{f'<m:{name}Pr>{properties}</m:{name}Pr>' if properties else ''}{inner}</m:{name}>"


X, Y, TWO = symbol("x"), symbol("y"), symbol("2")
SQUARE = part("sSup", ("e", X), ("sup", TWO))

INLINE = {
    "insertion": ("<w:ins w:id='1'>" + run("B ") + "</w:ins>", {}),
    "insertion within an insertion": ("<w:ins><w:ins>" + run("B ") + "</w:ins></w:ins>", {}),
    "moved here": ("<w:moveTo>" + run("B ") + "</w:moveTo>", {}),
    "link": ("<w:hyperlink>" + run("B ") + "</w:hyperlink>", {}),
    "insertion in a link": ("<w:hyperlink><w:ins>" + run("B ") + "</w:ins></w:hyperlink>", {}),
    "content control": ("<w:sdt><w:sdtPr/><w:sdtContent>" + run("B ") + "</w:sdtContent></w:sdt>", {}),
    "smart tag": ("<w:smartTag><w:smartTagPr/>" + run("B ") + "</w:smartTag>", {}),
    "custom XML": ("<w:customXml>" + run("B ") + "</w:customXml>", {}),
    "direction": ("<w:bdo w:val='rtl'>" + run("B ") + "</w:bdo>", {}),
    "simple field": ("<w:fldSimple w:instr=' DATE '>" + run("B ") + "</w:fldSimple>", {}),
    "field": (BEGIN + code(" REF x ") + SEPARATE + run("B ") + END, {}),
    "field in the code of a field": (
        BEGIN + code(" IF ") + BEGIN + code("PAGE") + SEPARATE + run("9") + END + code("=9 ") + SEPARATE + run("B ") + END,
        {},
    ),
    "sign of a new font": (
        "<w:r><mc:AlternateContent><mc:Choice><w:symEx/></mc:Choice><mc:Fallback><w:t xml:space='preserve'>B </w:t></mc:Fallback>"
        "</mc:AlternateContent></w:r>", {}
    ),
    "deletion": (run("B ") + "<w:del>" + "<w:r><w:delText>gone</w:delText></w:r></w:del>", {DELETED: "gone"}),
    "moved away": (run("B ") + "<w:moveFrom>" + run("gone") + "</w:moveFrom>", {"text at the place that it was moved from": "gone"}),
    "deleted insertion": (
        run("B ") + "<w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:ins>", {DELETED: "gone"}
    ),
    "struck out": (run("B ") + run("go", "<w:strike/>") + run("ne", "<w:strike w:val='true'/>"), {STRUCK: "gone"}),
    "struck out twice": (run("B ") + run("gone", "<w:dstrike/>"), {STRUCK: "gone"}),
    "not struck out": (run("B ", "<w:strike w:val='0'/><w:vanish w:val='false'/>"), {}),
    "hidden": (run("B ") + run("gone", "<w:vanish/>"), {HIDDEN: "gone"}),
    "hidden link": ("<w:hyperlink>" + run("gone", "<w:vanish/>") + "</w:hyperlink>" + run("B "), {HIDDEN: "gone"}),
    "hidden by a style": (run("B ") + run("gone", "<w:rStyle w:val='Secret'/>"), {HIDDEN: "gone"}),
    "shown against a style": (run("B ", "<w:rStyle w:val='Secret'/><w:vanish w:val='0'/>"), {}),
    "empty form field": (
        "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>" + run("gone") + "</w:sdtContent></w:sdt>" + run("B "),
        {"placeholder of an empty form field": "gone"},
    ),
    "tab and hyphen": ("<w:r><w:t>B</w:t><w:tab/></w:r>", {}),
    "comment": ("<!-- no text -->" + run("B "), {}),
}  # fmt: skip
STYLES = """<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>
<w:style w:type="character" w:styleId="Base"><w:name w:val="Base"/><w:rPr><w:vanish/></w:rPr></w:style>
<w:style w:type="character" w:styleId="Secret"><w:name w:val="Secret"/><w:basedOn w:val="Base"/></w:style>
<w:style w:type="character" w:styleId="Up"><w:name w:val="Up"/><w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Old"><w:name w:val="Old"/><w:rPr><w:strike/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>
<w:style w:type="paragraph" w:styleId="T1"><w:name w:val="toc 1"/></w:style>
<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Chapter"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Points"><w:name w:val="Points"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
"""


@pytest.mark.parametrize("name", INLINE)
@pytest.mark.parametrize("place", ["paragraph", "table", "nested table", "note", "content control"])
def test_what_is_text_and_what_is_not(name: str, place: str, tmp_path: Path) -> None:
    xml, reported = INLINE[name]
    written = paragraph(run("A "), xml, run("C."))
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    body, wanted = {
        "paragraph": (written, "A B C."),
        "table": (table(bold("name", "said"), ("x", written)), "name: x; said: A B C."),
        "nested table": (
            table(bold("name", "said"), ("x", paragraph("see") + table(bold("in"), (written,)))),
            "name: x; said: see (in: A B C.)",
        ),
        "note": (paragraph("Text.", reference), "Text.[1]\n[1] A B C."),
        "content control": (f"<w:sdt><w:sdtContent>{written}</w:sdtContent></w:sdt>", "A B C."),
    }[place]
    notes = f'<w:footnote w:id="2">{written}</w:footnote>'
    path = write_word(tmp_path / "a.docx", body, styles=STYLES, **({"footnotes": notes} if place == "note" else {}))
    found = imported(path, tmp_path)
    assert found.text == wanted
    assert list(found.reported) == list(reported)
    for what, words in reported.items():
        (told,) = found.reported[what]
        assert told.endswith(f"({words})")


SCRIPTS = [
    (("10", "<w:vertAlign w:val='superscript'/>", "2"), " m", "10² m"),
    (("3×10", "<w:vertAlign w:val='superscript'/>", "−6"), " m", "3×10⁻⁶ m"),
    (("H", "<w:vertAlign w:val='subscript'/>", "2"), "O", "H₂O"),
    (("10", "<w:rStyle w:val='Up'/>", "4"), ".", "10⁴."),
    (("the 1", "<w:vertAlign w:val='superscript'/>", "st"), " of May", "the 1st of May"),
    (("x", "<w:vertAlign w:val='superscript'/>", "n+1"), " is", "x^(n+1) is"),
    (("v", "<w:vertAlign w:val='subscript'/>", "max"), " is", "v_max is"),
    (("10", "<w:rStyle w:val='Up'/><w:vertAlign w:val='baseline'/>", "4"), ".", "104."),
]


@pytest.mark.parametrize(("parts", "rest", "wanted"), SCRIPTS)
def test_superscripts_and_subscripts_keep_their_meaning(
    parts: tuple[str, str, str], rest: str, wanted: str, tmp_path: Path
) -> None:
    base, properties, script = parts
    one = paragraph(run(base), "".join(run(letter, properties) for letter in script), run(rest))
    assert imported(write_word(tmp_path / "a.docx", one, styles=STYLES), tmp_path).text == wanted


EQUATIONS = {
    "E=mc²": symbol("E=m") + part("sSup", ("e", symbol("c")), ("sup", TWO)),
    "(a+b)/2": part("f", ("num", symbol("a+b")), ("den", TWO)),
    "3 1/2": symbol("3") + part("f", ("num", symbol("1")), ("den", TWO)),
    "1/(2a)": part("f", ("num", symbol("1")), ("den", symbol("2a"))),
    "x_i²": part("sSubSup", ("e", X), ("sub", symbol("i")), ("sup", TWO)),
    "√(x+1)": part("rad", ("deg", ""), ("e", symbol("x+1")), properties="<m:degHide m:val='1'/>"),
    "∛x": part("rad", ("deg", symbol("3")), ("e", X)),
    "∑_(i=1)^n x": part("nary", ("sub", symbol("i=1")), ("sup", symbol("n")), ("e", X), properties="<m:chr m:val='∑'/>"),
    "∫₀² x": part("nary", ("sub", symbol("0")), ("sup", TWO), ("e", X)),
    "(x|y)": part("d", ("e", X), ("e", Y)),
    "[x]": part("d", ("e", X), properties="<m:begChr m:val='['/><m:endChr m:val=']'/>"),
    "{x; y": part(
        "d", ("e", part("eqArr", ("e", X), ("e", Y))), properties="<m:begChr m:val='{'/><m:endChr m:val=''/>"
    ),
    "sin x": part("func", ("fName", symbol("sin")), ("e", X)),
    "lim_(x→0) y": part("func", ("fName", part("limLow", ("e", symbol("lim")), ("lim", symbol("x→0")))), ("e", Y)),
    "[x, y; y, x]": part("d", ("e", "<m:m><m:mr><m:e>" + X + "</m:e><m:e>" + Y + "</m:e></m:mr><m:mr><m:e>" + Y
                              + "</m:e><m:e>" + X + "</m:e></m:mr></m:m>")),
    "x̂": part("acc", ("e", X)),
    "²³⁵U": part("sPre", ("sub", ""), ("sup", symbol("235")), ("e", symbol("U"))),
    "(x+y)²": part("sSup", ("e", symbol("x+y")), ("sup", TWO)),
    "(n choose k)": part(
        "d", ("e", part("f", ("num", symbol("n")), ("den", symbol("k")), properties="<m:type m:val='noBar'/>"))
    ),
    "x²": part("box", ("e", SQUARE)),
    "xy": X + "<w:ins>" + Y + "</w:ins>",
    "x": X + "<w:del>" + Y + "</w:del>",
}  # fmt: skip


@pytest.mark.parametrize("wanted", EQUATIONS)
def test_equations_are_text(wanted: str, tmp_path: Path) -> None:
    xml = math(EQUATIONS[wanted])
    for number, one in enumerate((xml, f"<m:oMathPara>{xml}</m:oMathPara>")):
        path = write_word(tmp_path / f"{number}.docx", paragraph(run("It is "), one, run(" here.")))
        assert imported(path, tmp_path).text == f"It is {wanted} here."
    in_table = write_word(tmp_path / "t.docx", table(("value",), (paragraph(xml),)))
    assert imported(in_table, tmp_path).text == f"value: {wanted}"


def test_a_field_over_several_paragraphs_and_one_without_result(tmp_path: Path) -> None:
    body = paragraph(BEGIN, code(" QUOTE "), SEPARATE, "One.") + paragraph("Two.", END)
    body += paragraph("Then ", BEGIN, code(r" EQ \f(1,2) "), END, "three.")
    found = imported(write_word(tmp_path / "a.docx", body), tmp_path)
    assert found.text == "One.\nTwo.\nThen three."
    (told,) = found.reported["field without a result"]
    assert told.endswith(r"(EQ \f(1,2))")


CHOICES = "<w:listEntry w:val='red'/><w:listEntry w:val='green'/><w:listEntry w:val='blue'/>"
DROPDOWNS = {  # what a list in a form says of its choice, and the text
    "<w:result w:val='2'/><w:default w:val='1'/>": "blue",
    "<w:result w:val='0'/><w:default w:val='1'/>": "red",
    "<w:default w:val='1'/>": "green",
    "": "red",
    "<w:result w:val='7'/><w:default w:val='1'/>": "green",
    "<w:result w:val='x'/>": "red",
}


@pytest.mark.parametrize("said", DROPDOWNS)
@pytest.mark.parametrize("shown", ["", SEPARATE, f"{SEPARATE}{run('pink')}"])
def test_the_choice_in_an_old_form_is_text(said: str, shown: str, tmp_path: Path) -> None:
    data = f"<w:ffData><w:ddList>{said}{CHOICES}</w:ddList></w:ffData>"
    begin = f"<w:r><w:fldChar w:fldCharType='begin'>{data}</w:fldChar></w:r>"
    one = paragraph(run("Gate: "), begin, code(" FORMDROPDOWN "), shown or "<w:r/>", END, run("."))
    outer = paragraph(BEGIN, code(" IF "), begin, code(" FORMDROPDOWN "), END, code(" = 1 "), SEPARATE, "Yes.", END)
    found = imported(write_word(tmp_path / "a.docx", one + outer), tmp_path)
    assert found.text == f"Gate: {'pink' if 'pink' in shown else DROPDOWNS[said]}.\nYes."
    assert not found.reported


def test_an_old_form_without_choices_is_reported(tmp_path: Path) -> None:
    begin = "<w:r><w:fldChar w:fldCharType='begin'><w:ffData><w:ddList/></w:ffData></w:fldChar></w:r>"
    body = paragraph(run("Gate"), begin, code(" FORMDROPDOWN "), END, run("."))
    found = imported(write_word(tmp_path / "a.docx", body), tmp_path)
    assert (found.text, list(found.reported)) == ("Gate.", ["field without a result"])


def test_paragraphs_whose_end_was_deleted_are_joined(tmp_path: Path) -> None:
    ended = "<w:rPr><w:del/></w:rPr>"
    body = paragraph("The bridge ", properties=ended) + paragraph("is green.") + paragraph("The end.", properties=ended)
    assert imported(write_word(tmp_path / "a.docx", body), tmp_path).text == "The bridge is green.\nThe end."


def test_inserted_paragraphs_rows_and_controls_in_tables(tmp_path: Path) -> None:
    row = "<w:tr>{}<w:tc>" + paragraph("{}") + "</w:tc></w:tr>"
    rows = row.format("", "name") + row.format("<w:trPr><w:ins/></w:trPr>", "Okafor")
    rows += row.format("<w:trPr><w:del/></w:trPr>", "Holt")
    rows += "<w:sdt><w:sdtContent>" + row.format("", "Vale") + "</w:sdtContent></w:sdt>"
    body = f"<w:tbl>{rows}</w:tbl><w:ins>{paragraph('It is new.')}</w:ins><w:customXml>{paragraph('Really.')}</w:customXml>"
    found = imported(write_word(tmp_path / "a.docx", body), tmp_path)
    assert found.text == "name: Okafor\nname: Vale\nIt is new.\nReally."
    assert found.reported[DELETED][0].endswith("(Holt)")


def test_cells_over_several_rows_and_columns(tmp_path: Path) -> None:
    start, more, wide = "<w:vMerge w:val='restart'/>", "<w:vMerge/>", "<w:gridSpan w:val='2'/>"
    rows = (("Part", "summer", "winter"), ("Pump", "80", "60"), ("", "85", "65"), ("Shaft", "95"))
    body = table(*rows, properties={(1, 0): start, (2, 0): more, (3, 1): wide})
    assert imported(write_word(tmp_path / "a.docx", body), tmp_path).text.splitlines() == [
        "Part: Pump; summer: 80; winter: 60",
        "Part: Pump; summer: 85; winter: 65",
        "Part: Shaft; summer, winter: 95",
    ]


GUESSED = "first row of a table, not marked as a header: read as the names of its columns"
START, MORE, WIDE = "<w:vMerge w:val='restart'/>", "<w:vMerge/>", "<w:gridSpan w:val='2'/>"
BOLD = "<w:b/>"
MERGED = {(0, 0): START, (1, 0): MORE}
HEAD = "<w:tr><w:trPr><w:tblHeader/></w:trPr>"
FIRST = "<w:tr><w:trPr><w:cnfStyle w:val='100000000000'/></w:trPr>"
STYLED = "<w:tbl><w:tblPr><w:tblStyle w:val='Fancy'/><w:tblLook w:val='{}'/></w:tblPr>"
FANCY = "<w:style w:type='table' w:styleId='Fancy'><w:tblStylePr w:type='firstRow'/></w:style>"
YEARS = (("1931", "1932"), ("1941", "1942"))


def bold(*cells: str) -> tuple[str, ...]:
    return tuple(paragraph(run(cell, BOLD)) for cell in cells)


HEADERS: dict[str, tuple[str, list[str], bool]] = {  # the table, its lines, and whether a guess is reported
    "none, a cell over two rows": (
        table(("North", "3", "4"), ("", "5", "6"), properties=MERGED), ["North; 3; 4", "North; 5; 6"], False
    ),
    "none, words, a cell over two rows": (
        table(("North", "red"), ("", "green"), ("South", "blue"), properties=MERGED),
        ["North; red", "North; green", "South; blue"],
        False,
    ),
    "none, numbers": (table(("Rye", "3"), ("Elm", "-4.5 %")), ["Rye; 3", "Elm; -4.5 %"], False),
    "none, sums of money": (table(("Rye", "€ 3,50"), ("Elm", "€ 4")), ["Rye; € 3,50", "Elm; € 4"], False),
    "none, lengths": (table(("Rye", "40 m"), ("Elm", "3 km²")), ["Rye; 40 m", "Elm; 3 km²"], False),
    "ordinals": (table(("Town", "1st", "2nd half"), ("Rye", "3", "4")), ["Town: Rye; 1st: 3; 2nd half: 4"], True),
    "none, a cell twice": (table(("Rye", "red", "red"), ("Elm", "red", "blue")), ["Rye; red; red", "Elm; red; blue"], False),
    "none, an empty cell": (table(("Rye", ""), ("Elm", "red")), ["Rye", "Elm; red"], False),
    "none, years": (table(*YEARS), ["1931; 1932", "1941; 1942"], False),
    "words": (table(("Town", "Sign"), ("Rye", "red")), ["Town: Rye; Sign: red"], True),
    "an empty corner": (table(("", "Sign"), ("Rye", "red")), ["Rye; Sign: red"], True),
    "years above counts": (table(("", "2001", "2002"), ("Rye", "5", "7")), ["Rye; 2001: 5; 2002: 7"], True),
    "two rows": (
        table(("Part", "Heat"), ("", "summer", "winter"), ("Pump", "80", "60"), properties={**MERGED, (0, 1): WIDE}),
        ["Part: Pump; Heat, summer: 80; Heat, winter: 60"],
        True,
    ),
    "marked numbers": (table(*YEARS).replace("<w:tr>", HEAD, 1), ["1931: 1941; 1932: 1942"], False),
    "two marked rows": (
        table(("Part", "Heat"), ("", "80"), ("Pump", "x"), properties=MERGED).replace("<w:tr>", HEAD, 2),
        ["Part: Pump; Heat, 80: x"],
        False,
    ),
    "the mark switched off": (
        table(*YEARS).replace("<w:tr>", HEAD.replace("/>", " w:val='0'/>"), 1), ["1931; 1932", "1941; 1942"], False
    ),
    "the format of first rows": (table(*YEARS).replace("<w:tr>", FIRST, 1), ["1931: 1941; 1932: 1942"], False),
    "the style of the table": (
        table(*YEARS).replace("<w:tbl>", STYLED.format("04A0")), ["1931: 1941; 1932: 1942"], False
    ),
    "the style without first row": (
        table(*YEARS).replace("<w:tbl>", STYLED.format("0480")), ["1931; 1932", "1941; 1942"], False
    ),
    "bold": (table(bold("1931", "1932"), YEARS[1]), ["1931: 1941; 1932: 1942"], False),
    "all bold": (table(bold(*YEARS[0]), bold(*YEARS[1])), ["1931; 1932", "1941; 1942"], False),
    "bold sentences": (table(bold("It is new. " * 20), ("Two.",)), [" ".join(["It is new."] * 20), "Two."], False),
    "a title, then bold": (
        table(("Bridges",), bold(*YEARS[0]), YEARS[1], properties={(0, 0): WIDE}),
        ["Bridges", "1931: 1941; 1932: 1942"],
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_the_first_row_of_a_table_names_columns_if_marked_or_if_it_reads_so(name: str, tmp_path: Path) -> None:
    body, lines, guessed = HEADERS[name]
    found = imported(write_word(tmp_path / "a.docx", body, styles=FANCY), tmp_path)
    assert found.text.splitlines() == lines
    assert list(found.reported) == [GUESSED] * guessed


def test_notes_follow_the_paragraph_that_refers_to_them(tmp_path: Path) -> None:
    def note(kind: str, key: int) -> str:
        return f'<w:r><w:{kind}Reference w:id="{key}"/></w:r>'

    body = paragraph("One", note("footnote", 3), " and two", note("endnote", 3), ".") + paragraph("Three.")
    body += table(("cell",), (paragraph("Four", note("footnote", 4)),))
    footnotes = "".join(
        f'<w:footnote w:id="{key}"{kind}>{paragraph("<w:r><w:footnoteRef/></w:r>", text)}</w:footnote>'
        for key, kind, text in ((0, ' w:type="separator"', "-"), (3, "", "First."), (4, "", "Third."), (5, "", "Lost."))
    )
    endnotes = f'<w:endnote w:id="3">{paragraph("Second ")}{paragraph("note.")}</w:endnote>'
    found = imported(write_word(tmp_path / "a.docx", body, footnotes=footnotes, endnotes=endnotes), tmp_path)
    assert found.text == ("One[1] and two[2].\n[1] First.\n[2] Second note.\nThree.\ncell: Four[3]\n[3] Third.")
    assert found.reported["note without a reference in the text"][0].endswith("(Lost.)")


def test_a_note_that_refers_to_itself(tmp_path: Path) -> None:
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    notes = f'<w:footnote w:id="2">{paragraph("See ", reference)}</w:footnote>'
    assert imported(write_word(tmp_path / "a.docx", paragraph("One", reference), footnotes=notes), tmp_path).text == (
        "One[1]\n[1] See [1]"
    )


def test_text_boxes_are_text_once_and_pictures_are_told(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{paragraph('In a box.')}</w:txbxContent>"
    both = (
        "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wp:inline><wp:docPr id='1' name='x' descr='A gull'/>"
        f"<a:graphic><a:graphicData uri='u'><wps:wsp><wps:txbx>{box}</wps:txbx></wps:wsp></a:graphicData></a:graphic>"
        f"</wp:inline></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )
    found = imported(write_word(tmp_path / "a.docx", paragraph("Before.", both) + paragraph("After.")), tmp_path)
    assert found.text == "Before.\nIn a box.\nAfter."
    assert found.reported["description of a picture"][0].endswith("(A gull)")


def test_comments_are_told_and_styles_decide(tmp_path: Path) -> None:
    def styled(key: str, text: str) -> str:
        return paragraph(text, properties=f"<w:pStyle w:val='{key}'/>")

    body = styled("T1", "Fares 3") + styled("H1", "Fares") + styled("Old", "A crossing costs 9 crowns.")
    body += (
        styled("Points", "Dogs: free")
        + styled("Points", "Bicycles: 1 crown")
        + styled("Own", "Crew")
        + styled("Normal", "Two.")
    )
    comments = f'<w:comment w:id="1">{paragraph("Is this right?")}</w:comment>'
    found = imported(write_word(tmp_path / "a.docx", body, styles=STYLES, comments=comments), tmp_path)
    assert [one.text for one in found.news] == ["Fares\n- Dogs: free\n- Bicycles: 1 crown", "Crew\nTwo."]
    assert {what: told[0].rpartition(" (")[2] for what, told in found.reported.items()} == {
        "comments, page headers and footers": "Is this right?)",
        "table of contents": "Fares 3)",
        STRUCK: "A crossing costs 9 crowns.)",
    }


def test_symbols_and_ruby(tmp_path: Path) -> None:
    ruby = f"<w:r><w:ruby><w:rt>{run('とうきょう')}</w:rt><w:rubyBase>{run('東京')}</w:rubyBase></w:ruby></w:r>"
    signs = "<w:r><w:sym w:font='Symbol' w:char='F061'/><w:sym w:font='Wingdings' w:char='F0FC'/></w:r>"
    legacy = run("b", "<w:rFonts w:ascii='Symbol'/>")
    found = imported(
        write_word(tmp_path / "a.docx", paragraph(ruby, "へ。") + paragraph("Angles ", signs, legacy, ".")), tmp_path
    )
    assert found.text == "東京(とうきょう)へ。\nAngles α✓β."
    unknown = paragraph("A sign<w:r/>".replace("<w:r/>", ""), "<w:r><w:sym w:font='Odd' w:char='F041'/></w:r>")
    found = imported(write_word(tmp_path / "b.docx", unknown), tmp_path)
    assert (found.text, list(found.reported)) == ("A sign", ["symbol without a character"])


@given(data=st.recursive(
    st.sampled_from(["A", "<w:del/>", "<w:r/>", "<w:fldChar w:fldCharType='end'/>", "<w:tbl/>", "<m:f/>", "<m:r/>", "<w:sym/>"]),
    lambda inner: st.tuples(
        st.sampled_from(["p", "r", "t", "ins", "del", "tbl", "tr", "tc", "sdt", "sdtContent", "hyperlink", "rPr", "pPr"]),
        st.lists(inner, max_size=4),
    ).map(lambda pair: f"<w:{pair[0]}>{''.join(pair[1])}</w:{pair[0]}>"),
    max_leaves=25,
))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_no_structure_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, data: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = write_word(folder / "a.docx", data)
    try:
        import_news([path], folder / "news.jsonl")
    except NewsError as error:
        assert str(path) in str(error)
