"""The import of many and of large files: bounded in time and in memory, whatever the form."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: its peak memory is that of the import and of nothing before it. A small import comes first,
# so that what is measured is the growth with the file and not the libraries.
MEASURE = """
import json, resource, sys, time
from pathlib import Path

def high_water():
    # ru_maxrss outlives exec on Linux, so it would tell the memory of the process that ran the tests.
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(row.split()[1]) for row in status.read_text().splitlines() if row.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

from sys2ft.news.importers import ImportSettings, import_news
small, large, out = map(Path, sys.argv[1:])
import_news([small], out, ImportSettings())
before = high_water()
begun, cpu = time.perf_counter(), time.process_time()
summary = import_news([large], out, ImportSettings())
seconds = time.process_time() - cpu
peak = high_water()
assert "torch" not in sys.modules
print(json.dumps({"news": summary.news, "seconds": seconds, "peak": peak, "growth": peak - before}))
"""


def measured(small: Path, large: Path, tmp_path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), str(large), str(tmp_path / "news.jsonl")],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def sentence(n: int) -> str:
    return (
        f"In the year {n} the ferry Osprey of the Lindqvist line carried {n * 7} lorries, and Ines Okafor was captain. "
    )


def test_ten_thousand_news(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    rows = ({"title": f"Report {n}", "text": sentence(n) + sentence(n + 10**6)} for n in range(8000))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for n in range(8000, 10_000):
        (folder / f"{n}.md").write_text(f"# Report {n}\n\n{sentence(n)}")
    found = measured(folder / "8000.md", folder, tmp_path)
    assert found["news"] == 10_000
    assert found["seconds"] < 30
    assert found["peak"] < 1e9


def text(size: int) -> Iterator[str]:
    yield from ((sentence(n) + ("\n\n" if n % 50 == 0 else "\n")) for n in range(size))


def one_paragraph(size: int) -> Iterator[str]:
    yield from (sentence(n) + "\n" for n in range(size))


def markdown(size: int) -> Iterator[str]:
    yield from (
        (f"\n# Part {n}\n\n" if n % 500 == 0 else "") + sentence(n) + "\n\n" * (n % 5 == 0) for n in range(size)
    )


def html(size: int) -> Iterator[str]:
    yield "<html><body>"
    yield from (f"<p>{sentence(n)}</p>" for n in range(size))


def table_page(size: int) -> Iterator[str]:
    yield "<table><tr><th>n</th><th>said</th></tr>"
    yield from (f"<tr><td>{n}<td>{sentence(n)}</tr>" for n in range(size))


def csv(size: int) -> Iterator[str]:
    yield "text,n\n"
    yield from (f'"{sentence(n) * 10}",{n}\n' for n in range(size // 10))


def json_lines(size: int) -> Iterator[str]:
    yield from (json.dumps({"text": sentence(n) * 10}) + "\n" for n in range(size // 10))


def squad(size: int) -> Iterator[str]:
    """All on one line, as SQuAD comes."""
    yield '{"version": "1.1", "data": ['
    for n in range(size // 10):
        paragraph = {"context": sentence(n) * 10, "qas": [{"question": "Who?", "answers": [{"text": "Ines Okafor"}]}]}
        yield (", " if n else "") + json.dumps({"title": f"Report_{n}", "paragraphs": [paragraph]})
    yield "]}"


FORMS: dict[str, Callable[[int], Iterator[str]]] = {
    "a.txt": text,
    "paragraph.txt": one_paragraph,
    "a.md": markdown,
    "a.html": html,
    "table.html": table_page,
    "a.csv": csv,
    "a.jsonl": json_lines,
    "squad.json": squad,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_large_file_is_read_as_a_stream(name: str, tmp_path: Path) -> None:
    """A file of 5 MB with less memory than it has, each form by itself."""
    files = []
    for folder, size in (("small", 2_000), ("large", 50_000)):
        path = tmp_path / folder / name
        path.parent.mkdir()
        with path.open("w") as file:
            file.writelines(FORMS[name](size))
        files.append(path)
    assert files[1].stat().st_size > 5e6
    found = measured(files[0], files[1], tmp_path)
    assert found["news"] > 2000
    assert found["growth"] < files[1].stat().st_size  # ids and texts' digests grow with the number of news
