"""Spreadsheets written by hand for tests of the import: XLSX and ODS as the XML that they are."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

Sheet = Sequence[Sequence[object]]
_OFFICE = "http://schemas.openxmlformats.org"
_LINKS = f"{_OFFICE}/officeDocument/2006/relationships"
_MAIN = f'xmlns="{_OFFICE}/spreadsheetml/2006/main"'
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def xlsx(path: Path, sheets: Mapping[str, Sheet], *, hidden: Sequence[str] = (), merged: Sequence[str] = ()) -> Path:
    """A workbook of these sheets, `merged` the ranges of the first; dates are days since 1899-12-30, as in Excel."""
    listed = links = ""
    parts: dict[str, str] = {}
    for n, (name, rows) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"{state}/>'
        links += _link(n, "worksheet", f"worksheets/s{n}.xml")
        ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged) if n == 1 else ""
        merge = f"<mergeCells>{ranges}</mergeCells>" if ranges else ""
        lines = "".join(_row(row, at) for at, row in enumerate(rows, start=1))
        parts[f"xl/worksheets/s{n}.xml"] = f"<worksheet {_MAIN}><sheetData>{lines}</sheetData>{merge}</worksheet>"
    parts |= {
        "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types"/>',
        "_rels/.rels": _related(_link(1, "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_LINKS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _related(links + _link(99, "styles", "styles.xml")),
        "xl/styles.xml": f'<styleSheet {_MAIN}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
    }
    return _archive(path, parts)


def _link(n: int, kind: str, target: str) -> str:
    return f'<Relationship Id="rId{n}" Type="{_LINKS}/{kind}" Target="{target}"/>'


def _related(links: str) -> str:
    return f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">{links}</Relationships>'


def _row(row: Sequence[object], at: int) -> str:
    return f'<row r="{at}">{"".join(_cell(value, f"{chr(65 + n)}{at}") for n, value in enumerate(row))}</row>'


def _cell(value: object, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, date):
        return f'<c r="{place}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def ods(path: Path, sheet: Sheet) -> Path:
    """A workbook of one sheet of texts and numbers."""
    rows = ""
    for row in sheet:
        cells = ""
        for value in row:
            number = f'"float" office:value="{value}"' if isinstance(value, int | float) else '"string"'
            said = f"<text:p>{escape(str(value))}</text:p>"
            cells += f"<table:table-cell office:value-type={number}>{said}</table:table-cell>"
        rows += f"<table:table-row>{cells}</table:table-row>"
    names = " ".join(f'xmlns:{name}="{_ODF}:{name}:1.0"' for name in ("office", "table", "text"))
    table = f'<table:table table:name="Sheet1">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
    mimetype = "application/vnd.oasis.opendocument.spreadsheet"
    content = f"<office:document-content {names}>{body}</office:document-content>"
    manifest = f'<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0"/>'
    return _archive(path, {"mimetype": mimetype, "META-INF/manifest.xml": manifest, "content.xml": content})


def _archive(path: Path, parts: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path
