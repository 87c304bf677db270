"""EPUB to blocks: the chapters of the book in reading order, each read as a page of HTML."""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zipfile import BadZipFile, ZipFile

from sys2ft.errors import NewsError
from sys2ft.news.importers.charsets import encoding_of_page
from sys2ft.news.importers.html import blocks_of_page
from sys2ft.news.importers.pieces import Piece, Remark, Source, excerpt
from sys2ft.news.importers.texts import cannot_be_read, read_head, too_long, what_it_is

_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")
# Fonts may be masked by these in a book that is free otherwise.
_FONT_MASKS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_DAMAGE = (BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, UnicodeError)


def read_epub(source: Source) -> Iterator[Piece]:
    """Blocks of a book under its title and the headings of its chapters."""
    head = read_head(source)
    if not head.startswith(b"PK"):
        raise source.error(
            what_it_is(head) or "text", expected="an EPUB file", fix="rename it: its ending does not match its content"
        )
    try:
        with ZipFile(source.path) as archive:
            yield from _Book(source, archive).blocks()
    except OSError as error:
        raise cannot_be_read(source, error) from error
    except _DAMAGE as error:
        raise _no_book(
            source, f"an archive that cannot be read ({type(error).__name__}: {excerpt(str(error))})"
        ) from error


def _no_book(source: Source, found: str) -> NewsError:
    return source.error(found, expected="an EPUB file", fix="download it again, or convert it to HTML (calibre does)")


class _Book:
    """The package of a book: its title, its chapters in order, and whether they can be read."""

    def __init__(self, source: Source, archive: ZipFile) -> None:
        self.source, self.archive = source, archive
        self.names = set(archive.namelist())
        container = self._xml("META-INF/container.xml")
        found = _first(container, "rootfile")
        if found is None or (opf := unquote(found.get("full-path", ""))) not in self.names:
            raise _no_book(source, "an archive that is not a book: its META-INF/container.xml names no package")
        self.folder = posixpath.dirname(opf)
        self.package = self._xml(opf)
        title = _first(self.package, "title")
        self.title = " ".join("".join(title.itertext()).split()) if title is not None else ""
        self.items = {item.get("id", ""): item for item in _all(self.package, "item")}

    def blocks(self) -> Iterator[Piece]:
        """Blocks of all chapters."""
        chapters = [
            self.items[key] for one in _all(self.package, "itemref") if (key := one.get("idref", "")) in self.items
        ]
        if not chapters:
            raise _no_book(self.source, "a book without chapters: the spine of its package is empty")
        self._refuse_locked({self._name(item) for item in chapters})
        contents = {self._name(one) for one in _all(self.package, "reference") if one.get("type", "").lower() == "toc"}
        read = set()
        for item in chapters:
            name = self._name(item)
            kind = item.get("media-type", "")
            if name not in self.names:
                yield Remark(what="chapter that the archive lacks", place=name)
            elif "nav" in item.get("properties", "").split() or name in contents:
                yield Remark(what="table of contents", place=name)
            elif kind not in _PAGES:
                yield Remark(what="part of a book that is no page of text", place=name, shown=kind)
            elif name not in read:
                yield from self._chapter(name)
            read.add(name)
        for item in self.items.values():
            name = self._name(item)
            apart = item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split()
            if apart and name in self.names and name not in read | contents:
                yield Remark(what="page outside the reading order of the book", place=name)

    def _chapter(self, name: str) -> Iterator[Piece]:
        with self.archive.open(name) as file:
            head = file.read(8192)
        if not head.strip():
            return
        encoding, remark = encoding_of_page(self.source, head)
        if remark:
            yield Remark(what=remark, place=name, left_out=False)

        def opened() -> BinaryIO:
            return cast(BinaryIO, self.archive.open(name))

        titles = (self.title,) if self.title else ()
        yield from blocks_of_page(self.source, opened, encoding, titles, f"{name}, ", keep_furniture=True)

    def _refuse_locked(self, chapters: set[str]) -> None:
        """Raise NewsError if chapters are encrypted, by the archive or by a seller's protection (DRM)."""
        locked = {info.filename for info in self.archive.infolist() if info.flag_bits & 1} & chapters
        if "META-INF/encryption.xml" in self.names:
            for data in _all(self._xml("META-INF/encryption.xml"), "EncryptedData"):
                method, reference = _first(data, "EncryptionMethod"), _first(data, "CipherReference")
                if method is None or method.get("Algorithm") not in _FONT_MASKS:
                    name = unquote(reference.get("URI", "")) if reference is not None else ""
                    locked |= {posixpath.normpath(name).lstrip("/")} & chapters
        if locked:
            raise self.source.error(
                f"a book whose copy protection (DRM) encrypts {len(locked)} of {len(chapters)} chapters",
                expected="an EPUB file that any program can open",
                fix="get the book without copy protection, or omit it",
            )

    def _name(self, item: Element) -> str:
        """The name in the archive of what an element of the package refers to."""
        href = unquote(item.get("href", "").partition("#")[0])
        return posixpath.normpath(posixpath.join(self.folder, href)).lstrip("/")

    def _xml(self, name: str) -> Element:
        if name not in self.names:
            raise _no_book(self.source, f"an archive that is not a book: it has no {name}")
        if self.archive.getinfo(name).file_size > self.source.settings.max_record:
            raise too_long(self.source, name, "a file")
        file: IO[bytes]
        try:
            with self.archive.open(name) as file:
                return ElementTree.fromstring(file.read())
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise _no_book(self.source, f"{name}, which is not XML ({excerpt(str(error))})") from error


def _all(root: Element, name: str) -> list[Element]:
    """The elements of a local name, in order."""
    return [one for one in root.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name]


def _first(root: Element, name: str) -> Element | None:
    return next(iter(_all(root, name)), None)
