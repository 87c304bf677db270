"""Documents for tests of the import, made on the spot: PDF by pypdf, DOCX by python-docx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import docx
from docx.oxml import OxmlElement
from pypdf import PdfWriter
from pypdf.generic import ContentStream, DecodedStreamObject, DictionaryObject, NameObject


def write_pdf(
    path: Path,
    pages: Sequence[Sequence[str]],
    *,
    title: str = "",
    outline: Sequence[tuple[str, int]] = (),
    password: str | None = None,
    algorithm: str = "RC4-128",
) -> Path:
    """A PDF whose pages hold these lines, in Helvetica; an empty page is one without text, as a scanner makes it."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for lines in pages:
        page = writer.add_blank_page(width=595, height=842)
        if lines:
            page[NameObject("/Resources")] = DictionaryObject(
                {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
            )
            shown = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
            stream = DecodedStreamObject()
            stream.set_data(f"BT /F1 11 Tf 14 TL 50 800 Td\n{shown}ET".encode("latin-1"))
            page[NameObject("/Contents")] = writer._add_object(ContentStream(stream, writer))
    if title:
        writer.add_metadata({"/Title": title})
    for name, number in outline:
        writer.add_outline_item(name, number)
    if password is not None:
        writer.encrypt(password, algorithm=algorithm)
    writer.write(path)
    return path


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def write_docx(path: Path) -> Path:
    """A Word file with a title, headings, a list, a table, a link, a hidden run and a page header."""
    document = docx.Document()
    document.add_heading("Handbook of the Ferry", level=0)
    document.add_heading("Fares", level=1)
    document.add_paragraph("A crossing costs 4 crowns. Children pay nothing.")
    document.add_paragraph("Bicycles: 1 crown", style="List Bullet")
    document.add_paragraph("Dogs: free", style="List Bullet")
    document.add_heading("Winter", level=2)
    paragraph = document.add_paragraph("From November on, the ferry rests")
    run = paragraph.add_run(" and eats fish")
    run.font.hidden = True
    link = OxmlElement("w:hyperlink")
    link.append(paragraph.add_run(" on Mondays.")._r)
    paragraph._p.append(link)
    document.add_heading("Crew", level=1)
    table = document.add_table(rows=0, cols=2)
    for cells in (("name", "task"), ("Ines Okafor", "captain"), ("Mara Holt", "")):
        row = table.add_row()
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.sections[0].header.paragraphs[0].text = "Ferry company"
    document.save(str(path))
    return path
