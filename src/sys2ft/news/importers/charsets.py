"""Character encodings of web pages and of what servers send, as browsers read them (WHATWG Encoding Standard).

The only module that uses the package `webencodings`.
"""

from __future__ import annotations

import codecs
from html.parser import HTMLParser

from sys2ft.news.importers.pieces import Source, optional
from sys2ft.news.importers.texts import BOMS, encoding_of, is_wide


def _undefined(error: UnicodeError) -> tuple[str, int]:
    """A byte that a Windows code page leaves undefined, as the control character that browsers make of it."""
    if isinstance(error, UnicodeDecodeError) and error.encoding == "charmap" and error.object[error.start] < 0xA0:
        return chr(error.object[error.start]), error.start + 1
    raise error


codecs.register_error("sys2ft.undefined", _undefined)


class _Declared(HTMLParser):
    """Finds the first `<meta>` with a charset; comments and scripts are not searched."""

    def __init__(self) -> None:
        super().__init__()
        self.label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta" or self.label:
            return
        given = {name: value or "" for name, value in reversed(attrs)}
        label = given.get("charset", "")
        if not label and given.get("http-equiv", "").strip().lower() == "content-type":
            label = parameter(given.get("content", ""), "charset")
        self.label = label.strip()

    def handle_pi(self, data: str) -> None:
        if data.startswith("xml ") and not self.label:
            self.label = parameter(data.replace(" encoding", "; encoding").rstrip("?"), "encoding")

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Skip `<![...` as a comment, as browsers do; the base class raises AssertionError for unknown words."""
        return self.parse_bogus_comment(i, False)


def parameter(header: str, name: str) -> str:
    """The value of a parameter in a value such as `text/html; charset="utf-8"`; empty if it is absent."""
    for part in header.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip("\"'").strip()
    return ""


def declared_by(head: bytes) -> str:
    """The encoding label that the beginning of a page declares in a `<meta>` or in an XML declaration, or ''."""
    page = _Declared()
    page.feed(head.decode("latin-1"))
    return page.label


def codec_of(source: Source, label: str, where: str) -> str:
    """Python's name of the codec by which browsers decode a declared label.

    `where` ends the sentence "the unknown encoding 'x' declared ...". Raises NewsError for a label without meaning.
    """
    known = optional("webencodings", "webencodings", "reading web pages").lookup
    found = known(label) or known(_python_name(label))
    if found is None or found.name == "replacement":
        raise source.error(
            f"the unknown encoding {label!r} declared {where}".rstrip(),
            expected="an encoding that browsers know",
            fix="give it with --encoding",
        )
    if found.name == "x-user-defined":
        return "cp1252"
    return "gb18030" if found.name == "gbk" else str(found.codec_info.name)


def _python_name(label: str) -> str:
    """Python's name of an encoding ("latin-1" is none of the web's labels, "iso8859-1" is); else the label."""
    try:
        return codecs.lookup(label).name
    except (LookupError, ValueError):
        return label


def encoding_of_page(source: Source, head: bytes) -> tuple[str, str]:
    """The codec of a page, and what to report about the choice ('' if nothing).

    In this order: `--encoding`, a byte order mark, the server's word, the page's own, UTF-8.
    """
    encoding = encoding_of(source, head)
    marked = any(head.startswith(mark) for mark in BOMS)
    if source.settings.encoding or marked or (encoding != source.declared and is_wide(encoding)):
        return encoding, ""
    label = source.declared or declared_by(head)
    if not label:
        return encoding, ""
    if source.declared:
        codec = source.declared
    elif _python_name(label).startswith(("utf-16", "utf-32")):
        return "utf-8", ""  # the declaration was readable as single bytes, so it cannot be right
    else:
        codec = codec_of(source, label, "")
    other = is_wide(codec) if b"\0" not in head else False
    if other or (codec != "utf-8" and _is_utf8(head) and not _fits(codec, head)):
        return "utf-8", f"declared as {label}, but its bytes are UTF-8: read as UTF-8"
    return codec, ""


def _is_utf8(head: bytes) -> bool:
    """Whether bytes beyond ASCII occur and all of them form UTF-8, which no other encoding does by chance."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not head.isascii()


def _fits(codec: str, head: bytes) -> bool:
    """Whether bytes follow the rules of an encoding with several bytes a character; those of one byte have none."""
    if len(bytes(range(0xA0, 0x100)).decode(codec, "replace")) == 0x60:
        return False
    try:
        codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return False
    return True
