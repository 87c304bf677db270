"""Draw the pictures of the documents: docs/images/gap.svg and docs/images/architecture.svg.

    python -m tools.pictures            # say whether they are current
    python -m tools.pictures --write    # draw them

The numbers of gap.svg are read from the tables of docs/results.md, the rooms from tests/test_contract.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from tools.tree import ROOT, rooms

RESULTS = ROOT / "docs" / "results.md"
IMAGES = ROOT / "docs" / "images"

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
GREY, BLUE, GREEN = "#8c959f", "#0969da", "#1a7f37"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif\""

Row = tuple[str, float, float, float]
"""Label, estimate, lower and upper end of the interval."""


class Drawing:
    """SVG elements on a white card, so that the picture reads the same on a light and on a dark page."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(title)}" {FONT}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        ]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 13,
        fill: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, stroke: str = GRID, width: float = 1, more: str = ""
    ) -> None:
        self.parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{stroke}" stroke-width="{width:g}"{more}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, *, fill: str, stroke: str) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{fill}" stroke="{stroke}"/>'
        )

    def raw(self, element: str) -> None:
        self.parts.append(element)

    def svg(self) -> str:
        return "\n".join([*self.parts, "</svg>", ""])


def table(heading: str) -> dict[str, tuple[list[float], list[float]]]:
    """Subject to ([closed book, low, high], [in context, low, high]): the first table below a heading of results.md."""
    _, found, section = RESULTS.read_text(encoding="utf-8").partition(f"## {heading}\n")
    if not found:
        raise SystemExit(f"docs/results.md: found no heading {heading!r}")
    score = r"(-?\d\.\d\d) \[(-?\d\.\d\d), (-?\d\.\d\d)\]"
    rows: dict[str, tuple[list[float], list[float]]] = {}
    for line in section.split("\n## ")[0].splitlines():
        match = re.match(rf" +(\w+) +{score} +{score}", line)
        if match:
            numbers = [float(number) for number in match.groups()[1:]]
            rows.setdefault(match[1], (numbers[:3], numbers[3:]))
    return rows


def gap_rows(heading: str) -> list[tuple[Row, str]]:
    """The four bars of a panel, with their colours."""
    rows = table(heading)

    def bar(label: str, numbers: list[float]) -> Row:
        return (label, numbers[0], numbers[1], numbers[2])

    return [
        (bar("base model", rows["base"][0]), GREY),
        (bar("fine-tuned on the text", rows["naive"][0]), GREY),
        (bar("fine-tuned on statements", rows["mixed"][0]), BLUE),
        (bar("base, news in context", rows["base"][1]), GREEN),
    ]


def gap() -> str:
    small, large = "SmolLM2-135M-Instruct", "Qwen2.5-Coder-0.5B-Instruct"
    panels = (
        (small, "25 news items, one adapter (make demo)", f"The demo: {small}"),
        (large, "37 news items, one adapter", large),
    )
    drawing = Drawing(860, 280, "Share of questions answered correctly, closed book, with 95% intervals")
    drawing.text(20, 28, "Questions answered correctly: closed book, and (green) with the news in context", bold=True)
    for place, (model, detail, heading) in enumerate(panels):
        left = 20 + place * 420
        _panel(drawing, left, model, detail, gap_rows(heading))
    drawing.text(
        20, 268, "95% intervals by bootstrap over news items; 125 and 185 questions. Cloze scoring. Dashed: chance.",
        size=11, fill=MUTED,
    )  # fmt: skip
    return drawing.svg()


def _panel(drawing: Drawing, left: int, model: str, detail: str, rows: list[tuple[Row, str]]) -> None:
    start, width, top = left + 170, 214, 96
    bottom = top + 34 * len(rows) - 6

    def x(value: float) -> float:
        return start + width * value / 0.8

    drawing.text(left, 56, model, bold=True)
    drawing.text(left, 73, detail, size=11, fill=MUTED)
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8):
        drawing.line(x(tick), top - 8, x(tick), bottom)
        drawing.text(x(tick), bottom + 16, f"{tick:.1f}", size=11, fill=MUTED, anchor="middle")
    drawing.line(x(0.25), top - 8, x(0.25), bottom, stroke=MUTED, more=' stroke-dasharray="4 3"')
    for place, ((label, estimate, low, high), colour) in enumerate(rows):
        y = top + 12 + 34 * place
        drawing.text(start - 10, y + 4, label, size=12, anchor="end")
        drawing.line(x(low), y, x(high), y, stroke=colour, width=3, more=' stroke-linecap="round"')
        drawing.raw(
            f'<circle cx="{x(estimate):g}" cy="{y}" r="5.5" fill="{colour}"><title>{label}: {estimate:.2f} '
            f"[{low:.2f}, {high:.2f}]</title></circle>"
        )
        drawing.text(x(estimate), y - 9, f"{estimate:.2f}", size=11, anchor="middle", bold=True, fill=colour)


FLOW = (
    ("documents", "PDF, HTML, tables", "news.importers", "probing"),
    ("news.jsonl", "news items, questions", "replay", ""),
    ("replay/", "kept, or rejected", "training", ""),
    ("adapters/", "one LoRA per news item", "evaluation", ""),
    ("predictions/", "every answer, graded", "report", ""),
    ("report.html", "scores with intervals", "", ""),
)


def architecture() -> str:
    lines = [line for line in rooms() if line]
    drawing = Drawing(960, 176 + 38 * len(lines) + 26, "Data flow through the run folder, and rooms by level")
    drawing.raw(
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{MUTED}"/></marker></defs>'
    )
    drawing.text(20, 28, "Data flow: every box is a file or folder, every arrow a room", bold=True)
    for place, (name, detail, room, second) in enumerate(FLOW):
        left = 20 + place * 158
        drawing.box(left, 66, 130, 46, fill="#f6f8fa", stroke=GREY)
        drawing.text(left + 65, 86, name, anchor="middle", bold=True)
        drawing.text(left + 65, 102, detail, size=10, fill=MUTED, anchor="middle")
        if room:
            drawing.line(left + 131, 89, left + 157, 89, stroke=MUTED, more=' marker-end="url(#tip)"')
            drawing.text(left + 144, 58, room, size=11, fill=BLUE, anchor="middle")
            drawing.text(left + 144, 126, second, size=11, fill=BLUE, anchor="middle")
    drawing.text(20, 160, "Rooms: a room imports only from levels below its own", bold=True)
    for level, line in enumerate(lines):
        y = 174 + 38 * level
        drawing.text(20, y + 19, str(level + 1), size=11, fill=MUTED)
        gap, left, width = 10, 44, 896
        each = (width - gap * (len(line) - 1)) / len(line)
        for place, room in enumerate(line):
            drawing.box(left + place * (each + gap), y, each, 28, fill="#ddf4ff", stroke="#54aeff")
            drawing.text(left + place * (each + gap) + each / 2, y + 19, room, anchor="middle")
    return drawing.svg()


def pictures() -> dict[Path, str]:
    return {IMAGES / "gap.svg": gap(), IMAGES / "architecture.svg": architecture()}


def main() -> None:
    for file, svg in pictures().items():
        if "--write" in sys.argv[1:]:
            IMAGES.mkdir(exist_ok=True)
            file.write_text(svg, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != svg:
            raise SystemExit(f"{file.relative_to(ROOT)} is out of date\n  fix: python -m tools.pictures --write")


if __name__ == "__main__":
    main()
