"""Read text files line by line (encodings, binary files, length limits), and split plain text into paragraphs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from charset_normalizer import CharsetMatch, from_bytes

from sys2ft.errors import NewsError
from sys2ft.news.encodings import wide_without_mark
from sys2ft.news.importers.pieces import Block, Piece, Source
from sys2ft.news.importers.sentences import split_last
from sys2ft.news.problems import unreadable

_HEAD = 8192
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is its prefix
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP = b"\x1f\x8b"
_MAGIC = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a ZIP archive (DOCX, XLSX, ODT and EPUB files are such archives)",
    b"\xd0\xcf\x11\xe0": "an old or a password-protected Office file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"PAR1": "a Parquet file",
}
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\ufeff\u00ad]+")
_WIDE = "[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
_NO_SPACE = re.compile(rf"(?<={_WIDE})[ \t]*\n\s*(?={_WIDE})")
# Encodings that an error may suggest. Of a few bytes, detection holds many others to be as likely.
_USUAL = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "utf_8", "utf_16"),
]
_BULLET = re.compile(r"\s*(?:[-*+•‣–]|\d{1,3}[.)])\s+")
_UNDERLINE = re.compile(r"([=~^*#-])\1{2,}$")
PARAGRAPH = 200_000
"""Characters after which a paragraph is emitted up to its last complete sentence, to bound memory."""


def clean(text: str) -> str:
    """Text without control characters and invisible marks; the line breaks stay."""
    return _UNREADABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", "\n").replace("\f", "\n"))


def flat(text: str) -> str:
    """Text on one line. A line break between Chinese or Japanese characters is no space, since they have none."""
    return " ".join(_NO_SPACE.sub("", text).split())


def what_it_is(head: bytes) -> str | None:
    """A description of a binary file by its first bytes; None for text."""
    for magic, words in _MAGIC.items():
        if head.startswith(magic):
            return words
    if b"\0" in head and not any(head.startswith(bom) for bom in BOMS):
        return "a binary file"
    return None


def read_head(source: Source) -> bytes:
    """The beginning of a file. Raises NewsError for an empty, unreadable or compressed file."""
    try:
        with source.path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise cannot_be_read(source, error) from error
    if not head:
        raise empty(source)
    if head.startswith(_GZIP):
        again = source.name.lower().endswith(".gz")
        raise source.error(
            "a file compressed with gzip twice" if again else "a file compressed with gzip under a name without .gz",
            expected="content of the kind that the name says",
            fix="unpack it once" if again else f"rename it to {Path(source.name).name}.gz",
        )
    return head


def empty(source: Source) -> NewsError:
    """The error for a file without any text."""
    return source.error("no text: it is empty", expected="a file with text", fix="check the file, or omit it")


def cannot_be_read(source: Source, error: OSError) -> NewsError:
    """The error for a file that the system does not let us read."""
    return unreadable(source.name, error)


def encoding_of(source: Source, head: bytes) -> str:
    """The encoding to read the file by. Raises NewsError for a binary file."""
    given = source.settings.encoding
    expected = given or source.declared
    mark = next((name for bom, name in BOMS.items() if head.startswith(bom)), "")
    if not (expected and is_wide(expected)):
        if not (given or mark) and (wide := wide_without_mark(head)):
            return wide
        if (binary := what_it_is(head)) is not None:
            fix = "convert it to text, rename it if its ending is wrong, or give --encoding if it is UTF-16 or UTF-32"
            raise source.error(binary, expected="text", fix=fix)
    return given or mark or source.declared or "utf-8"


def is_wide(encoding: str) -> bool:
    """Whether characters have two or four bytes: zero bytes are normal and lines do not end with byte 10."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def lines_of(source: Source) -> Iterator[str]:
    """The lines of a text file without their ends, within the length limit of the settings.

    Raises NewsError naming the line for bytes that are invalid in the encoding, and for a line that is too long.
    """
    encoding = encoding_of(source, read_head(source))
    try:
        if is_wide(encoding):
            with source.path.open(encoding=encoding) as text:
                yield from _wide_lines(source, text, encoding)
        else:
            with source.path.open("rb") as file:
                yield from _narrow_lines(source, file, encoding)
    except OSError as error:
        raise cannot_be_read(source, error) from error


def _narrow_lines(source: Source, file: BinaryIO, encoding: str) -> Iterator[str]:
    """Lines of an encoding in which lines end with byte 10; each is decoded separately, so that errors name it."""
    limit, number = source.settings.max_record, 0
    while raw := file.readline(limit + 1):
        number += 1
        if len(raw) > limit:
            raise too_long(source, f"line {number}", "a line")
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise not_of(source, encoding, f"line {number}", error) from error
        source.advance(len(raw))
        if number == 1:
            line = line.removeprefix("\ufeff")
        yield line.rstrip("\r\n")


