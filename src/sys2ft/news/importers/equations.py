"""Equations of web pages (MathML) and of Word files (OMML) as a line of text: E=mc², (a+b)/2, √(x+1), ∑_(i=1)^n x_i.

The line may contain the marks of `marks`, which its reader resolves together with the text around it. Equations that
carry their TeX source are kept as that source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from sys2ft.news.importers.marks import END, LOWER, RAISE
from sys2ft.news.importers.texts import PARAGRAPH

Node = Any
"""An element of `lxml` or of `xml.etree`."""
_INVISIBLE = re.compile("[\u2061-\u2064\u200b]")
_ACCENTS = {
    "^": "\u0302", "ˆ": "\u0302", "~": "\u0303", "˜": "\u0303", "¯": "\u0304", "‾": "\u0304", "_": "\u0304",
    "―": "\u0304", "→": "\u20d7", "⃗": "\u20d7", "˙": "\u0307", ".": "\u0307", "¨": "\u0308", "ˇ": "\u030c",
    "´": "\u0301", "`": "\u0300",
}  # fmt: skip
_ROOTS = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_LARGE = frozenset("∑∏∐∫∬∭∮⋃⋂⋁⋀⨁⨂")


def tex(source: str) -> str:
    """TeX source without the wrapper that some converters add."""
    said = " ".join(source.split())
    wrapped = re.fullmatch(r"\{\s*\\(?:display|text|scriptscript|script)style\s*(.*)\}", said)
    return wrapped.group(1).strip() if wrapped else said


def joined(parts: Iterable[str]) -> str:
    """Parts one after the other, with a space between words, and between a number and a fraction."""
    said = ""
    for part in filter(None, parts):
        beside = said[-1:].isalnum() and part[0].isalnum()
        words = re.search(r"[^\W\d_]{2,}$", said) or re.match(r"[^\W\d_]{2,}", part)
        said += " " * bool(beside and (words or _is_ratio(part) or _is_ratio(said))) + part
    return said


def _is_ratio(text: str) -> bool:
    return re.fullmatch(r"[\w.]+/[\w.]+", text) is not None


def _enclosed(text: str) -> bool:
    """Whether one pair of brackets spans the text."""
    if text[:1] + text[-1:] not in ("()", "[]", "{}", "||"):
        return False
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if not depth and at < len(text) - 1 and text[0] != "|":
            return False
    return True


def _group(text: str, *, product: bool = False) -> str:
    """`text` in parentheses if an operator beside it would take a part of it only."""
    scripts = f"(?:[{RAISE}{LOWER}][^{END}]*{END})*"
    single = re.fullmatch(rf"(?:\d+(?:[.,]\d+)?|[^\W\d_]{'+' if product else ''}|\W){scripts}", text)
    simple = product and re.fullmatch(rf"(?:[^\W_]+{scripts})+", text)
    return text if single or simple or not text or _enclosed(text) else f"({text})"


def over(above: str, below: str, *, line: bool = True) -> str:
    """A fraction; without the line, a binomial coefficient."""
    if not line:
        return f"{above.strip()} choose {below.strip()}"
    return f"{_group(above.strip(), product=True)}/{_group(below.strip())}"


def scripts(base: str, below: str = "", above: str = "") -> str:
    """A base with a subscript and a superscript."""
    lowered = f"{LOWER}{below.strip()}{END}" if below.strip() else ""
    raised = f"{RAISE}{above.strip()}{END}" if above.strip() else ""
    operator = re.fullmatch(r"[^\W\d_]{2,}", base)
    return (base if operator else _group(base.strip())) + lowered + raised


def root(radicand: str, degree: str = "") -> str:
    """A square root or a root of another degree."""
    known = _ROOTS.get(degree.strip())
    sign = known or f"{RAISE}{degree.strip()}{END}√"
    inner = radicand.strip()
    return f"{sign}{inner}" if re.fullmatch(r"\d+|\w", inner) or _enclosed(inner) else f"{sign}({inner})"


def accent(base: str, mark: str) -> str:
    """A letter with an accent; a longer base gets the accent as a superscript."""
    if not mark.strip():
        return base
    known = _ACCENTS.get(mark.strip()) or (
        mark if 0x300 <= ord(mark[0]) <= 0x36F or 0x20D0 <= ord(mark[0]) <= 0x20FF else ""
    )
    return base + known if known and len(base.strip()) == 1 else scripts(base, above=mark)


def rows(lines: Iterable[Sequence[str]]) -> str:
    """A matrix."""
    return "[" + "; ".join(", ".join(cell.strip() for cell in line) for line in lines) + "]"


def _local(node: Node) -> str:
    return str(node.tag).rpartition("}")[2] if isinstance(node.tag, str) else ""


# MathML


def of_mathml(node: Node) -> str:
    """The text of a `<math>` element: the TeX source it carries, else its symbols in a line, else its `alttext`."""
    for note in node.iter():
        if _local(note) == "annotation" and "tex" in note.get("encoding", "").lower() and (note.text or "").strip():
            return tex(note.text)
    return _mathml(node).strip() or tex(node.get("alttext", ""))


def _mathml(node: Node) -> str:
    name = _local(node)
    inner = [child for child in node if isinstance(child.tag, str)]
    if name in ("annotation", "annotation-xml", "mphantom", "mprescripts", "none", "malignmark"):
        return ""
    if name == "mspace":
        return " "
    if name == "semantics":
        return _mathml(inner[0]) if inner else ""
    if name == "mfrac" and len(inner) > 1 and re.fullmatch(r"0(?:\.0*)?\w*", node.get("linethickness", "1")):
        return over(_mathml(inner[0]), _mathml(inner[1]), line=False)
    if name in _MATHML and len(inner) >= _MATHML[name][0]:
        return _MATHML[name][1]([_mathml(child) for child in inner])
    if name == "msqrt":
        return root(_row(node))
    if name == "mfenced":
        separators = [*(node.get("separators", ",").split() or [""])]
        said = "".join(
            (separators[min(n - 1, len(separators) - 1)] if n else "") + _mathml(child) for n, child in enumerate(inner)
        )
        return f"{node.get('open', '(')}{said}{node.get('close', ')')}"
    if name == "mmultiscripts" and inner:
        return _multiscripts(inner)
    if name == "mtable":
        return rows([_mathml(cell) for cell in line] for line in inner)
    return _row(node)


def _row(node: Node) -> str:
    said = [_INVISIBLE.sub("", " ".join((node.text or "").split()))]
    for child in node:
        said += [_mathml(child), _INVISIBLE.sub("", " ".join((child.tail or "").split()))]
    return joined(said)


def _multiscripts(inner: list[Node]) -> str:
    names = [_local(child) for child in inner]
    middle = names.index("mprescripts") if "mprescripts" in names else len(inner)
    behind, before = ([_mathml(child) for child in part] for part in (inner[1:middle], inner[middle + 1 :]))
    pre, post = (scripts("", joined(part[0::2]), joined(part[1::2])) for part in (before, behind))
    return pre + _mathml(inner[0]) + post


def _above(parts: list[str]) -> str:
    return accent(*parts[:2])


_MATHML: dict[str, tuple[int, Callable[[list[str]], str]]] = {
    "mfrac": (2, lambda parts: over(*parts[:2])),
    "msup": (2, lambda parts: scripts(parts[0], above=parts[1])),
    "msub": (2, lambda parts: scripts(parts[0], parts[1])),
    "msubsup": (3, lambda parts: scripts(*parts[:3])),
    "mroot": (2, lambda parts: root(*parts[:2])),
    "munder": (2, lambda parts: scripts(parts[0], parts[1])),
    "mover": (2, _above),
    "munderover": (3, lambda parts: scripts(*parts[:3]) + " " * (parts[0] in _LARGE)),
}


def _unprefixed(tag: str) -> str:
    """The name of an element such as `m:mi`, since pages have no namespaces."""
    return tag.rpartition(":")[2]


class Math:
    """Builds the tree of a `<math>` element from its tags, which need not be closed."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._open = [Element("math", dict(given))]
        self._size = 0

    def start(self, tag: str, given: Mapping[str, str]) -> None:
        if len(self._open) < 100 and self._size < PARAGRAPH:
            child = Element(_unprefixed(tag), dict(given))
            self._open[-1].append(child)
            self._open.append(child)

    def end(self, tag: str) -> None:
        name = _unprefixed(tag)
        if any(name == element.tag for element in self._open[1:]):
            while self._open.pop().tag != name:
                pass

    def data(self, data: str) -> None:
        self._size += len(data)
        parent = self._open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data

    def text(self) -> str:
        return of_mathml(self._open[0])


