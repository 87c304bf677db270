"""Web pages: encodings as browsers read them, scripts, equations, ruby, tables, and what surrounds the text."""

# ruff: noqa: E501 - tables of markup

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from html_pages import ENCODINGS, PAGES
from importing import Imported, imported
from sys2ft.errors import NewsError
from sys2ft.news.importers import import_news
from sys2ft.news.importers.furniture import AROUND, NAVIGATION, OUTSIDE
from sys2ft.news.importers.main_text import JUDGED


def page(folder: Path, html: str | bytes, name: str = "a.html", **changes: Any) -> Imported:
    (folder / name).write_bytes(html if isinstance(html, bytes) else html.encode())
    return imported(folder / name, folder, **changes)


@pytest.mark.parametrize("name", PAGES)
def test_pages_keep_their_text_and_lose_the_rest(name: str, tmp_path: Path) -> None:
    one = PAGES[name]
    found = page(tmp_path, one.html.encode(ENCODINGS.get(name, "utf-8")))
    flat = " ".join(found.text.split())
    assert [words for words in one.kept if words not in flat] == []
    assert [words for words in one.omitted if words in flat] == []
    if name in ("article", "wiki", "chinese"):
        assert found.reported.keys() >= {NAVIGATION, AROUND} - ({AROUND} if name == "wiki" else set())


INLINE = {
    "10<sup>2</sup> m<sup>2</sup>": "10² m²",
    "3&times;10<sup>&minus;6</sup>": "3×10⁻⁶",
    "H<sub>2</sub>O, CO<sub>2</sub>": "H₂O, CO₂",
    "Ca<sup>2+</sup> SO<sub>4</sub><sup>2&minus;</sup>": "Ca²⁺ SO₄²⁻",
    "2<sup>10<sup>3</sup></sup>": "2^10³",
    "x<sup>n+1</sup>": "x^(n+1)",
    "e<sup>x</sup>y": "e^(x)y",
    "v<sub>max</sub> is": "v_max is",
    "x<sub>i,j</sub>": "x_(i,j)",
    "10<span style='vertical-align: super; font-size: 80%'>2</span> m": "10² m",
    "10<sup><span><b>2</b></span></sup> m": "10² m",
    "10<SUP>2</SUP> m": "10² m",
    "the 21<sup>st</sup> and 2<sup>nd</sup>": "the 21st and 2nd",
    "le XX<sup>e</sup> siècle, M<sup>me</sup> Holt": "le XXe siècle, Mme Holt",
    "20<sup>o</sup>C": "20°C",
    "Frob<sup>TM</sup> and Elm<sup>&reg;</sup>": "Frob™ and Elm®",
    "5<sup>1</sup>/<sub>2</sub> m, <sup>3</sup>&frasl;<sub>4</sub>": "5 1/2 m, 3/4",
    "green<sup>[1]</sup> and<sup class='reference'><a href='#n2'>[2]</a></sup> old": "green[1] and[2] old",
    "in 2031<sup><a href='#fn1'>1</a></sup>.": "in 2031[1].",
    "in 2031<a href='#fn1' role='doc-noteref'><sup>1</sup></a>.": "in 2031[1].",
    "in 2031<sup class='footnote-ref'>1</sup>.": "in 2031[1].",
    "see <a href='#part'>part 2</a>": "see part 2",
    "The note. <a href='#ref1'>↩</a>": "The note.",
    "a price<sup>*</sup>": "a price*",
    "10<sup>2": "10²",
    "10<sup>2 </sup>m and 10<sup>\n2</sup>.": "10² m and 10².",
    "10</sup>2</sub> m": "102 m",
    "was <s>red</s> <del>blue</del> <strike>old</strike> green": "was green",
    "was <span style='text-decoration: line-through'>red</span> green": "was green",
    "It is <span hidden>not </span>green": "It is green",
    "It is <span style='display:none'>not </span>green": "It is green",
    "<q>Nothing changes</q>, she said": "“Nothing changes”, she said",
    "a<img alt='gull' src='x'>b": "a gull b",
    "soft&shy;hyphen and zero&#8203;width": "softhyphen and zerowidth",
    "<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt><rp>)</rp></ruby>を": "漢字(かんじ)を",
    "<ruby>漢字<rt>かんじ</ruby>を": "漢字(かんじ)を",
    "<ruby><rb>漢<rb>字<rp>(<rt>かん<rt>じ<rp>)</ruby>を": "漢字(かんじ)を",
    "<ruby><rb>東</rb><rb>京</rb><rtc><rt>とう</rt><rt>きょう</rt></rtc></ruby>へ": "東京(とうきょう)へ",
    "<ruby>中<rt>zhōng</rt></ruby><ruby>国<rt>guó</rt></ruby>是": "中国(zhōng guó)是",
    "<ruby>中<rt></rt></ruby>国": "中国",
    "桥高\n四十米，\n  很新": "桥高四十米，很新",
    "two\nlines": "two lines",
    "東京<br>大阪": "東京 大阪",
}


