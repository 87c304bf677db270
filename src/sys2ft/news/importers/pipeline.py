"""Import files and folders into one news file, and count omissions, duplicates and instruction-like text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from pydantic import ValidationError

from sys2ft.errors import NewsError
from sys2ft.files import atomic_file, digest_bytes, digest_file
from sys2ft.news.importers.docx import read_docx
from sys2ft.news.importers.epub import read_epub
from sys2ft.news.importers.gzipped import unpacked, without_gzip
from sys2ft.news.importers.html import read_html
from sys2ft.news.importers.json_files import read_json
from sys2ft.news.importers.markdown import read_markdown
from sys2ft.news.importers.passages import BYTES_A_TOKEN, Count, Packer, Passage, estimate_tokens
from sys2ft.news.importers.pdf import read_pdf
from sys2ft.news.importers.pieces import Bad, Reader, Remark, Source
from sys2ft.news.importers.settings import ImportSettings
from sys2ft.news.importers.sheets import read_sheets
from sys2ft.news.importers.summary import FileCount, ImportSummary
from sys2ft.news.importers.tables import read_csv, read_json_lines, same_text_together
from sys2ft.news.importers.texts import empty, is_text_name, read_text
from sys2ft.news.importers.web import Task, fetch, is_address, shown
from sys2ft.news.injection import instructions_in
from sys2ft.news.problems import HALF_CHARACTER, bad_input
from sys2ft.news.schema import News
from sys2ft.news.writing import JSON_ENDINGS, json_line, wrong_ending

READERS: dict[str, Reader] = {
    "text": read_text,
    "markdown": read_markdown,
    "html": read_html,
    "pdf": read_pdf,
    "docx": read_docx,
    "epub": read_epub,
    "csv": read_csv,
    "spreadsheet": read_sheets,
    "jsonl": read_json_lines,
    "json": read_json,
}
ENDINGS = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
    ".csv": "csv",
    ".tsv": "csv",
    ".xlsx": "spreadsheet",
    ".xlsm": "spreadsheet",
    ".xlsb": "spreadsheet",
    ".xls": "spreadsheet",
    ".ods": "spreadsheet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_OFFICE = (
    ".doc .docm .dot .dotx .rtf .odt .ott .fodt .ppt .pptx .pptm .pps .ppsx .odp .pages .wpd .wps".split()  # noqa: SIM905
)
"""Endings of documents and slides that are not read."""
_SAVE = "save it as DOCX or PDF with the program that wrote it"
_REPORT_BYTES = 250_000
_WEB = "web"
"""The form of an address until its server has said what it is."""


def import_news(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: ImportSettings | None = None,
    *,
    count: Count | None = None,
    advance: Callable[[int], None] | None = None,
    task: Task | None = None,
) -> ImportSummary:
    """Read files, folders and web addresses, and write their texts to the news file `out` atomically.

    `count` returns the tokens of a text; by default they are estimated. `advance` receives the number of bytes read
    since the last call; they add up to `total_bytes`. `task` displays the progress of fetching an address. Memory does
    not grow with the size of the sources, except for some 100 bytes per news item.

    Raises:
        NewsError: naming the file and the place, for unusable input (with `skip_bad` it is counted), or if nothing was
            found.
        UserError: a package for this kind of file is not installed.
        StorageError: `out` cannot be written.
    """
    settings, out = settings or ImportSettings(), Path(out)
    if out.suffix.lower() not in JSON_ENDINGS:
        raise wrong_ending(out, JSON_ENDINGS)
    by = f"a token for every {BYTES_A_TOKEN} bytes (an estimate)" if count is None else "the model's tokenizer"
    summary = ImportSummary(out, by)
    listed = list(_files(sources, out, summary, settings))
    with atomic_file(out, parents=False) as file:
        job = _Import(summary, settings, count or estimate_tokens, file)
        for path, label, form in listed:
            if form == _WEB:
                job.address(label, task)
                continue
            # A file name need not be valid text.
            shown, kept = (os.fsencode(name).decode("utf-8", "replace") for name in (path, label))
            with _progress(path, advance) as read:
                job.one(Source(path=path, name=shown, label=kept, settings=settings, advance=read), form)
        if not summary.news:
            raise _nothing(sources, summary)
    return summary


def total_bytes(sources: Sequence[str | Path], out: str | Path, settings: ImportSettings) -> int:
    """Bytes of the files that `import_news` would read, for a progress bar."""
    listed = _files(sources, Path(out), ImportSummary(Path(out), ""), settings)
    return sum(path.stat().st_size for path, _, form in listed if form != _WEB)


def digests(sources: Sequence[str | Path], out: str | Path, settings: ImportSettings) -> dict[str, str]:
    """SHA-256 of each file that `import_news` would read, by path; of an address, which is not asked, nothing."""
    listed = _files(sources, Path(out), ImportSummary(Path(out), ""), settings)
    return {
        shown(str(path)) if form == _WEB else str(path): "" if form == _WEB else digest_file(path)
        for path, _, form in listed
    }


@contextmanager
def _progress(path: Path, advance: Callable[[int], None] | None) -> Iterator[Callable[[int], None]]:
    """Report a file's bytes in steps of a quarter of a megabyte; they add up to its size."""
    if advance is None:
        yield lambda size: None
        return
    total, reported, read = path.stat().st_size, 0, 0

    def add(size: int) -> None:
        nonlocal reported, read
        read = min(total, read + size)
        if read - reported > _REPORT_BYTES:
            advance(read - reported)
            reported = read

    yield add
    advance(total - reported)


