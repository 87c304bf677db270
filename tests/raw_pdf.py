"""PDF files written by hand for tests of the import: text at given places, in fonts with given Unicode values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Show = tuple[float, float, str] | tuple[float, float, str, float]
"""Left end and baseline in points, the text, and the size of its letters (11 if absent)."""


def down(lines: Sequence[str], *, x: float = 50, top: float = 780, pitch: float = 14, size: float = 11) -> list[Show]:
    """Lines below each other."""
    return [(x, top - number * pitch, line, size) for number, line in enumerate(lines)]


def raw_pdf(path: Path, pages: Sequence[Sequence[Show]], *, unnamed: str = "", turned: Sequence[Show] = ()) -> Path:
    """A PDF with these texts on its pages; the characters `unnamed` have no Unicode value, `turned` stands upright.

    Characters outside Latin-1 get codes of their own and an entry in the font's map to Unicode.
    """
    shown = [one for page in [*pages, turned] for one in page]
    special = sorted({c for one in shown for c in one[2] if ord(c) > 126} - set(unnamed))
    codes = {c: n for n, c in enumerate([*special, *unnamed], start=128)}
    named = {**{chr(n): n for n in range(32, 127)}, **{c: codes[c] for c in special}}
    entries = "\n".join(f"<{code:02X}> <{c.encode('utf-16-be').hex()}>" for c, code in named.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        "1 begincodespacerange <00> <FF> endcodespacerange\n"
        f"{len(named)} beginbfchar\n{entries}\nendbfchar endcmap end end"
    )
    widths = " ".join(["500"] * 256)
    # Without /Encoding names for the upper half, such codes have no Unicode value but that of the map.
    names = " ".join(f"/x{n}" for n in range(128, 256))
    objects = [
        f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream".encode("latin-1"),
        (
            f"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /FirstChar 0 /LastChar 255 /Widths [{widths}] "
            f"/Encoding << /Type /Encoding /Differences [128 {names}] >> /ToUnicode 1 0 R >>"
        ).encode(),
    ]
    kids = []
    for number, page in enumerate(pages):
        content = b"".join(_shown(one, codes) for one in page)
        if number == 0:
            content += b"".join(_shown(one, codes, "0 1 -1 0") for one in turned)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent PAGES 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 2 0 R >> >> >>" % len(objects)
        )
    tree = len(objects) + 1
    objects = [one.replace(b"PAGES", str(tree).encode()) for one in objects]
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects.append(f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode())
    objects.append(b"<< /Type /Catalog /Pages %d 0 R >>" % tree)
    data, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer << /Size {len(objects) + 1} /Root {len(objects)} 0 R >>\nstartxref\n{len(data)}\n%%EOF"
    )
    path.write_bytes(data + end.encode())
    return path


def _shown(one: Show, codes: dict[str, int], matrix: str = "1 0 0 1") -> bytes:
    x, y, text, size = (*one, 11.0)[:4]
    data = bytes(codes.get(c, ord(c)) for c in str(text))
    return f"BT /F1 {size} Tf {matrix} {x} {y} Tm <{data.hex()}> Tj ET\n".encode()
