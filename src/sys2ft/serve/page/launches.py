"""Runs that the page starts: `sys2ft run` as a child process, in a folder that the server chooses.

A run outlives the page that started it, but not the server: the server's end stops it, where nothing is lost, and it
can be resumed. One runs at a time, since it shares the machine with the model that answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Literal

from sys2ft.errors import NewsError, SettingsError
from sys2ft.files import damage_named, make_folder, read_json, write_json
from sys2ft.models import LoadedModel
from sys2ft.news import News, news_from_dict, write_news
from sys2ft.report import headline, summarise
from sys2ft.runs.progress import JSON_LINES

State = Literal["running", "stopping", "finished", "stopped", "failed"]
PROTOCOLS: Mapping[str, str] = {
    "mixed": "Statements with gaps, and the text: quick, nothing is generated",
    "naive": "The text itself, as a baseline",
    "paraphrase": "Paraphrases that the model writes",
    "self_qa": "Questions and answers that the model writes",
}
"""The protocols that the page offers, in plain words."""
EPOCHS = (2, 4, 8)
MOST_NEWS = 25
MOST_CHARACTERS = 20_000
"""Of all texts together: a small run."""
_TOKENS = 800  # of training data for each news item, as in the demo
_BY_CHOICE = ("cloze", "cloze_raw", "letter")
_FREE = ("direct",)
_RECORD = "launch.json"
_LINES = 40  # last lines of an error that are kept


@dataclass
class Launch:
    """One run, as the page shows it."""

    id: str
    folder: Path
    about: dict[str, Any]
    """What `launch.json` holds: ids of the news items, protocol, epochs, scorings, date, and in the end the verdict."""
    state: State = "stopped"
    tasks: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """Units done and units in all of each task, in order."""
    said: list[str] = field(default_factory=list)
    """Notes, and the lines of an error."""
    process: subprocess.Popen[str] | None = None

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def report(self) -> Path:
        return self.run / "report.html"

    @property
    def live(self) -> bool:
        return self.state in ("running", "stopping")

    def shown(self) -> dict[str, Any]:
        """What the page shows."""
        tasks = [{"name": name, "done": done, "total": total} for name, (done, total) in list(self.tasks.items())]
        return {
            **self.about, "id": self.id, "state": self.state, "tasks": tasks, "said": self.said,
            "command": shlex.join(["sys2ft", "serve", str(self.run)]),
        }  # fmt: skip


def read_request(body: Any) -> tuple[list[News], str, int]:
    """News items, protocol and epochs of a request.

    Raises SettingsError or NewsError that says what is wrong.
    """
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise SettingsError(
            "no list of news items", expected='{"items": [{"id": ..., "news": ..., "questions": [...]}]}',
            fix="write a news item",
        )  # fmt: skip
    items: list[Any] = body["items"]
    if not 1 <= len(items) <= MOST_NEWS:
        raise SettingsError(
            f"{len(items)} news items", expected=f"1 to {MOST_NEWS}", fix="start larger runs with `sys2ft run`"
        )
    news = [news_from_dict(item, source=f"news item {number}") for number, item in enumerate(items, start=1)]
    names = [item.id.casefold() for item in news]
    if len(set(names)) < len(names):
        raise NewsError("ids that repeat", expected="an id for each news item", fix="rename one of them")
    if (size := sum(len(item.text) for item in news)) > MOST_CHARACTERS:
        raise SettingsError(
            f"texts of {size:,} characters", expected=f"at most {MOST_CHARACTERS:,}",
            fix="start larger runs with `sys2ft run`",
        )  # fmt: skip
    if not any(item.questions for item in news):
        raise SettingsError(
            "no question", expected="at least one, which shows whether the news was learnt", fix="write a question"
        )
    protocol, epochs = body.get("protocol", "mixed"), body.get("epochs", EPOCHS[0])
    if protocol not in PROTOCOLS or epochs not in EPOCHS or isinstance(epochs, bool):
        raise SettingsError(
            f"protocol {protocol!r} and epochs {epochs!r}",
            expected=f"one of {', '.join(PROTOCOLS)}, and one of {', '.join(map(str, EPOCHS))}",
            fix="choose one of these",
        )
    return news, protocol, epochs


class Launches:
    """The runs below `folder`, those of earlier servers included; they are started with the server's own model."""

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        self._folder = folder
        dtype = str(model.dtype).removeprefix("torch.")
        self._model = ("--model", model.source.name, "--dtype", dtype, "--device", str(model.device))
        self._lock = threading.Lock()
        self._all = {launch.id: launch for launch in map(_earlier, sorted(folder.glob(f"*/{_RECORD}")))}

    @property
    def all(self) -> list[Launch]:
        """The newest first."""
        return list(reversed(self._all.values()))

    def get(self, name: str) -> Launch | None:
        """The run of this id. It is looked up, and never becomes a path."""
        return self._all.get(name)

    def start(self, news: Sequence[News], protocol: str, epochs: int) -> Launch:
        """Begin a run. Raises SettingsError if one is in progress."""
        with self._lock:
            self._require_idle()
            number = 1 + max((int(name) for name in self._all if name.isdigit()), default=0)
            folder = make_folder(self._folder / f"{number:04d}")
            write_news(folder / "news.jsonl", news)
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            chosen = all(question.choices for item in news for question in item.questions)
            about = {
                "news": [item.id for item in news], "protocol": protocol, "epochs": epochs, "created": created,
                "scorings": list(_BY_CHOICE if chosen else _FREE),
            }  # fmt: skip
            write_json(folder / _RECORD, about)
            launch = Launch(folder.name, folder, about)
            self._all[launch.id] = launch
            self._begin(launch)
        return launch

    def resume(self, launch: Launch) -> None:
        """Continue a run that was stopped or has failed. Raises SettingsError if one is in progress."""
        with self._lock:
            self._require_idle()
            self._begin(launch)

    def stop(self, launch: Launch) -> None:
        """Ask a run to stop where nothing is lost; a second time, at once."""
        with self._lock:
            if launch.live and launch.process is not None:
                launch.state = "stopping"
                launch.process.terminate()

    def close(self) -> None:
        """Stop what is in progress, and wait for it."""
        for launch in self._all.values():
            self.stop(launch)
            if launch.process is not None:
                try:
                    launch.process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    launch.process.kill()
                    launch.process.wait()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _require_idle(self) -> None:
        if busy := [launch.id for launch in self._all.values() if launch.live]:
            raise SettingsError(
                f"run {busy[0]} is in progress", expected="one run at a time", fix="wait for it, or stop it"
            )

    def _begin(self, launch: Launch) -> None:
        about = launch.about
        command = [
            sys.executable, "-m", "sys2ft", "run", str(launch.folder / "news.jsonl"), "--out", str(launch.run),
            *self._model, "--protocols", about["protocol"], "--tokens-per-news", str(_TOKENS),
            "--epochs", str(about["epochs"]), "--scorings", *about["scorings"], "--headline", about["scorings"][0],
        ]  # fmt: skip
        launch.tasks, launch.said, launch.state = {}, [], "running"
        launch.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            encoding="utf-8", errors="replace", env={**os.environ, JSON_LINES: "json"}, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._follow, args=(launch, launch.process), daemon=True).start()

    def _follow(self, launch: Launch, process: subprocess.Popen[str]) -> None:
        errors = process.stderr
        assert errors is not None, "it was opened as a pipe"
        with errors:
            _read(launch, errors)
        code = process.wait()
        if code == 0:
            launch.about["verdict"] = headline(summarise(launch.run))[0]
            write_json(launch.folder / _RECORD, launch.about)
            launch.state = "finished"
        else:
            stopped = code in (128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM)
            launch.state = "stopped" if stopped else "failed"


def _earlier(record: Path) -> Launch:
    """A run of an earlier server. Raises SettingsError if its record is damaged."""
    with damage_named(record, "delete its folder"):
        about: dict[str, Any] = read_json(record)
        state: State = "finished" if about.get("verdict") else "stopped"
        return Launch(record.parent.name, record.parent, about, state)


def _read(launch: Launch, lines: IO[str]) -> None:
    for line in lines:
        row: Any = None
        with contextlib.suppress(ValueError):
            row = json.loads(line)
        if isinstance(row, dict) and "task" in row:
            launch.tasks[row["task"]] = (row["done"], row["total"])
        else:
            said = row["note"] if isinstance(row, dict) and "note" in row else line.rstrip()
            launch.said = [*launch.said, said][-_LINES:]
