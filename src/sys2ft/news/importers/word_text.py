"""The text of a paragraph of a Word file as its reader sees it: insertions, fields, equations; without deletions.

Works on the XML, since `python-docx` gives a paragraph's direct runs only. Elements are known by their local names, as
transitional and strict files differ in namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sys2ft.news.importers.equations import of_omml
from sys2ft.news.importers.marks import END, LOWER, RAISE, READING, RUBY, unmarked

Node = Any
"""An element of `lxml`."""
HIDDEN, STRUCK, DELETED = "hidden text", "struck-out text", "deleted text (tracked changes)"
MOVED = "text at the place that it was moved from"
_TOGGLES = ("b", "strike", "dstrike", "vanish")
_SHOWN_FIELDS = frozenset({"EQ", "FORMDROPDOWN", "MACROBUTTON", "GOTOBUTTON", "SYMBOL", "ADVANCE", "DATE", "REF"})
OFF = ("0", "false", "off", "none")
"""Values that switch a property off."""
_PLAIN = {"tab": "\t", "ptab": "\t", "br": "\u2028", "cr": "\u2028", "noBreakHyphen": "-", "softHyphen": ""}
_DELETED = {"del": DELETED, "moveFrom": MOVED}
_NO_TEXT = frozenset(
    """rPr pPr sdtPr sdtEndPr customXmlPr smartTagPr rubyPr instrText delInstrText delText footnoteRef endnoteRef
    annotationRef fldData""".split()  # noqa: SIM905 - a list of words reads best as text
)
# Codes 0x22 to 0xFE of the font Symbol, whose letters stand for others (Adobe's encoding); "\0" has no character.
_SYMBOL = dict(
    zip(
        [*range(0x22, 0x7F), *range(0xA1, 0xFF)],
        "∀#∃%&∍()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
        "ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…\0\0\0ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑\0\0\0\0\0\0\0\0\0\0\0〉∫",
        strict=False,
    )
)
_WINGDINGS = {0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0xA7: "▪", 0xA8: "◻", 0xD8: "➢", 0xDF: "←", 0xE0: "→",
              0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"}  # fmt: skip


def local(node: Node) -> str:
    """The name of an element without its namespace; empty for a comment."""
    return str(node.tag).rpartition("}")[2] if isinstance(node.tag, str) else ""


def child(node: Node, *path: str) -> Node | None:
    """The first element under these names, one inside the other."""
    for name in path:
        node = next((one for one in node if local(one) == name), None)
        if node is None:
            return None
    return node


def value(node: Node | None, name: str = "val", default: str = "") -> str:
    """An attribute by its local name; the default if it is absent."""
    if node is None:
        return default
    return next((said for key, said in node.items() if key.rpartition("}")[2] == name), default)


@dataclass(slots=True)
class Style:
    """What a style says about its text, with what it inherits."""

    name: str = ""
    marks: dict[str, str] = field(default_factory=dict)
    """Values of b, strike, dstrike, vanish and vertAlign."""
    outline: str = ""
    numbered: bool = False
    first_row: bool = False
    """Whether it is the style of a table with a format for its first row."""


class Styles:
    """The styles of a file by their ids."""

    def __init__(self, root: Node | None) -> None:
        self._nodes = {
            value(one, "styleId"): one for one in (root if root is not None else ()) if local(one) == "style"
        }
        self._known: dict[str, Style] = {}
        self.default = next(
            (
                key
                for key, one in self._nodes.items()
                if value(one, "type") == "paragraph" and value(one, "default", "0") not in OFF
            ),
            "",
        )

    def get(self, key: str) -> Style:
        """The style of an id; an empty one if it is unknown."""
        chain: list[str] = []
        while key in self._nodes and key not in chain and key not in self._known:
            chain.append(key)
            key = value(child(self._nodes[key], "basedOn"))
        style = self._known.get(key, Style())
        for one in reversed(chain):
            node = self._nodes[one]
            style = Style(
                name=value(child(node, "name")),
                marks=style.marks | marks_of(child(node, "rPr")),
                outline=value(child(node, "pPr", "outlineLvl")) or style.outline,
                numbered=child(node, "pPr", "numPr") is not None or style.numbered,
                first_row=style.first_row
                or any(local(part) == "tblStylePr" and value(part, "type") == "firstRow" for part in node),
            )
            self._known[one] = style
        return style


def marks_of(properties: Node | None) -> dict[str, str]:
    """The marks that an element of run properties sets."""
    return {
        local(one): value(one, default="1")
        for one in (properties if properties is not None else ())
        if local(one) in (*_TOGGLES, "vertAlign")
    }


@dataclass(slots=True)
class Words:
    """The text of the file's paragraphs, one after the other: fields may span several."""

    styles: Styles
    noted: dict[tuple[str, str], int] = field(default_factory=dict)
    """The number of each note by its kind and id, in order of the references."""
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """What was left out since the list was emptied, and its text."""
    boxes: list[Node] = field(default_factory=list)
    """Text boxes anchored in the paragraphs since the list was emptied."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Notes referred to since the list was emptied."""
    _fields: list[str] = field(default_factory=list)
    """The state of each open field: 'code', then 'result', then 'shown' once it has text."""
    _choices: list[str] = field(default_factory=list)
    """What is chosen in each open field, if it is a list to choose from; else ''."""
    _code: str = ""

    def of(self, paragraph: Node) -> str:
        """The text of a paragraph, with the marks of `marks`; what is left out is added to `remarks`."""
        style = value(child(paragraph, "pPr", "pStyle")) or self.styles.default
        return self._inside(paragraph, style)

    def _inside(self, node: Node, style: str) -> str:
        """The visible text in an element. Adjacent parts of one kind are joined, since Word divides text at will."""
        said = ""
        for kind, parts in groupby(self._parts(node, style), key=lambda part: part[0]):
            text = "".join(part for _, part in parts)
            if kind in (RAISE, LOWER) and text.strip():
                said += f"{kind}{text}{END}"
            elif kind in ("", RAISE, LOWER):
                said += text
            elif text.strip():
                self.remarks.append((kind, text))
        return said

    def _parts(self, node: Node, style: str) -> Iterator[tuple[str, str]]:
        for one in node:
            name = local(one)
            if not name or name in _NO_TEXT:
                continue
            if name in _DELETED:
                yield _DELETED[name], "".join(t.text or "" for t in one.iter() if local(t) in ("delText", "t"))
            elif is_math(one) and name != "r":
                yield "", f"{' ' if name == 'oMathPara' else ''}{of_omml(one, self._maths(style))}"
            elif name == "r":
                yield from self._run(one, style)
            elif name == "sdt":
                yield from self._control(one, style)
            elif name == "AlternateContent":
                yield from self._parts(alternative(one), style)
            elif name == "txbxContent":
                self.boxes.append(one)
            else:
                yield from self._parts(one, style)

    def _maths(self, style: str) -> Callable[[Node], str]:
        def visible(node: Node) -> str:
            holder = [node] if local(node) in ("r", "del", "moveFrom") else node
            return self._inside(holder, style)

        return visible

    def _control(self, node: Node, style: str) -> Iterator[tuple[str, str]]:
        content = child(node, "sdtContent")
        if content is not None and child(node, "sdtPr", "showingPlcHdr") is not None:
            yield "placeholder of an empty form field", "".join(t.text or "" for t in content.iter() if local(t) == "t")
        elif content is not None:
            yield from self._parts(content, style)

    def _run(self, run: Node, style: str) -> Iterator[tuple[str, str]]:
        properties = child(run, "rPr")
        kind = self._kind(properties, style)
        for one in run:
            text = self._piece(one, properties, style)
            if text and "code" not in self._fields:
                self._fields = ["shown"] * len(self._fields)
                yield kind, text

    def _kind(self, properties: Node | None, style: str) -> str:
        """'' for plain text, a mark for raised and lowered text, else the reason why it is left out."""
        if self._on("vanish", properties, style):
            return HIDDEN
        if self._on("strike", properties, style) or self._on("dstrike", properties, style):
            return STRUCK
        found = (marks.get("vertAlign") for marks in self._marks(properties, style))
        return {"superscript": RAISE, "subscript": LOWER}.get(next(filter(None, found), ""), "")

    def _marks(self, properties: Node | None, style: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """What a run says itself, by its own style, and by that of its paragraph."""
        own = value(child(properties, "rStyle")) if properties is not None else ""
        return marks_of(properties), self.styles.get(own).marks, self.styles.get(style).marks

    def _on(self, name: str, properties: Node | None, style: str) -> bool:
        direct, by_run, by_paragraph = self._marks(properties, style)
        if name in direct:
            return direct[name] not in OFF
        # A property that both styles set is switched off again (ECMA-376, 17.7.3).
        return (by_run.get(name, "0") not in OFF) != (by_paragraph.get(name, "0") not in OFF)

    def is_bold(self, paragraph: Node) -> bool:
        """Whether all letters of a paragraph are bold."""
        style = value(child(paragraph, "pPr", "pStyle")) or self.styles.default
        return all(
            self._on("b", child(run, "rPr"), style)
            for run in paragraph.iter()
            if local(run) == "r" and any(local(part) == "t" and (part.text or "").strip() for part in run)
        )

    def _piece(self, one: Node, properties: Node | None, style: str) -> str:
        """The text of an element of a run."""
        name = local(one)
        if name == "t":
            text = unmarked(one.text or "")
            return self._symbols(text, value(child(properties, "rFonts"), "ascii")) if properties is not None else text
        if name in _PLAIN:
            return _PLAIN[name]
        if name == "sym":
            code = value(one, "char")
            try:
                return self._symbols(chr(int(code, 16)), value(one, "font"))
            except (ValueError, OverflowError):
                self.remarks.append(("symbol without a character", code))
        elif name == "fldChar":
            return self._field(one)
        elif name == "instrText":
            self._code += one.text or ""
        elif name in ("footnoteReference", "endnoteReference"):
            key = (name.removesuffix("Reference"), value(one, "id"))
            self.notes.append(key)
            return f"[{self.noted.setdefault(key, len(self.noted) + 1)}]"
        elif name == "ruby":
            base, reading = (
                self._inside(part, style) if (part := child(one, of)) is not None else "" for of in ("rubyBase", "rt")
            )
            return f"{RUBY}{base}{READING}{reading}{END}{END}"
        elif name == "AlternateContent":  # a sign in a new font, or a drawing
            return "".join(self._piece(variant, properties, style) for variant in alternative(one))
        elif name in ("drawing", "pict", "object"):
            self._drawn(one)
        return ""

    def _field(self, mark: Node) -> str:
        """Note a begin, middle or end of a field; at the end, the text of a list whose choice is not text already."""
        what = value(mark, "fldCharType")
        if what == "begin":
            self._fields.append("code")
            self._choices.append(_chosen(child(mark, "ffData", "ddList")))
            self._code = ""
        elif what == "separate" and self._fields:
            self._fields[-1] = "result"
        elif what == "end" and self._fields:
            state, choice = self._fields.pop(), self._choices.pop()
            if choice and state != "shown":
                return unmarked(choice)
            kind = self._code.split()[:1]
            if state == "code" and kind and kind[0].upper() in _SHOWN_FIELDS:
                self.remarks.append(("field without a result", self._code.strip()))
        return ""

    def _symbols(self, text: str, font: str) -> str:
        """Text in a font whose codes stand for other characters."""
        known = _SYMBOL if font == "Symbol" else _WINGDINGS if font.startswith("Wingdings") else {}
        said = ""
        for character in text:
            code = ord(character)
            private = 0xF000 <= code <= 0xF0FF
            mapped = known.get(code - 0xF000 if private else code, "") if private or known else ""
            if mapped.strip("\0"):
                said += mapped
            elif private or (font.startswith("Wingdings") and character.strip()):
                self.remarks.append(("symbol without a character", f"{font or 'a font'} {code:x}"))
            else:
                said += character
        return said

    def _drawn(self, node: Node) -> None:
        """Keep the text boxes of a drawing for later, and report its description."""
        for one in node.iter():
            name = local(one)
            if name == "txbxContent" and not any(local(parent) == "txbxContent" for parent in one.iterancestors()):
                self.boxes.append(one)
            elif name in ("docPr", "shape", "imagedata") and (about := value(one, "descr") or value(one, "alt")):
                self.remarks.append(("description of a picture", about))
            elif name == "graphicData" and value(one, "uri").endswith(("/chart", "/diagram")):
                self.remarks.append(("chart or diagram", value(one, "uri").rpartition("/")[2]))
            elif name == "OLEObject":
                self.remarks.append(("embedded object", value(one, "ProgID")))


def _chosen(choices: Node | None) -> str:
    """The chosen entry of a list in a form: by the result, else the default, else the first; '' if it has none."""
    if choices is None:
        return ""
    entries = [value(one) for one in choices if local(one) == "listEntry"]
    named = [value(child(choices, name)) for name in ("result", "default")]
    numbers = [int(said) for said in named if said.isascii() and said.isdigit() and len(said) < 5]
    return next((entries[number] for number in (*numbers, 0) if number < len(entries)), "")


def is_math(node: Node) -> bool:
    """Whether an element belongs to an equation."""
    return str(node.tag).endswith(f"/math}}{local(node)}")


def alternative(node: Node) -> Node:
    """The variant of `mc:AlternateContent` that has text, in its order; the others repeat it for old programs."""
    variants = [one for one in node if local(one) in ("Choice", "Fallback")]
    return next((one for one in variants if any(local(t) == "t" for t in one.iter())), variants[0] if variants else [])
