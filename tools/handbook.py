"""Write examples/harbour.pdf from examples/harbour.md: a small PDF with titles, paragraphs and page numbers.

    python -m tools.handbook

The text is ASCII, in Helvetica, which every reader of PDF has; nothing but this file is needed.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WIDTH, HEIGHT, MARGIN = 595, 842, 64  # points: A4
LINE = 88  # characters of the body that fit between the margins
SIZES = {1: 20, 2: 16, 3: 13}
BODY = 11


def main() -> None:
    """Write the file."""
    source = (EXAMPLES / "harbour.md").read_text(encoding="ascii")
    (EXAMPLES / "harbour.pdf").write_bytes(pdf(pages(source)))


def pages(source: str) -> list[str]:
    """The drawing commands of each page."""
    drawn: list[list[str]] = [[]]
    below: float = HEIGHT - MARGIN
    for block in blocks(source):
        needed = sum(size * 1.35 for size, _, _ in block) + 8
        if below - needed < MARGIN:
            drawn.append([])
            below = HEIGHT - MARGIN
        for size, font, text in block:
            below -= size * 1.35
            drawn[-1].append(f"BT /{font} {size} Tf {MARGIN} {below:.1f} Td ({escaped(text)}) Tj ET")
        below -= 8
    for number, page in enumerate(drawn, start=1):
        page.append(f"BT /F1 9 Tf {WIDTH // 2} {MARGIN // 2} Td ({number}) Tj ET")
    return ["\n".join(page) for page in drawn]


def blocks(source: str) -> list[list[tuple[float, str, str]]]:
    """What stays together on a page: lines of (size, font, text); a title stays with what follows it."""
    made: list[list[tuple[float, str, str]]] = []
    titles: list[tuple[float, str, str]] = []
    for line in filter(None, source.splitlines()):
        level = len(line) - len(line.lstrip("#"))
        if level:
            titles.append((SIZES[level], "F2", line[level:].strip()))
            continue
        made.append(titles)
        titles = []
        made[-1] += [(BODY, "F1", one) for one in textwrap.wrap(line, LINE)]
    return made


def escaped(text: str) -> str:
    """The text as a PDF string."""
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def pdf(contents: list[str]) -> bytes:
    """A PDF of these pages."""
    fonts = "/F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> "
    fonts += "/F2 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>"
    first = 4  # objects 1 to 3: catalog, pages, title
    kids = " ".join(f"{first + 2 * n} 0 R" for n in range(len(contents)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(contents)} /Kids [ {kids} ] /MediaBox [ 0 0 {WIDTH} {HEIGHT} ] "
        f"/Resources << /Font << {fonts} >> >> >>",
        "<< /Title (Handbook of the harbour of Oldhaven) >>",
    ]
    for n, content in enumerate(contents):
        objects.append(f"<< /Type /Page /Parent 2 0 R /Contents {first + 2 * n + 1} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    data, places = "%PDF-1.4\n", []
    for number, value in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{value}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"trailer << /Size {size} /Root 1 0 R /Info 3 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return f"{data}xref\n0 {size}\n0000000000 65535 f \n{table}{end}".encode("ascii")


if __name__ == "__main__":
    main()