def _wide_lines(source: Source, text: TextIO, encoding: str) -> Iterator[str]:
    limit, number = source.settings.max_record, 0
    while True:
        try:
            line = text.readline(limit + 1)
        except UnicodeError as error:
            raise source.error(
                f"bytes that are not {encoding}",
                expected=f"text in {encoding}",
                fix="give the right one with --encoding, or save the file as UTF-8",
                place=f"line {number + 1} or shortly after it",
            ) from error
        if not line:
            return
        number += 1
        if len(line) > limit:
            raise too_long(source, f"line {number}", "a line")
        yield line.rstrip("\n").removeprefix("\ufeff")


def too_long(source: Source, place: str, what: str) -> NewsError:
    """The error for a line, row or record beyond the memory limit."""
    return source.error(
        f"{what} of more than {source.settings.max_record_mb:g} MB",
        expected="records that fit in memory",
        fix="split it, or raise --max-record-mb if memory allows",
        place=place,
    )


def _fit(guess: CharsetMatch) -> tuple[float, float]:
    return guess.chaos, guess.coherence


def not_of(source: Source, encoding: str, place: str, error: UnicodeDecodeError) -> NewsError:
    """The error for bytes that are invalid in the encoding, with a guess at the right one."""
    raw = error.object
    guesses = from_bytes(raw[max(0, error.start - 2000) : error.start + 2000], cp_isolation=_USUAL)
    # Of encodings that fit equally well, the commonest: in short texts cp1250 and cp1252 often read the same.
    fitting = {
        name for one in guesses if _fit(one) == _fit(guesses[0]) for name in (one.encoding, *one.could_be_from_charset)
    }
    likely = [name for name in _USUAL if name in fitting and name not in ("utf_8", "utf_16")]
    others = f" (or {', '.join(likely[1:3])})" if likely[1:] else ""
    return source.error(
        f"the byte 0x{raw[error.start]:02x}, which is not {encoding.upper()}",
        expected=f"text in {encoding.upper()}",
        fix=f"give its encoding, perhaps --encoding {likely[0]}{others}"
        if likely
        else "give its encoding with --encoding",
        place=place,
    )


def read_text(source: Source) -> Iterator[Piece]:
    """Plain text: paragraphs separated by empty lines; a lone first line, or an underlined one, is a title."""
    document: tuple[str, ...] = ()
    chapters: tuple[str, ...] = ()
    first: tuple[str, list[str]] | None = None
    begun = False
    for place, lines in _paragraphs(lines_of(source)):
        if len(lines) == 2 and _UNDERLINE.match(lines[1].strip()) and len(lines[0]) <= 120:
            lone = lines[0].strip()
            chapters = (lone,) if lines[1].strip()[0] == "=" or not chapters else (chapters[0], lone)
        elif not begun and len(lines) == 1 and _is_title(lines[0]):
            first = (place, lines)
        else:
            if first is not None:
                document, first = (first[1][0].strip(),), None
            yield paragraph(lines, document + chapters, place)
        begun = True
    if first is not None:  # not a title: it is the whole text
        yield paragraph(first[1], (), first[0])


def paragraph(lines: Iterable[str], titles: tuple[str, ...], place: str) -> Block:
    """A block of wrapped lines; list items get a line each."""
    items: list[str] = []
    listed = False
    for line in lines:
        bullet = _BULLET.match(line) is not None
        listed = listed or bullet
        if items and not bullet:
            items[-1] = flat(f"{items[-1]}\n{line.strip()}")
        else:
            items.append(line.strip())
    return Block(text=clean("\n".join(items)), titles=titles, place=place, by_line=listed)


def _paragraphs(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Runs of non-empty lines, each with its place; a very long run is emitted in parts."""
    held: list[str] = []
    size = begun = 0
    for number, raw in enumerate(lines, start=1):
        line = clean(raw)
        if line.strip():
            begun = begun or number
            held.append(line)
            size += len(line)
            if size > PARAGRAPH:
                done, rest = split_last(" ".join(held))
                yield f"line {begun}", [done]
                held, size, begun = [rest] if rest else [], len(rest), number
        elif held:
            yield f"line {begun}", held
            held, size, begun = [], 0, 0
    if held:
        yield f"line {begun}", held


def _is_title(line: str) -> bool:
    words = line.strip()
    return len(words) <= 100 and not words.endswith((".", "!", "?", ";", ",")) and not _BULLET.match(line)


def is_text_name(path: Path) -> bool:
    """Whether a file without an ending has a name common for text files: README, CHANGELOG, ..."""
    return not path.suffix and path.name.isupper()
