"""Fetch a web address into a file, and decide by its content type how it is read.

The only module that uses the package `requests`.
"""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from sys2ft.errors import NewsError
from sys2ft.news.importers.charsets import codec_of, parameter
from sys2ft.news.importers.gzipped import GZIP, unpack
from sys2ft.news.importers.pieces import Source, excerpt, optional
from sys2ft.news.importers.settings import ImportSettings
from sys2ft.news.problems import bad_input

Task = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Opens the progress display of a task by its name and its bytes (None: unknown); gives what advances it."""
_TYPES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "application/x-pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/epub+zip": ".epub",
    "text/csv": ".csv",
    "application/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "text/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/jsonlines": ".jsonl",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
}
# Types that servers give to files they do not know: the address's ending, then the content, say more.
_VAGUE = frozenset(
    """text/plain application/octet-stream binary/octet-stream application/zip application/x-zip-compressed
    application/download application/force-download application/gzip application/x-gzip""".split()  # noqa: SIM905
)
_SCHEME = re.compile(r"(https?):/{1,2}(?=[^/])", re.IGNORECASE)
_WAIT = (10, 30)  # seconds for a connection, and for the next part of an answer
_LONGEST = 600  # seconds for all of it
_REDIRECTS = 10
_CHUNK = 65_536
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """The content of an address in a file."""

    path: Path
    form: str
    declared: str
    """The codec that the server declared; empty if it declared none."""
    final: str
    """The address that answered, after redirects."""


def is_address(source: str | Path) -> bool:
    """Whether a source is a web address rather than a path."""
    return _SCHEME.match(str(source).strip()) is not None


def _whole(address: str | Path) -> str:
    """An address with both slashes, of which a path keeps one."""
    return _SCHEME.sub(lambda found: f"{found.group(1).lower()}://", str(address).strip())


def shown(address: str | Path) -> str:
    """An address as it is reported: without a user name and a password in it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", _whole(address), count=1)


def fetch(
    address: str | Path, folder: Path, settings: ImportSettings, endings: Mapping[str, str], task: Task | None = None
) -> Fetched:
    """Fetch an address into a new file in `folder`. `endings` maps the endings of names to forms.

    Raises NewsError for an address that does not answer with a file of a known form and a size within the settings.
    """
    name = shown(address)
    requests = optional("requests", "requests", "reading a web address")
    begun = time.monotonic()
    try:
        with requests.Session() as session:
            session.max_redirects = _REDIRECTS
            agent = {"User-Agent": "sys2ft (news import)", "Accept": "text/html, application/xhtml+xml, */*;q=0.8"}
            with session.get(_whole(address), stream=True, timeout=_WAIT, headers=agent) as answer:
                if answer.status_code != 200:
                    raise _refused(name, answer)
                size = answer.headers.get("Content-Length", "")
                known = int(size) if size.isdigit() and not answer.headers.get("Content-Encoding") else None
                if known and known > settings.max_download_mb * 1e6:
                    raise _too_large(name, settings)
                path = folder / "answer"
                with (task or _silent)(f"fetch {excerpt(name, 28)}", known) as advance, path.open("wb") as file:
                    for chunk in answer.iter_content(_CHUNK):
                        file.write(chunk)
                        advance(len(chunk))
                        if file.tell() > settings.max_download_mb * 1e6:
                            raise _too_large(name, settings)
                        if time.monotonic() - begun > _LONGEST:
                            raise _unanswered(name, f"an answer that takes more than {_LONGEST} seconds")
                if known is not None and path.stat().st_size != known:
                    raise _unanswered(name, f"an answer that ends after {path.stat().st_size} of {known} bytes")
                return _identified(name, path, answer, settings, endings)
    except (requests.RequestException, requests.packages.urllib3.exceptions.HTTPError, UnicodeError) as error:
        raise _failed(name, error, requests) from error


def _silent(name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda size: None)