@pytest.mark.parametrize("html", INLINE)
@pytest.mark.parametrize(
    "around", ["<p>The text: {}</p>", "<ul><li>The text: {}</ul>", "<table><tr><td>The text: {}</table>"]
)
def test_what_is_within_a_line(html: str, around: str, tmp_path: Path) -> None:
    found = page(tmp_path, around.format(html))
    assert found.text.removeprefix("- ") == f"The text: {INLINE[html]}"


def test_struck_out_and_hidden_text_is_told(tmp_path: Path) -> None:
    found = page(
        tmp_path,
        "<p>It is <s>red</s> <i hidden>not</i> green.</p><svg><text>label</text></svg><h1>A <del>b</del></h1><p>x",
    )
    assert {what: [one.rpartition(" (")[2] for one in told] for what, told in found.reported.items()} == {
        "struck-out or deleted text": ["red)", "b)"],
        "hidden text": ["not)"],
        "text in a picture (svg)": ["label)"],
    }


MATH = {
    "<mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup>": "E=mc²",
    "<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac>": "(a+b)/2",
    "<mn>3</mn><mfrac><mn>1</mn><mn>2</mn></mfrac>": "3 1/2",
    "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>": "x_i²",
    "<msup><mi>e</mi><mi>x</mi></msup><mi>y</mi>": "e^(x)y",
    "<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>": "√(x+1)",
    "<mroot><mi>x</mi><mn>3</mn></mroot>": "∛x",
    "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>": "∑_(i=1)^n i",
    "<mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>": "sin x",
    "<mover><mi>x</mi><mo>^</mo></mover>": "x̂",
    "<mfenced><mi>a</mi><mi>b</mi></mfenced>": "(a,b)",
    "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>": "[1, 2]",
    "<mmultiscripts><mi>U</mi><mprescripts/><none/><mn>235</mn></mmultiscripts>": "²³⁵U",
    "<semantics><mi>E</mi><annotation encoding='application/x-tex'>{\\displaystyle E}</annotation></semantics>": "E",
    "<semantics><mi>E</mi><annotation-xml encoding='MathML-Content'><ci>E</ci></annotation-xml></semantics>": "E",
    "<mrow><mi>a<mo>+<mi>b": "a+b",
    "<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>": "n choose k",
}


@pytest.mark.parametrize("xml", MATH)
def test_equations_are_text(xml: str, tmp_path: Path) -> None:
    found = page(tmp_path, f"<p>It is <math display='block' alttext='no'>{xml}</math> here.")
    assert (found.text, found.reported) == (f"It is {MATH[xml]} here.", {})


def test_equations_in_other_forms(tmp_path: Path) -> None:
    prefixed = "<m:math><m:msup><m:mi>c</m:mi><m:mn>2</m:mn></m:msup></m:math>"
    assert page(tmp_path, f"<p>It is {prefixed} here.").text == "It is c² here."
    alternative = "<math alttext='E=mc^{2}'></math>"
    assert page(tmp_path, f"<p>It is {alternative} here.").text == "It is E=mc^{2} here."
    picture = "<span style='display: none'><math><mi>E</mi></math></span><img alt='{\\displaystyle E=mc^{2}}' aria-hidden='true'>"
    assert page(tmp_path, f"<p>It is {picture}.").text == "It is E=mc^{2}."
    script = "<span class='MathJax'>E=mc2</span><script type='math/tex'>E=mc^2</script>"
    assert page(tmp_path, f"<p>It is {script} here.").text == "It is E=mc^2 here."
    found = page(tmp_path, "<p>It is <math></math> here.<p>And <math><mi>x<p>more.")
    assert found.text == "It is here.\nAnd x\nmore."
    assert list(found.reported) == ["equation without text"]


