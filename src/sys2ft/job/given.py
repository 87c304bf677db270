"""What a run is given: a news file or bundled set, or documents, tables and addresses that become news items.

Documents are imported into `<run folder>.import.jsonl`, and `<run folder>.import.json` says from what. The same command
continues with that file, so that a page that changes on the web does not end a run half way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.news import News, Question, bundled_names, load_news, read_news
from sys2ft.news.importers import ImportSettings, ImportSummary, digests, import_news, is_address, total_bytes
from sys2ft.probing import ProbeSettings
from sys2ft.retention import BUNDLED
from sys2ft.runs import Display, read_json, write_json

_NEWS_ENDINGS = (".jsonl", ".ndjson", ".json", ".yaml", ".yml")
_PACKED = (".gz", ".bz2", ".xz")
_HEAD = 1_000_000  # bytes of a JSON file in which its first record is looked for


@dataclass(frozen=True, slots=True)
class Given:
    """The news items of a run, and how they came."""

    news: list[News]
    imported: Path | None = None
    """The news file that documents were imported into; None: the news items were given as such."""
    summary: ImportSummary | None = None
    """What the import left out; None if it was done by an earlier command."""

    @property
    def asked(self) -> bool:
        """Whether a news item has a question."""
        return any(item.questions for item in self.news)


def given(sources: Sequence[str], out: Path, settings: ImportSettings, show: Display | None = None) -> Given:
    """The news items of one news file or bundled set, or of documents, which are imported beside the run folder `out`.

    Raises NewsError for what cannot be read, and SettingsError for documents that have changed since the run began.
    """
    if len(sources) == 1 and is_news(sources[0]):
        return Given(load_news(sources[0]))
    file, record = (out.with_name(f"{out.name}.import{ending}") for ending in (".jsonl", ".json"))
    now = {
        "sources": list(sources),
        "settings": asdict(settings),
        "files": digests(sources, file, settings),
    }
    if file.is_file() and record.is_file():
        changed = _changed(read_json(record), json.loads(json.dumps(now)))
        if not changed:
            return Given(read_news(file), file)
        if any((folder / "run.json").is_file() for folder in (out, probe_folder(out))):
            raise SettingsError(
                f"{out} was begun with another import: {'; '.join(changed)}",
                expected="the same documents and settings, to resume that run",
                fix="choose another folder with --out",
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    show = show or Display()
    with show.task("import (bytes)", total_bytes(sources, file, settings)) as advance:
        summary = import_news(sources, file, settings, advance=advance, task=show.task)
    write_json(record, now)
    return Given(read_news(file), file, summary)


def require_sources(sources: Sequence[str]) -> None:
    """Raise SettingsError unless there is a source, and each is an address, a bundled set, or exists."""
    missing = [one for one in sources if not (is_address(one) or one in bundled_names() or Path(one).exists())]
    if missing or not sources:
        raise SettingsError(
            f"no such file or folder: {', '.join(missing)}" if missing else "nothing to learn from",
            expected="a news file, or documents, folders, tables and web addresses",
            fix="check the path and the folder you are in"
            if missing
            else "name them, or write a sys2ft.yaml: sys2ft init",
        )


def probe_folder(out: Path) -> Path:
    """The folder in which the questions of the run in `out` are written: that of `sys2ft news probe`."""
    return out.with_name(f"{out.name}.probe")


def out_of(sources: Sequence[str]) -> Path:
    """The run folder by default: `sys2ft-runs/` and the name of the first source."""
    first = str(sources[0])
    if is_address(first):
        parts = urlsplit(first)
        name = Path(parts.path).stem or (parts.hostname or "web")
        return Path("sys2ft-runs") / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "web")
    return Path("sys2ft-runs") / (Path(first).stem or Path(first).resolve().name or "run")


def is_news(source: str) -> bool:
    """Whether a source is a news file or a bundled set rather than something to import.

    A JSON file is a news file unless its first record lacks all of `id`, `news` and `domain`: then it is a data set or
    a table. What does not exist, and has no ending or that of a news file, is called one: its error says what is near.
    """
    path = Path(source)
    if is_address(source) or path.is_dir():
        return False
    packed = path.suffix.lower() in _PACKED
    ending = (path.with_suffix("") if packed else path).suffix.lower()
    if not path.exists():
        return source in bundled_names() or ending in (*_NEWS_ENDINGS, "")
    if ending in (".yaml", ".yml") or (packed and path.suffix.lower() != ".gz"):
        return True
    return ending in _NEWS_ENDINGS and not _is_data_set(path, packed)


def _is_data_set(path: Path, packed: bool) -> bool:
    from sys2ft.files import open_binary

    try:
        with open_binary(path) as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # reading it as a news file names the fault
    text = head.decode("utf-8-sig", "replace").strip()
    if text.startswith("["):
        return not _is_news_record(_first_of(text[1:]))
    line = text.partition("\n")[0].strip()
    if not line.startswith("{"):
        return False
    first = _first_of(text)
    return not _is_news_record(first) if first is not None else not re.search(r'"(id|news)"\s*:', line)


def _first_of(text: str) -> Any:
    """The JSON value that a text begins with; None if it is not complete."""
    try:
        return json.JSONDecoder().raw_decode(text.strip())[0]
    except ValueError:
        return None


def _is_news_record(record: Any) -> bool:
    if not isinstance(record, Mapping):
        return True  # reading it as a news file says what is wrong
    return bool({"id", "news", "domain"} & record.keys()) and "context" not in record


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two imports, in words."""
    files = sorted(
        name
        for name in before["files"].keys() | now["files"].keys()
        if before["files"].get(name) != now["files"].get(name)
    )
    said = [f"{name} has changed" for name in files[:5]] + ([f"{len(files) - 5} more files"] if len(files) > 5 else [])
    if before["sources"] != now["sources"]:
        said.append(f"it had {' '.join(before['sources'])}, now {' '.join(now['sources'])}")
    said += [
        f"{name} was {value}, now {now['settings'].get(name)}"
        for name, value in before["settings"].items()
        if now["settings"].get(name) != value
    ]
    return said


def fitted(evaluate: EvaluateSettings, what: Given) -> tuple[EvaluateSettings, list[str]]:
    """The evaluation as it fits what was given, and a line for each setting that was chosen by it.

    Nothing is chosen for news items that were given as such with questions: their evaluation is the one that was set.
    """
    said: list[str] = []
    if what.asked and what.imported is not None:
        choices = any(question.choices for item in what.news for question in item.questions)
        if not choices and evaluate.headline == "cloze" and "direct" in evaluate.scorings:
            evaluate = replace(evaluate, headline="direct")
            said.append("no question has choices: the headline is free text (--headline direct)")
    elsewhere = evaluate.retention or any(item.neighbours for item in what.news)
    if not elsewhere and (what.imported is not None or not what.asked):
        evaluate = replace(evaluate, retention=(BUNDLED,))
        said.append("what is lost elsewhere is measured on bundled prose (--retention prose)")
    return evaluate, said


def stand_ins(news: Sequence[News], settings: ProbeSettings) -> list[News]:
    """The news items with questions of the usual length in place of those that will be written, to estimate by."""
    made = []
    for item in news:
        words = item.text.split()
        choices = tuple(f"{' '.join(words[:2])} {number}" for number in range(settings.choices))
        questions = [
            Question(text=f"{number} {' '.join(words[:12])}?", answer=choices[0], choices=choices)
            for number in range(settings.probes_per_news)
        ]
        made.append(item.model_copy(update={"questions": tuple(questions)}))
    return made