def _files(
    sources: Sequence[str | Path], out: Path, summary: ImportSummary, settings: ImportSettings
) -> Iterator[tuple[Path, str, str]]:
    """Path, label and form of every file to read, in order of name; an address is its own label."""
    for given in sources:
        source = Path(given)
        if is_address(given):
            yield source, str(given), _WEB
        elif source.is_file():
            form = settings.form if settings.form != "auto" else _form_of(source)
            if form is None and without_gzip(source).suffix:
                raise bad_input(
                    str(source),
                    f"a file name that ends in {source.name.removeprefix(without_gzip(source).stem)!r}",
                    expected="a name that ends in " + ", ".join(ENDINGS) + ", perhaps with .gz after it",
                    fix=_SAVE if _is_office(source) else "save it in one of these forms, or set --form",
                )
            yield source, source.name, form or "text"
        elif source.is_dir():
            for path in sorted(_below(source, summary)):
                name = str(path)
                form = _form_of(path) or ("text" if is_text_name(without_gzip(path)) else None)
                if path.resolve() == out.resolve():
                    summary.report("the output of this import itself", name)
                elif form is None:
                    ending = f"ends in {path.suffix!r}" if path.suffix else "without an ending"
                    summary.report(
                        f"file {ending}: not a kind that is read{f' ({_SAVE})' if _is_office(path) else ''}", name
                    )
                elif settings.form in ("auto", form):
                    yield path, path.relative_to(source).as_posix(), form
                else:
                    summary.report(f"file of another form than --form {settings.form}", name)
        else:
            raise bad_input(
                str(source),
                "no such file or folder",
                expected="a file, a folder of files, or an address that begins with https://",
                fix="check the path and the folder you are in",
            )


def _form_of(path: Path) -> str | None:
    return ENDINGS.get(without_gzip(path).suffix.lower())


def _is_office(path: Path) -> bool:
    return without_gzip(path).suffix.lower() in _OFFICE


def _below(folder: Path, summary: ImportSummary) -> Iterator[Path]:
    """Files below a folder, except hidden ones."""

    def closed(error: OSError) -> None:
        summary.report("folder that cannot be read", f"{error.filename} ({error.strerror})")

    for here, folders, files in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here) / name for name in files if not name.startswith("."))