# OMML


def of_omml(node: Node, text_of: Callable[[Node], str] | None = None) -> str:
    """The text of an `m:oMath` element. `text_of` gives the visible text of elements of other namespaces."""

    def words(element: Node) -> str:
        math = str(element.tag).startswith("{http://schemas.openxmlformats.org/officeDocument/2006/math}") or str(
            element.tag
        ).startswith("{http://purl.oclc.org/ooxml/officeDocument/math}")
        if not math:
            return text_of(element) if text_of else ""
        name = _local(element)
        if name == "t":
            return _INVISIBLE.sub("", element.text or "")
        if name.endswith("Pr"):
            return ""
        if name == "r" and text_of:
            return text_of(element)
        return _OMML[name](element, words) if name in _OMML else joined(map(words, element))

    return words(node)


def _part(node: Node, name: str, words: Callable[[Node], str]) -> str:
    return "".join(words(child) for child in node if _local(child) == name)


def _property(node: Node, name: str, default: str = "") -> str:
    """The value of a property of an equation's element; the default if it is absent."""
    for properties in node:
        if _local(properties).endswith("Pr"):
            for one in properties:
                if _local(one) == name:
                    return next((value for key, value in one.items() if key.endswith("val")), default or "1")
    return default


def _nary(node: Node, words: Callable[[Node], str]) -> str:
    sign = scripts(_property(node, "chr", "∫"), _part(node, "sub", words), _part(node, "sup", words))
    return f"{sign} {_part(node, 'e', words)}"


