"""Web addresses as sources, on a server of the test; and EPUB."""

# ruff: noqa: E501 - tables of markup

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from documents import write_docx, write_pdf
from importing import imported
from sys2ft.cli.main import call
from sys2ft.errors import NewsError
from sys2ft.news import read_news
from sys2ft.news.importers import ImportSettings, import_news, total_bytes, web
from test_import_epub import write_epub

Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers paths from a table, and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def at(self, path: str, content: str | bytes, kind: str = "text/html", status: int = 200, **headers: str) -> str:
        """The address at which `content` is served from now on."""
        body = content.encode() if isinstance(content, str) else content
        given = {"Content-Type": kind} if kind else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path.partition("?")[0]] = (status, given | {"Content-Length": str(len(body))} | named, body)
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        missing: Answer = (404, {"Content-Length": "0"}, b"")
        status, headers, body = self.server.answers.get(self.path.partition("?")[0], missing)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # the reader left
            return

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()


def made(write: Callable[[Path], object], folder: Path) -> bytes:
    write(folder / "made")
    return (folder / "made").read_bytes()


PAGE = "<title>x</title><nav>Home</nav><h1>Ferry</h1><p>The ferry is new.</p>"
SQUAD = {"context": "Elm has 12 people.", "questions": [{"question": "How many?", "answer": "12"}]}
KINDS: dict[str, tuple[str, str, Callable[[Path], bytes], str, str]] = {
    "page": ("/news", "text/html; charset=utf-8", lambda _: PAGE.encode(), "html", "Ferry\nThe ferry is new."),
    "XHTML": ("/news", "application/xhtml+xml", lambda _: PAGE.encode(), "html", "Ferry\nThe ferry is new."),
    "page named like a table": ("/a.csv", "text/html", lambda _: PAGE.encode(), "html", "Ferry\nThe ferry is new."),
    "PDF": ("/get?id=3", "application/pdf", lambda f: made(lambda p: write_pdf(p, [["It is green."]]), f), "pdf", "It is green."),
    "PDF without a type": ("/x", "", lambda f: made(lambda p: write_pdf(p, [["It is green."]]), f), "pdf", "It is green."),
    "PDF as octets": (
        "/a.pdf", "application/octet-stream", lambda f: made(lambda p: write_pdf(p, [["It is green."]]), f), "pdf", "It is green.",
    ),
    "Word": (
        "/get", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", lambda f: made(write_docx, f), "docx",
        "Handbook of the Ferry > Fares\nA crossing costs 4 crowns. Children pay nothing.\n- Bicycles: 1 crown\n- Dogs: free",
    ),
    "book": ("/b", "application/epub+zip", lambda f: made(write_epub, f), "epub", "Tales > One\nThe first."),
    "table": ("/t", "text/csv; charset=utf-8", lambda _: b"text\nElm is old.\n", "csv", "Elm is old."),
    "packed table": ("/t.csv.gz", "application/gzip", lambda _: gzip.compress(b"text\nElm is old.\n"), "csv", "Elm is old."),
    "packed page": ("/t", "application/x-gzip", lambda _: gzip.compress(b"<!doctype html>" + PAGE.encode()), "html", "Ferry\nThe ferry is new."),
    "tabs": ("/t", "text/tab-separated-values", lambda _: b"text\tn\nElm, old.\t1\n", "csv", "Elm, old."),
    "JSON": ("/j", "application/json", lambda _: json.dumps([SQUAD]).encode(), "json", "Elm has 12 people."),
    "JSON of a vendor": ("/j", "application/ld+json", lambda _: json.dumps([SQUAD]).encode(), "json", "Elm has 12 people."),
    "JSON Lines": ("/j", "application/x-ndjson", lambda _: b'{"text": "Elm is old."}\n', "jsonl", "Elm is old."),
    "JSON Lines by name": ("/j.jsonl", "application/json", lambda _: b'{"text": "Elm is old."}\n', "jsonl", "Elm is old."),
    "Markdown as text": ("/README.md", "text/plain", lambda _: b"# Elm\n\nIt is *old*.", "markdown", "Elm\nIt is old."),
    "text": ("/a", "text/plain", lambda _: b"Elm is old.", "text", "Elm is old."),
    "text with a type unknown": ("/a", "text/x-tale", lambda _: b"Elm is old.", "text", "Elm is old."),
    "page without a type": ("/a", "", lambda _: b"<!DOCTYPE html>" + PAGE.encode(), "html", "Ferry\nThe ferry is new."),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_content_type_decides_how_it_is_read(name: str, server: Server, tmp_path: Path) -> None:
    path, kind, content, form, text = KINDS[name]
    address = server.at(path, content(tmp_path), kind)
    out = tmp_path / "news.jsonl"
    summary = import_news([address], out)
    (one, *_) = read_news(out)
    assert one.text == text
    assert [(file.name, file.form) for file in summary.files] == [(address, form)]
    assert one.source is not None and one.source.startswith(f"{address}, ")
    assert server.asked == [path]


def test_charset_of_the_server_before_that_of_the_page(server: Server, tmp_path: Path) -> None:
    def text(address: str, **changes: Any) -> str:
        return imported(address, tmp_path, **changes).news[0].text

    page = '<meta charset="koi8-r"><p>Мост 5 € ok'
    assert text(server.at("/1", page.encode(), "text/html; charset=UTF-8")) == "Мост 5 € ok"
    assert text(server.at("/2", "<p>5 € ok".encode("cp1252"), 'text/html; charset="ISO-8859-1"')) == "5 € ok"
    assert text(server.at("/3", b"\xef\xbb\xbf" + page.encode(), "text/html; charset=cp1251")) == "Мост 5 € ok"
    assert text(server.at("/4", "Straße".encode("cp1252"), "text/plain; charset=latin1")) == "Straße"
    assert text(server.at("/5", "Straße".encode("utf-16-le"), "text/plain; charset=utf-16le")) == "Straße"
    assert text(server.at("/6", "text\nStraße\n".encode("cp1252"), "text/csv; charset=windows-1252")) == "Straße"
    assert text(server.at("/7", "Мост".encode("koi8-r"), "text/plain; charset=utf-8"), encoding="koi8-r") == "Мост"
    with pytest.raises(NewsError, match=r"/8: found the unknown encoding 'klingon' declared by the server"):
        text(server.at("/8", "x", "text/plain; charset=klingon"))


def test_redirects_are_followed_and_told(server: Server, tmp_path: Path) -> None:
    target = server.at("/new", PAGE)
    first = server.at("/old", "", status=301, Location="/new")
    found = imported(first, tmp_path)
    assert found.news[0].source == f"{first}, line 1"
    assert found.reported["address that leads to another"] == [f"{first} (to {target})"]
    around = server.at("/around", "", status=302, Location="/around")
    with pytest.raises(NewsError, match=r"/around: found more than 10 redirects"):
        imported(around, tmp_path)


def test_compressed_answers_and_passwords_in_addresses(server: Server, tmp_path: Path) -> None:
    address = server.at("/z", gzip.compress(PAGE.encode()), Content_Encoding="gzip")
    assert imported(address, tmp_path).news[0].text == "Ferry\nThe ferry is new."
    secret = address.replace("//", "//me:secret@")
    assert imported(secret, tmp_path).news[0].source == f"{address}, line 1"
    broken = server.at("/b", b"no gzip", Content_Encoding="gzip")
    with pytest.raises(NewsError, match=r"/b: found an answer that is compressed wrongly"):
        imported(broken, tmp_path)


STATES = {
    401: ("the HTTP status 401", "save the page or file with a browser"),
    403: ("the HTTP status 403 Forbidden", "save the page or file with a browser"),
    404: ("the HTTP status 404 Not Found", "correct the address"),
    410: ("the HTTP status 410 Gone", "correct the address"),
    429: ("the HTTP status 429 Too Many Requests", "try again after 7 seconds"),
    500: ("the HTTP status 500 Internal Server Error", "try again after 7 seconds"),
    204: ("the HTTP status 204 No Content", "check the address"),
}


@pytest.mark.parametrize("status", STATES)
def test_an_error_of_the_server_is_one_clear_error(status: int, server: Server, tmp_path: Path) -> None:
    address = server.at("/x", "" if status == 204 else "<p>Sorry", status=status, Retry_After="7")
    with pytest.raises(NewsError) as caught:
        imported(address, tmp_path)
    found, fix = STATES[status]
    assert str(caught.value).startswith(f"{address}: found {found}")
    assert fix in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(address: str, **changes: Any) -> str:
        with pytest.raises(NewsError) as caught:
            imported(address, tmp_path, **changes)
        assert str(caught.value).startswith(address)
        return str(caught.value)

    assert "found an answer of the type 'image/png'" in said(server.at("/a.png", b"\x89PNG", "image/png"))
    assert "found an answer of the type 'application/zip'" in said(server.at("/a", b"PK\x03\x04", "application/zip"))
    assert "found no text: it is empty" in said(server.at("/empty", ""))
    assert "found a PNG image" in said(server.at("/p", b"\x89PNG" + bytes(9), "text/plain"))
    assert "more than 0.001 MB" in said(server.at("/large", "x" * 2000), max_download_mb=0.001)
    packed = server.at("/packed", gzip.compress(b"x" * 2000), Content_Encoding="gzip")
    assert "--max-download-mb" in said(packed, max_download_mb=0.001)
    assert "an answer that" in said(server.at("/short", "x" * 20, Content_Length="2000"))
    assert "a damaged gzip file" in said(server.at("/d.csv.gz", gzip.compress(b"x" * 99)[:-9], "application/gzip"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "found no server that answers" in said(f"http://127.0.0.1:{unused.getsockname()[1]}/x")
    assert "found an address that cannot be fetched" in said("http://[x/a")
    monkeypatch.setattr(web, "_WAIT", (5, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "found no answer within" in said(f"http://127.0.0.1:{silent.getsockname()[1]}/x")


def test_the_rest_is_imported_when_an_address_fails(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("The first.")
    good, bad = server.at("/good", PAGE), server.at("/bad", "", status=404)
    out = tmp_path / "news.jsonl"
    arguments = ["news", "import", str(tmp_path / "a.txt"), bad, good, "--out", str(out)]
    assert call(arguments) == 2
    assert not out.exists()
    assert f"{bad}: found the HTTP status 404" in " ".join(capsys.readouterr().err.split())
    assert call([*arguments, "--skip-bad"]) == 0
    assert [one.text for one in read_news(out)] == ["The first.", "Ferry\nThe ferry is new."]
    assert f"{bad}: found the HTTP status 404" in capsys.readouterr().out


def test_fetching_shows_its_progress(server: Server, tmp_path: Path) -> None:
    shown: list[tuple[str, int | None]] = []
    read: list[int] = []

    @contextmanager
    def task(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        shown.append((name, total))
        yield read.append

    address = server.at("/x", f"<p>{'Elm is old. ' * 30_000}")
    size = len(server.answers["/x"][2])
    assert total_bytes([address], tmp_path / "news.jsonl", ImportSettings()) == 0
    import_news([address], tmp_path / "news.jsonl", advance=lambda size: None, task=task)
    ((name, total),) = shown
    assert name.startswith("fetch http://127.0.0.1") and total == sum(read) == size
    assert len(read) > 3


def test_form_and_address_can_be_given(server: Server, tmp_path: Path) -> None:
    address = server.at("/x.png", "text\nElm is old.\n", "image/png")
    assert imported(address, tmp_path, form="csv").text == "Elm is old."
    assert web.shown("HTTPS://a.org/b") == web.shown(Path("https://a.org/b")) == "https://a.org/b"
    assert not web.is_address("httpx/a.txt") and not web.is_address(tmp_path)
