"""What tests of the import share: the text and the reports of one source, and Word files of given XML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from sys2ft.news import News, read_news
from sys2ft.news.importers import ImportSettings, import_news


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the news items, and what was reported, by reason."""

    news: list[News]
    reported: dict[str, list[str]]

    @property
    def text(self) -> str:
        return "\n".join(one.text for one in self.news)


def imported(source: str | Path, folder: Path, **changes: Any) -> Imported:
    """Import one source into a file in `folder`."""
    out = folder / "imported.jsonl"
    summary = import_news([source], out, ImportSettings(**changes))
    return Imported(read_news(out), {what: tally.first for what, tally in summary.reported.items()})


W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SPACES = (
    f'xmlns:w="{W}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write_word(path: Path, body: str, **parts: str) -> Path:
    """A Word file with this XML as its body, and as its `styles`, `footnotes`, `endnotes` or `comments`."""
    roots = {"document": f"<w:body>{body}</w:body>", **parts}
    kinds = {name: "document.main" if name == "document" else name for name in roots}
    overrides = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{_TYPE}.{kind}+xml"/>' for name, kind in kinds.items()
    )
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{_RELATION}/{name}" Target="{name}.xml"/>' for n, name in enumerate(parts)
    )
    with ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f"{overrides}</Types>",
        )
        space = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
        main = f'<Relationship Id="r" Type="{_RELATION}/officeDocument" Target="word/document.xml"/>'
        archive.writestr("_rels/.rels", f"<Relationships {space}>{main}</Relationships>")
        archive.writestr("word/_rels/document.xml.rels", f"<Relationships {space}>{relations}</Relationships>")
        for name, xml in roots.items():
            archive.writestr(f"word/{name}.xml", f"<w:{name} {_SPACES}>{xml}</w:{name}>")
    return path


def run(text: str, properties: str = "") -> str:
    """A run of a Word file."""
    marks = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{marks}<w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*runs: str, properties: str = "") -> str:
    """A paragraph of a Word file; parts that are no XML become runs."""
    inner = "".join(one if one.startswith("<") else run(one) for one in runs)
    return f"<w:p>{f'<w:pPr>{properties}</w:pPr>' if properties else ''}{inner}</w:p>"


def table(*rows: tuple[str, ...], properties: Mapping[tuple[int, int], str] | None = None) -> str:
    """A table of a Word file; cells that are no XML become paragraphs; `properties` of cells by row and column."""
    given = properties or {}
    lines = []
    for r, row in enumerate(rows):
        cells = ""
        for c, cell in enumerate(row):
            marks = f"<w:tcPr>{given[r, c]}</w:tcPr>" if (r, c) in given else ""
            cells += f"<w:tc>{marks}{cell if cell.startswith('<') else paragraph(cell)}</w:tc>"
        lines.append(f"<w:tr>{cells}</w:tr>")
    return f"<w:tbl>{''.join(lines)}</w:tbl>"