def _delimited(node: Node, words: Callable[[Node], str]) -> str:
    begin, end = _property(node, "begChr", "("), _property(node, "endChr", ")")
    begin, end = (
        ("" if has_empty else sign)
        for sign, has_empty in ((begin, _empty(node, "begChr")), (end, _empty(node, "endChr")))
    )
    said = _property(node, "sepChr", "|").join(words(child) for child in node if _local(child) == "e")
    matrix = [_local(inner) for child in node if _local(child) == "e" for inner in child] == ["m"]
    return said if matrix and begin + end in ("()", "[]") else f"{begin}{said}{end}"


def _empty(node: Node, name: str) -> bool:
    """Whether a property is given as empty: a bracket on one side only."""
    for properties in node:
        for one in properties:
            if _local(properties) == "dPr" and _local(one) == name:
                return not any(value for key, value in one.items() if key.endswith("val"))
    return False


def _function(node: Node, words: Callable[[Node], str]) -> str:
    name, of = _part(node, "fName", words).strip(), _part(node, "e", words).strip()
    return f"{name}{of}" if of.startswith("(") else f"{name} {of}"


_OMML: dict[str, Callable[[Node, Callable[[Node], str]], str]] = {
    "f": lambda n, w: over(_part(n, "num", w), _part(n, "den", w), line=_property(n, "type") != "noBar"),
    "sSup": lambda n, w: scripts(_part(n, "e", w), above=_part(n, "sup", w)),
    "sSub": lambda n, w: scripts(_part(n, "e", w), _part(n, "sub", w)),
    "sSubSup": lambda n, w: scripts(_part(n, "e", w), _part(n, "sub", w), _part(n, "sup", w)),
    "sPre": lambda n, w: scripts("", _part(n, "sub", w), _part(n, "sup", w)) + _part(n, "e", w),
    "rad": lambda n, w: root(_part(n, "e", w), _part(n, "deg", w)),
    "nary": _nary,
    "d": _delimited,
    "func": _function,
    "limLow": lambda n, w: scripts(_part(n, "e", w), _part(n, "lim", w)),
    "limUpp": lambda n, w: scripts(_part(n, "e", w), above=_part(n, "lim", w)),
    "acc": lambda n, w: accent(_part(n, "e", w), _property(n, "chr", "^")),
    "bar": lambda n, w: accent(_part(n, "e", w), "¯") if _property(n, "pos", "bot") == "top" else _part(n, "e", w),
    "m": lambda n, w: rows([w(cell) for cell in line if _local(cell) == "e"] for line in n if _local(line) == "mr"),
    "eqArr": lambda n, w: "; ".join(w(child).strip() for child in n if _local(child) == "e"),
    "phant": lambda n, w: "" if _property(n, "show", "1") in ("0", "off", "false") else _part(n, "e", w),
}
