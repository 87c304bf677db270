"""Read and write news files; a file is read completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from sys2ft.files import atomic_file
from sys2ft.news.encodings import PACKED_ENDINGS, text_of
from sys2ft.news.formats import Row, json_rows, yaml_rows
from sys2ft.news.problems import Problem, bad_input, news_error, unreadable
from sys2ft.news.records import news_to_dict, parse
from sys2ft.news.schema import News
from sys2ft.news.writing import JSON_ENDINGS, json_line, not_a_news_file, wrong_ending

YAML_ENDINGS = (".yaml", ".yml")


def read_news(path: str | Path) -> list[News]:
    """All news items of a file: JSON Lines (.jsonl, .ndjson, .json) or a YAML list (.yaml, .yml).

    The file is in UTF-8, UTF-16 or UTF-32, and may be compressed (.gz, .bz2, .xz).

    Raises:
        NewsError: naming file, line and field of every problem (the first ten, then a count).
    """
    path = Path(path)
    return parse_text(_read_text(path), source=str(path), ending=_ending(path))


def parse_text(text: str, *, source: str, ending: str) -> list[News]:
    """All news items in the text of a file with this ending; errors name `source`."""
    rows, problems = yaml_rows(text) if ending in YAML_ENDINGS else json_rows(text)
    if not rows and not problems:
        raise bad_input(
            source,
            "no news items, the file is empty",
            expected="at least one news item",
            fix='write one, for example {"id": "n-1", "news": "..."}, or print an example with `sys2ft news example`',
        )
    news: list[News] = []
    for row in rows:
        one, wrong = parse(row.value)
        if one is not None:
            news.append(one)
        problems += [replace(problem, line=row.line_of(problem.location)) for problem in wrong]
    problems += _repeated_ids(rows)
    if problems:
        raise news_error(source, sorted(problems, key=lambda problem: problem.line or 0))
    return news


def write_news(path: str | Path, news: Iterable[News]) -> None:
    """Write JSON Lines that `read_news` reads back as the same news items. The file is written atomically.

    Raises:
        NewsError: nothing to write, a repeated id, or an ending that is not JSON Lines.
        StorageError: the folder is missing or not writable, or the disk is full.
    """
    path, news = Path(path), list(news)
    if path.suffix.lower() not in JSON_ENDINGS:
        raise wrong_ending(path, JSON_ENDINGS)
    if not news:
        raise bad_input(
            str(path), "no news items to write", expected="at least one news item", fix="pass a list of news items"
        )
    repeated = _repeated_ids([Row(value=news_to_dict(one), line=n) for n, one in enumerate(news, start=1)])
    if repeated:
        raise news_error(str(path), repeated)
    with atomic_file(path, parents=False) as file:
        file.writelines(map(json_line, news))


def _ending(path: Path) -> str:
    """The ending of the name of the file that a compressed file holds, or of the file itself."""
    packed = path.suffix.lower() in PACKED_ENDINGS
    return (path.with_suffix("") if packed else path).suffix.lower()


def _read_text(path: Path) -> str:
    endings = (*JSON_ENDINGS, *YAML_ENDINGS)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if _ending(p) in endings)
        raise bad_input(
            str(path),
            "a folder",
            expected="a news file",
            fix=f"name one file in it: {', '.join(inside[:5])}" if inside else "name a file",
        )
    if not path.exists():
        near = _names_like(path)
        raise bad_input(
            str(path),
            "no such file",
            expected="a news file (" + ", ".join(endings) + ")",
            fix=f"did you mean {path.with_name(near)}?" if near else "check the path and the folder you are in",
        )
    if _ending(path) not in endings:
        raise not_a_news_file(path, endings)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return text_of(data, path)


def _names_like(path: Path) -> str | None:
    with suppress(OSError):
        near = get_close_matches(path.name, [p.name for p in path.parent.iterdir() if p.is_file()], n=1)
        return near[0] if near else None
    return None


def _repeated_ids(rows: list[Row]) -> list[Problem]:
    """Ids become file names, and some file systems ignore case: 'A' repeats 'a'."""
    first: dict[str, tuple[str, int]] = {}
    problems = []
    for row in rows:
        name = row.value.get("id") if isinstance(row.value, dict) else None
        if not isinstance(name, str):
            continue
        line = row.line_of(("id",))
        if name.casefold() not in first:
            first[name.casefold()] = (name, line)
            continue
        earlier, earlier_line = first[name.casefold()]
        problems.append(
            Problem(
                found=f"the id {name!r} again, already on line {earlier_line}"
                + ("" if name == earlier else f" as {earlier!r} (ids that differ only in case name the same file)"),
                expected="an id that is unique in the file",
                fix="rename or remove one of the two",
                location=("id",),
                line=line,
            )
        )
    return problems