TABLES = {
    "inner headers": (
        "<tr><th>Route<th>Price<tr><td>North<table><tr><th>Day<th>Fee<tr><td>Monday<td>3<tr><td>Friday<td>4</table><td>5",
        ["Route: North (Day: Monday; Fee: 3 | Day: Friday; Fee: 4); Price: 5"],
    ),
    "a cell that is a table": (
        "<tr><th>Route<th>Price<tr><td>North<td><table><tr><th>Day<th>Fee<tr><td>Monday<td>3</table>",
        ["Route: North; Price: Day: Monday; Fee: 3"],
    ),
    "three deep": (
        "<tr><th>A<tr><td>a<table><tr><th>B<tr><td>b<table><tr><th>C<tr><td>c</table></table>",
        ["A: a (B: b (C: c))"],
    ),
    "text after the inner table": ("<tr><th>A<tr><td>a<table><tr><td>b</table>c", ["A: a (b) c"]),
    "layout": ("<tr><td><table><tr><th>Day<th>Fee<tr><td>Monday<td>3</table></td></tr>", ["Day: Monday; Fee: 3"]),
    "headers over two rows": (
        "<thead><tr><td rowspan=2>Part<td colspan=2>Heat<tr><td>summer<td>winter</thead><tr><td>Pump<td>80<td>60",
        ["Part: Pump; Heat, summer: 80; Heat, winter: 60"],
    ),
    "a cell over rows": (
        "<tr><th>Part<th>Heat<tr><td rowspan=2>Pump<td>80<tr><td>85<tr><td>Shaft<td>95",
        ["Part: Pump; Heat: 80", "Part: Pump; Heat: 85", "Part: Shaft; Heat: 95"],
    ),
    "a header for each row": ("<tr><th colspan=2>Bridge<tr><th>Height<td>40 m<tr><th>Opened<td>2031", [
        "Bridge", "Height: 40 m", "Opened: 2031",
    ]),
    "new headers further down": (
        "<tr><th>A<th>B<tr><td>1<td>2<tr><th>C<th>D<tr><td>3<td>4", ["A: 1; B: 2", "C: 3; D: 4"]
    ),
    "an empty corner": (
        "<tr><td></td><th>2001<th>2002<tr><th>Rye<td>5<td>7", ["Rye; 2001: 5; 2002: 7"]
    ),
    "an empty corner over two rows and columns": (
        "<tr><td colspan=2 rowspan=2>&nbsp;<th colspan=2>Heat<tr><th>summer<th>winter<tr><td>Pump<td>old<td>80<td>60",
        ["Pump; old; Heat, summer: 80; Heat, winter: 60"],
    ),
    "two empty corner cells": ("<tr><td><td> <th>Heat<tr><td>Pump<td>old<td>80", ["Pump; old; Heat: 80"]),
    "a row without a value": ("<tr><th>Rye<td><tr><th>Elm<td>7", ["Rye", "Elm: 7"]),
    "headers only": ("<tr><th>A<th>B</tr>", ["A; B"]),
    "wrong spans": ("<tr><th>A<th>B<tr><td rowspan=99999999>1<td colspan=x>2<tr><td colspan=0 rowspan=-1>3", [
        "A: 1; B: 2", "A: 3",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_cells_have_the_names_of_their_columns(name: str, tmp_path: Path) -> None:
    html, lines = TABLES[name]
    assert page(tmp_path, f"<table>{html}</table>").text.splitlines() == lines


META = '<meta charset="{}"><p>{}</p>'
GREEN = "The bridge is grün."
CHARSETS = {
    "Windows-1252 as ISO-8859-1": (META.format("iso-8859-1", "5 € ’ “ – …").encode("cp1252"), "5 € ’ “ – …"),
    "Windows-1252 as ASCII": (META.format("us-ascii", "5 € – ok").encode("cp1252"), "5 € – ok"),
    "Windows-1252 as latin-1": (META.format("latin-1", "5 € – ok").encode("cp1252"), "5 € – ok"),
    "a byte without a character": (META.format("iso-8859-1", "").encode() + b"a \x81b\x80", "a b€"),
    "Windows-1254 as ISO-8859-9": (META.format("iso-8859-9", "5 € ğ").encode("cp1254"), "5 € ğ"),
    "GB 18030 as GB 2312": (META.format("gb2312", "镕 is a name").encode("gb18030"), "镕 is a name"),
    "Windows-31J as Shift JIS": (META.format("Shift_JIS", "①～の橋").encode("cp932"), "①～の橋"),
    "Big5": (META.format("big5", "玻璃橋").encode("big5"), "玻璃橋"),
    "KOI8-R": (META.format("koi8-r", "Мост").encode("koi8-r"), "Мост"),
    "by http-equiv": (
        b"<META HTTP-EQUIV=Content-Type CONTENT='text/html; charset=windows-1251'>" + "Мост".encode("cp1251"), "Мост"
    ),
    "by content before http-equiv": (
        b"<meta content='text/html;charset=\"cp1251\"' http-equiv='content-type'>" + "Мост".encode("cp1251"), "Мост"
    ),
    "of another meta": (f'<meta name="description" content="text; charset=ascii"><p>{GREEN}'.encode(), GREEN),
    "in a comment": (f'<!-- <meta charset="ascii"> --><meta charset="utf-8"><p>{GREEN}'.encode(), GREEN),
    "in a comment only": (f'<!-- <meta charset="koi8-r"> --><p>{GREEN}'.encode(), GREEN),
    "in a script": (f"<script>x = '<meta charset=\"koi8-r\">'</script><p>{GREEN}".encode(), GREEN),
    "UTF-8 that claims UTF-16": (META.format("utf-16", GREEN).encode(), GREEN),
    "UTF-8 that claims UTF-16LE": (META.format("UTF-16LE", GREEN).encode(), GREEN),
    "UTF-8 that claims ISO-8859-1": (META.format("iso-8859-1", GREEN).encode(), GREEN),
    "a mark before a declaration": (b"\xef\xbb\xbf" + META.format("koi8-r", GREEN).encode(), GREEN),
    "UTF-16 with a mark": (META.format("koi8-r", GREEN).encode("utf-16"), GREEN),
    "UTF-16 without a mark": (META.format("utf-8", GREEN).encode("utf-16-le"), GREEN),
    "the first of two": (b'<meta charset="cp1251"><meta charset="utf-8"><p>' + "Мост".encode("cp1251"), "Мост"),
    "XML declaration": (b'<?xml version="1.0" encoding="windows-1251"?><p>' + "Мост".encode("cp1251"), "Мост"),
    "GBK that could be UTF-8": (META.format("gbk", "这里是联通").encode("gbk"), "这里是联通"),
    "UTF-8 that claims UTF-32": (META.format("utf-32", GREEN).encode(), GREEN),
    "far down": (b"<title>x</title>" + b" " * 2000 + META.format("cp1251", "Мост").encode("cp1251"), "Мост"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHARSETS)
def test_encodings_as_browsers_read_them(name: str, tmp_path: Path) -> None:
    content, text = CHARSETS[name]
    found = page(tmp_path, content)
    assert found.news[0].text.split("\n")[-1] == text
    assert bool(found.reported) == (name == "UTF-8 that claims ISO-8859-1")


@pytest.mark.parametrize("label", ["hex", "rot13", "utf-7", "idna", "replacement", "nonsense"])
def test_an_encoding_that_is_none_is_an_error(label: str, tmp_path: Path) -> None:
    with pytest.raises(NewsError, match=f"unknown encoding '{label}' declared"):
        page(tmp_path, META.format(label, "x"))


AROUND_TEXT = [
    "<div class='cookie-banner'>We use cookies. <a href='/p'>Privacy</a></div>",
    "<div id='CybotCookiebotDialog'><p>We use cookies.</p></div>",
    "<div id='onetrust-consent-sdk'>We use cookies.</div>",
    "<section class='cookieConsent'><p>We use cookies.</p></section>",
    "<div role='dialog' aria-modal='true'>We use cookies.</div>",
    "<div class='gdpr'>We use cookies.</div>",
    "<div class='cookies'>Biscuits here.</div>",
    "<div class='notice'><p>This website uses cookies to improve your visit.</p></div>",
    "<div><p>Diese Website verwendet Cookies.</p></div>",
    "<div class='x1'><a href='/1'>Home</a> <a href='/2'>World</a> <a href='/3'>Weather</a></div>",
    "<div>© 2031 Elm Daily</div>",
    "<div class='article__related'>The harbour is closed</div>",
    "<h2>Related stories</h2><div><p><a href='/1'>The harbour is closed</a></p></div>",
    "<section class='related-articles'><h2>More</h2><p>The harbour is closed.</p></section>",
    "<aside><p>The harbour is closed.</p></aside>",
    "<div class='widget most-read'><ol><li>The harbour is closed.</ol></div>",
    "<h2>Related articles</h2><ul><li><a href='/1'>The harbour is closed</a><li><a href='/2'>Ten recipes</a></ul>",
    "<h3>相关新闻</h3><ul><li><a href='/1'>港口关闭</a></li></ul>",
    "<h3>Читайте также</h3><ul><li><a href='/1'>Порт закрыт</a></li></ul>",
    "<div class='social-share'>Share this</div>",
    "<div class='newsletter-signup'>Get our newsletter</div>",
    "<div class='breadcrumbs'>Home / News</div>",
    "<ul id='main-menu'><li>Sport</ul>",
    "<div class='site-footer'>Imprint</div>",
    "<div class='comments-area'>Nice, says a reader</div>",
]
TEXT_ITSELF = [
    "<div class='cookie-recipes'>Bake the cookies for 12 minutes.</div>",
    "<section id='consent'><h2 id='cookies'>Consent</h2><p>Ask the patient for consent.</p></section>",
    "<section id='navigation'><p>Navigation by stars needs a sextant.</p></section>",
    "<article class='related'><p>The article itself.</p></article>",
    "<div class='nav-open main-content'><p>The text of the page.</p></div>",
    "<p>See <a href='/1'>Elm</a>, <a href='/2'>Oak</a> and <a href='/3'>Ash</a> for more.</p>",
    "<h2>Members</h2><ul><li><a href='/1'>Ines Okafor</a><li><a href='/2'>Mara Holt</a></ul>",
    "<h2>Related work</h2><p>Others have built bridges.</p>",
    "<aside epub:type='footnote'><p>Measured in May.</p></aside>",
    "<article><p>The parliament decides: this website uses cookies no more.</p></article>",
    "<div class='shareholders'>Shareholders own 40 percent.</div>",
]


@pytest.mark.parametrize("html", AROUND_TEXT)
def test_what_surrounds_the_text_is_left_out_and_told(html: str, tmp_path: Path) -> None:
    whole = f"<h1>Ferry</h1><p>The ferry is new.</p>{html}"
    found = page(tmp_path, whole)
    assert found.text == "Ferry\nThe ferry is new."
    assert found.reported.keys() <= {NAVIGATION, AROUND} and len(found.reported) == 1
    kept = page(tmp_path, whole, keep_furniture=True)
    assert len(kept.text) > len(found.text) and not kept.reported


def test_a_page_that_names_its_main_part(tmp_path: Path) -> None:
    html = (
        "<h1>Elm Daily</h1><div><h2>Hot</h2><p>Buy now.</p></div><MAIN><h2>Ferry</h2><p>The ferry is new and green.</p>"
        "<ul><li>Dogs: free</ul></main><div><p>More.</p><ul><li>Ten recipes</ul></div>"
    )
    found = page(tmp_path, html)
    assert found.text == "Elm Daily > Ferry\nThe ferry is new and green.\n- Dogs: free"
    assert [told.rpartition(" (")[2] for told in found.reported[OUTSIDE]] == ["Buy now.)", "More.)", "- Ten recipes)"]
    assert "Buy now." in page(tmp_path, html, keep_furniture=True).text
    small = page(tmp_path, "<p>The text of the page is not in its main part.</p><main><p>Wait.</p></main>")
    assert not small.reported and small.text.endswith("main part.\nWait.")


@pytest.mark.parametrize("html", TEXT_ITSELF)
def test_text_that_only_sounds_like_furniture_is_kept(html: str, tmp_path: Path) -> None:
    found = page(tmp_path, f"<h1>Ferry</h1><p>The ferry is new.</p>{html}")
    assert not found.reported and len(found.text) > 32


def test_html_within_markdown(tmp_path: Path) -> None:
    text = """# Area of 10<sup>2</sup>

It is 10<sup>2</sup> m<sup>2</sup>, ~~old~~ <del>red</del> new, `a<b` & x<sub>i</sub>.

| H<sub>2</sub>O | n |
|---|---|
| 10<sup>3</sup> | ~~1~~ 2 |

- <span hidden>secret</span>item<br>two

<table><tr><th>A</th></tr><tr><td>10<sup>4</sup></td></tr></table>

桥高
四十米
"""
    found = page(tmp_path, text, "a.md")
    assert found.text == ("Area of 10²\nIt is 10² m², new, a<b & x_i.\nH₂O: 10³; n: 2\n- item two\nA: 10⁴\n桥高四十米")
    assert {what: len(told) for what, told in found.reported.items()} == {
        "struck-out or deleted text": 3,
        "hidden text": 1,
    }


@pytest.mark.parametrize(
    "html",
    ["<table>", "<sup>", "<math><mrow>", "<div class='a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_a_b'>", "<ruby>"],
)
def test_deep_nesting_takes_no_long_time(html: str, tmp_path: Path) -> None:
    assert "words" in page(tmp_path, html * 2000 + "words").text


def test_xhtml(tmp_path: Path) -> None:
    html = "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/><script src='x'/></head><body><p>One<a id='x'/> &lt; two.</p>"
    assert (
        page(tmp_path, f"{html}<p><![CDATA[three & four]]></p></body></html>", "a.xhtml").text
        == "One < two.\nthree & four"
    )


FRAGMENTS = st.sampled_from(
    """<p> </p> <table> </table> <tr> <td> </td> <th> <sup> </sup> <sub> </sub> <ruby> <rt> <rp> </ruby> <math> <mi> </mi> <mfrac>
    </math> <msup> <mtable> <mmultiscripts> <mroot> <h1> </h1> <ul> <li> </ul> <pre> </pre> <s> </s> <a\xa0href="#x"> </a>
    <svg> </svg> <title> </title> <![x[ <![CDATA[ ]]> <!-- --> <!x <?x &amp; &#xd800; &#0; <q> </q> <br> word 字 \ufdd0 \ufdd4
    <td\xa0colspan=9> <p\xa0hidden> <nav> </nav> <script> </script> <img\xa0alt=x> <""".split()  # noqa: SIM905
).map(lambda one: one.replace("\xa0", " "))


@given(parts=st.lists(FRAGMENTS, max_size=30))
@settings(deadline=None, max_examples=150)
def test_no_markup_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.html").write_text("".join(parts), encoding="utf-8")
    try:
        import_news([folder / "a.html"], folder / "news.jsonl")
    except NewsError as error:
        assert "a.html" in str(error)


def test_the_text_beside_the_main_text_of_a_long_page_is_told(tmp_path: Path) -> None:
    """A page without telling names: its structure alone shows what is beside the text."""
    said = (
        "The ferry Osprey of the Lindqvist line carries no lorries from autumn {} on, and Ines Okafor is its captain."
    )
    text = "".join(f"<p>{said.format(year)}</p>" for year in range(2031, 2051))
    teasers = "".join(
        f"<div class='x{n}'><a href='/{n}'>Teaser {n}</a><span>2 hours ago</span></div>" for n in range(9)
    )
    table = "<table><tr><th>Area</th></tr><tr><td>10<sup>3</sup> m<sup>2</sup></td></tr></table>"
    equation = "<div><math><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math></div>"
    last = f"<p>{said.format(2060)}</p><p>{said.format(2061)}</p>"
    html = f"<html><body><div class='q1'><h1>Ferry</h1>{text}{equation}{last}{table}{last.replace('206', '207')}</div><div>{teasers}</div></body></html>"
    found = page(tmp_path, html, max_tokens=100_000)
    for kept in ("2031 on", "2050 on", "E=mc²", "Area: 10³ m²", "2071 on"):
        assert kept in found.text
    assert "Teaser" not in found.text
    assert len(found.reported[JUDGED]) == 5
    assert "Teaser 8" in page(tmp_path, html, keep_furniture=True, max_tokens=100_000).text
