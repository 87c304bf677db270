"""The text of a news file from its bytes: compressed or not, in UTF-8, UTF-16 or UTF-32."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import re
import shlex
import zlib
from collections.abc import Callable
from pathlib import Path
from unicodedata import category

from sys2ft.errors import NewsError
from sys2ft.news.problems import bad_input

PACKED_ENDINGS = (".gz", ".bz2", ".xz")
_UNPACK: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ\x00": ("xz", lzma.decompress),
}

# Encodings of old files, by Python's name and by that of `iconv`. The commoner ones come first.
_OLD = {
    "cp1252": "WINDOWS-1252",
    "cp1250": "WINDOWS-1250",
    "cp1251": "WINDOWS-1251",
    "cp1253": "WINDOWS-1253",
    "cp1254": "WINDOWS-1254",
    "cp1255": "WINDOWS-1255",
    "cp1256": "WINDOWS-1256",
    "cp1257": "WINDOWS-1257",
    "cp874": "CP874",
    "koi8_r": "KOI8-R",
    "iso8859_2": "ISO-8859-2",
    "cp932": "CP932",
    "euc_jp": "EUC-JP",
    "gb18030": "GB18030",
    "big5": "BIG5",
    "cp949": "CP949",
    "mac_roman": "MACINTOSH",
}
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_ASIAN = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]")
_GUESSES, _WORDS, _WORD = 3, 4, 20  # of encodings, words by each, and characters of a word that an error shows


def text_of(data: bytes, path: Path) -> str:
    """The text in the bytes of the news file `path`.

    Raises NewsError for a damaged archive, and for bytes in an encoding other than UTF-8, UTF-16 and UTF-32.
    """
    for magic, (kind, unpack) in _UNPACK.items():
        if data.startswith(magic):
            try:
                data = unpack(data)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise bad_input(
                    str(path),
                    f"{kind} data that is damaged or not complete ({error})",
                    expected=f"a whole {kind} file",
                    fix="copy or download it again",
                ) from error
    encoding = _encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_unicode(data, path, encoding, error) from error


def _encoding(data: bytes) -> str:
    """UTF-8 unless a byte order mark or the zero bytes of ASCII characters say UTF-16 or UTF-32."""
    found = json.detect_encoding(data)
    if found == "utf-8" and data.count(0) > len(data) // 8:  # begins with a character that is not ASCII
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    return found


def wide_without_mark(head: bytes) -> str:
    """UTF-16 or UTF-32 if the beginning of a file is text in it without a byte order mark; else ''.

    Binary files have zero bytes too, so the characters must be assigned ones, mostly Chinese, Japanese or Korean, or an
    eighth of them ASCII.
    """
    if 0 not in head:
        return ""
    counts = {name: _plain_characters(head, name) for name in _WIDE}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else ""


def _plain_characters(head: bytes, encoding: str) -> int:
    """The number of ASCII characters; 0 if the bytes are no text in the encoding. The last character may be cut."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return 0
    if any(category(one) in ("Cc", "Cn") and one not in "\t\n\v\f\r" for one in text):
        return 0
    if any(ord(one) % 256 == 0 and ord(one) < 0x2500 for one in text):  # zeros in a row: rather numbers than letters
        return 0
    plain = sum(map(str.isascii, text))
    asian = len(_ASIAN.findall(text))
    return plain if 8 * plain >= len(text) or 2 * asian >= len(text) else 0


def _not_unicode(data: bytes, path: Path, encoding: str, error: UnicodeDecodeError) -> NewsError:
    name = encoding.removesuffix("-sig").upper()
    place, fix = "", "save it as UTF-8 with the program that wrote it"
    if name == "UTF-8":
        place = f"line {data[: error.start].count(10) + 1}"
        if likely := _likely(data):
            whole, new = shlex.quote(str(path)), shlex.quote(str(path.with_name(f"utf8-{path.name}")))
            words = "; ".join(f"{_OLD[one]}: {_words(data, one)}" for one in likely)
            fix += f", or: iconv -f {_OLD[likely[0]]} -t UTF-8 {whole} > {new} (a guess; words of the file by {words})"
    return bad_input(
        str(path),
        f"the byte 0x{data[error.start]:02x}, which is not {name}",
        expected="a text file in UTF-8",
        fix=fix,
        place=place,
    )


def _likely(data: bytes) -> list[str]:
    """Python's names of the encodings in `_OLD` that the bytes are likeliest in, of those that are equally likely."""
    from charset_normalizer import from_bytes  # on first use: few files need it

    matches = list(from_bytes(data[: 1 << 20], cp_isolation=list(_OLD)))
    best = [one for one in matches if (one.chaos, one.coherence) == (matches[0].chaos, matches[0].coherence)]
    ranked = [next(name for name in _OLD if name in (one.encoding, *one.could_be_from_charset)) for one in best]
    return sorted(set(ranked), key=list(_OLD).index)[:_GUESSES]


def _words(data: bytes, encoding: str) -> str:
    """The first words that have characters other than ASCII, for a reader to judge by."""
    found = dict.fromkeys(re.findall(r"\w*[^\W\x00-\x7f]\w*", data.decode(encoding, "replace")))
    return " ".join(word[:_WORD] for word in list(found)[:_WORDS])