class _Import:
    """State of an import: what was seen so far, and the open news file."""

    def __init__(self, summary: ImportSummary, settings: ImportSettings, count: Count, file: BinaryIO) -> None:
        self.summary, self.settings, self.count, self.file = summary, settings, count, file
        self._seen: set[int] = set()
        self._ids: set[str] = set()  # of news items that had ids already

    def one(self, source: Source, form: str) -> None:
        """Import one file; if it turns out to be unusable, nothing of it is kept."""
        mine = ImportSummary(self.summary.out, self.summary.tokens_by, [FileCount(source.name, form)])
        begun = self.file.tell()
        seen: set[int] = set()
        ids: set[str] = set()
        try:
            packer = Packer(self.settings.max_tokens, self.count, self.settings.language)
            anything = False
            with unpacked(source) as readable:
                for piece in packer.pack(same_text_together(READERS[form](readable))):
                    anything = True
                    if isinstance(piece, Bad):
                        self._bad(mine, piece.error)
                    elif isinstance(piece, Remark):
                        shown = f" ({piece.shown})" if piece.shown else ""
                        mine.report(piece.what, f"{source.name}, {piece.place}{shown}", left_out=piece.left_out)
                    else:
                        self._passage(mine, piece, source, seen, ids)
            if not anything:
                raise empty(source)
        except NewsError as error:
            self._bad(self.summary, error)
            self.file.seek(begun)
            self.file.truncate()
            return
        self.summary.merge(mine)
        self._seen |= seen
        self._ids |= ids

    def address(self, address: str, task: Task | None) -> None:
        """Fetch a web address, and import what it answers."""
        name = shown(address)
        with TemporaryDirectory(prefix="sys2ft-") as folder:
            try:
                found = fetch(address, Path(folder), self.settings, ENDINGS, task)
            except NewsError as error:
                self._bad(self.summary, error)
                return
            if found.final.partition("#")[0] != name.partition("#")[0]:
                self.summary.report("address that leads to another", f"{name} (to {found.final})", left_out=False)
            source = Source(path=found.path, name=name, label=name, settings=self.settings, declared=found.declared)
            self.one(source, found.form)

    def _bad(self, summary: ImportSummary, error: NewsError) -> None:
        if not self.settings.skip_bad:
            raise error
        summary.bad.add(str(error).split("\n")[0])

    def _passage(self, summary: ImportSummary, passage: Passage, source: Source, seen: set[int], ids: set[str]) -> None:
        place = f"{source.name}, {passage.place}"
        plain = " ".join(passage.text.casefold().split())
        digest = digest_bytes(plain.encode("utf-8", "replace"))[:16]
        key = int(digest, 16)
        if key in seen or key in self._seen:
            lost = len(passage.entry.questions) if passage.entry else 0
            summary.duplicates.add(f"{place}{f' (with {lost} questions)' if lost else ''}")
            return
        try:
            news = self._news(passage, f"{source.label}, {passage.place}", digest)
        except ValidationError:  # the only possible fault of a text at this point
            fix = "write the character itself"
            self._bad(summary, source.error(HALF_CHARACTER, expected="whole characters", fix=fix, place=passage.place))
            return
        if passage.entry is not None and passage.entry.made is news:
            if news.id.casefold() in ids or news.id.casefold() in self._ids:
                again = f"the id {news.id!r} again"
                fix = "rename or remove one of the two"
                self._bad(summary, source.error(again, expected="a unique id", fix=fix, place=passage.place))
                return
            ids.add(news.id.casefold())
        seen.add(key)
        for order in instructions_in(news.text)[:1]:
            summary.instructions.add(f"{news.id} ({place}): {order.kind}: {order.excerpt}")
        (counted,) = summary.files
        counted.news += 1
        counted.questions += len(news.questions)
        counted.neighbours += len(news.neighbours)
        counted.with_choices += sum(bool(question.choices) for question in news.questions)
        self.file.write(json_line(news))

    def _news(self, passage: Passage, taken_from: str, digest: str) -> News:
        entry = passage.entry
        made = entry.made if entry is not None else None
        if made is not None and made.text == passage.text:
            return made
        return News(
            id=f"{_slug(passage.text)}-{digest}",
            domain=made.domain if made is not None else self.settings.domain,
            text=passage.text,
            questions=entry.questions if entry is not None else (),
            neighbours=entry.neighbours if entry is not None else (),
            cloze=entry.cloze if entry is not None else None,
            source=taken_from,
        )


def _slug(text: str) -> str:
    """A readable start of an id: the text's last title, or its first words."""
    first, newline, _ = text.partition("\n")
    words = first.split(" > ")[-1] if newline else first
    ascii_words = re.findall(r"[a-z0-9]+", words.casefold())
    kept = ""
    for word in ascii_words[:6]:
        if len(kept) + len(word) > 40:
            break
        kept = f"{kept}-{word}" if kept else word
    return kept or "news"


def _nothing(sources: Sequence[str | Path], summary: ImportSummary) -> NewsError:
    reasons = [f"{tally.count} x {what}" for what, tally in summary.reported.items() if tally.left_out]
    if summary.bad.count:
        reasons.append(f"{summary.bad.count} x not usable: {summary.bad.first[0]}")
    return bad_input(
        ", ".join(map(str, sources)),
        "no news items" + (f" ({'; '.join(reasons[:5])})" if reasons else ""),
        expected="at least one text",
        fix=f"check the sources; files are read if their name ends in {', '.join(ENDINGS)}",
    )
