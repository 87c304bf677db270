"""Books: chapters in reading order; what is no chapter is told; what is locked is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given, settings, strategies as st

from importing import imported
from sys2ft.errors import NewsError
from sys2ft.news.importers import import_news

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
XHTML = "application/xhtml+xml"


def chapter(body: str) -> str:
    return f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>'


CHAPTERS = {
    "one.xhtml": chapter("<h1>One</h1><p>The first.</p>"),
    "two.xhtml": chapter("<h1>Two</h1><p>The second.</p>"),
}


def write_epub(
    path: Path,
    chapters: Mapping[str, str | bytes] = CHAPTERS,
    extra: Mapping[str, str | bytes] | None = None,
    items: str = "",
    spine: str = "",
    title: str = "Tales",
) -> Path:
    """A book of these chapters; `extra` files by name, and XML for the package's manifest and spine."""
    manifest = "".join(f'<item id="i{n}" href="{name}" media-type="{XHTML}"/>' for n, name in enumerate(chapters))
    order = "".join(f'<itemref idref="i{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>{title}</dc:title></metadata><manifest>{manifest}{items}</manifest><spine>{order}{spine}</spine></package>"
    )
    files = {"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package}
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, content in {
            **files,
            **{f"OEBPS/{name}": text for name, text in chapters.items()},
            **(extra or {}),
        }.items():
            archive.writestr(name.replace("%20", " "), content)
    return path


def test_chapters_in_reading_order(tmp_path: Path) -> None:
    found = imported(write_epub(tmp_path / "a.epub"), tmp_path)
    assert [(one.text, one.source) for one in found.news] == [
        ("Tales > One\nThe first.", "a.epub, OEBPS/one.xhtml, line 1"),
        ("Tales > Two\nThe second.", "a.epub, OEBPS/two.xhtml, line 1"),
    ]
    assert not found.reported
    turned = write_epub(tmp_path / "b.epub", dict(reversed(CHAPTERS.items())))
    assert [one.text.split("\n")[1] for one in imported(turned, tmp_path).news] == ["The second.", "The first."]


def test_chapters_are_read_as_pages(tmp_path: Path) -> None:
    body = (
        "<h2>Sizes</h2><p>It is 10<sup>2</sup> m<sup>2</sup>.<a epub:type='noteref' href='#n'><sup>1</sup></a></p>"
        "<table><tr><th>Route</th><th>Price</th></tr><tr><td>North</td><td>4</td></tr></table>"
        "<aside epub:type='footnote' id='n'><p>Measured.</p></aside><div class='sidebar'>A sidebar is text here.</div>"
    )
    path = write_epub(tmp_path / "a.epub", {"dir/a%20b.xhtml": chapter(body)})
    assert imported(path, tmp_path).text == (
        "Tales > Sizes\nIt is 10² m².[1]\nRoute: North; Price: 4\nMeasured.\nA sidebar is text here."
    )
    old = {"a.html": chapter("<p>Мост").replace('"1.0"', '"1.0" encoding="windows-1251"').encode("cp1251")}
    assert imported(write_epub(tmp_path / "b.epub", old, title=""), tmp_path).text == "Мост"


def test_what_is_no_chapter_is_told(tmp_path: Path) -> None:
    items = (
        f'<item id="nav" href="nav.xhtml" media-type="{XHTML}" properties="nav"/><item id="gone" href="gone.xhtml" '
        f'media-type="{XHTML}"/><item id="map" href="map.svg" media-type="image/svg+xml"/>'
        f'<item id="apart" href="apart.xhtml" media-type="{XHTML}"/><item id="css" href="a.css" media-type="text/css"/>'
    )
    spine = '<itemref idref="nav"/><itemref idref="gone"/><itemref idref="map"/><itemref idref="unknown"/>'
    extra = {"OEBPS/nav.xhtml": "<nav>One</nav>", "OEBPS/map.svg": "<svg/>", "OEBPS/apart.xhtml": chapter("<p>x")}
    found = imported(write_epub(tmp_path / "a.epub", CHAPTERS, extra, items, spine), tmp_path)
    assert found.reported == {
        "table of contents": [f"{tmp_path}/a.epub, OEBPS/nav.xhtml"],
        "chapter that the archive lacks": [f"{tmp_path}/a.epub, OEBPS/gone.xhtml"],
        "part of a book that is no page of text": [f"{tmp_path}/a.epub, OEBPS/map.svg (image/svg+xml)"],
        "page outside the reading order of the book": [f"{tmp_path}/a.epub, OEBPS/apart.xhtml"],
    }


def encryption(*locked: tuple[str, str]) -> dict[str, str]:
    data = "".join(
        f'<e:EncryptedData xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{algorithm}"/>'
        f'<e:CipherData><e:CipherReference URI="{name}"/></e:CipherData></e:EncryptedData>'
        for name, algorithm in locked
    )
    return {"META-INF/encryption.xml": f"<encryption>{data}</encryption>"}


def test_a_locked_book_is_refused_and_masked_fonts_are_not(tmp_path: Path) -> None:
    aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    locked = write_epub(tmp_path / "a.epub", extra=encryption(("OEBPS/two.xhtml", aes), ("OEBPS/x.png", aes)))
    with pytest.raises(
        NewsError, match=r"(?s)a\.epub: found a book whose copy protection \(DRM\) encrypts 1 of 2 chapters.*fix: get"
    ):
        imported(locked, tmp_path)
    fonts = encryption(
        ("OEBPS/a.otf", "http://www.idpf.org/2008/embedding"), ("OEBPS/one.xhtml", "http://ns.adobe.com/pdf/enc#RC")
    )
    assert len(imported(write_epub(tmp_path / "b.epub", extra=fonts), tmp_path).news) == 2
    data = bytearray(write_epub(tmp_path / "c.epub").read_bytes())
    at = data.rindex(b"OEBPS/one.xhtml") - 46 + 8  # the flags in the archive's directory
    data[at] |= 1
    (tmp_path / "c.epub").write_bytes(data)
    with pytest.raises(NewsError, match="encrypts 1 of 2 chapters"):
        imported(tmp_path / "c.epub", tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": "x"}, "it has no META-INF/container.xml"),
        ({"META-INF/container.xml": "<container/>"}, "names no package"),
        ({"META-INF/container.xml": CONTAINER}, "names no package"),
        ({"META-INF/container.xml": "<container"}, "META-INF/container.xml, which is not XML"),
        ({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": "<package/>"}, "a book without chapters"),
        ({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": "<a>&x;</a>"}, "which is not XML"),
    ],
)
def test_an_archive_that_is_no_book(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.epub", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(NewsError) as caught:
        imported(tmp_path / "a.epub", tmp_path)
    assert said in str(caught.value) and "expected: an EPUB file" in str(caught.value)


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.epub").write_text("Just words.")
    with pytest.raises(NewsError, match="found text"):
        imported(tmp_path / "a.epub", tmp_path)


@given(at=st.integers(0, 1500), byte=st.integers(0, 255), cut=st.booleans())
@settings(deadline=None, max_examples=60)
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = write_epub(folder / "a.epub")
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] = byte
    path.write_bytes(data[: at + 1] if cut else data)
    try:
        import_news([path], folder / "news.jsonl")
    except NewsError as error:
        assert str(path) in str(error)
