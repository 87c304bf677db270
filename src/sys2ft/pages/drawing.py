"""How figures of this package are drawn: SVG text to stand inline in a page.

Colours are CSS variables with the light palette as fallback, so the page's style sheet gives each its dark twin; every
series has its own marker too, and no figure needs colour to be read. The same data give the same bytes.

matplotlib is used through its object API only: nothing global is left behind.
"""

from __future__ import annotations

import re
import warnings
from html import escape
from io import BytesIO
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

# Light twins of --s0 ... --s7 in page.css; the dark ones stand there. From the colour-blind safe sets of Okabe & Ito
# and Tol, darkened until each has a contrast of 3:1 on white.
PALETTE = ("#5f6b7a", "#b85c00", "#0072b2", "#00795a", "#a3408b", "#8a7300", "#3a8fb7", "#c23b22")
MARKERS = ("s", "o", "^", "D", "v", "P", "X", "<")
INK, FAINT = "#1a1b1c", "#c9ccd1"
WIDTH = 6.0  # inches; narrow, so that the text stays legible on a telephone

STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.parse_math": False,  # a name with two dollar signs is a name
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def canvas(height: float) -> tuple[Any, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot(facecolor="none")
    return figure, axes


def colour_of(k: int) -> str:
    return PALETTE[k % len(PALETTE)]


def marker_of(k: int) -> str:
    return MARKERS[k % len(MARKERS)]


def few_ticks(axis: Any, form: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times the powers of ten, all labelled."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter(form) if isinstance(form, str) else form)
    axis.set_minor_locator(NullLocator())


def legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    rows = -(-sum(len(label) + 6 for label in labels) // 84)  # about 84 characters stand side by side
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=-(-len(labels) // rows),
        handletextpad=0.5,
        handlelength=1.8,
        columnspacing=1.3,
        borderaxespad=0.2,
    )


def svg(figure: Any, name: str, described: str) -> str:
    """The figure's SVG element: no prologue, ids its own among the page's figures, colours by CSS variable."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # Text stays text, so the browser's fonts draw what matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would restyle the whole page
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'xlink:href="#{name}-')
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", text)
    for k, colour in enumerate(PALETTE):
        text = text.replace(colour, f"var(--s{k}, {colour})")
    text = text.replace(INK, "currentColor").replace(FAINT, f"var(--rule, {FAINT})")
    text = text.replace("#fffffe", "var(--on-series, #fff)").replace("#fffffd", "var(--page, #fff)")
    opening = re.match(r"<svg[^>]*>", text)
    assert opening, "matplotlib writes an svg element"
    box = re.search(r'viewBox="[^"]*"', opening[0])
    assert box, "matplotlib writes a viewBox"
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} {box[0]} role="img" aria-label="{escape(described)}">{text[opening.end() :]}'.strip()