def _identified(name: str, path: Path, answer: Any, settings: ImportSettings, endings: Mapping[str, str]) -> Fetched:
    """The form of what was fetched; the file gets a fitting name, since readers look at endings."""
    said = answer.headers.get("Content-Type", "")
    kind = said.partition(";")[0].strip().lower()
    last = PurePosixPath(unquote(urlsplit(answer.url).path)).name
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(_GZIP):
        path, last = _unpacked(name, path, settings), last.removesuffix(".gz").removesuffix(".GZ")
        kind = "" if "gzip" in kind else kind
        with path.open("rb") as file:
            head = file.read(1024)
    by_name = PurePosixPath(last).suffix
    ending = _ending(kind, by_name.lower(), head, endings)
    if ending is None and settings.form == "auto":
        raise bad_input(
            name,
            f"an answer of the type {kind!r}",
            expected="a page, a document, a table or a data set: HTML, PDF, DOCX, EPUB, CSV, JSON, text",
            fix="give the address of such a file, or set --form",
        )
    form = settings.form if settings.form != "auto" else endings[ending or ".txt"]
    final = path.with_name(f"answer{ending or '.txt'}")
    path.rename(final)
    source = Source(path=final, name=name, label=name, settings=settings)
    label = parameter(said, "charset")
    declared = codec_of(source, label, "by the server") if label and not settings.encoding else ""
    return Fetched(path=final, form=form, declared=declared, final=shown(answer.url))


def _unpacked(name: str, path: Path, settings: ImportSettings) -> Path:
    """A file in gzip form (`data.csv.gz`) as it is inside, within the same limit of size."""
    inside = path.with_name("unpacked")
    try:
        complete = unpack(path.rename(path.with_suffix(GZIP)), inside, settings.max_download_mb * 1e6)
    except OSError as error:
        raise _unanswered(name, f"a damaged gzip file ({excerpt(error.strerror or str(error))})") from error
    if not complete:
        raise _too_large(name, settings)
    return inside


def _ending(kind: str, by_name: str, head: bytes, endings: Mapping[str, str]) -> str | None:
    """The ending of names that fits what was fetched: by its type, its address, its first bytes."""
    ending = _TYPES.get(kind) or (".json" if kind.endswith("+json") else "")
    if not ending and kind and kind not in _VAGUE:
        ending = next((one for one in mimetypes.guess_all_extensions(kind) if one in endings), "")
    by_name = by_name if by_name in endings else ""
    if ending == ".json" and by_name == ".jsonl":
        return by_name
    if ending in endings:
        return ending
    if kind and kind not in _VAGUE and not kind.startswith("text/"):
        return None
    if by_name:
        return by_name
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"%PDF-"):
        return ".pdf"
    if start.startswith((b"<!doctype html", b"<html")) and kind != "text/plain":
        return ".html"
    return ".txt" if kind in ("", "text/plain") or kind.startswith("text/") else None


def _refused(name: str, answer: Any) -> NewsError:
    """The error for an answer that is not the content."""
    code = int(answer.status_code)
    fix = "check the address in a browser"
    if code in (401, 402, 403, 407, 451):
        fix = "the server wants a login or a browser: save the page or file with a browser, and import the saved file"
    elif code in (404, 410):
        fix = "correct the address: the server has nothing there"
    elif code == 429 or code >= 500:
        after = answer.headers.get("Retry-After", "")
        fix = (
            f"try again after {after} seconds"
            if after.isdigit()
            else "try again later, or save the page with a browser"
        )
    reason = f" {excerpt(answer.reason)}" if answer.reason else ""
    return bad_input(name, f"the HTTP status {code}{reason}", expected="a page or a file (200 OK)", fix=fix)


def _too_large(name: str, settings: ImportSettings) -> NewsError:
    return bad_input(
        name,
        f"an answer of more than {settings.max_download_mb:g} MB",
        expected="a file within the limit",
        fix="raise --max-download-mb, or download it yourself and import the file",
    )


def _unanswered(name: str, found: str) -> NewsError:
    return bad_input(
        name,
        found,
        expected="a server that answers with a page or a file",
        fix="check the address and the connection, try again later, or download it with a browser",
    )


def _failed(name: str, error: Exception, requests: Any) -> NewsError:
    """The error for an exchange that broke off or never began."""
    kinds = (
        (requests.exceptions.TooManyRedirects, f"more than {_REDIRECTS} redirects"),
        (requests.exceptions.ConnectTimeout, f"no connection within {_WAIT[0]} seconds"),
        (requests.exceptions.ReadTimeout, f"no answer within {_WAIT[1]} seconds"),
        (requests.exceptions.SSLError, "a certificate that does not prove who the server is, or no encryption"),
        (requests.exceptions.ChunkedEncodingError, "an answer that breaks off"),
        (requests.exceptions.ContentDecodingError, "an answer that is compressed wrongly"),
        (requests.exceptions.ConnectionError, "no server that answers"),
    )
    why = next((words for kind, words in kinds if isinstance(error, kind)), "an address that cannot be fetched")
    return _unanswered(name, f"{why} ({excerpt(str(error), 120)})")
